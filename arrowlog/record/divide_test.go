package record

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// dividedTable is a table of columns that are divided by some of them.
func dividedTable(t testing.TB, s *arrow.Schema, buckets int32, bucketKey, partitionBy []string) (*quiver.Table, *Layout) {
	t.Helper()
	schema, l := mustTable(t, s)
	options, err := quiver.ParseOptions(nil)
	must(t, err)
	table := &quiver.Table{ID: 1, Database: "d", Name: "t", Schema: schema, Buckets: buckets, Options: options}
	ids := func(names []string) (ids []quiver.ColumnID) {
		for _, name := range names {
			c, ok := schema.ByName(name)
			if !ok {
				t.Fatalf("no column %s", name)
			}
			ids = append(ids, c.ID)
		}
		return ids
	}
	table.BucketKey, table.PartitionBy = ids(bucketKey), ids(partitionBy)
	return table, l
}

// place is where a row belongs, found value by value.
func placeObvious(t testing.TB, table *quiver.Table, rec arrow.RecordBatch, row int) (share string, err error) {
	t.Helper()
	value := func(id quiver.ColumnID) any {
		i := table.Schema.Index(id)
		return goValue(rec.Column(i), row)
	}
	bucket := NoBucket
	if len(table.BucketKey) > 0 {
		var all []uint32
		for _, id := range table.BucketKey {
			c, _ := table.Schema.Column(id)
			h, ok := quiver.HashValue(c.Field.Type, value(id))
			if !ok {
				t.Fatalf("no hash of %s", c.Field.Type)
			}
			all = append(all, h)
		}
		bucket = quiver.BucketOf(all, table.Buckets)
	}
	name := ""
	if table.Partitioned() {
		var values []any
		for _, id := range table.PartitionBy {
			values = append(values, value(id))
		}
		if name, err = table.PartitionName(values); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s %d", name, bucket), nil
}

// goValue is a value of an array in the Go type of defaults.
func goValue(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int8:
		return a.Value(i)
	case *array.Int16:
		return a.Value(i)
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Uint8:
		return a.Value(i)
	case *array.Uint16:
		return a.Value(i)
	case *array.Uint32:
		return a.Value(i)
	case *array.Uint64:
		return a.Value(i)
	case *array.Float16:
		return a.Value(i)
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	case *array.LargeString:
		return a.Value(i)
	case *array.Binary:
		return a.Value(i)
	case *array.LargeBinary:
		return a.Value(i)
	case *array.FixedSizeBinary:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i)
	case *array.Decimal256:
		return a.Value(i)
	case *array.Date32:
		return a.Value(i)
	case *array.Date64:
		return a.Value(i)
	case *array.Time32:
		return a.Value(i)
	case *array.Time64:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	case *array.Duration:
		return a.Value(i)
	}
	return nil
}

// keyTypes are the types that a key may have.
func keyTypes() []arrow.DataType {
	var types []arrow.DataType
	for _, dt := range flatTypes {
		if quiver.IsKeyType(dt) {
			types = append(types, dt)
		}
	}
	return types
}

// fewValues repeats a few of an array's values, so that rows fall into few partitions.
func fewValues(r *rand.Rand, a arrow.Array, n int) arrow.Array {
	few := min(a.Len(), 1+r.IntN(4))
	parts := make([]arrow.Array, n)
	defer releaseAll(parts)
	for i := range parts {
		at := int64(r.IntN(few))
		parts[i] = array.NewSlice(a, at, at+1)
	}
	out, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		panic(err)
	}
	return out
}

func TestDivideIsRowByRow(t *testing.T) {
	types := keyTypes()
	refused := 0
	seeded(t, 500, func(t *testing.T, r *rand.Rand) {
		fields := make([]arrow.Field, 2+r.IntN(4))
		names := make([]string, len(fields))
		for i := range fields {
			names[i] = fmt.Sprintf("c%d", i)
			fields[i] = arrow.Field{Name: names[i], Type: types[r.IntN(len(types))], Nullable: r.IntN(2) == 0}
		}
		s := arrow.NewSchema(append(fields, randomSchema(r, 2).Fields()[0]), nil)
		s = arrow.NewSchema(append(fields, arrow.Field{Name: "other", Type: s.Field(len(fields)).Type, Nullable: true}), nil)
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		cut := r.IntN(len(names) + 1)
		table, l := dividedTable(t, s, []int32{1, 2, 3, 16, 1000}[r.IntN(5)], names[:cut], names[cut:cut+r.IntN(len(names)-cut+1)])
		rows := []int{1, 2, 10, 300, 600}[r.IntN(5)]
		columns := make([]arrow.Array, s.NumFields())
		defer releaseAll(columns)
		for i, f := range s.Fields() {
			columns[i] = randomArray(r, memory.DefaultAllocator, f, rows)
			if i < len(fields) && r.IntN(4) > 0 {
				all := columns[i]
				columns[i] = fewValues(r, all, rows)
				all.Release()
			}
		}
		b, err := encodeColumns(l, rows, columns, randomCodec(r))
		must(t, err)
		defer b.Release()
		d, err := NewDivider(table, l)
		must(t, err)
		for range 2 { // the second time with names that are known
			if !compareShares(t, d, table, b) {
				refused++
			}
		}
	})
	if refused == 0 {
		t.Error("no row was refused: the test shows too little")
	}
}

// compareShares compares the shares of a batch with what is found row by row; ok is false if a row has no place.
func compareShares(t *testing.T, d *Divider, table *quiver.Table, b *Batch) (ok bool) {
	t.Helper()
	rec := decode(t, b)
	defer rec.Release()
	want := map[string][]int32{}
	for row := range b.Rows() {
		share, err := placeObvious(t, table, rec, row)
		if err != nil {
			_, got := d.Divide(b)
			if quiver.ReasonOf(got) != quiver.SchemaMismatch {
				t.Fatalf("%v, want SCHEMA_MISMATCH as of %v", got, err)
			}
			return false
		}
		want[share] = append(want[share], int32(row))
	}
	shares, err := d.Divide(b)
	must(t, err)
	if len(shares) != len(want) {
		t.Fatalf("%d shares, want %d", len(shares), len(want))
	}
	for i, s := range shares {
		defer s.Batch.Release()
		if i > 0 && slices.Compare([]string{shares[i-1].Partition, fmt.Sprintf("%06d", shares[i-1].Bucket)},
			[]string{s.Partition, fmt.Sprintf("%06d", s.Bucket)}) >= 0 {
			t.Fatalf("share %q %d comes after %q %d", s.Partition, s.Bucket, shares[i-1].Partition, shares[i-1].Bucket)
		}
		if len(shares) == 1 && s.Batch != b {
			t.Fatal("the one share is not the batch itself")
		}
		if s.Batch.Compression() != b.Compression() {
			t.Fatalf("a share is compressed as %s, the batch as %s", s.Batch.Compression(), b.Compression())
		}
		rows := want[fmt.Sprintf("%s %d", s.Partition, s.Bucket)]
		obvious := selectObvious(t, b, rows)
		g, w := decode(t, s.Batch), decode(t, obvious)
		mustEqual(t, fmt.Sprintf("share %q %d", s.Partition, s.Bucket), g, w)
		g.Release()
		w.Release()
		obvious.Release()
	}
	return true
}

// icebergCases are the golden vectors of testdata/iceberg at the root.
func readIceberg(t *testing.T) (one []icebergCase, several []icebergCase) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/iceberg/buckets.json")
	must(t, err)
	var all struct {
		One []struct {
			Type    string
			Value   any
			Buckets map[string]int32
		}
		Several []icebergCase
	}
	must(t, json.Unmarshal(text, &all))
	for _, c := range all.One {
		one = append(one, icebergCase{Types: []string{c.Type}, Values: []any{c.Value}, Buckets: c.Buckets})
	}
	return one, all.Several
}

type icebergCase struct {
	Types   []string
	Values  []any
	Buckets map[string]int32
}

// appendIceberg appends the value of a case: integers and unscaled decimals as digits, binaries in hexadecimal.
func appendIceberg(t *testing.T, b array.Builder, value any) {
	t.Helper()
	text, ok := value.(string)
	switch {
	case value == nil:
		b.AppendNull()
		return
	case !ok:
		b.(*array.BooleanBuilder).Append(value.(bool))
		return
	}
	n, _ := new(big.Int).SetString(text, 10)
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(text)
	case *array.LargeStringBuilder:
		b.Append(text)
	case *array.BinaryBuilder:
		raw, err := hex.DecodeString(text)
		must(t, err)
		b.Append(raw)
	case *array.FixedSizeBinaryBuilder:
		raw, err := hex.DecodeString(text)
		must(t, err)
		b.Append(raw)
	case *array.Decimal128Builder:
		b.Append(decimal128.FromBigInt(n))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromBigInt(n))
	case *array.Uint64Builder:
		b.Append(n.Uint64())
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(n.Int64()))
	case *array.Time32Builder:
		b.Append(arrow.Time32(n.Int64()))
	case *array.Time64Builder:
		b.Append(arrow.Time64(n.Int64()))
	case *array.Date32Builder:
		b.Append(arrow.Date32(n.Int64()))
	case *array.Date64Builder:
		b.Append(arrow.Date64(n.Int64()))
	default:
		must(t, b.AppendValueFromString(text))
	}
}

func TestDivideIsIcebergs(t *testing.T) {
	one, several := readIceberg(t)
	byTypes := map[string][]icebergCase{}
	for _, c := range append(one, several...) {
		key := strings.Join(c.Types, " and ")
		byTypes[key] = append(byTypes[key], c)
	}
	for name, cases := range byTypes {
		var fields []arrow.Field
		var names []string
		for i, text := range cases[0].Types {
			dt, err := quiver.ParseType(text)
			must(t, err)
			names = append(names, fmt.Sprintf("k%d", i))
			fields = append(fields, arrow.Field{Name: names[i], Type: dt, Nullable: true})
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
		for _, c := range cases {
			for i, v := range c.Values {
				appendIceberg(t, b.Field(i), v)
			}
		}
		rec := b.NewRecordBatch()
		for count := range cases[0].Buckets {
			n, err := strconv.Atoi(count)
			must(t, err)
			table, l := dividedTable(t, rec.Schema(), int32(n), names, nil)
			batch, err := Encode(l, rec, None)
			must(t, err)
			d, err := NewDivider(table, l)
			must(t, err)
			s := new(scratch)
			keys, err := d.read(batch, s)
			must(t, err)
			buckets, err := d.buckets(batch.Rows(), s)
			must(t, err)
			for row, c := range cases {
				if buckets[row] != c.Buckets[count] {
					t.Errorf("%s: %v is in bucket %d of %s, want %d", name, c.Values, buckets[row], count, c.Buckets[count])
				}
			}
			keys.Release()
			batch.Release()
		}
		rec.Release()
		b.Release()
	}
}

func TestModulo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		n := 1 + int32(r.Uint32N(1<<uint(1+r.IntN(31))-1))
		hashes := []uint32{0, 1, uint32(n) - 1, uint32(n), uint32(n) + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, r.Uint32(), r.Uint32()}
		got := make([]int32, len(hashes))
		modulo(got, hashes, n)
		for i, h := range hashes {
			if want := quiver.BucketOf([]uint32{h}, n); got[i] != want {
				t.Fatalf("hash %d of %d buckets: %d, want %d", h, n, got[i], want)
			}
		}
	}
}

// TestDivideWithoutKeys: rows without a key stay together, and no rows have no shares.
func TestDivideWithoutKeys(t *testing.T) {
	table, l := dividedTable(t, column(arrow.PrimitiveTypes.Int64, false), 4, nil, nil)
	d, err := NewDivider(table, l)
	must(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	b, none := randomBatch(t, r, l, 10, None), randomBatch(t, r, l, 0, None)
	defer b.Release()
	defer none.Release()
	shares, err := d.Divide(b)
	must(t, err)
	if len(shares) != 1 || shares[0].Batch != b || shares[0].Bucket != NoBucket || shares[0].Partition != "" {
		t.Errorf("%+v", shares)
	}
	shares[0].Batch.Release()
	if shares, err = d.Divide(none); len(shares) > 0 || err != nil {
		t.Errorf("%+v, %v", shares, err)
	}
}

// benchDivided is 65,536 rows of the bid workload's shape, by a key of 100,000 values and a day of three.
func benchDivided(t testing.TB, buckets int32, bucketKey, partitionBy []string, codec Compression) (*Divider, *Batch) {
	p := arrow.PrimitiveTypes
	s := arrow.NewSchema([]arrow.Field{
		{Name: "auction", Type: p.Int64}, {Name: "bidder", Type: p.Int64}, {Name: "price", Type: p.Int64},
		{Name: "channel", Type: arrow.BinaryTypes.String}, {Name: "url", Type: arrow.BinaryTypes.String},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_ms}, {Name: "day", Type: arrow.FixedWidthTypes.Date32},
	}, nil)
	r := rand.New(rand.NewPCG(5, 5))
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer b.Release()
	for i := range 1 << 16 {
		b.Field(0).(*array.Int64Builder).Append(r.Int64N(100_000))
		b.Field(1).(*array.Int64Builder).Append(r.Int64N(10_000))
		b.Field(2).(*array.Int64Builder).Append(r.Int64N(1 << 40))
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("channel-%d", r.IntN(1000)))
		b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("https://www.nexmark.com/%x/item.htm", r.Uint64()))
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1763800000000 + i))
		b.Field(6).(*array.Date32Builder).Append(arrow.Date32(20000 + r.IntN(3)))
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	table, l := dividedTable(t, s, buckets, bucketKey, partitionBy)
	d, err := NewDivider(table, l)
	must(t, err)
	batch, err := Encode(l, rec, codec)
	must(t, err)
	return d, batch
}

func BenchmarkDivide(b *testing.B) {
	for _, c := range []struct {
		name        string
		buckets     int32
		bucketKey   []string
		partitionBy []string
		codec       Compression
	}{
		{"int64 into 16", 16, []string{"auction"}, nil, None},
		{"text into 16", 16, []string{"url"}, nil, None},
		{"two columns into 16", 16, []string{"auction", "channel"}, nil, None},
		{"int64 into 1000", 1000, []string{"auction"}, nil, None},
		{"3 days", 1, nil, []string{"day"}, None},
		{"3 days, int64 into 4", 4, []string{"auction"}, []string{"day"}, None},
		{"1000 channels", 1, nil, []string{"channel"}, None},
		{"lz4, int64 into 16", 16, []string{"auction"}, nil, LZ4},
	} {
		b.Run(c.name, func(b *testing.B) {
			d, batch := benchDivided(b, c.buckets, c.bucketKey, c.partitionBy, c.codec)
			b.SetBytes(batch.plainSize())
			b.ReportAllocs()
			for b.Loop() {
				shares, err := d.Divide(batch)
				must(b, err)
				for _, s := range shares {
					s.Batch.Release()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.Rows()), "ns/row")
		})
	}
}

// BenchmarkDivideFinds finds the places of rows without making the shares.
func BenchmarkDivideFinds(b *testing.B) {
	for _, key := range []string{"auction", "url"} {
		b.Run(key, func(b *testing.B) {
			d, batch := benchDivided(b, 16, []string{key}, nil, None)
			s := new(scratch)
			b.ReportAllocs()
			for b.Loop() {
				keys, err := d.read(batch, s)
				must(b, err)
				_, err = d.buckets(batch.Rows(), s)
				must(b, err)
				keys.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.Rows()), "ns/row")
		})
	}
}
