package record

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/internal/buf"
)

// seeded runs the body with sources of randomness whose seeds it prints when they fail; QUIVER_SEED runs one again.
func seeded(t *testing.T, runs int, body func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	if testing.Short() { // under the race detector, which this package gives little to find
		runs = max(1, runs/5)
	}
	first := rand.Uint64()
	if text := os.Getenv("QUIVER_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = seed, 1
	}
	for i := range uint64(runs) {
		seed := first + i
		live := buf.Live()
		ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { body(t, rand.New(rand.NewPCG(seed, 0))) })
		if !ok {
			t.Fatalf("again with QUIVER_SEED=%d", seed)
		}
		if now := buf.Live(); now != live {
			t.Fatalf("seed %d: %d buffers are held that were not before", seed, now-live)
		}
	}
}

// flatTypes are the types without children that are stored.
var flatTypes = []arrow.DataType{
	arrow.Null, arrow.FixedWidthTypes.Boolean,
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	&arrow.Decimal128Type{Precision: 38, Scale: 4}, &arrow.Decimal256Type{Precision: 60, Scale: 2},
	arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
	&arrow.FixedSizeBinaryType{ByteWidth: 5},
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64,
	arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
	&arrow.TimestampType{Unit: arrow.Second}, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Stockholm"},
	arrow.FixedWidthTypes.Timestamp_ns,
	arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.Duration_ns,
	arrow.FixedWidthTypes.MonthInterval, arrow.FixedWidthTypes.DayTimeInterval, arrow.FixedWidthTypes.MonthDayNanoInterval,
}

// randomType draws a stored type, nested at most depth deep.
func randomType(r *rand.Rand, depth int) arrow.DataType {
	if depth == 0 || r.IntN(3) > 0 {
		return flatTypes[r.IntN(len(flatTypes))]
	}
	child := func(name string) arrow.Field {
		t := randomType(r, depth-1)
		return arrow.Field{Name: name, Type: t, Nullable: t.ID() == arrow.NULL || r.IntN(4) > 0}
	}
	switch r.IntN(5) {
	case 0:
		return arrow.ListOfField(child("item"))
	case 1:
		return arrow.LargeListOfField(child("item"))
	case 2:
		return arrow.FixedSizeListOfField(int32(1+r.IntN(3)), child("item"))
	case 3:
		fields := make([]arrow.Field, 1+r.IntN(3))
		for i := range fields {
			fields[i] = child(fmt.Sprintf("f%d", i))
		}
		return arrow.StructOf(fields...)
	}
	keys := []arrow.DataType{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.LargeString}
	return arrow.MapOf(keys[r.IntN(len(keys))], randomType(r, depth-1))
}

// randomSchema draws one to seven columns of stored types.
func randomSchema(r *rand.Rand, depth int) *arrow.Schema {
	fields := make([]arrow.Field, 1+r.IntN(7))
	for i := range fields {
		fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: randomType(r, depth), Nullable: true}
		if fields[i].Type.ID() != arrow.NULL {
			fields[i].Nullable = r.IntN(3) > 0
		}
	}
	return arrow.NewSchema(fields, nil)
}

// randomArray draws n values, now and then as a slice of a longer array.
func randomArray(r *rand.Rand, mem memory.Allocator, f arrow.Field, n int) arrow.Array {
	nulls := 0
	if f.Nullable && r.IntN(3) > 0 {
		nulls = 1 + r.IntN(5)
	}
	front, behind := 0, 0
	if r.IntN(3) == 0 {
		front, behind = r.IntN(70), r.IntN(10)
	}
	b := array.NewBuilder(mem, f.Type)
	defer b.Release()
	for range front + n + behind {
		appendRandom(r, b, nulls)
	}
	whole := b.NewArray()
	if front+behind == 0 {
		return whole
	}
	defer whole.Release()
	return array.NewSlice(whole, int64(front), int64(front+n))
}

// randomRecord draws n rows.
func randomRecord(r *rand.Rand, mem memory.Allocator, s *arrow.Schema, n int) arrow.RecordBatch {
	cols := make([]arrow.Array, s.NumFields())
	for i, f := range s.Fields() {
		cols[i] = randomArray(r, mem, f, n)
	}
	defer releaseAll(cols)
	return array.NewRecordBatch(s, cols, int64(n))
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// randomText draws a short text, of one to four bytes a character.
func randomText(r *rand.Rand) string {
	text := make([]rune, r.IntN(12))
	for i := range text {
		text[i] = []rune("abcXYZ 0é\u20ac\U0001F600")[r.IntN(11)]
	}
	return string(text)
}

// appendRandom appends one value; of ten values, nulls are null on average.
func appendRandom(r *rand.Rand, b array.Builder, nulls int) {
	if r.IntN(10) < nulls {
		b.AppendNull()
		return
	}
	inner := func(f arrow.Field) int {
		if f.Nullable {
			return nulls
		}
		return 0
	}
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(r.IntN(2) == 0)
	case *array.Int8Builder:
		b.Append(int8(r.Uint32()))
	case *array.Int16Builder:
		b.Append(int16(r.Uint32()))
	case *array.Int32Builder:
		b.Append(int32(r.Uint32()))
	case *array.Int64Builder:
		b.Append(int64(r.Uint64()))
	case *array.Uint8Builder:
		b.Append(uint8(r.Uint32()))
	case *array.Uint16Builder:
		b.Append(uint16(r.Uint32()))
	case *array.Uint32Builder:
		b.Append(r.Uint32())
	case *array.Uint64Builder:
		b.Append(r.Uint64())
	case *array.Float16Builder:
		b.Append(float16.New(r.Float32()))
	case *array.Float32Builder:
		b.Append(r.Float32())
	case *array.Float64Builder:
		b.Append(r.NormFloat64())
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(r.Uint64())))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromI64(int64(r.Uint64())))
	case *array.StringBuilder:
		b.Append(randomText(r))
	case *array.LargeStringBuilder:
		b.Append(randomText(r))
	case *array.StringViewBuilder:
		b.Append(randomText(r) + randomText(r))
	case *array.BinaryBuilder:
		b.Append(randomBytes(r, r.IntN(9)))
	case *array.BinaryViewBuilder:
		b.Append(randomBytes(r, r.IntN(30)))
	case *array.FixedSizeBinaryBuilder:
		b.Append(randomBytes(r, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth))
	case *array.Date32Builder:
		b.Append(arrow.Date32(r.IntN(40_000) - 10_000))
	case *array.Date64Builder:
		b.Append(arrow.Date64(int64(r.IntN(40_000)-10_000) * 86_400_000))
	case *array.Time32Builder:
		b.Append(arrow.Time32(r.IntN(86_400)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(r.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(r.Int64N(4e18) - 2e18))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(r.Uint64()))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(r.Uint32()))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: int32(r.Uint32()), Milliseconds: int32(r.Uint32())})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: int32(r.Uint32()), Days: int32(r.Uint32()), Nanoseconds: int64(r.Uint64())})
	case *array.MapBuilder: // before the lists: it is one
		b.Append(true)
		t := b.Type().(*arrow.MapType)
		for range r.IntN(4) {
			appendRandom(r, b.KeyBuilder(), 0)
			appendRandom(r, b.ItemBuilder(), inner(t.ItemField()))
		}
	case *array.ListBuilder:
		b.Append(true)
		appendRandomItems(r, b.ValueBuilder(), r.IntN(4), inner(b.Type().(*arrow.ListType).ElemField()))
	case *array.LargeListBuilder:
		b.Append(true)
		appendRandomItems(r, b.ValueBuilder(), r.IntN(4), inner(b.Type().(*arrow.LargeListType).ElemField()))
	case *array.ListViewBuilder:
		n := r.IntN(4)
		b.AppendWithSize(true, n)
		appendRandomItems(r, b.ValueBuilder(), n, inner(b.Type().(*arrow.ListViewType).ElemField()))
	case *array.LargeListViewBuilder:
		n := r.IntN(4)
		b.AppendWithSize(true, n)
		appendRandomItems(r, b.ValueBuilder(), n, inner(b.Type().(*arrow.LargeListViewType).ElemField()))
	case *array.FixedSizeListBuilder:
		b.Append(true)
		t := b.Type().(*arrow.FixedSizeListType)
		appendRandomItems(r, b.ValueBuilder(), int(t.Len()), inner(t.ElemField()))
	case *array.StructBuilder:
		b.Append(true)
		for i, f := range b.Type().(*arrow.StructType).Fields() {
			appendRandom(r, b.FieldBuilder(i), inner(f))
		}
	case *array.RunEndEncodedBuilder:
		b.Append(uint64(1 + r.IntN(5)))
		appendRandom(r, b.ValueBuilder(), nulls)
	case array.DictionaryBuilder:
		panic("dictionaries are made by randomDictionary")
	default:
		panic(fmt.Sprintf("no random values of %T", b))
	}
}

func appendRandomItems(r *rand.Rand, b array.Builder, n, nulls int) {
	for range n {
		appendRandom(r, b, nulls)
	}
}

// retyped is the data under the types of another array: names and metadata of nested fields do not count.
func retyped(data, as arrow.ArrayData) arrow.ArrayData {
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, c := range data.Children() {
		children[i] = retyped(c, as.Children()[i])
		defer children[i].Release()
	}
	t := data.DataType()
	if t.ID() == as.DataType().ID() && t.Layout().Buffers != nil && len(children) > 0 {
		t = as.DataType()
	}
	return array.NewData(t, data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
}

// mustEqual fails unless both records hold the same values.
func mustEqual(t *testing.T, what string, got, want arrow.RecordBatch) {
	t.Helper()
	if got.NumRows() != want.NumRows() || got.NumCols() != want.NumCols() {
		t.Fatalf("%s: %d rows of %d columns, want %d of %d", what, got.NumRows(), got.NumCols(), want.NumRows(), want.NumCols())
	}
	for i := range int(want.NumCols()) {
		w := want.Column(i)
		data := retyped(got.Column(i).Data(), w.Data())
		g := array.MakeFromData(data)
		defer g.Release()
		data.Release()
		if !array.Equal(g, w) {
			t.Fatalf("%s: column %d of %s:\n got %v\nwant %v", what, i, w.DataType(), g, w)
		}
		if g.NullN() != w.NullN() {
			t.Fatalf("%s: column %d of %s has %d nulls, want %d", what, i, w.DataType(), g.NullN(), w.NullN())
		}
	}
}
