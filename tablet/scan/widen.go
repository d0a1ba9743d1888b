package scan

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// widened gives a bound of stored values, in the Go type that defaults of its type have, as one of the wider type that
// the values are read as. ok is false where there is none, or where it is not known; nil stays nil.
func widened(bound any, from, to arrow.DataType) (wide any, ok bool) {
	switch v := bound.(type) {
	case nil:
		return nil, true
	case int8:
		return widenedInteger(int64(v), to)
	case int16:
		return widenedInteger(int64(v), to)
	case int32:
		return widenedInteger(int64(v), to)
	case int64:
		return widenedInteger(v, to)
	case uint8:
		return widenedInteger(int64(v), to)
	case uint16:
		return widenedInteger(int64(v), to)
	case uint32:
		return widenedInteger(int64(v), to)
	case float32:
		if to.ID() == arrow.FLOAT64 {
			return float64(v), true
		}
	case string, []byte:
		return bound, true // another layout of the same values
	case decimal128.Num:
		return widenedDecimal(v, to)
	case decimal256.Num:
		return bound, to.ID() == arrow.DECIMAL256
	case arrow.Timestamp:
		return widenedTime(v, from, to)
	}
	return nil, false
}

func widenedInteger(v int64, to arrow.DataType) (any, bool) {
	switch to.ID() {
	case arrow.INT16:
		return int16(v), true
	case arrow.INT32:
		return int32(v), true
	case arrow.INT64:
		return v, true
	case arrow.UINT16:
		return uint16(v), v >= 0
	case arrow.UINT32:
		return uint32(v), v >= 0
	case arrow.UINT64:
		return uint64(v), v >= 0
	case arrow.FLOAT64:
		return float64(v), true // integers of 32 bits at most become doubles
	}
	return nil, false
}

func widenedDecimal(v decimal128.Num, to arrow.DataType) (any, bool) {
	switch to.ID() {
	case arrow.DECIMAL128:
		return v, true
	case arrow.DECIMAL256:
		return decimal256.FromDecimal128(v), true
	}
	return nil, false
}

// widenedTime takes a timestamp to a finer unit; in a coarser one it may have no place.
func widenedTime(v arrow.Timestamp, from, to arrow.DataType) (any, bool) {
	a, isTime := from.(*arrow.TimestampType)
	b, areTimes := to.(*arrow.TimestampType)
	if !isTime || !areTimes || b.Unit < a.Unit {
		return nil, false
	}
	for range int(b.Unit) - int(a.Unit) {
		if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
			return nil, false
		}
		v *= 1000
	}
	return v, true
}
