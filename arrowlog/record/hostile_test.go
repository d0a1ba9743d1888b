package record

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// mustPassAgain sends a batch of ours through the gate: whatever we make is as sound as what clients must send.
func mustPassAgain(t testing.TB, what string, b *Batch) {
	t.Helper()
	header, parts := b.Served()
	body := staged(bytes.Join(parts, nil))
	defer body.Release()
	again, err := Verify(b.layout, header, body, Limits{MaxRatio: 1 << 30})
	if err != nil {
		t.Fatalf("%s does not pass the gate: %v", what, err)
	}
	again.Release()
}

// oddStream is a stream in which every layout that is not stored occurs, and the table it is put into.
func oddStream(t testing.TB, r *rand.Rand, options ...aipc.Option) (*quiver.Schema, []rawMessage) {
	t.Helper()
	p := arrow.PrimitiveTypes
	text := arrow.BinaryTypes.String
	dict := &arrow.DictionaryType{IndexType: p.Int8, ValueType: text}
	fields := []arrow.Field{
		field("d", dict, true), field("v", arrow.BinaryTypes.StringView, true),
		field("r", arrow.RunEndEncodedOf(p.Int32, text), true), field("l", arrow.ListViewOf(p.Int16), true),
		field("ll", arrow.LargeListOf(arrow.BinaryTypes.StringView), true),
		field("s", arrow.StructOf(field("b", arrow.BinaryTypes.BinaryView, true), field("a", p.Int8, true)), true),
		field("i", p.Int32, true), field("t", &arrow.TimestampType{Unit: arrow.Microsecond}, true),
	}
	stored := []arrow.Field{
		field("i", p.Int64, true), field("d", text, true), field("v", text, true), field("r", arrow.BinaryTypes.LargeString, true),
		field("l", arrow.ListOf(p.Int64), true), field("ll", arrow.ListOf(text), true),
		field("s", arrow.StructOf(field("a", p.Int16, true), field("b", arrow.BinaryTypes.Binary, true)), true),
		field("t", &arrow.TimestampType{Unit: arrow.Nanosecond}, true), field("x", p.Int32, true),
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	var recs []arrow.RecordBatch
	for range 2 {
		for range 20 {
			for i := range fields {
				appendOdd(r, b.Field(i))
			}
		}
		rec := b.NewRecordBatch()
		defer rec.Release()
		recs = append(recs, rec)
	}
	return tableOf(t, arrow.NewSchema(stored, nil), map[string]any{"x": int32(7)}), streamOf(t, recs[0].Schema(), recs, options...)
}

// appendOdd appends one value, run by run where they are runs.
func appendOdd(r *rand.Rand, b array.Builder) {
	switch b := b.(type) {
	case *array.BinaryDictionaryBuilder:
		if r.IntN(5) == 0 {
			b.AppendNull()
			return
		}
		must1(b.AppendString([]string{"a", "bb", "a longer text"}[r.IntN(3)]))
	case *array.RunEndEncodedBuilder:
		if b.Len() > 0 && r.IntN(2) == 0 {
			b.ContinueRun(1)
			return
		}
		b.Append(1)
		appendRandom(r, b.ValueBuilder(), 2)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(r.Int64N(1e15)))
	default:
		appendRandom(r, b, 2)
	}
}

// putMutant lets a stream through the gate whose messages may be anything. It returns whether a batch came through.
func putMutant(t testing.TB, table *quiver.Schema, schema rawMessage, ms []rawMessage) int {
	t.Helper()
	l, err := NewLayout(table)
	must(t, err)
	client, ids, err := ParseSchema(schema.meta)
	if err != nil {
		return 0
	}
	in, err := NewInput(client, ids, table, l, Limits{MaxBody: 1 << 20, MaxDecompressed: 4 << 20})
	if err != nil {
		return 0
	}
	defer in.Close()
	passed := 0
	for _, m := range ms {
		body := staged(m.body)
		if KindOf(m.meta) == KindDictionary {
			_ = in.Dictionary(m.meta, body)
		} else if b, err := in.Batch(m.meta, body); err == nil {
			mustPassAgain(t, "mutant", b)
			decode(t, b).Release()
			b.Release()
			passed++
		}
		body.Release()
	}
	return passed
}

// mutate changes a few bytes: bits, whole bytes, words that look like lengths and offsets.
func mutate(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + r.IntN(3) {
		if len(data) < 8 {
			return data
		}
		at := r.IntN(len(data))
		switch r.IntN(4) {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.Uint32())
		case 2:
			at &^= 3
			word := []uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, uint32(r.IntN(100))}[r.IntN(6)]
			if at+4 <= len(data) {
				binary.LittleEndian.PutUint32(data[at:], word)
			}
		case 3:
			at &^= 7
			if at+8 <= len(data) {
				binary.LittleEndian.PutUint64(data[at:], []uint64{0, 1 << 40, 1<<63 - 1, 1 << 63, ^uint64(0), uint64(r.IntN(2000))}[r.IntN(6)])
			}
		}
	}
	return data
}

// TestInputMutants: no message makes the gate panic, take more memory than its limits, or pass what is not sound.
func TestInputMutants(t *testing.T) {
	passed, tried := 0, 0
	seeded(t, 60, func(t *testing.T, r *rand.Rand) {
		table, ms := oddStream(t, r, compressions()[r.IntN(3)]...)
		for range 60 {
			mutants := append([]rawMessage(nil), ms[1:]...)
			i := r.IntN(len(mutants))
			if m := &mutants[i]; r.IntN(2) == 0 {
				m.meta = mutate(r, m.meta)
			} else {
				m.body = mutate(r, m.body)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := putMutant(t, table, ms[0], mutants)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
				t.Fatalf("a mutant of %d messages took %d bytes", len(mutants), took)
			}
			passed, tried = passed+n, tried+1
		}
	})
	t.Logf("%d batches of %d mutated streams passed", passed, tried)
}

func FuzzInput(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	table, plain := oddStream(f, r)
	_, lz4 := oddStream(f, r, aipc.WithLZ4())
	_, zstd := oddStream(f, r, aipc.WithZstd())
	for _, ms := range [][]rawMessage{plain, lz4, zstd} {
		f.Add(ms[1].meta, ms[1].body, ms[2].meta, ms[2].body)
	}
	f.Fuzz(func(t *testing.T, dictMeta, dict, meta, body []byte) {
		live := buf.Live()
		putMutant(t, table, plain[0], []rawMessage{{dictMeta, dict}, {meta, body}})
		if now := buf.Live(); now != live {
			t.Fatalf("%d buffers are held", now-live)
		}
	})
}
