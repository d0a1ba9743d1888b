package quiver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// fitsType says whether a value is one that ParseDefault could have given for the type: neither of another Go type,
// nor out of range, nor with digits that are lost when it is written.
func fitsType(dt arrow.DataType, value any) bool {
	text, err := FormatDefault(dt, value)
	if err != nil {
		return false
	}
	again, err := ParseDefault(dt, text)
	return err == nil && fmt.Sprint(again) == fmt.Sprint(value)
}

// FormatDefault writes a value in the JSON that ParseDefault reads; nil gives null.
// A value of another Go type than ParseDefault gives for the type is SCHEMA_MISMATCH.
func FormatDefault(dt arrow.DataType, value any) (json.RawMessage, error) {
	if value == nil {
		return json.RawMessage("null"), nil
	}
	text, ok := formatValue(dt, value)
	if !ok {
		return nil, Errorf(SchemaMismatch, "a value of Go type %T is no %s", value, shortType(dt))
	}
	return text, nil
}

func formatValue(dt arrow.DataType, value any) (json.RawMessage, bool) {
	switch v := value.(type) {
	case bool:
		return jsonText(v), dt.ID() == arrow.BOOL
	case int8:
		return jsonText(v), dt.ID() == arrow.INT8
	case int16:
		return jsonText(v), dt.ID() == arrow.INT16
	case int32:
		return jsonText(v), dt.ID() == arrow.INT32
	case int64:
		return jsonText(v), dt.ID() == arrow.INT64
	case uint8:
		return jsonText(v), dt.ID() == arrow.UINT8
	case uint16:
		return jsonText(v), dt.ID() == arrow.UINT16
	case uint32:
		return jsonText(v), dt.ID() == arrow.UINT32
	case uint64:
		return jsonText(v), dt.ID() == arrow.UINT64
	case float16.Num:
		return formatFloat(float64(v.Float32()), 32), dt.ID() == arrow.FLOAT16
	case float32:
		return formatFloat(float64(v), 32), dt.ID() == arrow.FLOAT32
	case float64:
		return formatFloat(v, 64), dt.ID() == arrow.FLOAT64
	case string:
		return jsonText(v), isOneOf(dt, arrow.STRING, arrow.LARGE_STRING)
	case []byte:
		return jsonText(base64.StdEncoding.EncodeToString(v)),
			isOneOf(dt, arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY)
	case decimal128.Num:
		return formatDecimal(dt, v.BigInt()), dt.ID() == arrow.DECIMAL128
	case decimal256.Num:
		return formatDecimal(dt, v.BigInt()), dt.ID() == arrow.DECIMAL256
	case arrow.MonthInterval:
		return jsonText(int32(v)), dt.ID() == arrow.INTERVAL_MONTHS
	case arrow.DayTimeInterval:
		return jsonText(v), dt.ID() == arrow.INTERVAL_DAY_TIME
	case arrow.MonthDayNanoInterval:
		return jsonText(v), dt.ID() == arrow.INTERVAL_MONTH_DAY_NANO
	case arrow.Duration:
		return jsonText(int64(v)), dt.ID() == arrow.DURATION
	}
	return formatTemporal(dt, value)
}

// jsonText marshals what cannot fail: numbers, booleans, strings and flat structs of them.
func jsonText(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("quiver: " + err.Error())
	}
	return text
}

func formatFloat(f float64, bits int) json.RawMessage {
	switch {
	case math.IsNaN(f):
		return json.RawMessage(`"NaN"`)
	case math.IsInf(f, 1):
		return json.RawMessage(`"Infinity"`)
	case math.IsInf(f, -1):
		return json.RawMessage(`"-Infinity"`)
	}
	return json.RawMessage(strconv.FormatFloat(f, 'g', -1, bits))
}

func formatDecimal(dt arrow.DataType, unscaled *big.Int) json.RawMessage {
	t, ok := dt.(arrow.DecimalType)
	if !ok {
		return nil
	}
	return jsonText(formatUnscaled(unscaled, t.GetScale()))
}
