package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// makeUp makes n rows for a table. next numbers them: values of key columns come from a row's number, as different ones as
// their type has; all others are random.
func (t *benchTable) makeUp(n int, random *rand.Rand, next func(i int) int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
	defer b.Release()
	b.Reserve(n)
	keys := t.isKey()
	for i := range n {
		number := uint64(next(i))
		for c, column := range b.Fields() {
			if keys[c] {
				appendMadeUp(column, number)
			} else {
				appendMadeUp(column, random.Uint64())
			}
		}
	}
	return b.NewRecordBatch()
}

// Made up moments lie within a century, from 1970 on.
const (
	centuryDays    = 36_525
	centurySeconds = centuryDays * daySeconds
	daySeconds     = 24 * 60 * 60
)

// canMakeUp tells whether there are values for a column.
func canMakeUp(dt arrow.DataType) bool {
	switch dt := dt.(type) {
	case arrow.ListLikeType: // maps are some
		return canMakeUp(dt.Elem())
	case *arrow.StructType:
		for _, f := range dt.Fields() {
			if !canMakeUp(f.Type) {
				return false
			}
		}
		return true
	}
	switch dt.ID() {
	case arrow.DICTIONARY, arrow.RUN_END_ENCODED, arrow.EXTENSION, arrow.DENSE_UNION, arrow.SPARSE_UNION, arrow.STRING_VIEW, arrow.BINARY_VIEW:
		return false // tables have none of them: they are stored plain
	}
	return true
}

// appendMadeUp appends the value that a number stands for: the same for the same number, and as far as the type goes another
// one for another.
func appendMadeUp(b array.Builder, number uint64) {
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(number%2 == 1)
	case *array.Int8Builder:
		b.Append(int8(number))
	case *array.Int16Builder:
		b.Append(int16(number))
	case *array.Int32Builder:
		b.Append(int32(number))
	case *array.Int64Builder:
		b.Append(int64(number))
	case *array.Uint8Builder:
		b.Append(uint8(number))
	case *array.Uint16Builder:
		b.Append(uint16(number))
	case *array.Uint32Builder:
		b.Append(uint32(number))
	case *array.Uint64Builder:
		b.Append(number)
	case *array.Float16Builder:
		b.Append(float16.New(float32(number % 2048)))
	case *array.Float32Builder:
		b.Append(float32(number%1_000_000) / 100)
	case *array.Float64Builder:
		b.Append(float64(number%10_000_000) / 100)
	case *array.Decimal128Builder:
		b.Append(decimal128.FromU64(number % digitsOf(b.Type())))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromU64(number % digitsOf(b.Type())))
	case *array.StringBuilder:
		b.Append(madeUpText(number))
	case *array.LargeStringBuilder:
		b.Append(madeUpText(number))
	case *array.BinaryBuilder:
		b.Append([]byte(madeUpText(number)))
	case *array.FixedSizeBinaryBuilder:
		b.Append(madeUpBytes(number, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth))
	default:
		appendMadeUpTime(b, number)
	}
}

func appendMadeUpTime(b array.Builder, number uint64) {
	switch b := b.(type) {
	case *array.Date32Builder:
		b.Append(arrow.Date32(number % centuryDays))
	case *array.Date64Builder:
		b.Append(arrow.Date64(number % centuryDays * daySeconds * 1000))
	case *array.Time32Builder:
		b.Append(arrow.Time32(number % (daySeconds * perSecondOf(b.Type().(*arrow.Time32Type).Unit))))
	case *array.Time64Builder:
		b.Append(arrow.Time64(number % (daySeconds * perSecondOf(b.Type().(*arrow.Time64Type).Unit))))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(number % (centurySeconds * perSecondOf(b.Type().(*arrow.TimestampType).Unit))))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(number % (centurySeconds * perSecondOf(b.Type().(*arrow.DurationType).Unit))))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(number % 1200))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: int32(number % centuryDays), Milliseconds: int32(number % daySeconds)})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: int32(number % 1200), Days: int32(number % 31), Nanoseconds: int64(number % daySeconds)})
	default:
		appendMadeUpNested(b, number)
	}
}

// nestedItems is how many items lists and maps get.
const nestedItems = 3

func appendMadeUpNested(b array.Builder, number uint64) {
	switch b := b.(type) {
	case *array.MapBuilder: // before the lists: it is one
		b.Append(true)
		for i := range uint64(nestedItems) { // other keys each
			appendMadeUp(b.KeyBuilder(), number+i)
			appendMadeUp(b.ItemBuilder(), number-i)
		}
	case *array.FixedSizeListBuilder:
		b.Append(true)
		appendMadeUpItems(b.ValueBuilder(), number, uint64(b.Type().(*arrow.FixedSizeListType).Len()))
	case *array.StructBuilder:
		b.Append(true)
		for i := range b.NumField() {
			appendMadeUp(b.FieldBuilder(i), number+uint64(i))
		}
	case array.ListLikeBuilder:
		b.Append(true)
		appendMadeUpItems(b.ValueBuilder(), number, nestedItems)
	default:
		panic(fmt.Sprintf("quiver: no made up values for %s, which canMakeUp takes", b.Type()))
	}
}

func appendMadeUpItems(b array.Builder, number, n uint64) {
	for i := range n {
		appendMadeUp(b, number+i)
	}
}

// madeUpText is as long as text often is.
func madeUpText(number uint64) string { return fmt.Sprintf("text that has number %016x", number) }

// madeUpBytes are different ones as far as the width goes.
func madeUpBytes(number uint64, width int) []byte {
	value := binary.LittleEndian.AppendUint64(make([]byte, 0, width+8), number)
	return append(value, make([]byte, max(0, width-len(value)))...)[:width]
}

// digitsOf is how many numbers, from 0, a decimal surely takes.
func digitsOf(dt arrow.DataType) uint64 {
	n := uint64(1)
	for range min(18, dt.(arrow.DecimalType).GetPrecision()) {
		n *= 10
	}
	return n
}

func perSecondOf(unit arrow.TimeUnit) uint64 { return uint64(time.Second / unit.Multiplier()) }
