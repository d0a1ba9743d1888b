package tabular

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// newRandom prints its seed when the test fails.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

var flatTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32,
	arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32,
	arrow.PrimitiveTypes.Uint64, arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
	&arrow.FixedSizeBinaryType{ByteWidth: 3}, &arrow.Decimal128Type{Precision: 12, Scale: 2}, &arrow.Decimal256Type{Precision: 40, Scale: 5},
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms,
	arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns, &arrow.TimestampType{Unit: arrow.Second},
	&arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	&arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"}, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "+05:30"},
	arrow.FixedWidthTypes.Duration_us, arrow.FixedWidthTypes.MonthInterval, arrow.FixedWidthTypes.DayTimeInterval,
	arrow.FixedWidthTypes.MonthDayNanoInterval,
}

// randomType gives a type that is nested at most depth deep.
func randomType(r *rand.Rand, depth int) arrow.DataType {
	if depth == 0 || r.IntN(3) > 0 {
		return flatTypes[r.IntN(len(flatTypes))]
	}
	item := arrow.Field{Name: "item", Type: randomType(r, depth-1), Nullable: r.IntN(2) == 0}
	switch r.IntN(5) {
	case 0:
		return arrow.ListOfField(item)
	case 1:
		return arrow.LargeListOfField(item)
	case 2:
		return arrow.FixedSizeListOfField(2, item)
	case 3:
		return arrow.StructOf(arrow.Field{Name: "a", Type: randomType(r, depth-1), Nullable: true}, arrow.Field{Name: `b "q"`, Type: item.Type, Nullable: item.Nullable})
	default:
		keys := []arrow.DataType{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32}
		return arrow.MapOf(keys[r.IntN(2)], item.Type)
	}
}

var words = []string{"", "a", "null", "NA", "1", "true", "2026-11-22", " lead", "a,b", "say \"hi\"", "two\nlines", "cr\r\nlf", "Größe", "日本", "\x01\t\\", "tail "}

// randomBatch makes a batch of random columns.
func randomBatch(r *rand.Rand, mem memory.Allocator, columns int, fits func(arrow.DataType) bool) arrow.RecordBatch {
	var fields []arrow.Field
	for len(fields) < columns {
		if dt := randomType(r, 3); fits == nil || fits(dt) {
			fields = append(fields, arrow.Field{Name: fmt.Sprintf("c %d,", len(fields)), Type: dt, Nullable: r.IntN(4) > 0})
		}
	}
	b := array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))
	defer b.Release()
	for range r.IntN(40) {
		for i, f := range fields {
			appendRandom(r, f, b.Field(i))
		}
	}
	return b.NewRecordBatch()
}

func appendRandom(r *rand.Rand, f arrow.Field, b array.Builder) {
	if f.Nullable && r.IntN(5) == 0 {
		b.AppendNull()
		return
	}
	const century = 100 * 365 * daySeconds
	moment := r.Int64N(2*century) - century
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(r.IntN(2) == 0)
	case *array.Int8Builder:
		b.Append(int8(r.Uint64()))
	case *array.Int16Builder:
		b.Append(int16(r.Uint64()))
	case *array.Int32Builder:
		b.Append(int32(r.Uint64()))
	case *array.Int64Builder:
		b.Append(int64(r.Uint64()) >> r.IntN(64))
	case *array.Uint8Builder:
		b.Append(uint8(r.Uint64()))
	case *array.Uint16Builder:
		b.Append(uint16(r.Uint64()))
	case *array.Uint32Builder:
		b.Append(uint32(r.Uint64()))
	case *array.Uint64Builder:
		b.Append(r.Uint64() >> r.IntN(64))
	case *array.Float16Builder:
		b.Append(float16.New(float32(randomFloat(r, 32))))
	case *array.Float32Builder:
		b.Append(float32(randomFloat(r, 32)))
	case *array.Float64Builder:
		b.Append(randomFloat(r, 64))
	case *array.StringBuilder:
		b.Append(words[r.IntN(len(words))])
	case *array.LargeStringBuilder:
		b.Append(words[r.IntN(len(words))])
	case *array.BinaryBuilder:
		b.Append([]byte(words[r.IntN(len(words))]))
	case *array.FixedSizeBinaryBuilder:
		b.Append([]byte{byte(r.Uint64()), 0, 255})
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(r.Int64N(1e12) - 5e11))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromI64(int64(r.Uint64())))
	case *array.Date32Builder:
		b.Append(arrow.Date32(moment / daySeconds))
	case *array.Date64Builder:
		b.Append(arrow.Date64(moment / daySeconds * daySeconds * 1000))
	case *array.Time32Builder:
		b.Append(arrow.Time32(r.Int32N(daySeconds)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(r.Int64N(daySeconds * 1e6)))
	case *array.TimestampBuilder:
		perSecond := 1_000_000_000 / int64(b.Type().(*arrow.TimestampType).Unit.Multiplier())
		b.Append(arrow.Timestamp(moment*perSecond + r.Int64N(perSecond)))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(r.Uint64()))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(r.Int32()))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: -r.Int32(), Milliseconds: r.Int32()})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: r.Int32(), Days: -r.Int32(), Nanoseconds: r.Int64()})
	default:
		appendRandomNested(r, b)
	}
}

func appendRandomNested(r *rand.Rand, b array.Builder) {
	switch b := b.(type) {
	case *array.ListBuilder:
		b.Append(true)
		appendItems(r, b.ValueBuilder(), b.Type().(*arrow.ListType).ElemField(), r.IntN(4))
	case *array.LargeListBuilder:
		b.Append(true)
		appendItems(r, b.ValueBuilder(), b.Type().(*arrow.LargeListType).ElemField(), r.IntN(4))
	case *array.FixedSizeListBuilder:
		b.Append(true)
		appendItems(r, b.ValueBuilder(), b.Type().(*arrow.FixedSizeListType).ElemField(), 2)
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range b.Type().(*arrow.StructType).Fields() {
			appendRandom(r, f, b.FieldBuilder(i))
		}
	case *array.MapBuilder:
		b.Append(true)
		t := b.Type().(*arrow.MapType)
		for range r.IntN(4) {
			appendRandom(r, t.KeyField(), b.KeyBuilder())
			appendRandom(r, t.ItemField(), b.ItemBuilder())
		}
	default:
		panic(fmt.Sprintf("no random values for %s", b.Type()))
	}
}

func appendItems(r *rand.Rand, b array.Builder, item arrow.Field, n int) {
	for range n {
		appendRandom(r, item, b)
	}
}

func randomFloat(r *rand.Rand, bits int) float64 {
	switch r.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(r.IntN(2)*2 - 1)
	case 2:
		return math.Copysign(0, -1)
	case 3:
		return float64(r.IntN(1000))
	}
	if bits == 32 {
		return float64(float32(r.NormFloat64() * math.Pow(10, float64(r.IntN(8)-4))))
	}
	return r.NormFloat64() * math.Pow(10, float64(r.IntN(80)-40))
}
