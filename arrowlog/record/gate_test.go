package record

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// rawMessage is one message of an Arrow stream: metadata without prefix, and body.
type rawMessage struct{ meta, body []byte }

// streamOf is the messages of a stream that arrow-go writes: schema, dictionaries, batches.
func streamOf(t testing.TB, s *arrow.Schema, recs []arrow.RecordBatch, options ...aipc.Option) []rawMessage {
	t.Helper()
	var out bytes.Buffer
	w := aipc.NewWriter(&out, append(options, aipc.WithSchema(s))...)
	for _, rec := range recs {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return splitStream(t, out.Bytes())
}

// splitStream cuts a stream into its messages.
func splitStream(t testing.TB, data []byte) []rawMessage {
	t.Helper()
	var out []rawMessage
	for len(data) >= 8 {
		n := int(binary.LittleEndian.Uint32(data[4:]))
		if n == 0 {
			break
		}
		meta := data[8 : 8+n]
		m, err := parseMessage(meta)
		if err != nil {
			t.Fatal(err)
		}
		data = data[8+n:]
		out = append(out, rawMessage{meta, data[:m.bodyLen]})
		data = data[m.bodyLen:]
	}
	return out
}

// staged is a copy of the body in memory that may be changed.
func staged(body []byte) *buf.Buf {
	b := buf.Get(len(body))
	copy(b.Bytes(), body)
	return b
}

// pass sends a message through the gate.
func pass(l *Layout, m rawMessage, lim Limits, dictionaries map[int64]arrow.Array) (*Batch, error) {
	body := staged(m.body)
	defer body.Release()
	return verifyInput(l, m.meta, body, lim, dictionaries, nil)
}

func mustLayout(t testing.TB, s *arrow.Schema) *Layout {
	t.Helper()
	l, err := InputLayout(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var codecs = []struct {
	codec   Compression
	options []aipc.Option
}{
	{None, nil},
	{LZ4, []aipc.Option{aipc.WithLZ4()}},
	{Zstd, []aipc.Option{aipc.WithZstd()}},
}

// What arrow-go writes passes, keeps its codec and decodes to the same rows.
func TestGateTakesWhatOthersWrite(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		s := randomSchema(r, 3)
		rec := randomRecord(r, mem, s, r.IntN(100))
		defer rec.Release()
		c := codecs[r.IntN(3)]
		l := mustLayout(t, s)
		msgs := streamOf(t, s, []arrow.RecordBatch{rec}, c.options...)
		b, err := pass(l, msgs[1], Limits{}, nil)
		if err != nil {
			t.Fatal(err, s)
		}
		defer b.Release()
		got, err := b.Decode()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		mustEqual(t, "through the gate", got, rec)
		checkShape(t, b)
	})
}

// checkShape checks what every batch promises of its body.
func checkShape(t testing.TB, b *Batch) {
	t.Helper()
	var size, end int64
	for _, p := range b.parts {
		size += int64(len(p))
	}
	if size != b.bodyLen || size%bodyAlign != 0 {
		t.Fatalf("parts of %d bytes, body of %d", size, b.bodyLen)
	}
	body := bytes.Join(b.parts, nil)
	for i, s := range b.buffers {
		if s.off < end || s.off&7 != 0 || s.off+s.len > size {
			t.Fatalf("buffer %d at %d+%d, the one before ends at %d, body of %d", i, s.off, s.len, end, size)
		}
		for _, x := range body[end:s.off] {
			if x != 0 {
				t.Fatalf("padding before buffer %d is not zero", i)
			}
		}
		end = s.off + s.len
		if !bytes.Equal(b.buffer(i), body[s.off:end]) {
			t.Fatalf("buffer %d is not what lies in the body", i)
		}
	}
	for _, x := range body[end:] {
		if x != 0 {
			t.Fatal("padding behind the last buffer is not zero")
		}
	}
}

// clientTypes are types that clients send and that are not stored.
var clientTypes = []arrow.DataType{
	&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
	&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint32, ValueType: arrow.PrimitiveTypes.Int64},
	arrow.BinaryTypes.StringView, arrow.BinaryTypes.BinaryView,
	arrow.ListViewOf(arrow.PrimitiveTypes.Int32), arrow.LargeListViewOf(arrow.BinaryTypes.String),
	arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int16, arrow.BinaryTypes.String),
	arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Float64),
	arrow.ListOf(arrow.BinaryTypes.StringView),
	arrow.StructOf(arrow.Field{Name: "d", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true}),
}

// clientArray draws n values of a type that is not stored.
func clientArray(r *rand.Rand, t arrow.DataType, n int) arrow.Array {
	mem := memory.DefaultAllocator
	any := func(t arrow.DataType, n int, nullable bool) arrow.Array { // never sliced: arrow-go has trouble with those
		b := array.NewBuilder(mem, t)
		defer b.Release()
		nulls := 0
		if nullable {
			nulls = r.IntN(4)
		}
		appendRandomItems(r, b, n, nulls)
		return b.NewArray()
	}
	switch t := t.(type) {
	case *arrow.DictionaryType:
		values := any(t.ValueType, 1+r.IntN(20), false)
		defer values.Release()
		b := array.NewBuilder(mem, t.IndexType)
		defer b.Release()
		for range n {
			if r.IntN(4) == 0 {
				b.AppendNull()
			} else if err := b.AppendValueFromString(strconv.Itoa(r.IntN(values.Len()))); err != nil {
				panic(err)
			}
		}
		indices := b.NewArray()
		defer indices.Release()
		return array.NewDictionaryArray(t, indices, values)
	case *arrow.RunEndEncodedType:
		b := array.NewBuilder(mem, t.RunEnds())
		defer b.Release()
		runs, end := 0, 0
		for end < n {
			end += 1 + r.IntN(9)
			runs++
			if err := b.AppendValueFromString(strconv.Itoa(end)); err != nil {
				panic(err)
			}
		}
		ends, values := b.NewArray(), any(t.Encoded(), runs, true)
		defer ends.Release()
		defer values.Release()
		return array.NewRunEndEncodedArray(ends, values, n, 0)
	case *arrow.StructType:
		if t.NumFields() > 1 {
			break
		}
		child := clientArray(r, t.Field(0).Type, n)
		defer child.Release()
		s, err := array.NewStructArray([]arrow.Array{child}, []string{t.Field(0).Name})
		if err != nil {
			panic(err)
		}
		return s
	}
	return any(t, n, true)
}

// clientRecord draws a record of the types that clients send and that are not stored.
func clientRecord(r *rand.Rand) arrow.RecordBatch {
	n := 1 + r.IntN(4)
	rows := 1 + r.IntN(60) // arrow-go cannot write run ends of no rows
	fields, cols := make([]arrow.Field, n), make([]arrow.Array, n)
	for i := range fields {
		fields[i] = arrow.Field{Name: string(rune('a' + i)), Type: clientTypes[r.IntN(len(clientTypes))], Nullable: true}
		cols[i] = clientArray(r, fields[i].Type, rows)
	}
	defer releaseAll(cols)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, int64(rows))
}

// Client layouts pass too: dictionaries first, then the batch.
func TestGateTakesClientLayouts(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		rec := clientRecord(r)
		defer rec.Release()
		l := mustLayout(t, rec.Schema())
		msgs := streamOf(t, rec.Schema(), []arrow.RecordBatch{rec}, codecs[r.IntN(3)].options...)
		s, ids, err := ParseSchema(msgs[0].meta)
		if err != nil || !s.Equal(rec.Schema()) {
			t.Fatal(err, s)
		}
		if ids != nil {
			if l, err = InputLayout(s, ids); err != nil {
				t.Fatal(err)
			}
		}
		b, dictionaries := passStream(t, l, msgs[1:])
		defer b.Release()
		cols, err := b.arrays(dictionaries)
		if err != nil {
			t.Fatal(err)
		}
		defer releaseAll(cols)
		for i, c := range cols {
			if !array.Equal(c, rec.Column(i)) {
				t.Fatalf("column %d of %s: %v, want %v", i, c.DataType(), c, rec.Column(i))
			}
		}
	})
}

// passStream sends dictionaries and one batch through the gate.
func passStream(t testing.TB, l *Layout, msgs []rawMessage) (*Batch, map[int64]arrow.Array) {
	t.Helper()
	dictionaries := make(map[int64]arrow.Array)
	for _, m := range msgs[:len(msgs)-1] {
		body := staged(m.body)
		id, _, values, err := verifyDictionary(l, m.meta, body, Limits{}, dictionaries)
		body.Release()
		if err != nil {
			t.Fatal(err)
		}
		cols, err := values.arrays(dictionaries)
		values.Release()
		if err != nil {
			t.Fatal(err)
		}
		dictionaries[id] = cols[0]
		t.Cleanup(cols[0].Release)
	}
	b, err := pass(l, msgs[len(msgs)-1], Limits{}, dictionaries)
	if err != nil {
		t.Fatal(err)
	}
	return b, dictionaries
}

// column is a schema of one column.
func column(t arrow.DataType, nullable bool) *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "c", Type: t, Nullable: nullable}}, nil)
}

// forged is a batch message made by hand, of whatever is given.
func forged(l *Layout, rows int, nodes []node, codec Compression, bufs ...[]byte) rawMessage {
	b := assemble(l, rows, nodes, bufs, codec, nil)
	defer b.Release()
	meta := make([]byte, batchMessageSize(len(nodes), len(bufs)))
	b.putBatchMessage(meta)
	return rawMessage{meta, bytes.Join(b.parts, nil)}
}

func le32(v ...int32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return b
}

func le64(v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

// What is wrong is refused, with the reason that fits and the column's name.
func TestGateRefuses(t *testing.T) {
	str, i64 := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64
	for _, c := range []struct {
		name   string
		typ    arrow.DataType
		req    bool
		rows   int
		nodes  []node
		bufs   [][]byte
		reason quiver.Reason // "": taken
		text   string
	}{
		{"plain", i64, false, 2, []node{{2, 0}}, [][]byte{nil, le64(1, 2)}, "", ""},
		{"short values", i64, false, 2, []node{{2, 0}}, [][]byte{nil, le64(1)}, quiver.MalformedBatch, "8 bytes, its values take 16"},
		{"other length", i64, false, 2, []node{{3, 0}}, [][]byte{nil, le64(1, 2, 3)}, quiver.MalformedBatch, "3 values where 2"},
		{"negative length", i64, false, 2, []node{{-1, 0}}, [][]byte{nil, le64(1, 2)}, quiver.MalformedBatch, "-1 values"},
		{"more nulls than values", i64, false, 2, []node{{2, 3}}, [][]byte{{1}, le64(1, 2)}, quiver.MalformedBatch, "3 nulls"},
		{"nulls without bitmap", i64, false, 2, []node{{2, 1}}, [][]byte{nil, le64(1, 2)}, quiver.MalformedBatch, "no validity bitmap"},
		{"wrong null count", i64, false, 2, []node{{2, 0}}, [][]byte{{1}, le64(1, 2)}, quiver.MalformedBatch, "counts 0 nulls, the bitmap 1"},
		{"null count left open", i64, false, 2, []node{{2, -1}}, [][]byte{{1}, le64(1, 2)}, "", ""},
		{"null in required", i64, true, 2, []node{{2, 1}}, [][]byte{{1}, le64(1, 2)}, quiver.SchemaMismatch, `column "c": 1 nulls in a required column`},
		{"bits behind the last row", i64, false, 2, []node{{2, 1}}, [][]byte{{0xFD}, le64(1, 2)}, "", ""},
		{"too few buffers", i64, false, 2, []node{{2, 0}}, [][]byte{nil}, quiver.MalformedBatch, "1 buffers, the schema has 2"},
		{"too many arrays", i64, false, 2, []node{{2, 0}, {2, 0}}, [][]byte{nil, le64(1, 2)}, quiver.MalformedBatch, "2 arrays, the schema has 1"},

		{"text", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(0, 1, 3), []byte("aé")}, "", ""},
		{"text, offsets from above", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(1, 2, 4), []byte("xaé")}, "", ""},
		{"offsets fall", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(0, 2, 1), []byte("ab")}, quiver.MalformedBatch, "offsets fall"},
		{"offsets negative", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(-1, 0, 1), []byte("ab")}, quiver.MalformedBatch, "offsets fall, or are negative"},
		{"offsets jump", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(1, -1<<31, 2), []byte("ab")}, quiver.MalformedBatch, "offsets fall"},
		{"offsets reach too far", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(0, 1, 3), []byte("ab")}, quiver.MalformedBatch, "2 bytes, its values take 3"},
		{"offsets cut a character", str, false, 2, []node{{2, 0}}, [][]byte{nil, le32(0, 1, 2), []byte("é")}, quiver.MalformedBatch, "value 0 is not valid UTF-8"},
		{"no text", str, false, 1, []node{{1, 0}}, [][]byte{nil, le32(0, 1), {0xFF}}, quiver.MalformedBatch, "not valid UTF-8"},
		{"no text behind a null", str, false, 2, []node{{2, 1}}, [][]byte{{2}, le32(0, 1, 2), {0xFF, 'a'}}, "", ""},
		{"bytes", arrow.BinaryTypes.Binary, false, 1, []node{{1, 0}}, [][]byte{nil, le32(0, 1), {0xFF}}, "", ""},
		{"no rows, no offsets", str, false, 0, []node{{0, 0}}, [][]byte{nil, nil, nil}, "", ""},

		{"half a day", arrow.FixedWidthTypes.Date64, false, 1, []node{{1, 0}}, [][]byte{nil, le64(43200000)}, quiver.MalformedBatch, "value 0 does not stand for a whole day"},
		{"half a day behind a null", arrow.FixedWidthTypes.Date64, false, 2, []node{{2, 1}}, [][]byte{{2}, le64(43200000, 86400000)}, "", ""},
		{"time beyond the day", arrow.FixedWidthTypes.Time32s, false, 2, []node{{2, 0}}, [][]byte{nil, le32(0, 86400)}, quiver.MalformedBatch, "value 1 does not lie within a day"},
		{"negative time", arrow.FixedWidthTypes.Time64ns, false, 1, []node{{1, 0}}, [][]byte{nil, le64(-1)}, quiver.MalformedBatch, "value 0 does not lie"},
		{"decimal", &arrow.Decimal128Type{Precision: 3}, false, 2, []node{{2, 0}}, [][]byte{nil, le64(999, 0, -999, -1)}, "", ""},
		{"decimal of 4 digits", &arrow.Decimal128Type{Precision: 3}, false, 2, []node{{2, 0}}, [][]byte{nil, le64(999, 0, -1000, -1)}, quiver.MalformedBatch, "value 1 does not fit"},
		{"decimal256 of 4 digits", &arrow.Decimal256Type{Precision: 3}, false, 1, []node{{1, 0}}, [][]byte{nil, le64(1000, 0, 0, 0)}, quiver.MalformedBatch, "value 0 does not fit"},
		{"decimal256", &arrow.Decimal256Type{Precision: 3}, false, 1, []node{{1, 0}}, [][]byte{nil, le64(-999, -1, -1, -1)}, "", ""},

		{"list", arrow.ListOf(i64), false, 2, []node{{2, 0}, {3, 0}}, [][]byte{nil, le32(0, 1, 3), nil, le64(1, 2, 3)}, "", ""},
		{"list beyond its child", arrow.ListOf(i64), false, 2, []node{{2, 0}, {2, 0}}, [][]byte{nil, le32(0, 1, 3), nil, le64(1, 2)}, quiver.MalformedBatch, "offsets reach to 3, the child has 2"},
		{"null in required items", arrow.ListOfNonNullable(i64), false, 1, []node{{1, 0}, {2, 1}}, [][]byte{nil, le32(0, 2), {1}, le64(1, 2)}, quiver.SchemaMismatch, `column "c.item": 1 nulls`},
		{"fixed-size list", arrow.FixedSizeListOf(2, i64), false, 1, []node{{1, 0}, {2, 0}}, [][]byte{nil, nil, le64(1, 2)}, "", ""},
		{"fixed-size list, long child", arrow.FixedSizeListOf(2, i64), false, 1, []node{{1, 0}, {3, 0}}, [][]byte{nil, nil, le64(1, 2, 3)}, quiver.MalformedBatch, "3 values where 2 belong"},
		{"struct, short child", arrow.StructOf(arrow.Field{Name: "x", Type: i64}), false, 2, []node{{2, 0}, {1, 0}}, [][]byte{nil, nil, le64(1)}, quiver.MalformedBatch, "1 values where 2"},
		{"struct, null under null", arrow.StructOf(arrow.Field{Name: "x", Type: i64}), false, 2, []node{{2, 1}, {2, 1}}, [][]byte{{1}, {1}, le64(1, 2)}, "", ""},
		{"struct, null under value", arrow.StructOf(arrow.Field{Name: "x", Type: i64}), false, 2, []node{{2, 1}, {2, 1}}, [][]byte{{1}, {2}, le64(1, 2)}, quiver.SchemaMismatch, `column "c.x"`},
		{"map, null key", arrow.MapOf(str, i64), false, 1, []node{{1, 0}, {1, 0}, {1, 1}, {1, 0}}, [][]byte{nil, le32(0, 1), nil, {0}, le32(0, 0), nil, nil, le64(1)}, quiver.SchemaMismatch, `column "c.entries.key"`},
		{"null type", arrow.Null, false, 3, []node{{3, 3}}, nil, "", ""},
		{"too many rows", arrow.Null, false, 1 << 30, []node{{1 << 30, 1 << 30}}, nil, quiver.BatchTooLarge, "rows in a body of 0 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := mustLayout(t, column(c.typ, !c.req))
			b, err := pass(l, forged(l, c.rows, c.nodes, None, c.bufs...), Limits{}, nil)
			if err == nil {
				checkShape(t, b)
				b.Release()
			}
			if got := quiver.ReasonOf(err); got != c.reason {
				t.Fatalf("%v, want %q", err, c.reason)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Fatalf("%v does not tell %q", err, c.text)
			}
		})
	}
}

// A body need not be padded at its end; what is stored of it is.
func TestGateTakesUnpaddedBody(t *testing.T) {
	l := mustLayout(t, column(arrow.BinaryTypes.String, true))
	b := &Batch{rows: 0, nodes: []node{{0, 0}}, buffers: []span{{}, {0, 4}, {4, 0}}, bodyLen: 4}
	m := rawMessage{make([]byte, batchMessageSize(1, 3)), make([]byte, 4)}
	b.putBatchMessage(m.meta)
	got, err := pass(l, m, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	checkShape(t, got)
	if got.bodyLen != bodyAlign {
		t.Fatalf("body of %d bytes", got.bodyLen)
	}
}

// A body without bytes may be none at all: that is how a batch without rows arrives. One that should have bytes and is
// none is refused.
func TestGateTakesNoBody(t *testing.T) {
	table := tableOf(t, column(arrow.PrimitiveTypes.Int64, true), nil)
	l, err := NewLayout(table)
	must(t, err)
	for _, client := range []arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32} {
		schema := column(client, true)
		in, err := NewInput(schema, nil, table, l, Limits{})
		must(t, err)
		sent := mustLayout(t, schema)
		b, err := in.Batch(forged(sent, 0, []node{{0, 0}}, None, nil, nil).meta, nil)
		if err != nil || b.Rows() != 0 {
			t.Fatalf("%s: %v", client, err)
		}
		b.Release()
		_, err = in.Batch(forged(sent, 1, []node{{1, 0}}, None, nil, le64(1)).meta, nil)
		if quiver.ReasonOf(err) != quiver.MalformedBatch {
			t.Fatalf("%s without its body: %v", client, err)
		}
		in.Close()
	}
}

// Bits behind the last row say nothing, also where they cannot be cut off because the bitmap is compressed.
func TestGateIgnoresSpareBits(t *testing.T) {
	l := mustLayout(t, column(arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int64}), true))
	for _, codec := range []Compression{None, LZ4, Zstd} {
		bufs := [][]byte{{0b11111101}, {0b00000001}, le64(1, 2)}
		if codec != None {
			for i := range bufs {
				bufs[i] = codec.appendCompressed(nil, bufs[i])
			}
		}
		b, err := pass(l, forged(l, 2, []node{{2, 1}, {2, 1}}, codec, bufs...), Limits{}, nil)
		if err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
		b.Release()
	}
}

// Buffers that overlap, do not ascend or are not aligned are laid out anew; what lies between is not kept.
func TestGateLaysOutAnew(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int64}}, nil)
	l := mustLayout(t, s)
	body := le64(1, 2, 3, 4)
	for _, c := range []struct {
		name string
		a, b span
		want [2][]byte
	}{
		{"same", span{0, 16}, span{0, 16}, [2][]byte{le64(1, 2), le64(1, 2)}},
		{"overlap", span{0, 16}, span{8, 16}, [2][]byte{le64(1, 2), le64(2, 3)}},
		{"backwards", span{16, 16}, span{0, 16}, [2][]byte{le64(3, 4), le64(1, 2)}},
		{"not aligned", span{0, 16}, span{17, 15}, [2][]byte{le64(1, 2), nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Batch{layout: l, rows: 2, nodes: []node{{2, 0}, {2, 0}}, buffers: []span{{}, c.a, {}, c.b}, bodyLen: int64(len(body))}
			meta := make([]byte, batchMessageSize(2, 4))
			b.putBatchMessage(meta)
			got, err := pass(l, rawMessage{meta, body}, Limits{}, nil)
			if c.want[1] == nil {
				if err == nil {
					t.Fatal("taken")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			checkShape(t, got)
			if !bytes.Equal(got.buffer(1), c.want[0]) || !bytes.Equal(got.buffer(3), c.want[1]) {
				t.Fatalf("%v %v", got.buffer(1), got.buffer(3))
			}
		})
	}
}

// What a client left between the buffers, behind their contents and behind the body does not stay.
func TestGateZeroesPadding(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8, Nullable: true}, {Name: "b", Type: arrow.BinaryTypes.String}}, nil)
	l := mustLayout(t, s)
	body := bytes.Repeat([]byte{0xAB}, 256)
	body[0] = 0b11101                     // 3 rows: the upper bits are not theirs
	copy(body[8:], []byte{1, 2, 3, 9, 9}) // longer than its rows
	copy(body[16:], le32(2, 3, 4, 5))     // offsets from 2 on
	copy(body[32:], "xyabc")              // the first two are nobody's
	b := &Batch{layout: l, rows: 3, nodes: []node{{3, 1}, {3, 0}},
		buffers: []span{{0, 8}, {8, 8}, {16, 0}, {16, 16}, {32, 8}}, bodyLen: int64(len(body))}
	meta := make([]byte, batchMessageSize(2, 5))
	b.putBatchMessage(meta)
	got, err := pass(l, rawMessage{meta, body}, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	want := make([]byte, 64)
	want[0] = 0b101
	copy(want[8:], []byte{1, 2, 3})
	copy(want[16:], le32(2, 3, 4, 5))
	copy(want[34:], "abc")
	if !bytes.Equal(bytes.Join(got.parts, nil), want) {
		t.Fatalf("%q", got.parts)
	}
}

// A body may not decompress to more than the limits allow, and nothing is allocated before that is known.
func TestGateRefusesBombs(t *testing.T) {
	l := mustLayout(t, column(arrow.PrimitiveTypes.Int64, true))
	for _, c := range []struct {
		declared int64
		limits   Limits
		reason   quiver.Reason
	}{
		{1 << 62, Limits{}, quiver.BatchTooLarge},
		{1 << 33, Limits{}, quiver.BatchTooLarge},
		{-2, Limits{}, quiver.MalformedBatch},
		{FreeRatio + 8, Limits{}, quiver.BatchTooLarge},
		{1 << 20, Limits{MaxDecompressed: 1 << 19}, quiver.BatchTooLarge},
		{1 << 20, Limits{}, quiver.MalformedBatch}, // within the limits, but not what the frame holds
	} {
		for _, codec := range []Compression{LZ4, Zstd} {
			packed := codec.appendCompressed(nil, make([]byte, 8*1024))
			binary.LittleEndian.PutUint64(packed, uint64(c.declared))
			rows := int(min(c.declared/8, 1<<21))
			m := forged(l, max(rows, 0), []node{{int64(max(rows, 0)), 0}}, codec, nil, packed)
			if _, err := pass(l, m, c.limits, nil); quiver.ReasonOf(err) != c.reason {
				t.Fatalf("%d declared: %v, want %s", c.declared, err, c.reason)
			}
		}
	}
}
