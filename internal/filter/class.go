package filter

import (
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
)

// class groups the types whose values compare with each other. Dates also compare with timestamps of both kinds.
type class int8

const (
	classNull    class = iota // every value is null: compares with everything
	classBool                 // false < true
	classNumber               // integers, floats and decimals, by value
	classText                 // by bytes
	classBytes                // by bytes
	classDate                 // by the midnight it begins with
	classInstant              // timestamps with a zone
	classReading              // timestamps without one: the reading of a clock somewhere
	classTime
	classDuration
	classOther // compares with nothing: intervals, and whatever holds other values
)

// classNouns say what a literal of the class is.
var classNouns = map[class]string{
	classNull: "null", classBool: "a boolean", classNumber: "a number", classText: "text", classBytes: "a binary value", classDate: "a date",
	classInstant: "a timestamp with an offset from UTC", classReading: "a timestamp without an offset from UTC", classTime: "a time", classDuration: "a duration",
}

func classOf(dt arrow.DataType) class {
	switch t := dt.(type) {
	case *arrow.NullType:
		return classNull
	case *arrow.BooleanType:
		return classBool
	case *arrow.StringType, *arrow.LargeStringType:
		return classText
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.FixedSizeBinaryType:
		return classBytes
	case *arrow.Date32Type, *arrow.Date64Type:
		return classDate
	case *arrow.Time32Type, *arrow.Time64Type:
		return classTime
	case *arrow.DurationType:
		return classDuration
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return classReading
		}
		return classInstant
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		return classNumber
	}
	if arrow.IsInteger(dt.ID()) || arrow.IsFloating(dt.ID()) {
		return classNumber
	}
	return classOther
}

// comparable says whether values of two classes compare.
func (c class) comparable(other class) bool {
	moment := func(c class) bool { return c == classInstant || c == classReading }
	switch {
	case c == classOther || other == classOther:
		return false
	case c == other || c == classNull || other == classNull:
		return true
	}
	return c == classDate && moment(other) || other == classDate && moment(c)
}

// layout says how the values of an exact type lie in memory: whole numbers in a unit of factor / 10^scale. Numbers
// count ones; dates, times and durations count seconds.
type layout struct {
	bits   int // 8 to 256
	signed bool
	factor int64
	scale  int
}

// layoutOf gives the layout of a type, false for those without: floats, and what is no number of anything.
func layoutOf(dt arrow.DataType) (layout, bool) {
	switch t := dt.(type) {
	case *arrow.Date32Type:
		return layout{32, true, daySeconds, 0}, true
	case *arrow.Date64Type:
		return layout{64, true, 1, 3}, true
	case *arrow.Time32Type:
		return layout{32, true, 1, unitScale(t.Unit)}, true
	case *arrow.Time64Type:
		return layout{64, true, 1, unitScale(t.Unit)}, true
	case *arrow.TimestampType:
		return layout{64, true, 1, unitScale(t.Unit)}, true
	case *arrow.DurationType:
		return layout{64, true, 1, unitScale(t.Unit)}, true
	case *arrow.Decimal128Type:
		return layout{128, true, 1, int(t.Scale)}, true
	case *arrow.Decimal256Type:
		return layout{256, true, 1, int(t.Scale)}, true
	}
	if arrow.IsInteger(dt.ID()) {
		return layout{dt.(arrow.FixedWidthDataType).BitWidth(), arrow.IsSignedInteger(dt.ID()), 1, 0}, true
	}
	return layout{}, false
}

func unitScale(u arrow.TimeUnit) int {
	return [...]int{arrow.Second: 0, arrow.Millisecond: 3, arrow.Microsecond: 6, arrow.Nanosecond: 9}[u]
}

// limits gives the least and the greatest value in memory.
func (l layout) limits() (least, most *big.Int) {
	one := big.NewInt(1)
	if !l.signed {
		most = new(big.Int).Lsh(one, uint(l.bits))
		return new(big.Int), most.Sub(most, one)
	}
	half := new(big.Int).Lsh(one, uint(l.bits-1))
	return new(big.Int).Neg(half), new(big.Int).Sub(half, one)
}

// number gives what a value in memory stands for.
func (l layout) number(raw *big.Int) number {
	return number{unscaled: new(big.Int).Mul(raw, big.NewInt(l.factor)), scale: l.scale, integer: true}
}
