package record

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// What is wrong in a layout that only clients send is refused just as well.
func TestGateRefusesInClientLayouts(t *testing.T) {
	i32, i64, str := arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	dict := func(index arrow.DataType) arrow.DataType {
		return &arrow.DictionaryType{IndexType: index, ValueType: str}
	}
	values := array.NewStringBuilder(memory.DefaultAllocator)
	values.AppendValues([]string{"a", "b"}, nil)
	known := map[int64]arrow.Array{0: values.NewArray()}
	runs := arrow.RunEndEncodedOf(i32, i64)
	for _, c := range []struct {
		name   string
		typ    arrow.DataType
		rows   int
		nodes  []node
		bufs   [][]byte
		reason quiver.Reason // "": taken
		text   string
	}{
		{"dictionary", dict(arrow.PrimitiveTypes.Uint8), 2, []node{{2, 0}}, [][]byte{nil, {0, 1}}, "", ""},
		{"index too high", dict(arrow.PrimitiveTypes.Uint8), 2, []node{{2, 0}}, [][]byte{nil, {0, 2}}, quiver.MalformedBatch, "index 1 is not in the dictionary of 2 values"},
		{"index negative", dict(arrow.PrimitiveTypes.Int64), 1, []node{{1, 0}}, [][]byte{nil, le64(-1)}, quiver.MalformedBatch, "index 0 is not"},
		{"index negative, behind a null", dict(arrow.PrimitiveTypes.Int8), 2, []node{{2, 1}}, [][]byte{{2}, {0xFF, 1}}, "", ""},

		{"list view", arrow.ListViewOf(i64), 2, []node{{2, 0}, {2, 0}}, [][]byte{nil, le32(1, 0), le32(1, 2), nil, le64(1, 2)}, "", ""},
		{"list view beyond its child", arrow.ListViewOf(i64), 2, []node{{2, 0}, {2, 0}}, [][]byte{nil, le32(1, 0), le32(2, 2), nil, le64(1, 2)}, quiver.MalformedBatch, "value 0 lies at 1+2, the child has 2"},
		{"list view of negative size", arrow.ListViewOf(i64), 1, []node{{1, 0}, {2, 0}}, [][]byte{nil, le32(1), le32(-1), nil, le64(1, 2)}, quiver.MalformedBatch, "value 0 lies at 1+-1"},
		{"list view that overflows", arrow.LargeListViewOf(i64), 1, []node{{1, 0}, {2, 0}}, [][]byte{nil, le64(1), le64(1<<63 - 1), nil, le64(1, 2)}, quiver.MalformedBatch, "value 0 lies"},

		{"runs", runs, 3, []node{{3, 0}, {2, 0}, {2, 0}}, [][]byte{nil, le32(1, 3), nil, le64(1, 2)}, "", ""},
		{"runs beyond the rows", runs, 3, []node{{3, 0}, {2, 0}, {2, 0}}, [][]byte{nil, le32(1, 9), nil, le64(1, 2)}, "", ""},
		{"runs that do not rise", runs, 3, []node{{3, 0}, {2, 0}, {2, 0}}, [][]byte{nil, le32(3, 3), nil, le64(1, 2)}, quiver.MalformedBatch, "run 1 ends at 3, the one before at 3"},
		{"runs from zero", runs, 3, []node{{3, 0}, {2, 0}, {2, 0}}, [][]byte{nil, le32(0, 3), nil, le64(1, 2)}, quiver.MalformedBatch, "run 0 ends at 0"},
		{"runs too short", runs, 3, []node{{3, 0}, {2, 0}, {2, 0}}, [][]byte{nil, le32(1, 2), nil, le64(1, 2)}, quiver.MalformedBatch, "runs end at 2, the array has 3"},
		{"null run end", runs, 3, []node{{3, 0}, {2, 1}, {2, 0}}, [][]byte{{1}, le32(1, 3), nil, le64(1, 2)}, quiver.SchemaMismatch, "1 nulls in a required column"},
		{"nulls of the runs themselves", runs, 3, []node{{3, 1}, {2, 0}, {2, 0}}, [][]byte{nil, le32(1, 3), nil, le64(1, 2)}, quiver.MalformedBatch, "1 nulls in a run-end"},
		{"fewer values than runs", runs, 3, []node{{3, 0}, {2, 0}, {1, 0}}, [][]byte{nil, le32(1, 3), nil, le64(1)}, quiver.MalformedBatch, "1 values where 2"},
		{"no views counted", arrow.BinaryTypes.StringView, 1, []node{{1, 0}}, [][]byte{nil, make([]byte, 16)}, quiver.MalformedBatch, "counts for 0 arrays of views, the schema has 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := pass(mustLayout(t, column(c.typ, true)), forged(mustLayout(t, column(c.typ, true)), c.rows, c.nodes, None, c.bufs...), Limits{}, known)
			if err == nil {
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
	m := forged(nil, 2, []node{{2, 0}}, None, nil, []byte{0, 1})
	if _, err := pass(mustLayout(t, column(dict(arrow.PrimitiveTypes.Uint8), true)), m, Limits{}, nil); quiver.ReasonOf(err) != quiver.MalformedBatch {
		t.Fatalf("an index before its dictionary: %v", err)
	}
}

// Views must lie in their data, show its first bytes, and have nothing behind a short text.
func TestGateRefusesViews(t *testing.T) {
	b := array.NewStringViewBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"short", "a text too long for a view"}, nil)
	rec := array.NewRecordBatch(column(arrow.BinaryTypes.StringView, true), []arrow.Array{b.NewArray()}, 2)
	l := mustLayout(t, rec.Schema())
	sound := streamOf(t, rec.Schema(), []arrow.RecordBatch{rec})[1]
	at := bytes.Index(sound.body, []byte("short")) - 4
	for _, c := range []struct {
		name string
		at   int
		b    byte
	}{
		{"something behind a short text", at + 4 + 5, 'x'},
		{"negative length", at + 3, 0x80},
		{"longer than its data", at + 16, 0x7F},
		{"other first bytes", at + 16 + 4, 'x'},
		{"no such data buffer", at + 16 + 8, 1},
		{"beyond its data", at + 16 + 12, 0x7F},
		{"negative place", at + 16 + 15, 0x80},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := rawMessage{sound.meta, bytes.Clone(sound.body)}
			m.body[c.at] = c.b
			if _, err := pass(l, m, Limits{}, nil); quiver.ReasonOf(err) != quiver.MalformedBatch {
				t.Fatal(err)
			}
		})
	}
	got, err := pass(l, sound, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.Release()
}

// Schemas that are not taken are refused by the name of the column, before any batch.
func TestLayoutRefuses(t *testing.T) {
	deep := arrow.PrimitiveTypes.Int32
	for range maxDepth {
		deep = arrow.ListOf(deep)
	}
	for _, c := range []struct {
		typ  arrow.DataType
		text string
	}{
		{&arrow.Decimal32Type{Precision: 3}, `column "c": type decimal32 is not taken`},
		{&arrow.Decimal64Type{Precision: 3}, `column "c": type decimal64 is not taken`},
		{arrow.ListOf(arrow.SparseUnionOf(nil, nil)), `column "c.item": type sparse_union is not taken`},
		{&arrow.Decimal128Type{Precision: 39}, "1 to 38 digits, not 39"},
		{&arrow.Decimal256Type{Precision: 0}, "1 to 76 digits, not 0"},
		{deep, "nested deeper than 32"},
	} {
		_, err := InputLayout(column(c.typ, true), nil)
		if quiver.ReasonOf(err) != quiver.SchemaMismatch || !strings.Contains(err.Error(), c.text) {
			t.Fatalf("%s: %v, want %q", c.typ, err, c.text)
		}
	}
	fields := make([]arrow.Field, maxColumns+1)
	for i := range fields {
		fields[i] = arrow.Field{Name: strings.Repeat("x", i+1), Type: arrow.PrimitiveTypes.Int8}
	}
	if _, err := InputLayout(arrow.NewSchema(fields, nil), nil); quiver.ReasonOf(err) != quiver.SchemaMismatch {
		t.Fatal(err)
	}
}

// Many buffers that share the same bytes do not become a body beyond the limit.
func TestGateRefusesSharedBytes(t *testing.T) {
	const columns, rows = 200, 8 << 10
	fields := make([]arrow.Field, columns)
	b := &Batch{rows: rows, bodyLen: 8 * rows}
	for i := range fields {
		fields[i] = arrow.Field{Name: string(rune('a' + i)), Type: arrow.PrimitiveTypes.Int64}
		b.nodes = append(b.nodes, node{rows, 0})
		b.buffers = append(b.buffers, span{}, span{0, 8 * rows})
	}
	m := rawMessage{make([]byte, batchMessageSize(columns, 2*columns)), make([]byte, b.bodyLen)}
	b.putBatchMessage(m.meta)
	l := mustLayout(t, arrow.NewSchema(fields, nil))
	if got := allocated(func() {
		if _, err := pass(l, m, Limits{MaxBody: 1 << 20}, nil); quiver.ReasonOf(err) != quiver.BatchTooLarge {
			t.Fatal(err)
		}
	}); got > 4<<20 {
		t.Fatalf("allocated %d", got)
	}
}

// Dictionaries are found by the numbers that the schema message gives them, also one within another.
func TestDictionaryNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	s := arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: clientTypes[0], Nullable: true},
		{Name: "b", Type: clientTypes[len(clientTypes)-1], Nullable: true},
		{Name: "c", Type: clientTypes[1], Nullable: true},
	}, nil)
	rec := fuzzRecord(r, s, 5)
	defer rec.Release()
	msgs := streamOf(t, s, []arrow.RecordBatch{rec})
	got, ids, err := ParseSchema(msgs[0].meta)
	if err != nil || !got.Equal(s) || len(ids) != 3 {
		t.Fatal(got, ids, err)
	}
	l, err := InputLayout(got, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []*slot{&l.slots[0], &l.slots[1].children[0], &l.slots[2]} {
		if want.dict != ids[i] {
			t.Fatalf("%s has dictionary %d, want %d", want.name, want.dict, ids[i])
		}
	}
	if _, err := InputLayout(got, ids[:2]); quiver.ReasonOf(err) != quiver.SchemaMismatch {
		t.Fatal(err)
	}
}
