package record

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

var update = flag.Bool("update", false, "write the golden files anew")

var testBucket = quiver.BucketID{Table: 7, Partition: 3, Bucket: 2}

func mustTable(t testing.TB, s *arrow.Schema) (*quiver.Schema, *Layout) {
	t.Helper()
	table, err := quiver.NewSchema(5, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLayout(table)
	if err != nil {
		t.Fatal(err)
	}
	return table, l
}

// randomTable draws a table's schema: one that a table may have.
func randomTable(t testing.TB, r *rand.Rand, depth int) (*quiver.Schema, *Layout) {
	t.Helper()
	for {
		s := randomSchema(r, depth)
		if _, err := quiver.NewSchema(5, s, nil); err == nil {
			return mustTable(t, s)
		}
	}
}

// segmentWriter writes a segment as a log does.
type segmentWriter struct {
	bytes.Buffer
	id       SegmentIdentity
	next     quiver.Offset
	previous uint32
}

func newSegment(t testing.TB, s *quiver.Schema, id SegmentIdentity) *segmentWriter {
	t.Helper()
	head, err := EncodeSegmentSchema(s, id)
	if err != nil {
		t.Fatal(err)
	}
	w := &segmentWriter{id: id, next: id.BaseOffset}
	w.Write(head)
	return w
}

func (w *segmentWriter) add(b *Batch, s Stamp) {
	s.BaseOffset, s.Previous = w.next, w.previous
	w.previous = b.Stamp(s, w.id.Seed())
	w.next += quiver.Offset(b.Rows())
	meta, body := b.Stored()
	w.Write(meta)
	for _, p := range body {
		w.Write(p)
	}
}

// storedBatch is one batch of a segment read back: its metadata and its body.
type storedBatch struct {
	meta *Meta
	body []byte
}

// readSegment reads a whole segment and checks the chain.
func readSegment(t testing.TB, data []byte) (SegmentIdentity, *arrow.Schema, []storedBatch) {
	t.Helper()
	n, ok := PeekPrefix(data)
	if !ok {
		t.Fatal("no segment")
	}
	id, s, err := ParseSegmentSchema(data[:n])
	if err != nil {
		t.Fatal(err)
	}
	data = data[n:]
	var out []storedBatch
	var previous uint32
	for len(data) > 0 {
		n, ok := PeekPrefix(data)
		if !ok {
			break
		}
		m, err := ParseHeader(data[:n], id.Seed())
		if err != nil {
			t.Fatal(err)
		}
		if m.Previous != previous {
			t.Fatalf("%s does not follow the batch before", m)
		}
		previous = m.CRC
		out = append(out, storedBatch{m, data[n : int64(n)+m.BodyLen]})
		data = data[int64(n)+m.BodyLen:]
	}
	return id, s, out
}

// randomStored draws a batch as it is stored: encoded by us, or from arrow-go through the gate.
func randomStored(t testing.TB, r *rand.Rand, l *Layout, rec arrow.RecordBatch) *Batch {
	t.Helper()
	c := codecs[r.IntN(3)]
	var b *Batch
	var err error
	if r.IntN(2) == 0 {
		b, err = Encode(l, rec, c.codec)
	} else {
		b, err = pass(l, streamOf(t, rec.Schema(), []arrow.RecordBatch{rec}, c.options...)[1], Limits{}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A stored batch reads back whole and by any of its columns, with its header and its producers.
func TestStoredRoundTrip(t *testing.T) {
	seeded(t, 200, func(t *testing.T, r *rand.Rand) {
		table, l := randomTable(t, r, 2)
		w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, BaseOffset: quiver.Offset(r.IntN(1000)), Salt: r.Uint64()})
		var recs []arrow.RecordBatch
		var batches []*Batch
		for range 1 + r.IntN(4) {
			rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), 1+r.IntN(200))
			defer rec.Release()
			b := randomStored(t, r, l, rec)
			defer b.Release()
			b.SetProducers(randomProducers(r, b.Rows()))
			size := b.Size()
			w.add(b, Stamp{Epoch: quiver.Epoch(r.Int32()), Timestamp: r.Int64(), HighWatermark: quiver.Offset(r.Int64N(1 << 50)), Flags: Flags(r.IntN(2))})
			if b.Size() != size || size%bodyAlign != 0 {
				t.Fatalf("size %d, then %d", size, b.Size())
			}
			recs, batches = append(recs, rec), append(batches, b)
		}
		id, s, stored := readSegment(t, w.Bytes())
		if id.Bucket != testBucket || id.Schema != 5 || !s.Equal(table.Stored()) {
			t.Fatalf("%+v, schema %s", id, s)
		}
		if len(stored) != len(recs) {
			t.Fatalf("%d batches, want %d", len(stored), len(recs))
		}
		for i, m := range stored {
			if m.meta.Header != batches[i].Header() {
				t.Fatalf("%+v, want %+v", m.meta.Header, batches[i].Header())
			}
			ps, err := m.meta.Producers()
			if err != nil || fmt.Sprint(ps) != fmt.Sprint(batches[i].Producers()) {
				t.Fatal(ps, err)
			}
			checkLoads(t, r, l, m, recs[i])
		}
	})
}

// checkLoads loads the batch whole and by some of its columns, and compares with the record.
func checkLoads(t *testing.T, r *rand.Rand, l *Layout, m storedBatch, want arrow.RecordBatch) {
	t.Helper()
	body := buf.Wrap(m.body)
	defer body.Release()
	b, err := Load(l, m.meta, body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "loaded", got, want)
	got.Release()
	meta, parts := b.Stored()
	if !bytes.Equal(meta, m.meta.raw) || !bytes.Equal(bytes.Join(parts, nil), m.body) {
		t.Fatal("stored bytes changed by loading")
	}
	b.Release()

	var cols []int
	for c := range l.NumColumns() {
		if r.IntN(2) == 0 {
			cols = append(cols, c)
		}
	}
	regions, err := m.meta.Regions(l, cols)
	if err != nil {
		t.Fatal(err)
	}
	parts2 := make([]*buf.Buf, len(regions))
	for i, g := range regions {
		parts2[i] = staged(m.body[g.From:g.Until])
		defer parts2[i].Release()
	}
	picked, err := LoadColumns(l, m.meta, cols, parts2)
	if err != nil {
		t.Fatal(err)
	}
	defer picked.Release()
	checkShape(t, picked)
	if picked.Layout() != l.Pick(cols) || picked.Header() != m.meta.Header {
		t.Fatal("layout or header of the picked batch")
	}
	mustEqual(t, "picked", mustDecode(t, picked), selected(want, cols))
	mustEqual(t, "served", mustServe(t, picked), selected(want, cols))
}

func mustDecode(t testing.TB, b *Batch) arrow.RecordBatch {
	t.Helper()
	rec, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

// selected is the obvious projection: of a record, by columns.
func selected(rec arrow.RecordBatch, cols []int) arrow.RecordBatch {
	arrays := make([]arrow.Array, len(cols))
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		arrays[i], fields[i] = rec.Column(c), rec.Schema().Field(c)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, rec.NumRows())
}

// mustServe reads what is served of the batch with arrow-go's reader.
func mustServe(t testing.TB, b *Batch) arrow.RecordBatch {
	t.Helper()
	head, err := ServedSchema(b.Layout().Schema())
	if err != nil {
		t.Fatal(err)
	}
	header, body := b.Served()
	var stream bytes.Buffer
	for _, m := range [][]byte{head, header} {
		prefix := make([]byte, prefixSize)
		binary.LittleEndian.PutUint32(prefix, continuation)
		binary.LittleEndian.PutUint32(prefix[4:], uint32(len(m)))
		stream.Write(prefix)
		stream.Write(m)
	}
	for _, p := range body {
		stream.Write(p)
	}
	r, err := aipc.NewReader(&stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	rec, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	if with, ok := rec.(arrow.RecordBatchWithMetadata); ok && with.Metadata().Len() > 0 {
		t.Fatalf("served with metadata %v", with.Metadata())
	}
	return rec
}

// Project and decode gives what decode and pick gives.
func TestProject(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		table, l := randomTable(t, r, 2)
		rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), 1+r.IntN(500)*r.IntN(10))
		defer rec.Release()
		b := randomStored(t, r, l, rec)
		defer b.Release()
		if r.IntN(3) == 0 { // of many parts
			half, err := b.Slice(0, b.Rows())
			if err != nil {
				t.Fatal(err)
			}
			defer half.Release()
			b = half
		}
		cols := r.Perm(l.NumColumns())[:r.IntN(l.NumColumns()+1)]
		ids := make([]quiver.ColumnID, len(cols))
		for i, c := range cols {
			ids[i] = table.Columns()[c].ID
		}
		m, err := quiver.MapColumns(table, table, ids)
		if err != nil {
			t.Fatal(err)
		}
		want := selected(rec, cols)
		var extra []arrow.Array
		if r.IntN(2) == 0 {
			a := randomArray(r, memory.DefaultAllocator, arrow.Field{Type: arrow.PrimitiveTypes.Int64, Nullable: true}, b.Rows())
			defer a.Release()
			extra = append(extra, a)
			want = array.NewRecordBatch(arrow.NewSchema(append(want.Schema().Fields(), arrow.Field{Type: a.DataType(), Nullable: true}), nil),
				append(append([]arrow.Array(nil), want.Columns()...), a), want.NumRows())
		}
		got, err := b.Project(m, extra...)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		checkShape(t, got)
		if got.Compression() != b.Compression() {
			t.Fatal("codec changed")
		}
		mustEqual(t, "projected", mustDecode(t, got), want)
		mustEqual(t, "projected and served", mustServe(t, got), want)
	})
}

// A column that the stored batch lacks is filled with its default, or with nulls.
func TestProjectFills(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.codec.String(), func(t *testing.T) {
			old, l := mustTable(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil))
			now, err := quiver.NewSchema(6, arrow.NewSchema([]arrow.Field{
				{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
				{Name: "n", Type: arrow.BinaryTypes.String, Nullable: true},
				{Name: "d", Type: arrow.BinaryTypes.String},
			}, nil), map[string]any{"d": "new"})
			if err != nil {
				t.Fatal(err)
			}
			m, err := quiver.MapColumns(old, now, nil)
			if err != nil {
				t.Fatal(err)
			}
			rec := randomRecord(rand.New(rand.NewPCG(1, 2)), memory.DefaultAllocator, l.Schema(), 9)
			defer rec.Release()
			b, err := Encode(l, rec, c.codec)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Release()
			got, err := b.Project(m)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			served := mustServe(t, got)
			for i := range 9 {
				if !served.Column(1).IsNull(i) || served.Column(2).(*array.String).Value(i) != "new" {
					t.Fatal(served)
				}
			}
		})
	}
}

// Whatever bit of a stored batch flips, it is noticed: in the header, or in the column that the bit is in.
func TestFlippedBits(t *testing.T) {
	_, l := mustTable(t, arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "b", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil))
	rec := randomRecord(rand.New(rand.NewPCG(3, 4)), memory.DefaultAllocator, l.Schema(), 10)
	defer rec.Release()
	b, err := Encode(l, rec, None)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	seed := NewSeed(testBucket, 42)
	b.Stamp(Stamp{BaseOffset: 17, Epoch: 1}, seed)
	meta, parts := b.Stored()
	body := bytes.Join(parts, nil)
	flip := func(data []byte, bit int) { data[bit/8] ^= 1 << (bit % 8) }
	meta = bytes.Clone(meta)
	for bit := range len(meta) * 8 {
		flip(meta, bit)
		if _, err := ParseHeader(meta, seed); quiver.ReasonOf(err) != quiver.CorruptRange {
			t.Fatalf("bit %d of the metadata: %v", bit, err)
		}
		flip(meta, bit)
	}
	m, err := ParseHeader(meta, seed)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(body) * 8 {
		flip(body, bit)
		whole := buf.Wrap(body)
		if _, err := Load(l, m, whole); quiver.ReasonOf(err) != quiver.CorruptRange {
			t.Fatalf("bit %d of the body: %v", bit, err)
		}
		for c := range l.NumColumns() {
			r := m.region(l, c)
			part := buf.Wrap(body[r.From:r.Until])
			hit := int64(bit/8) >= r.From && int64(bit/8) < r.Until
			picked, err := LoadColumns(l, m, []int{c}, []*buf.Buf{part})
			if hit != (quiver.ReasonOf(err) == quiver.CorruptRange) {
				t.Fatalf("bit %d, column %d: %v", bit, c, err)
			}
			if err == nil {
				picked.Release()
			}
			part.Release()
		}
		whole.Release()
		flip(body, bit)
	}
	for _, other := range []Seed{NewSeed(testBucket, 43), NewSeed(quiver.BucketID{Table: 7, Partition: 3, Bucket: 1}, 42)} {
		if _, err := ParseHeader(meta, other); err == nil {
			t.Fatal("valid in another place")
		}
	}
}

// goldenSegment is a segment of every stored type, with nulls, of every codec, with producers and a chain.
func goldenSegment(t testing.TB) []byte {
	fields := make([]arrow.Field, 0, len(flatTypes)+8)
	for _, typ := range flatTypes {
		fields = append(fields, arrow.Field{Name: fmt.Sprint(typ), Type: typ, Nullable: true})
	}
	i32 := arrow.PrimitiveTypes.Int32
	for _, typ := range []arrow.DataType{
		arrow.ListOf(i32), arrow.LargeListOf(arrow.BinaryTypes.String), arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32),
		arrow.StructOf(arrow.Field{Name: "x", Type: i32, Nullable: true}, arrow.Field{Name: "y", Type: arrow.ListOf(i32), Nullable: true}),
		arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64),
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprint(typ), Type: typ, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: "required", Type: arrow.PrimitiveTypes.Int64})
	md := arrow.NewMetadata([]string{"owner"}, []string{"golden"})
	table, l := mustTable(t, arrow.NewSchema(fields, &md))
	r := rand.New(rand.NewPCG(20261124, 1))
	w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, BaseOffset: 1_000_000, Salt: 0x0123456789abcdef})
	for i, rows := range []int{1, 100, 33} {
		rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), rows)
		b, err := Encode(l, rec, None)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			b.SetProducers([]Producer{{17, 3, 42, 60}, anonymous(30), {math.MaxUint64 - 1, 1, 0, 10}})
		}
		w.add(b, Stamp{Epoch: quiver.Epoch(i + 1), Timestamp: 1_763_800_000_000 + int64(i), HighWatermark: 1_000_000, Flags: Flags(i & 1)})
		b.Release()
		rec.Release()
	}
	w.Write(make([]byte, 4096)) // as a log reserves ahead
	return w.Bytes()
}

// sentSegment is a segment of batches as arrow-go sends them, of every codec, with the records that it holds. Codecs
// may write other bytes one day, so this one is made once, and read ever after.
func sentSegment(t testing.TB) ([]byte, *Layout, []arrow.RecordBatch) {
	fields := []arrow.Field{{Name: "required", Type: arrow.PrimitiveTypes.Int64}}
	for _, typ := range []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
		arrow.FixedWidthTypes.Boolean, arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary,
		arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Timestamp_ns,
		&arrow.Decimal128Type{Precision: 38, Scale: 4}, arrow.ListOf(arrow.PrimitiveTypes.Int32),
		arrow.FixedSizeListOf(4, arrow.PrimitiveTypes.Float32),
		arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int32, Nullable: true}),
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprint(typ), Type: typ, Nullable: true})
	}
	table, l := mustTable(t, arrow.NewSchema(fields, nil))
	r := rand.New(rand.NewPCG(20261124, 2))
	w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, Salt: 1})
	var recs []arrow.RecordBatch
	for _, c := range codecs {
		rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), 100)
		b, err := pass(l, streamOf(t, rec.Schema(), []arrow.RecordBatch{rec}, c.options...)[1], Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.add(b, Stamp{Epoch: 1, Timestamp: 1_763_800_000_000})
		b.Release()
		recs = append(recs, rec)
	}
	return w.Bytes(), l, recs
}

// Bodies as clients sent them, compressed too, are read for ever.
func TestGoldenSentSegment(t *testing.T) {
	path := filepath.Join("testdata", "segment-v1-sent.arrows")
	got, l, recs := sentSegment(t)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, _, stored := readSegment(t, want)
	if len(stored) != len(recs) {
		t.Fatalf("%d batches", len(stored))
	}
	for i, m := range stored {
		if m.meta.Codec != codecs[i].codec {
			t.Fatalf("batch %d is compressed by %s", i, m.meta.Codec)
		}
		checkLoads(t, rand.New(rand.NewPCG(1, 1)), l, m, recs[i])
	}
}

// Version 1 of the format stays as it is, byte for byte, for ever.
func TestGoldenSegment(t *testing.T) {
	path := filepath.Join("testdata", "segment-v1.arrows")
	got := goldenSegment(t)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%d bytes, the golden segment has %d; byte %d differs", len(got), len(want), i)
			}
		}
		t.Fatalf("%d bytes, the golden segment has %d", len(got), len(want))
	}
	_, _, stored := readSegment(t, want)
	if len(stored) != 3 {
		t.Fatalf("%d batches", len(stored))
	}

	// Any Arrow reader reads it, with the headers as metadata of the batches.
	rd, err := aipc.NewReader(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	for i := range stored {
		rec, err := rd.Read()
		if err != nil {
			t.Fatal(err)
		}
		if rec.NumRows() != int64(stored[i].meta.Rows) {
			t.Fatalf("%d rows, want %d", rec.NumRows(), stored[i].meta.Rows)
		}
		md := rec.(arrow.RecordBatchWithMetadata).Metadata()
		text, ok := md.GetValue(keyHeader)
		var h Header
		if err := h.parse([]byte(text)); !ok || err != nil || h != stored[i].meta.Header {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if rd.Next() || rd.Err() != nil {
		t.Fatal("more than three batches", rd.Err())
	}
}
