package quiver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// MaxDefault bounds the JSON of one value, in bytes.
const MaxDefault = 64 << 10

// ParseDefault reads one value of a flat type from JSON; null gives nil.
//
//	bool                      true                         bool
//	integers                  1, "9007199254740993"        int8 … uint64
//	float16, 32, 64           1.5, "NaN", "-Infinity"      float16.Num, float32, float64
//	string, large_string      "text"                       string
//	binary, large, fixed      "base64"                     []byte
//	decimal128, 256           "12.50", 12.5                decimal128.Num, decimal256.Num
//	date32, date64            "2026-11-22"                 arrow.Date32, arrow.Date64
//	time32, time64            "10:30:00.5"                 arrow.Time32, arrow.Time64
//	timestamp with zone       "2026-11-22T10:30:00Z"       arrow.Timestamp
//	timestamp without         "2026-11-22T10:30:00"        arrow.Timestamp
//	duration                  90 (in the type's unit)      arrow.Duration
//	intervals                 3, {"days":1,"milliseconds":0}, {"months":1,"days":0,"nanoseconds":0}
//
// A value that the type cannot hold exactly is SCHEMA_MISMATCH, text that is no JSON BAD_COMMAND.
func ParseDefault(dt arrow.DataType, text json.RawMessage) (any, error) {
	if len(text) > MaxDefault {
		return nil, Errorf(BadCommand, "a value has %d bytes, at most %d are taken", len(text), MaxDefault)
	}
	text = bytes.TrimSpace(text)
	if !json.Valid(text) {
		return nil, Errorf(BadCommand, "%s is no JSON", quote(string(text)))
	}
	if string(text) == "null" {
		return nil, nil
	}
	value, err := parseValue(dt, text)
	if err != nil {
		return nil, Errorf(SchemaMismatch, "%s is no %s: %v", shortJSON(text), shortType(dt), err)
	}
	return value, nil
}

func shortJSON(text []byte) string {
	if len(text) <= maxSuggest {
		return string(text)
	}
	return quote(string(text))
}

func parseValue(dt arrow.DataType, text []byte) (any, error) {
	switch t := dt.(type) {
	case *arrow.BooleanType:
		return jsonOf[bool](text, "true or false")
	case *arrow.Int8Type:
		return parseInt[int8](text, 8)
	case *arrow.Int16Type:
		return parseInt[int16](text, 16)
	case *arrow.Int32Type:
		return parseInt[int32](text, 32)
	case *arrow.Int64Type:
		return parseInt[int64](text, 64)
	case *arrow.Uint8Type:
		return parseUint[uint8](text, 8)
	case *arrow.Uint16Type:
		return parseUint[uint16](text, 16)
	case *arrow.Uint32Type:
		return parseUint[uint32](text, 32)
	case *arrow.Uint64Type:
		return parseUint[uint64](text, 64)
	case *arrow.Float16Type:
		return parseHalf(text)
	case *arrow.Float32Type:
		f, err := parseFloat(text, 32)
		return float32(f), err
	case *arrow.Float64Type:
		return parseFloat(text, 64)
	case *arrow.StringType, *arrow.LargeStringType:
		return jsonOf[string](text, "a string")
	case *arrow.BinaryType, *arrow.LargeBinaryType:
		return parseBytes(text, -1)
	case *arrow.FixedSizeBinaryType:
		return parseBytes(text, t.ByteWidth)
	case *arrow.Decimal128Type:
		return parseDecimal128(t, text)
	case *arrow.Decimal256Type:
		return parseDecimal256(t, text)
	case *arrow.MonthIntervalType:
		return parseInt[arrow.MonthInterval](text, 32)
	case *arrow.DayTimeIntervalType:
		return strictObject[arrow.DayTimeInterval](text)
	case *arrow.MonthDayNanoIntervalType:
		return strictObject[arrow.MonthDayNanoInterval](text)
	case *arrow.DurationType:
		return parseInt[arrow.Duration](text, 64)
	}
	return parseTemporal(dt, text)
}

// jsonOf reads one JSON value of a Go type.
func jsonOf[T any](text []byte, what string) (T, error) {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("%s is expected", what)
	}
	return v, nil
}

// strictObject reads a JSON object with no unknown keys.
func strictObject[T any](text []byte) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("an object with the parts of the interval as integers is expected")
	}
	return v, nil
}

// numberText gives the text of a JSON number, or of a number within a JSON string.
func numberText(text []byte) (string, error) {
	if len(text) > 0 && text[0] == '"' {
		return jsonOf[string](text, "a number")
	}
	if len(text) > 0 && (text[0] == '-' || '0' <= text[0] && text[0] <= '9') {
		return string(text), nil
	}
	return "", fmt.Errorf("a number is expected")
}

func parseInt[T ~int8 | ~int16 | ~int32 | ~int64](text []byte, bits int) (T, error) {
	s, err := numberText(text)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("an integer from -2^%d to 2^%d-1 is expected", bits-1, bits-1)
	}
	return T(n), nil
}

func parseUint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](text []byte, bits int) (T, error) {
	s, err := numberText(text)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("an integer from 0 to 2^%d-1 is expected", bits)
	}
	return T(n), nil
}

// parseFloat reads a float; one beyond the largest is refused, digits beyond the precision are rounded as always.
func parseFloat(text []byte, bits int) (float64, error) {
	s, err := numberText(text)
	if err != nil {
		return 0, err
	}
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	if !json.Valid([]byte(s)) { // keeps out hexadecimal, underscores and "inf"
		return 0, fmt.Errorf("a number is expected")
	}
	f, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return 0, fmt.Errorf("a number within the range of the type is expected")
	}
	return f, nil
}

func parseHalf(text []byte) (float16.Num, error) {
	f, err := parseFloat(text, 32)
	if err != nil {
		return float16.Num{}, err
	}
	const beyond = 65520 // what is less rounds to the largest, 65504
	if math.Abs(f) >= beyond && !math.IsInf(f, 0) {
		return float16.Num{}, fmt.Errorf("a number within the range of the type is expected")
	}
	return float16.New(float32(f)), nil
}

func parseBytes(text []byte, width int) ([]byte, error) {
	s, err := jsonOf[string](text, "base64 text")
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("base64 text is expected")
	}
	if width >= 0 && len(b) != width {
		return nil, fmt.Errorf("%d bytes are expected, not %d", width, len(b))
	}
	return b, nil
}

func parseDecimal128(t *arrow.Decimal128Type, text []byte) (decimal128.Num, error) {
	unscaled, err := parseUnscaled(text, t.Precision, t.Scale)
	if err != nil {
		return decimal128.Num{}, err
	}
	return decimal128.FromBigInt(unscaled), nil
}

func parseDecimal256(t *arrow.Decimal256Type, text []byte) (decimal256.Num, error) {
	unscaled, err := parseUnscaled(text, t.Precision, t.Scale)
	if err != nil {
		return decimal256.Num{}, err
	}
	return decimal256.FromBigInt(unscaled), nil
}
