package kv

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/quiverlog/quiver"
)

// absentValue is what a row has in a column that it says nothing about: the column's default, or null.
func absentValue(c quiver.Column) (value, error) {
	if c.Default == nil {
		return value{null: true}, nil
	}
	raw, err := rawDefault(c.Default)
	if err != nil {
		return value{}, fmt.Errorf("default of column %q: %w", c.Field.Name, err)
	}
	return value{raw: raw}, nil
}

// rawDefault gives a value in the Go types that quiver.ParseDefault gives as it stands in Arrow's buffers.
func rawDefault(v any) ([]byte, error) {
	le := binary.LittleEndian
	switch v := v.(type) {
	case bool:
		if v {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case int8, uint8, int16, uint16, int32, uint32, int64, uint64, float32, float64,
		arrow.Date32, arrow.Date64, arrow.Time32, arrow.Time64, arrow.Timestamp, arrow.Duration, arrow.MonthInterval,
		arrow.DayTimeInterval, arrow.MonthDayNanoInterval:
		return binary.Append(nil, le, v)
	case float16.Num:
		return le.AppendUint16(nil, v.Uint16()), nil
	case string:
		return []byte(v), nil
	case []byte:
		return append([]byte{}, v...), nil
	case decimal128.Num:
		return le.AppendUint64(le.AppendUint64(nil, v.LowBits()), uint64(v.HighBits())), nil
	case decimal256.Num:
		var raw []byte
		for _, word := range v.Array() { // lowest first
			raw = le.AppendUint64(raw, word)
		}
		return raw, nil
	}
	return nil, quiver.Errorf(quiver.Internal, "kv: no column has a default of %T", v)
}

// signed reads a signed integer of any width.
func signed(raw []byte) int64 {
	switch le := binary.LittleEndian; len(raw) {
	case 1:
		return int64(int8(raw[0]))
	case 2:
		return int64(int16(le.Uint16(raw)))
	case 4:
		return int64(int32(le.Uint32(raw)))
	default:
		return int64(le.Uint64(raw))
	}
}

// unsigned reads an unsigned integer of any width.
func unsigned(raw []byte) uint64 {
	switch le := binary.LittleEndian; len(raw) {
	case 1:
		return uint64(raw[0])
	case 2:
		return uint64(le.Uint16(raw))
	case 4:
		return uint64(le.Uint32(raw))
	default:
		return le.Uint64(raw)
	}
}

// putInteger writes the low bytes of an integer, as many as width.
func putInteger(v uint64, width int) []byte {
	return binary.LittleEndian.AppendUint64(nil, v)[:width]
}

func float32Of(raw []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(raw)) }
func float64Of(raw []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(raw)) }
