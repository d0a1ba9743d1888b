package record

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrayOf is an array of one value, which has the Go type that defaults of this type have (see quiver.ParseDefault).
func arrayOf(mem memory.Allocator, t arrow.DataType, value any) (arrow.Array, error) {
	b := array.NewBuilder(mem, t)
	defer b.Release()
	if !appendNumber(b, value) && !appendOther(b, value) {
		return nil, fmt.Errorf("a value of Go type %T is no %s", value, t)
	}
	return b.NewArray(), nil
}

// appender is a builder of values of one Go type. Several builders may share one (strings, decimals).
type appender[T any] interface{ Append(T) }

// appended appends the value if it has the Go type and the builder takes it.
func appended[T any](b array.Builder, value any) bool {
	v, ok := value.(T)
	if !ok {
		return false
	}
	a, ok := b.(appender[T])
	if ok {
		a.Append(v)
	}
	return ok
}

func appendNumber(b array.Builder, value any) bool {
	return appended[int8](b, value) || appended[int16](b, value) || appended[int32](b, value) || appended[int64](b, value) ||
		appended[uint8](b, value) || appended[uint16](b, value) || appended[uint32](b, value) || appended[uint64](b, value) ||
		appended[float16.Num](b, value) || appended[float32](b, value) || appended[float64](b, value) ||
		appended[decimal128.Num](b, value) || appended[decimal256.Num](b, value)
}

func appendOther(b array.Builder, value any) bool {
	return appended[bool](b, value) || appended[string](b, value) || appended[[]byte](b, value) ||
		appended[arrow.Date32](b, value) || appended[arrow.Date64](b, value) ||
		appended[arrow.Time32](b, value) || appended[arrow.Time64](b, value) ||
		appended[arrow.Timestamp](b, value) || appended[arrow.Duration](b, value) ||
		appended[arrow.MonthInterval](b, value) || appended[arrow.DayTimeInterval](b, value) ||
		appended[arrow.MonthDayNanoInterval](b, value)
}
