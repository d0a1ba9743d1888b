package record

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// take sends one message through the gate, in memory that goes away as soon as nobody holds it.
func take(o *Output, m rawMessage) (arrow.RecordBatch, error) {
	body := buf.Get(len(m.body))
	copy(body.Bytes(), m.body)
	defer body.Release()
	return o.Take(m.meta, body)
}

// withChanges puts a column of change types, as servers send it, behind those of a batch.
func withChanges(r *rand.Rand, rec arrow.RecordBatch) arrow.RecordBatch {
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	b := array.NewDictionaryBuilder(memory.DefaultAllocator, t).(*array.BinaryDictionaryBuilder)
	defer b.Release()
	for range rec.NumRows() {
		if err := b.AppendString([]string{"+A", "+I", "-U", "+U", "-D"}[r.IntN(5)]); err != nil {
			panic(err)
		}
	}
	changes := b.NewArray()
	defer changes.Release()
	fields := append(rec.Schema().Fields(), arrow.Field{Name: "__change_type", Type: t})
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), append(rec.Columns()[:rec.NumCols():rec.NumCols()], changes), rec.NumRows())
}

// TestOutputEqualsTheStockReader compares what a reader gets with what arrow-go's own reader makes of the same stream:
// all types, compressions, dictionaries that are replaced. What was kept of a batch stays when all else is gone.
func TestOutputEqualsTheStockReader(t *testing.T) {
	seeded(t, 200, func(t *testing.T, r *rand.Rand) {
		s := randomSchema(r, 3)
		changes := r.IntN(2) == 0
		var recs []arrow.RecordBatch
		for range 1 + r.IntN(4) {
			rec := randomRecord(r, memory.DefaultAllocator, s, r.IntN(100))
			if changes {
				rec = withChanges(r, rec)
			}
			recs = append(recs, rec)
		}
		var stream bytes.Buffer
		w := aipc.NewWriter(&stream, append(codecs[r.IntN(3)].options, aipc.WithSchema(recs[0].Schema()))...)
		for _, rec := range recs {
			if err := w.Write(rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		stock, err := aipc.NewReader(bytes.NewReader(stream.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		defer stock.Release()
		msgs := splitStream(t, stream.Bytes())
		o, err := NewOutput(msgs[0].meta, Limits{})
		if err != nil || !o.Schema().Equal(stock.Schema()) {
			t.Fatal(err, o.Schema())
		}
		kept, want := []arrow.Array(nil), []arrow.Array(nil)
		for _, m := range msgs[1:] {
			batch, err := take(o, m)
			if err != nil {
				t.Fatal(err, s)
			}
			if batch == nil {
				continue
			}
			if !stock.Next() {
				t.Fatal(stock.Err())
			}
			if !array.RecordEqual(batch, stock.RecordBatch()) {
				t.Fatalf("got %v, want %v", batch, stock.RecordBatch())
			}
			column := r.IntN(int(batch.NumCols()))
			kept, want = append(kept, batch.Column(column)), append(want, stock.RecordBatch().Column(column))
			kept[len(kept)-1].Retain()
			want[len(want)-1].Retain()
			batch.Release()
		}
		if stock.Next() {
			t.Fatal("a batch is missing")
		}
		o.Close()
		for i := range kept {
			if !array.Equal(kept[i], want[i]) {
				t.Errorf("what was kept is %v, want %v", kept[i], want[i])
			}
			kept[i].Release()
			want[i].Release()
		}
	})
}

func TestOutputRefuses(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "d", Nullable: true,
		Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}}, nil)
	values := func(texts ...string) arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, s)
		defer b.Release()
		for _, text := range texts {
			if err := b.Field(0).(*array.BinaryDictionaryBuilder).AppendString(text); err != nil {
				t.Fatal(err)
			}
		}
		return b.NewRecordBatch()
	}
	msgs := streamOf(t, s, []arrow.RecordBatch{values("a"), values("a", "b")}, aipc.WithDictionaryDeltas(true))
	schema, dictionary, batch, delta := msgs[0], msgs[1], msgs[2], msgs[3]
	o, err := NewOutput(schema.meta, Limits{MaxBody: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	wantReason := func(m rawMessage) {
		t.Helper()
		if got, err := take(o, m); got != nil || quiver.ReasonOf(err) != quiver.MalformedBatch {
			t.Errorf("%v, %v", got, err)
		}
	}
	wantReason(batch) // its dictionary was not sent
	if _, err := take(o, dictionary); err != nil {
		t.Fatal(err)
	}
	got, err := take(o, batch)
	if err != nil {
		t.Fatal(err)
	}
	got.Release()
	wantReason(delta)
	wantReason(schema)
	wantReason(rawMessage{})
	if _, err := NewOutput(batch.meta, Limits{}); quiver.ReasonOf(err) != quiver.MalformedBatch {
		t.Error(err)
	}
	long := streamOf(t, s, []arrow.RecordBatch{values(string(make([]byte, 2<<10)))})[1]
	if _, err := take(o, long); quiver.ReasonOf(err) != quiver.BatchTooLarge {
		t.Error(err)
	}
}

// TestOutputCounts: a batch without columns may stand for any number of rows.
func TestOutputCounts(t *testing.T) {
	s := arrow.NewSchema(nil, nil)
	const many = 1 << 30
	msgs := streamOf(t, s, []arrow.RecordBatch{array.NewRecordBatch(s, nil, many)})
	o, err := NewOutput(msgs[0].meta, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := take(o, msgs[1])
	if err != nil || got.NumRows() != many || got.NumCols() != 0 {
		t.Fatal(got, err)
	}
	got.Release()
}

// touch reads every value, as a program would.
func touch(a arrow.Array) {
	for i := range a.Len() {
		_ = a.ValueStr(i)
	}
}

// FuzzOutput: whatever a server sends, a reader neither panics, nor do the arrays that it gives, nor is more taken than
// the limits allow.
func FuzzOutput(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, s := range fuzzSchemas() {
		for _, c := range codecs {
			msgs := streamOf(f, s, []arrow.RecordBatch{fuzzRecord(r, s, 9)}, c.options...)
			first := msgs[1]
			last := msgs[len(msgs)-1]
			f.Add(msgs[0].meta, first.meta, first.body, last.meta, last.body)
			for range 3 {
				a, b := mutated(r, first), mutated(r, last)
				f.Add(msgs[0].meta, a.meta, a.body, b.meta, b.body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, schema, meta1, body1, meta2, body2 []byte) {
		live := buf.Live()
		o, err := NewOutput(schema, fuzzLimits)
		if err != nil {
			return
		}
		for _, m := range []rawMessage{{meta1, body1}, {meta2, body2}} {
			var batch arrow.RecordBatch
			if got := allocated(func() { batch, _ = take(o, m) }); got > 16<<20 {
				t.Fatalf("allocated %d", got)
			}
			if batch == nil {
				continue
			}
			if batch.NumRows() < 1<<12 {
				for _, c := range batch.Columns() {
					touch(c)
				}
			}
			batch.Release()
		}
		o.Close()
		if now := buf.Live(); now != live {
			t.Fatalf("%d buffers are held that were not before", now-live)
		}
	})
}
