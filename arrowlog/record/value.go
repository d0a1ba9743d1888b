package record

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// valueOf is the value that a slot's bytes stand for, in the Go type that quiver.ParseDefault gives. Binaries are
// the bytes given. nil: the slot has no such values.
func valueOf(s *slot, raw []byte) any {
	le := binary.LittleEndian
	switch s.kind {
	case kindBinary32, kindBinary64:
		if s.utf8 {
			return string(raw)
		}
		return raw
	case kindFixed:
	default:
		return nil
	}
	switch t := storage(s.typ); t.ID() {
	case arrow.INT8:
		return int8(raw[0])
	case arrow.INT16:
		return int16(le.Uint16(raw))
	case arrow.INT32:
		return int32(le.Uint32(raw))
	case arrow.INT64:
		return int64(le.Uint64(raw))
	case arrow.UINT8:
		return raw[0]
	case arrow.UINT16:
		return le.Uint16(raw)
	case arrow.UINT32:
		return le.Uint32(raw)
	case arrow.UINT64:
		return le.Uint64(raw)
	case arrow.FLOAT16:
		return float16.FromBits(le.Uint16(raw))
	case arrow.FLOAT32:
		return math.Float32frombits(le.Uint32(raw))
	case arrow.FLOAT64:
		return math.Float64frombits(le.Uint64(raw))
	case arrow.FIXED_SIZE_BINARY:
		return raw
	case arrow.DECIMAL128:
		return decimal128.New(int64(le.Uint64(raw[8:])), le.Uint64(raw))
	case arrow.DECIMAL256:
		return decimal256.New(le.Uint64(raw[24:]), le.Uint64(raw[16:]), le.Uint64(raw[8:]), le.Uint64(raw))
	default:
		return timeOf(t, raw)
	}
}

// timeOf is a value of a type that measures time.
func timeOf(t arrow.DataType, raw []byte) any {
	le := binary.LittleEndian
	switch t.ID() {
	case arrow.DATE32:
		return arrow.Date32(le.Uint32(raw))
	case arrow.DATE64:
		return arrow.Date64(le.Uint64(raw))
	case arrow.TIME32:
		return arrow.Time32(le.Uint32(raw))
	case arrow.TIME64:
		return arrow.Time64(le.Uint64(raw))
	case arrow.TIMESTAMP:
		return arrow.Timestamp(le.Uint64(raw))
	case arrow.DURATION:
		return arrow.Duration(le.Uint64(raw))
	}
	return nil
}
