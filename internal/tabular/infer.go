package tabular

import (
	"bytes"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
)

// kinds is a set of types that a column may have.
type kinds uint16

const (
	kindInt kinds = 1 << iota
	kindUint
	kindFloat
	kindBool
	kindDate
	kindTime
	kindTimestamp // without a zone, in microseconds
	kindTimestampNano
	kindInstant // with an offset, in microseconds
	kindInstantNano
	kindString

	allKinds = 1<<iota - 1
)

// kindTypes are the types of the kinds, the first that is possible being taken.
var kindTypes = []struct {
	kind kinds
	dt   arrow.DataType
}{
	{kindInt, arrow.PrimitiveTypes.Int64},
	{kindUint, arrow.PrimitiveTypes.Uint64},
	{kindFloat, arrow.PrimitiveTypes.Float64},
	{kindBool, arrow.FixedWidthTypes.Boolean},
	{kindDate, arrow.FixedWidthTypes.Date32},
	{kindTime, arrow.FixedWidthTypes.Time64us},
	{kindTimestamp, &arrow.TimestampType{Unit: arrow.Microsecond}},
	{kindTimestampNano, &arrow.TimestampType{Unit: arrow.Nanosecond}},
	{kindInstant, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	{kindInstantNano, &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}},
	{kindString, arrow.BinaryTypes.String},
}

// typeOf gives the type of a column whose values have all these kinds; of one without values it is string.
func (k kinds) typeOf() arrow.DataType {
	if k == allKinds {
		return arrow.BinaryTypes.String
	}
	for _, t := range kindTypes {
		if k&t.kind != 0 {
			return t.dt
		}
	}
	return arrow.BinaryTypes.String
}

// kindsOf gives every kind that a text has, of those asked for.
func kindsOf(text []byte, among kinds) (found kinds) {
	found = kindString
	first := byte(' ')
	if len(text) > 0 {
		first = text[0]
	}
	digit := first >= '0' && first <= '9'
	switch {
	case among&(kindInt|kindUint|kindFloat) != 0 && (digit || first == '-' || first == '+' || first == '.' || isFloatWord(text)):
		found |= numberKinds(text)
	case among&kindBool != 0 && isBool(text):
		found |= kindBool
	}
	if digit && among&(kindDate|kindTime|kindTimestamp|kindTimestampNano|kindInstant|kindInstantNano) != 0 {
		found |= temporalKinds(text)
	}
	return found
}

func numberKinds(text []byte) kinds {
	if whole := bytes.TrimLeft(text, "+-"); len(whole) > 0 && len(bytes.Trim(whole, "0123456789")) == 0 {
		return integerKinds(string(text))
	}
	if _, err := parseFloat(text, 64); err == nil {
		return kindFloat
	}
	return 0
}

// integerKinds tells integers of 64 bits from longer ones, which a float would round: those stay texts.
func integerKinds(text string) (found kinds) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		found = kindInt | kindFloat
		if n >= 0 && text[0] != '-' {
			found |= kindUint
		}
		return found
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		return kindUint
	}
	return 0
}

func temporalKinds(text []byte) (found kinds) {
	if _, ok := parseDate(text); ok {
		return kindDate | kindTimestamp | kindTimestampNano
	}
	if n, ok := parseClock(text); ok {
		if n%1000 == 0 {
			return kindTime
		}
		return 0
	}
	t, zoned, ok := parseMoment(text)
	micros := t.nanos%1000 == 0
	nanos := t.fits(math.MinInt64/1_000_000_000+1, math.MaxInt64/1_000_000_000-1)
	switch {
	case !ok:
		return 0
	case zoned:
		return pick(micros, kindInstant) | pick(nanos, kindInstantNano)
	default:
		return pick(micros, kindTimestamp) | pick(nanos, kindTimestampNano)
	}
}

func pick(yes bool, k kinds) kinds {
	if yes {
		return k
	}
	return 0
}

func isBool(text []byte) bool {
	_, ok := parseBool(text)
	return ok
}

// nullWords are the texts that stand for null in columns other than strings, as pandas and pyarrow have them; nan is
// a float instead.
var nullWords = map[string]bool{
	"": true, "NA": true, "N/A": true, "n/a": true, "#N/A": true, "#NA": true, "<NA>": true,
	"null": true, "NULL": true, "Null": true, "None": true, "none": true, "\\N": true,
}

func isNullWord(text []byte) bool { return len(text) <= 4 && nullWords[string(text)] }

func isFloatWord(text []byte) bool {
	switch string(bytes.TrimLeft(text, "+-")) {
	case "nan", "NaN", "NAN", "inf", "Inf", "INF", "Infinity", "infinity":
		return true
	}
	return false
}
