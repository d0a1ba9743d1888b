package record

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// mergeObvious is Merge as anyone would write it: decode, concatenate, encode. Merge is compared with it.
func mergeObvious(l *Layout, bs []*Batch) (*Batch, error) {
	codec := None
	columns := make([][]arrow.Array, l.NumColumns())
	rows := 0
	var producers []Producer
	for _, b := range bs {
		rec, err := b.Decode()
		if err != nil {
			return nil, err
		}
		defer rec.Release()
		for i, c := range rec.Columns() {
			columns[i] = append(columns[i], c)
		}
		rows += b.Rows()
		producers = append(producers, b.Producers()...)
		if codec == None {
			codec = b.Compression()
		}
	}
	whole := make([]arrow.Array, len(columns))
	defer releaseAll(whole)
	for i, parts := range columns {
		var err error
		if whole[i], err = array.Concatenate(parts, memory.DefaultAllocator); err != nil {
			return nil, err
		}
	}
	out, err := encodeColumns(l, rows, whole, codec)
	if err != nil {
		return nil, err
	}
	out.SetProducers(producers)
	return out, nil
}

func testLayout(t testing.TB, s *arrow.Schema) *Layout {
	t.Helper()
	l, err := newLayout(s, 1, nil)
	must(t, err)
	return l
}

// randomBatch encodes random rows; in a third of the cases the batch is a slice of a longer one.
func randomBatch(t testing.TB, r *rand.Rand, l *Layout, n int, codec Compression) *Batch {
	t.Helper()
	front, behind := 0, 0
	if r.IntN(3) == 0 {
		front, behind = r.IntN(100), r.IntN(20)
	}
	rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), front+n+behind)
	defer rec.Release()
	whole, err := Encode(l, rec, codec)
	must(t, err)
	defer whole.Release()
	b, err := whole.Slice(front, front+n)
	must(t, err)
	return b
}

func decode(t testing.TB, b *Batch) arrow.RecordBatch {
	t.Helper()
	rec, err := b.Decode()
	must(t, err)
	return rec
}

// mustBeSound checks what every batch of ours promises of its body.
func mustBeSound(t *testing.T, what string, b *Batch) {
	t.Helper()
	align := int64(bodyAlign)
	if b.codec != None {
		align = 8
	}
	mustBeAligned(t, what, b, align)
}

func mustBeAligned(t *testing.T, what string, b *Batch, align int64) {
	t.Helper()
	var size, end int64
	for _, p := range b.parts {
		size += int64(len(p))
	}
	if size != b.bodyLen || size%bodyAlign != 0 {
		t.Fatalf("%s: parts of %d bytes, a body of %d", what, size, b.bodyLen)
	}
	body := slices.Concat(b.parts...)
	for i, s := range b.buffers {
		if s.off < end || s.off%align != 0 {
			t.Fatalf("%s: buffer %d at %d, the one before it ends at %d", what, i, s.off, end)
		}
		for _, c := range body[end:s.off] {
			if c != 0 {
				t.Fatalf("%s: padding before buffer %d is not zero", what, i)
			}
		}
		end = s.off + s.len
	}
	for _, c := range body[end:] {
		if c != 0 {
			t.Fatalf("%s: padding at the end is not zero", what)
		}
	}
	if len(b.nodes) != b.layout.numNodes() || len(b.buffers) != b.layout.numBuffers() {
		t.Fatalf("%s: %d nodes and %d buffers", what, len(b.nodes), len(b.buffers))
	}
	at := 0
	for i := range b.layout.slots {
		if n := b.nodes[at]; n.length != int64(b.rows) {
			t.Fatalf("%s: column %d has %d values, the batch %d rows", what, i, n.length, b.rows)
		}
		at = b.layout.places[i+1].node
	}
}

func randomCodec(r *rand.Rand) Compression {
	return []Compression{None, None, LZ4, Zstd}[r.IntN(4)]
}

func TestEncodeDecode(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		l := testLayout(t, randomSchema(r, 3))
		rec := randomRecord(r, mem, l.Schema(), randomRows(r))
		defer rec.Release()
		for _, codec := range []Compression{None, LZ4, Zstd} {
			b, err := Encode(l, rec, codec)
			must(t, err)
			mustBeSound(t, "encoded", b)
			mustPassAgain(t, "encoded", b)
			other, err := b.Recompress(randomCodec(r))
			must(t, err)
			b.Release()
			b = other
			mustPassAgain(t, "recompressed", b)
			got := decode(t, b)
			b.Release() // the record holds what it needs
			mustEqual(t, "decoded", got, rec)
			got.Release()
		}
	})
}

func randomRows(r *rand.Rand) int {
	return []int{0, 1, 1, 2, 7, 8, 63, 64, 65, 200}[r.IntN(10)]
}

func TestMergeIsConcatenation(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		l := testLayout(t, randomSchema(r, r.IntN(3)))
		codecs := []func() Compression{
			func() Compression { return None }, func() Compression { return None }, func() Compression { return randomCodec(r) },
		}
		codec := codecs[r.IntN(len(codecs))]
		bs := make([]*Batch, 1+r.IntN(6))
		for i := range bs {
			bs[i] = randomBatch(t, r, l, randomRows(r), codec())
			if r.IntN(3) == 0 {
				bs[i].SetProducers(randomProducers(r, bs[i].Rows()))
			}
		}
		defer func() {
			for _, b := range bs {
				b.Release()
			}
		}()
		got, err := Merge(l, bs)
		must(t, err)
		defer got.Release()
		want, err := mergeObvious(l, bs)
		must(t, err)
		defer want.Release()
		mustBeSound(t, "merged", got)
		mustPassAgain(t, "merged", got)
		if got.Compression() != want.Compression() {
			t.Fatalf("compressed as %s, want %s", got.Compression(), want.Compression())
		}
		g, w := decode(t, got), decode(t, want)
		defer g.Release()
		defer w.Release()
		mustEqual(t, "merged", g, w)
		if a, b := rowProducers(got), rowProducers(want); !slices.Equal(a, b) {
			t.Fatalf("producers of the rows:\n got %v\nwant %v", a, b)
		}
		if len(bs) > 1 && got.Compression() == None {
			mustHaveSameBody(t, got, want)
		}
	})
}

// mustHaveSameBody: encoding is a function of the values, so that the fast ways end in the same bytes.
func mustHaveSameBody(t *testing.T, got, want *Batch) {
	t.Helper()
	if !slices.Equal(got.buffers, want.buffers) || !slices.Equal(got.nodes, want.nodes) {
		t.Fatalf("laid out as %v %v, want %v %v", got.nodes, got.buffers, want.nodes, want.buffers)
	}
}

func randomProducers(r *rand.Rand, rows int) []Producer {
	var ps []Producer
	for rows > 0 {
		n := 1 + r.IntN(rows)
		p := anonymous(n)
		if r.IntN(2) == 0 {
			p = Producer{Writer: quiver.WriterID(r.IntN(3)), Epoch: 2, Sequence: quiver.Sequence(r.IntN(100)), Rows: int64(n)}
		}
		ps = append(ps, p)
		rows -= n
	}
	return ps
}

// rowProducers lists the producer of each row.
func rowProducers(b *Batch) []string {
	var rows []string
	for _, p := range b.Producers() {
		for range p.Rows {
			rows = append(rows, fmt.Sprint(p.Writer, p.Epoch, p.Sequence))
		}
	}
	return rows
}

func TestMergeProducers(t *testing.T) {
	l := testLayout(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, nil))
	r := rand.New(rand.NewPCG(1, 1))
	one := func(ps ...Producer) *Batch {
		rows := 0
		for _, p := range ps {
			rows += int(p.Rows)
		}
		b := randomBatch(t, r, l, rows, None)
		b.SetProducers(ps)
		return b
	}
	writer := Producer{Writer: 7, Epoch: 1, Sequence: 3, Rows: 2}
	for _, c := range []struct {
		name string
		in   []*Batch
		want []Producer
	}{
		{"all anonymous", []*Batch{one(anonymous(1)), one(anonymous(2))}, []Producer{anonymous(3)}},
		{"neighbours", []*Batch{one(anonymous(1)), one(anonymous(2)), one(writer), one(anonymous(1))},
			[]Producer{anonymous(3), writer, anonymous(1)}},
		{"a batch twice", []*Batch{one(writer), one(writer)}, []Producer{writer, writer}},
	} {
		b, err := Merge(l, c.in)
		must(t, err)
		if got := b.Producers(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		b.Release()
		for _, b := range c.in {
			b.Release()
		}
	}
}

func TestSliceIsSlice(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		l := testLayout(t, randomSchema(r, r.IntN(3)))
		b := randomBatch(t, r, l, randomRows(r), randomCodec(r))
		defer b.Release()
		b.SetProducers(randomProducers(r, b.Rows()))
		whole := decode(t, b)
		defer whole.Release()
		from := r.IntN(b.Rows() + 1)
		until := from + r.IntN(b.Rows()-from+1)
		part, err := b.Slice(from, until)
		must(t, err)
		defer part.Release()
		mustBeSound(t, "slice", part)
		mustPassAgain(t, "slice", part)
		got, want := decode(t, part), whole.NewSlice(int64(from), int64(until))
		defer got.Release()
		defer want.Release()
		mustEqual(t, "slice", got, want)
		if a, b := rowProducers(part), rowProducers(b)[from:until]; !slices.Equal(a, b) {
			t.Fatalf("producers of the rows:\n got %v\nwant %v", a, b)
		}
		obvious, err := Encode(l, want, b.Compression())
		must(t, err)
		defer obvious.Release()
		if b.Compression() == None && part.Rows() < b.Rows() {
			mustHaveSameBody(t, part, obvious)
		}
	})
}

// TestSliceKeepsHeader: the rows of a slice have the offsets they had.
func TestSliceKeepsHeader(t *testing.T) {
	_, b := benchmarkBatch(t, 100)
	defer b.Release()
	b.Seal()
	b.Stamp(Stamp{BaseOffset: 1000, Epoch: 3, Timestamp: 77}, 1)
	part, err := b.Slice(10, 30)
	must(t, err)
	defer part.Release()
	if h := part.Header(); h.BaseOffset != 1010 || h.Until() != 1030 || h.Epoch != 3 || h.Timestamp != 77 {
		t.Errorf("header %+v", h)
	}
}

// TestMergeLayouts: batches of equal layouts merge, of different ones they do not.
func TestMergeLayouts(t *testing.T) {
	_, a := benchmarkBatch(t, 3)
	l, b := benchmarkBatch(t, 4)
	other := randomBatch(t, rand.New(rand.NewPCG(1, 1)),
		testLayout(t, arrow.NewSchema([]arrow.Field{{Name: "c0", Type: arrow.PrimitiveTypes.Int64}}, nil)), 1, None)
	defer a.Release()
	defer b.Release()
	defer other.Release()
	m, err := Merge(l, []*Batch{a, b})
	must(t, err)
	if m.Rows() != 7 || m.Layout() != l {
		t.Errorf("%d rows", m.Rows())
	}
	m.Release()
	if _, err := Merge(l, []*Batch{a, other}); err == nil {
		t.Error("batches of different layouts merge")
	}
	if _, err := Merge(l, nil); err == nil {
		t.Error("no batches merge")
	}
}

func TestSplitMerge(t *testing.T) {
	seeded(t, 200, func(t *testing.T, r *rand.Rand) {
		l := testLayout(t, randomSchema(r, r.IntN(3)))
		b := randomBatch(t, r, l, []int{1, 5, 64, 700, 1500}[r.IntN(5)], randomCodec(r))
		defer b.Release()
		if r.IntN(2) == 0 {
			b.SetProducers(randomProducers(r, b.Rows()))
		}
		maxBytes := 1 + r.IntN(2*b.Size())
		if r.IntN(8) > 0 {
			maxBytes = max(maxBytes, b.metadataSize()+2<<10)
		}
		pieces, err := b.Split(maxBytes)
		must(t, err)
		defer func() {
			for _, p := range pieces {
				p.Release()
			}
		}()
		rows := 0
		for _, p := range pieces {
			mustBeSound(t, "piece", p)
			mustPassAgain(t, "piece", p)
			if p.Size() > maxBytes && p.Rows() > 1 {
				t.Fatalf("a piece of %d rows takes %d bytes, at most %d were asked for", p.Rows(), p.Size(), maxBytes)
			}
			rows += p.Rows()
		}
		if rows != b.Rows() {
			t.Fatalf("%d rows in the pieces, the batch has %d", rows, b.Rows())
		}
		merged, err := Merge(l, pieces)
		must(t, err)
		defer merged.Release()
		got, want := decode(t, merged), decode(t, b)
		defer got.Release()
		defer want.Release()
		mustEqual(t, "split and merged", got, want)
		if a, b := rowProducers(merged), rowProducers(b); !slices.Equal(a, b) {
			t.Fatalf("producers of the rows:\n got %v\nwant %v", a, b)
		}
	})
}

// TestSplitSkewed: one row holds most bytes; it must not drag its neighbours above the limit.
func TestSplitSkewed(t *testing.T) {
	l := testLayout(t, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String},
	}, nil))
	rec := func() arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, l.Schema())
		defer b.Release()
		for i := range 1000 {
			b.Field(0).(*array.Int64Builder).Append(int64(i))
			n := 10
			if i == 500 {
				n = 1 << 20
			}
			b.Field(1).(*array.StringBuilder).Append(string(make([]byte, n)))
		}
		return b.NewRecordBatch()
	}()
	defer rec.Release()
	live := buf.Live()
	for _, codec := range []Compression{None, LZ4, Zstd} {
		b, err := Encode(l, rec, codec)
		must(t, err)
		pieces, err := b.Split(b.metadataSize() + 4<<10)
		must(t, err)
		rows := 0
		for _, p := range pieces {
			if p.Size() > b.metadataSize()+4<<10 && p.Rows() != 1 {
				t.Errorf("%s: %d rows take %d bytes", codec, p.Rows(), p.Size())
			}
			rows += p.Rows()
			p.Release()
		}
		b.Release()
		if rows != 1000 {
			t.Errorf("%s: %d rows", codec, rows)
		}
	}
	if now := buf.Live(); now != live {
		t.Errorf("%d buffers are still held", now-live)
	}
}

// TestSliceSharesValues: cutting a large batch takes no memory for its values.
func TestSliceSharesValues(t *testing.T) {
	l, b := benchmarkBatch(t, 100_000)
	defer b.Release()
	pieces, err := b.Split(3 << 20)
	must(t, err)
	for _, p := range pieces {
		held := 0
		for _, o := range p.owners[len(b.owners):] {
			held += o.Len()
		}
		if most := p.Rows()*2*5 + 64<<10; held > most {
			t.Errorf("a piece of %d rows, %d bytes, took %d bytes of its own", p.Rows(), p.Size(), held)
		}
		p.Release()
	}
	_ = l
}

// benchmarkBatch is the table that the measurements are made with: 4 int64, 4 float64, 2 short texts.
func benchmarkBatch(t testing.TB, rows int) (*Layout, *Batch) {
	var fields []arrow.Field
	p := arrow.PrimitiveTypes
	for i, dt := range []arrow.DataType{
		p.Int64, p.Int64, p.Int64, p.Int64, p.Float64, p.Float64, p.Float64, p.Float64,
		arrow.BinaryTypes.String, arrow.BinaryTypes.String,
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("c%d", i), Type: dt})
	}
	l := testLayout(t, arrow.NewSchema(fields, nil))
	r := rand.New(rand.NewPCG(7, 7))
	rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), rows)
	defer rec.Release()
	b, err := Encode(l, rec, None)
	must(t, err)
	return l, b
}

// BenchmarkMerge merges batches as they come through the gate.
func BenchmarkMerge(b *testing.B) {
	for _, rows := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			const n = 256
			l, first := benchmarkBatch(b, rows*n)
			whole := decode(b, first)
			var bs []*Batch
			for i := range n {
				rec := whole.NewSlice(int64(i*rows), int64((i+1)*rows))
				m := streamOf(b, rec.Schema(), []arrow.RecordBatch{rec})[1]
				p, err := Verify(l, m.meta, staged(m.body), Limits{})
				must(b, err)
				bs = append(bs, p)
			}
			b.ReportAllocs()
			for b.Loop() {
				m, err := Merge(l, bs)
				must(b, err)
				m.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/batch")
		})
	}
}

// BenchmarkMergeNested: one-row batches of two lists and a struct, by plan and by the obvious way.
func BenchmarkMergeNested(b *testing.B) {
	p := arrow.PrimitiveTypes
	l := testLayout(b, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: p.Int64}, {Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String)},
		{Name: "at", Type: arrow.StructOf(arrow.Field{Name: "x", Type: p.Float64}, arrow.Field{Name: "y", Type: p.Float64})},
		{Name: "vector", Type: arrow.FixedSizeListOf(8, p.Float32)},
	}, nil))
	const n = 256
	r := rand.New(rand.NewPCG(1, 1))
	var bs []*Batch
	for range n {
		bs = append(bs, randomBatch(b, r, l, 1, None))
	}
	for name, merge := range map[string]func(*Layout, []*Batch) (*Batch, error){"planned": Merge, "obvious": mergeObvious} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := merge(l, bs)
				must(b, err)
				m.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/batch")
		})
	}
}

func BenchmarkMergeObvious(b *testing.B) {
	const n = 256
	l, first := benchmarkBatch(b, n)
	var bs []*Batch
	for i := range n {
		p, err := first.Slice(i, i+1)
		must(b, err)
		bs = append(bs, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := mergeObvious(l, bs)
		must(b, err)
		m.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/batch")
}

func BenchmarkEncode(b *testing.B) {
	l, batch := benchmarkBatch(b, 65536)
	rec := decode(b, batch)
	b.SetBytes(batch.bodyLen)
	b.ReportAllocs()
	for b.Loop() {
		e, err := Encode(l, rec, None)
		must(b, err)
		e.Release()
	}
}

func BenchmarkDecode(b *testing.B) {
	_, batch := benchmarkBatch(b, 65536)
	b.ReportAllocs()
	for b.Loop() {
		decode(b, batch).Release()
	}
}

func BenchmarkSplit(b *testing.B) {
	_, batch := benchmarkBatch(b, 200_000)
	b.SetBytes(batch.bodyLen)
	b.ReportAllocs()
	for b.Loop() {
		pieces, err := batch.Split(3 << 20)
		must(b, err)
		for _, p := range pieces {
			p.Release()
		}
	}
}
