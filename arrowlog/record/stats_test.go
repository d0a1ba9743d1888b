package record

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// compareValues compares two values of one Go type that defaults have, neither of them NaN.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case bool:
		return cmp.Compare(truth(a), truth(b.(bool)))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case float16.Num:
		return cmp.Compare(a.Float32(), b.(float16.Num).Float32())
	case decimal128.Num:
		return a.Cmp(b.(decimal128.Num))
	case decimal256.Num:
		return a.Cmp(b.(decimal256.Num))
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	switch {
	case x.CanInt():
		return cmp.Compare(x.Int(), y.Int())
	case x.CanUint():
		return cmp.Compare(x.Uint(), y.Uint())
	}
	return cmp.Compare(x.Float(), y.Float())
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isNaN(v any) bool {
	switch v := v.(type) {
	case float16.Num:
		return v.IsNaN()
	case float32:
		return math.IsNaN(float64(v))
	case float64:
		return math.IsNaN(v)
	}
	return false
}

// isExact says that bounds of the value are values of the column: nothing is cut.
func isExact(v any) bool {
	switch v := v.(type) {
	case string:
		return len(v) <= statsText
	case []byte:
		return len(v) <= statsText
	}
	return true
}

// strange makes a random array more extreme: NaN, infinities, -0, the ends of integers, long and equal texts.
func strange(r *rand.Rand, f arrow.Field, n int) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, f.Type)
	defer b.Release()
	nulls := 0
	if f.Nullable {
		nulls = r.IntN(11)
	}
	few := r.IntN(2) == 0
	for range n {
		if r.IntN(10) < nulls {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Float64Builder:
			b.Append([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1.5, -1e300, 5e-324}[r.IntN(of(few, 2, 8))])
		case *array.Float32Builder:
			b.Append([]float32{float32(math.Copysign(0, -1)), 0, float32(math.NaN()), float32(math.Inf(1)), -1, 1e-45}[r.IntN(of(few, 2, 6))])
		case *array.Float16Builder:
			b.Append(float16.FromBits(uint16(r.Uint32N(1 << 16))))
		case *array.Int64Builder:
			b.Append([]int64{math.MinInt64, math.MaxInt64, -1, 0, 127, 128, -129, 1 << 40}[r.IntN(of(few, 4, 8))])
		case *array.Uint64Builder:
			b.Append([]uint64{1 << 63, 0, 255, math.MaxUint64, 1 << 32}[r.IntN(of(few, 3, 5))])
		case *array.Decimal128Builder:
			b.Append(decimal128.New(int64(r.Uint64())>>uint(1+r.IntN(63)), r.Uint64()))
		case *array.Decimal256Builder:
			b.Append(decimal256.New(uint64(int64(r.Uint64())>>uint(58+r.IntN(6))), r.Uint64(), r.Uint64(), r.Uint64()))
		case *array.StringBuilder:
			b.Append(strangeText(r, few))
		case *array.LargeStringBuilder:
			b.Append(strangeText(r, few))
		case *array.BinaryBuilder:
			b.Append(strangeBytes(r, few))
		default:
			appendRandom(r, b, 0)
		}
	}
	return b.NewArray()
}

func of(first bool, a, b int) int {
	if first {
		return a
	}
	return b
}

// strangeText draws texts that share much of what they begin with.
func strangeText(r *rand.Rand, few bool) string {
	begin := []string{"", "https://www.", "https://www.example.com/", "\U0010FFFF\U0010FFFF\U0010FFFF\U0010FFFF\U0010FFFF", "aaaaaaaaaaaaaa\uD7FFx", "éééééééééé"}
	return begin[r.IntN(of(few, 3, len(begin)))] + randomText(r)
}

func strangeBytes(r *rand.Rand, few bool) []byte {
	if few {
		return bytes.Repeat([]byte{0xFF}, r.IntN(30))
	}
	return append([]byte("0123456789abcde\xFF"[:r.IntN(17)]), randomBytes(r, r.IntN(20))...)
}

// storedStats are the statistics of a batch once it is stored, read back.
func storedStats(t testing.TB, b *Batch) *Stats {
	t.Helper()
	b.Stamp(Stamp{BaseOffset: 3}, 9)
	meta, _ := b.Stored()
	m, err := ParseHeader(meta, 9)
	must(t, err)
	if m.MetaLen() != len(meta) || b.Size() != int(m.Size()) {
		t.Fatalf("%d bytes of metadata, %d in all, the batch says %d", m.MetaLen(), m.Size(), b.Size())
	}
	return m.Stats(b.layout)
}

func TestStatsAreBounds(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		var table *quiver.Schema
		var l *Layout
		for {
			table, l = randomTable(t, r, 2)
			if l.NumColumns() > 1 {
				break
			}
		}
		rows := statsRows + r.IntN(200)
		columns := make([]arrow.Array, l.NumColumns())
		defer releaseAll(columns)
		for i, f := range l.Schema().Fields() {
			columns[i] = strange(r, f, rows)
		}
		b, err := encodeColumns(l, rows, columns, None)
		must(t, err)
		defer b.Release()
		var ids []quiver.ColumnID
		if r.IntN(2) == 0 {
			for _, c := range table.Columns() {
				if r.IntN(2) == 0 {
					ids = append(ids, c.ID)
				}
			}
		}
		b.Summarize(NewSummary(ids))
		s := storedStats(t, b)
		for i, c := range table.Columns() {
			stats, ok := s.Column(c.ID)
			if want := ids == nil || slices.Contains(ids, c.ID); ok != want {
				t.Fatalf("column %d of %v: known: %v", c.ID, ids, ok)
			}
			if ok {
				checkStats(t, columns[i], stats)
			}
		}
		if _, ok := s.Column(table.LastColumn() + 1); ok {
			t.Fatal("a column that is not there has statistics")
		}
	})
}

// checkStats compares what is known of a column with its values.
func checkStats(t *testing.T, a arrow.Array, stats quiver.ColumnStats) {
	t.Helper()
	nulls := int64(a.NullN())
	if a.DataType().ID() == arrow.NULL {
		nulls = int64(a.Len())
	}
	if stats.Nulls != nulls {
		t.Fatalf("%s: %d nulls, want %d", a.DataType(), stats.Nulls, nulls)
	}
	var low, high any
	nan, bounded := false, false
	for i := range a.Len() {
		v := goValue(a, i)
		if v == nil {
			continue
		}
		bounded = true
		switch {
		case isNaN(v):
			nan = true
			continue
		case low == nil:
			low, high = v, v
		case compareValues(v, low) < 0:
			low = v
		case compareValues(v, high) > 0:
			high = v
		}
	}
	if stats.NaN != nan {
		t.Fatalf("%s: NaN: %v", a.DataType(), stats.NaN)
	}
	if low == nil {
		if stats.Min != nil || stats.Max != nil {
			t.Fatalf("%s: bounds %v, %v of nothing (%v)", a.DataType(), stats.Min, stats.Max, bounded)
		}
		return
	}
	if stats.Min == nil || compareValues(stats.Min, low) > 0 || isExact(low) && compareValues(stats.Min, low) != 0 {
		t.Fatalf("%s: lowest %#v, is %#v", a.DataType(), stats.Min, low)
	}
	if stats.Max == nil {
		if isExact(high) {
			t.Fatalf("%s: no highest, is %#v", a.DataType(), high)
		}
		return
	}
	if compareValues(stats.Max, high) < 0 || isExact(high) && compareValues(stats.Max, high) != 0 {
		t.Fatalf("%s: highest %#v, is %#v", a.DataType(), stats.Max, high)
	}
	for _, v := range []any{stats.Min, stats.Max} {
		if text, ok := v.(string); ok && (!utf8.ValidString(text) || len(text) > statsText+utf8.UTFMax) {
			t.Fatalf("%q is no bound", text)
		}
	}
}

// TestStatsWhereTheyAreMade: the same batch has the same statistics, whichever way it comes to be stored.
func TestStatsWhereTheyAreMade(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64), Nullable: true}, {Name: "b", Type: arrow.FixedWidthTypes.Boolean},
	}, nil)
	table, l := mustTable(t, schema)
	rec := randomRecord(r, memory.DefaultAllocator, schema, 1000)
	defer rec.Release()
	all := NewSummary(nil)
	plain, err := Encode(l, rec, None)
	must(t, err)
	defer plain.Release()
	plain.Summarize(all)
	want := fmt.Sprint(allStats(t, table, plain))
	same := func(what string, b *Batch, err error) {
		t.Helper()
		must(t, err)
		if got := fmt.Sprint(allStats(t, table, b)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
		b.Release()
	}
	for _, c := range codecs {
		m := streamOf(t, schema, []arrow.RecordBatch{rec}, c.options...)[1]
		in, err := NewInput(schema, nil, table, l, Limits{})
		must(t, err)
		in.Summarize(all)
		body := staged(m.body)
		b, err := in.Batch(m.meta, body)
		body.Release()
		must(t, err)
		b.Summarize(all)
		same("through the gate, "+c.codec.String(), b, nil)
		in.Close()
		lz4, err := plain.Recompress(LZ4)
		same("recompressed", lz4, err)
		var pieces []*Batch
		for from := 0; from < 1000; from += 100 {
			piece, err := plain.Slice(from, from+100)
			must(t, err)
			compressed, err := piece.Recompress(c.codec)
			must(t, err)
			piece.Release()
			pieces = append(pieces, compressed)
		}
		merged, err := MergeStored(l, pieces, nil, all)
		must(t, err)
		if merged.Compression() != c.codec {
			t.Errorf("merged as %s of %s", merged.Compression(), c.codec)
		}
		same("merged, "+c.codec.String(), merged, nil)
		zstd := Zstd
		merged, err = MergeStored(l, pieces, &zstd, all)
		must(t, err)
		if merged.Compression() != Zstd {
			t.Errorf("merged as %s", merged.Compression())
		}
		same("merged to zstd", merged, nil)
		for _, p := range pieces {
			p.Release()
		}
	}
	for name, b := range map[string]*Batch{"of no column": plain.anonymous(), "of a few rows": mustSlice(t, plain, 0, statsRows-1)} {
		s := all
		if name == "of no column" {
			s = NewSummary([]quiver.ColumnID{})
		}
		b.Summarize(s)
		if s := storedStats(t, b); s != nil {
			t.Errorf("%s: %v", name, s)
		}
		b.Release()
	}
}

func mustSlice(t testing.TB, b *Batch, from, until int) *Batch {
	t.Helper()
	out, err := b.Slice(from, until)
	must(t, err)
	return out
}

func allStats(t testing.TB, table *quiver.Schema, b *Batch) (all []any) {
	t.Helper()
	s := storedStats(t, b)
	for _, c := range table.Columns() {
		stats, ok := s.Column(c.ID)
		all = append(all, c.ID, stats, ok)
	}
	return all
}

func TestStatsOfText(t *testing.T) {
	for _, c := range []struct{ text, low, high string }{
		{"short", "short", "short"},
		{"sixteen letters!", "sixteen letters!", "sixteen letters!"},
		{"sixteen letters! and more", "sixteen letters!", "sixteen letters\""},
		{"fifteen letterséx", "fifteen letters", "fifteen lettert"},
		{"fourteen lette" + "é" + "x", "fourteen lette" + "é", "fourteen lette" + "ê"},
		{"thirteen lett" + "\uD7FF" + "x", "thirteen lett" + "\uD7FF", "thirteen lett" + "\uE000"},
		{"twelve lette" + "\U0010FFFF" + "x", "twelve lette" + "\U0010FFFF", "twelve lettf"},
		{strings.Repeat("\U0010FFFF", 5), strings.Repeat("\U0010FFFF", 4), ""},
	} {
		p := prefixOf([]byte(c.text+"behind"), 0, len(c.text))
		low := string(p.bytes())
		if p.length > statsText {
			low = string(wholeRunes(p.bytes()))
		}
		high := string(p.bytes())
		if p.length > statsText {
			high = string(above(p.bytes(), true))
		}
		if low != c.low || high != c.high {
			t.Errorf("%q: %q to %q, want %q to %q", c.text, low, high, c.low, c.high)
		}
	}
}

// goldenStats is a segment of one batch that has statistics of every kind.
func goldenStats(t testing.TB) (data []byte, l *Layout, rec arrow.RecordBatch) {
	var fields []arrow.Field
	for _, typ := range flatTypes {
		fields = append(fields, arrow.Field{Name: fmt.Sprint(typ), Type: typ, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true})
	table, l := mustTable(t, arrow.NewSchema(fields, nil))
	r := rand.New(rand.NewPCG(20261127, 1))
	columns := make([]arrow.Array, len(fields))
	defer releaseAll(columns)
	for i, f := range l.Schema().Fields() {
		columns[i] = strange(r, f, 300)
	}
	rec = array.NewRecordBatch(l.Schema(), columns, 300)
	b, err := Encode(l, rec, None)
	must(t, err)
	defer b.Release()
	b.SetProducers([]Producer{{17, 3, 42, 200}, anonymous(100)})
	b.Summarize(NewSummary(nil))
	w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, BaseOffset: 77, Salt: 5})
	w.add(b, Stamp{Epoch: 1, Timestamp: 1_763_800_000_000, HighWatermark: 77})
	return w.Bytes(), l, rec
}

// TestGoldenStats: statistics are read as they were written, for ever, and hinder no reader of Arrow.
// TestSpreadOfTexts compares the lowest and the highest text with those that looking at each finds, over texts that begin
// alike, that are few different ones, or all different, with nulls between.
func TestSpreadOfTexts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		few, nulls := r.IntN(2) == 0, r.IntN(3)
		b := array.NewStringBuilder(memory.DefaultAllocator)
		for range 1 + r.IntN(2000) {
			switch {
			case r.IntN(10) < nulls:
				b.AppendNull()
			case r.IntN(2) == 0:
				b.Append(strangeText(r, few))
			default:
				b.Append(randomText(r))
			}
		}
		texts := b.NewStringArray()
		v := values{length: texts.Len(), nulls: texts.NullN()}
		for i, buffer := range texts.Data().Buffers() {
			if buffer != nil {
				v.buffers[i] = buffer.Bytes()
			}
		}
		var want spread
		for i := range texts.Len() {
			if text := texts.Value(i); texts.IsValid(i) {
				want.add(prefixOf([]byte(text), 0, len(text)))
			}
		}
		if got := spreadTexts[int32](&v); got != want {
			t.Fatalf("%v is found, %v it is", got, want)
		}
		texts.Release()
		b.Release()
	}
}

func TestGoldenStats(t *testing.T) {
	path := filepath.Join("testdata", "segment-v1-stats.arrows")
	got, l, rec := goldenStats(t)
	defer rec.Release()
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, the golden segment has %d", len(got), len(want))
	}
	_, _, stored := readSegment(t, want)
	s := stored[0].meta.Stats(l)
	body := staged(stored[0].body)
	defer body.Release()
	b, err := Load(l, stored[0].meta, body)
	must(t, err)
	defer b.Release()
	loaded := decode(t, b)
	defer loaded.Release()
	for i, id := range l.columnIDs() {
		stats, ok := s.Column(id)
		if !ok {
			t.Fatalf("column %d has no statistics", id)
		}
		checkStats(t, loaded.Column(i), stats)
	}
	rd, err := aipc.NewReader(bytes.NewReader(want))
	must(t, err)
	defer rd.Release()
	read, err := rd.Read()
	must(t, err)
	md := read.(arrow.RecordBatchWithMetadata).Metadata()
	if text, ok := md.GetValue(keyStats); !ok || text != string(stored[0].meta.stats) {
		t.Errorf("a reader sees %q", text)
	}
}

// TestStatsOfVersion1: batches without statistics are read as ever.
func TestStatsOfVersion1(t *testing.T) {
	for _, name := range []string{"segment-v1.arrows", "segment-v1-sent.arrows"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		must(t, err)
		_, s, stored := readSegment(t, data)
		l := mustLayout(t, s)
		for _, b := range stored {
			stats := b.meta.Stats(l)
			if _, ok := stats.Column(1); ok || stats != nil {
				t.Errorf("%s: %v", name, stats)
			}
		}
	}
}

// TestStatsKept: a batch that is loaded and stored again, as recovery does, keeps its statistics.
func TestStatsKept(t *testing.T) {
	data, l, rec := goldenStats(t)
	defer rec.Release()
	_, _, stored := readSegment(t, data)
	body := staged(stored[0].body)
	defer body.Release()
	b, err := Load(l, stored[0].meta, body)
	must(t, err)
	defer b.Release()
	b.Summarize(NewSummary([]quiver.ColumnID{1}))
	b.SetProducers(b.Producers())
	if s := storedStats(t, b); !bytes.Equal(s.raw, stored[0].meta.Stats(l).raw) {
		t.Error("the statistics are others")
	}
}

// benchSummarized is 65,536 rows of the bid workload, or 4,096 of the one of 100 columns.
func benchSummarized(t testing.TB, name string) (*quiver.Schema, *Layout, *Batch) {
	t.Helper()
	if name == "bid" {
		d, b := benchDivided(t, 1, nil, nil, None)
		return d.table.Schema, d.layout, b
	}
	rec := benchRecord(100, 4096, "")
	table, l := mustTable(t, rec.Schema())
	b, err := Encode(l, rec, None)
	must(t, err)
	return table, l, b
}

// BenchmarkSummarize beside BenchmarkSum, the checksums that every batch has.
func BenchmarkSummarize(b *testing.B) {
	for _, name := range []string{"bid", "wide100"} {
		_, _, batch := benchSummarized(b, name)
		all := NewSummary(nil)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(batch.bodyLen)
			b.ReportAllocs()
			for b.Loop() {
				batch.summary = nil
				batch.Summarize(all)
			}
			b.ReportMetric(float64(len(batch.stats)), "stored-bytes")
		})
		b.Run(name+"/checksums", func(b *testing.B) {
			b.SetBytes(batch.bodyLen)
			for b.Loop() {
				batch.sealed.columns = nil
				batch.sum()
			}
		})
	}
}

func BenchmarkSummarizeTypes(b *testing.B) {
	for _, typ := range flatTypes[1:] { // without type null
		for _, nullable := range []bool{false, true} {
			s := column(typ, nullable)
			_, l := mustTable(b, arrow.NewSchema([]arrow.Field{{Name: "c", Type: typ, Nullable: true}}, nil))
			r := rand.New(rand.NewPCG(2, 2))
			var rec arrow.RecordBatch
			for {
				rec = randomRecord(r, memory.DefaultAllocator, s, 1<<16)
				if rec.Column(0).NullN() > 0 == nullable {
					break
				}
			}
			batch, err := Encode(l, rec, None)
			must(b, err)
			b.Run(fmt.Sprintf("%s/nulls=%v", typ, nullable), func(b *testing.B) {
				for b.Loop() {
					batch.summary = nil
					batch.Summarize(NewSummary(nil))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<16), "ns/row")
			})
		}
	}
}

// BenchmarkStats reads two columns' statistics of a batch's metadata, and the metadata first.
func BenchmarkStats(b *testing.B) {
	for _, name := range []string{"bid", "wide100"} {
		b.Run(name, func(b *testing.B) {
			_, l, batch := benchSummarized(b, name)
			batch.Summarize(NewSummary(nil))
			batch.Stamp(Stamp{}, 1)
			meta, _ := batch.Stored()
			m, err := ParseHeader(meta, 1)
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				s := m.Stats(l)
				if _, ok := s.Column(l.columnIDs()[0]); !ok {
					b.Fatal("nothing is known")
				}
				if _, ok := s.Column(l.columnIDs()[5]); !ok {
					b.Fatal("nothing is known")
				}
			}
		})
	}
}
