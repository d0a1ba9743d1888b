package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// put lets the messages of a stream through the gate of a table.
func put(t testing.TB, table *quiver.Schema, ms []rawMessage) ([]*Batch, error) {
	t.Helper()
	l, err := NewLayout(table)
	must(t, err)
	client, ids, err := ParseSchema(ms[0].meta)
	must(t, err)
	in, err := NewInput(client, ids, table, l, Limits{})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var bs []*Batch
	for _, m := range ms[1:] {
		msg, err := parseMessage(m.meta)
		must(t, err)
		body := staged(m.body)
		if msg.kind == messageDictionary {
			err = in.Dictionary(m.meta, body)
		} else {
			var b *Batch
			if b, err = in.Batch(m.meta, body); err == nil {
				bs = append(bs, b)
			}
		}
		body.Release()
		if err != nil {
			for _, b := range bs {
				b.Release()
			}
			return nil, err
		}
	}
	return bs, nil
}

func tableOf(t testing.TB, s *arrow.Schema, defaults map[string]any) *quiver.Schema {
	t.Helper()
	table, err := quiver.NewSchema(1, s, defaults)
	must(t, err)
	return table
}

// disguise lays out the values of an array in some other way that clients have for them, nested ones too.
func disguise(r *rand.Rand, a arrow.Array) arrow.Array {
	if r.IntN(6) == 0 && a.Len() > 0 {
		return asDictionary(r, a)
	}
	if r.IntN(8) == 0 && a.DataType().ID() != arrow.NULL {
		return asRuns(r, a)
	}
	switch a := a.(type) {
	case *array.String:
		return rebuilt(a, []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView}[r.IntN(3)])
	case *array.LargeString:
		return rebuilt(a, []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView}[r.IntN(3)])
	case *array.Binary:
		return rebuilt(a, []arrow.DataType{arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView}[r.IntN(3)])
	case *array.LargeBinary:
		return rebuilt(a, []arrow.DataType{arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView}[r.IntN(3)])
	case *array.List:
		return asList(r, a, a.DataType().(*arrow.ListType).ElemField(), a.ListValues())
	case *array.LargeList:
		return asList(r, a, a.DataType().(*arrow.LargeListType).ElemField(), a.ListValues())
	case *array.Struct:
		return asStruct(r, a)
	}
	a.Retain()
	return a
}

// rebuilt copies texts into another type.
func rebuilt(a arrow.Array, t arrow.DataType) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
			continue
		}
		var text []byte
		switch a := a.(type) {
		case *array.String:
			text = []byte(a.Value(i))
		case *array.LargeString:
			text = []byte(a.Value(i))
		case *array.Binary:
			text = a.Value(i)
		case *array.LargeBinary:
			text = a.Value(i)
		}
		switch b := b.(type) {
		case *array.StringViewBuilder:
			b.Append(string(text))
		case array.StringLikeBuilder:
			b.Append(string(text))
		case *array.BinaryViewBuilder:
			b.Append(text)
		case array.BinaryLikeBuilder:
			b.Append(text)
		}
	}
	return b.NewArray()
}

// asDictionary makes the values a dictionary, in another order, and the rows indices into it.
func asDictionary(r *rand.Rand, a arrow.Array) arrow.Array {
	perm := r.Perm(a.Len())
	parts := make([]arrow.Array, len(perm))
	for i, p := range perm {
		parts[p] = array.NewSlice(a, int64(i), int64(i+1))
	}
	defer releaseAll(parts)
	whole, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		panic(err)
	}
	defer whole.Release()
	values := disguiseFlat(r, whole)
	defer values.Release()
	types := []arrow.DataType{arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint64}
	if len(perm) < 100 {
		types = append(types, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int16)
	}
	index := types[r.IntN(len(types))]
	b := array.NewBuilder(memory.DefaultAllocator, index)
	defer b.Release()
	for i, p := range perm {
		if a.IsNull(i) && r.IntN(2) == 0 {
			b.AppendNull()
			continue
		}
		must1(b.AppendValueFromString(fmt.Sprint(p)))
	}
	indices := b.NewArray()
	defer indices.Release()
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: index, ValueType: values.DataType()}, indices, values)
}

// disguiseFlat disguises texts only: arrow-go's own writer does not know every layout within a dictionary.
func disguiseFlat(r *rand.Rand, a arrow.Array) arrow.Array {
	switch a.(type) {
	case *array.String, *array.LargeString:
		return rebuilt(a, []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString}[r.IntN(2)])
	}
	a.Retain()
	return a
}

// asRuns makes one run of neighbours that are equal.
func asRuns(r *rand.Rand, a arrow.Array) arrow.Array {
	var parts []arrow.Array
	b := array.NewInt32Builder(memory.DefaultAllocator)
	defer b.Release()
	for i := range a.Len() {
		if i > 0 && r.IntN(4) > 0 && array.SliceEqual(a, int64(i-1), int64(i), a, int64(i), int64(i+1)) {
			continue
		}
		if i > 0 {
			b.Append(int32(i))
		}
		parts = append(parts, array.NewSlice(a, int64(i), int64(i+1)))
	}
	defer releaseAll(parts)
	if a.Len() == 0 {
		a.Retain()
		return a
	}
	b.Append(int32(a.Len()))
	values, err := array.Concatenate(parts, memory.DefaultAllocator)
	must1(err)
	defer values.Release()
	ends := b.NewArray()
	defer ends.Release()
	return array.NewRunEndEncodedArray(ends, values, a.Len(), 0)
}

func must1(err error) {
	if err != nil {
		panic(err)
	}
}

// asList makes a list of any of the four layouts.
func asList(r *rand.Rand, a array.ListLike, elem arrow.Field, child arrow.Array) arrow.Array {
	values := disguise(r, child)
	defer func() { values.Release() }()
	elem.Type = values.DataType()
	layout := r.IntN(4)
	width, views := 4+4*(layout&1), layout >= 2
	if views && values.Len() > 0 && elem.Type.ID() != arrow.RUN_END_ENCODED && elem.Type.ID() != arrow.DICTIONARY {
		whole, err := array.Concatenate([]arrow.Array{values, values}, memory.DefaultAllocator)
		must1(err)
		values.Release()
		values = whole
	}
	offsets, sizes := make([]byte, (a.Len()+1)*width), make([]byte, a.Len()*width)
	for i := range a.Len() {
		from, until := a.ValueOffsets(i)
		storeIndex(offsets, i+1, width, until)
		if i == 0 || views {
			storeIndex(offsets, i, width, from)
		}
		if views {
			storeIndex(sizes, i, width, until-from)
			if values.Len() >= 2*child.Len() && r.IntN(2) == 0 {
				storeIndex(offsets, i, width, from+int64(child.Len()))
			}
		}
	}
	var valid []byte
	if a.NullN() > 0 {
		valid = make([]byte, bitBytes(a.Len()))
		copyBits(valid, 0, a.NullBitmapBytes(), a.Data().Offset(), a.Len())
	}
	buffers := []*memory.Buffer{memory.NewBufferBytes(valid), memory.NewBufferBytes(offsets)}
	types := []arrow.DataType{arrow.ListOfField(elem), arrow.LargeListOfField(elem), arrow.ListViewOfField(elem), arrow.LargeListViewOfField(elem)}
	if views {
		buffers[1] = memory.NewBufferBytes(offsets[:a.Len()*width])
		buffers = append(buffers, memory.NewBufferBytes(sizes))
	}
	if valid == nil {
		buffers[0] = nil
	}
	data := array.NewData(types[layout], a.Len(), buffers, []arrow.ArrayData{values.Data()}, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// asStruct disguises the fields and puts them in another order.
func asStruct(r *rand.Rand, a *array.Struct) arrow.Array {
	t := a.DataType().(*arrow.StructType)
	var fields []arrow.Field
	var children []arrow.ArrayData
	for _, i := range r.Perm(t.NumFields()) {
		c := disguise(r, a.Field(i))
		defer c.Release()
		f := t.Field(i)
		f.Type = c.DataType()
		fields, children = append(fields, f), append(children, c.Data())
	}
	var valid *memory.Buffer
	if a.NullN() > 0 {
		bitmap := make([]byte, bitBytes(a.Len()))
		copyBits(bitmap, 0, a.NullBitmapBytes(), a.Data().Offset(), a.Len())
		valid = memory.NewBufferBytes(bitmap)
	}
	data := array.NewData(arrow.StructOf(fields...), a.Len(), []*memory.Buffer{valid}, children, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// compactRecord draws rows that are no slices: arrow-go's own writer fails on some of those.
func compactRecord(t *testing.T, r *rand.Rand, s *arrow.Schema) arrow.RecordBatch {
	t.Helper()
	rec := randomRecord(r, memory.DefaultAllocator, s, randomRows(r))
	defer rec.Release()
	b, err := Encode(testLayout(t, s), rec, None)
	must(t, err)
	defer b.Release()
	return decode(t, b)
}

func compressions() [][]aipc.Option {
	return [][]aipc.Option{nil, {aipc.WithLZ4()}, {aipc.WithZstd()}}
}

// TestInputOfLayouts: whatever layout a client has for the values, the table gets the same values.
func TestInputOfLayouts(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		schema := randomSchema(r, r.IntN(3))
		table := tableOf(t, schema, nil)
		want := compactRecord(t, r, schema)
		defer want.Release()
		var cols []arrow.Array
		var fields []arrow.Field
		for _, i := range r.Perm(schema.NumFields()) {
			c := disguise(r, want.Column(i))
			defer c.Release()
			cols = append(cols, c)
			fields = append(fields, arrow.Field{Name: schema.Field(i).Name, Type: c.DataType(), Nullable: true})
		}
		sent := array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, want.NumRows())
		defer sent.Release()
		compression := r.IntN(3)
		bs, err := put(t, table, streamOf(t, sent.Schema(), []arrow.RecordBatch{sent}, compressions()[compression]...))
		if err != nil {
			t.Fatalf("%v\n%v", err, sent)
		}
		defer bs[0].Release()
		mustBeAligned(t, "put", bs[0], 8)
		mustPassAgain(t, "put", bs[0])
		if bs[0].Compression() != Compression(compression) {
			t.Fatalf("compressed as %s", bs[0].Compression())
		}
		got := decode(t, bs[0])
		defer got.Release()
		mustEqual(t, "put", got, want)
	})
}

// TestInputRaw: what comes as the table has it is stored byte for byte.
func TestInputRaw(t *testing.T) {
	seeded(t, 100, func(t *testing.T, r *rand.Rand) {
		schema := randomSchema(r, r.IntN(3))
		table := tableOf(t, schema, nil)
		want := compactRecord(t, r, schema)
		defer want.Release()
		ms := streamOf(t, want.Schema(), []arrow.RecordBatch{want}, compressions()[r.IntN(3)]...)
		l, err := NewLayout(table)
		must(t, err)
		in, err := NewInput(want.Schema(), nil, table, l, Limits{})
		must(t, err)
		defer in.Close()
		body := staged(ms[1].body)
		defer body.Release()
		b, err := in.Batch(ms[1].meta, body)
		must(t, err)
		defer b.Release()
		mustBeAligned(t, "raw", b, 8)
		if len(b.owners) != 1 || b.owners[0] != body {
			t.Fatal("the batch does not stand on the body that came")
		}
		got := decode(t, b)
		defer got.Release()
		mustEqual(t, "raw", got, want)
	})
}

func field(name string, t arrow.DataType, nullable bool) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: nullable}
}

// column builds a column from the text of its values, "null" standing for null.
func columnFrom(t arrow.DataType, texts ...string) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for _, text := range texts {
		if text == "null" {
			b.AppendNull()
			continue
		}
		must1(b.AppendValueFromString(text))
	}
	return b.NewArray()
}

func recordFrom(fields []arrow.Field, cols ...arrow.Array) arrow.RecordBatch {
	defer releaseAll(cols)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, -1)
}

func TestInputWidens(t *testing.T) {
	stamp := func(u arrow.TimeUnit) arrow.DataType { return &arrow.TimestampType{Unit: u, TimeZone: "UTC"} }
	dec := func(p int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: 2} }
	dec256 := &arrow.Decimal256Type{Precision: 40, Scale: 2}
	p := arrow.PrimitiveTypes
	for _, c := range []struct {
		from, to arrow.DataType
		in, out  []string
		fails    string
	}{
		{p.Int8, p.Int16, []string{"-128", "null", "127"}, []string{"-128", "null", "127"}, ""},
		{p.Int8, p.Int64, []string{"-128", "null", "127"}, []string{"-128", "null", "127"}, ""},
		{p.Int32, p.Int64, []string{"-2147483648", "null"}, []string{"-2147483648", "null"}, ""},
		{p.Uint8, p.Int16, []string{"255"}, []string{"255"}, ""},
		{p.Uint32, p.Uint64, []string{"4294967295"}, []string{"4294967295"}, ""},
		{p.Uint16, p.Uint32, []string{"65535"}, []string{"65535"}, ""},
		{p.Float32, p.Float64, []string{"1.5", "null"}, []string{"1.5", "null"}, ""},
		{p.Int32, p.Float64, []string{"-2147483648"}, []string{"-2147483648"}, ""},
		{p.Uint16, p.Float64, []string{"65535"}, []string{"65535"}, ""},
		{dec(5), dec(30), []string{"-123.45", "null"}, []string{"-123.45", "null"}, ""},
		{dec(5), dec256, []string{"-123.45", "999.99"}, []string{"-123.45", "999.99"}, ""},
		{stamp(arrow.Second), stamp(arrow.Nanosecond), []string{"2026-11-22T10:00:00Z", "null"}, []string{"2026-11-22T10:00:00Z", "null"}, ""},
		{stamp(arrow.Nanosecond), stamp(arrow.Millisecond), []string{"2026-11-22T10:00:00.123Z"}, []string{"2026-11-22T10:00:00.123Z"}, ""},
		{stamp(arrow.Nanosecond), stamp(arrow.Millisecond), []string{"null", "2026-11-22T10:00:00.1231Z"}, nil, "row 1"},
		{stamp(arrow.Second), stamp(arrow.Nanosecond), []string{"2400-11-22T10:00:00Z"}, nil, "row 0"},
		{arrow.Null, p.Int64, []string{"null", "null"}, []string{"null", "null"}, ""},
		{arrow.Null, arrow.ListOf(p.Int64), []string{"null"}, []string{"null"}, ""},
	} {
		t.Run(fmt.Sprintf("%s to %s", c.from, c.to), func(t *testing.T) {
			live := buf.Live()
			for _, options := range compressions() {
				table := tableOf(t, arrow.NewSchema([]arrow.Field{field("id", p.Int32, false), field("x", c.to, true)}, nil), nil)
				ids := make([]string, len(c.in))
				for i := range ids {
					ids[i] = fmt.Sprint(i)
				}
				sent := recordFrom([]arrow.Field{field("x", c.from, true), field("id", p.Int32, true)},
					columnFrom(c.from, c.in...), columnFrom(p.Int32, ids...))
				defer sent.Release()
				bs, err := put(t, table, streamOf(t, sent.Schema(), []arrow.RecordBatch{sent}, options...))
				if c.fails != "" {
					if quiver.ReasonOf(err) != quiver.SchemaMismatch || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), `"x"`) {
						t.Fatalf("error %v, want %q", err, c.fails)
					}
					continue
				}
				must(t, err)
				want := recordFrom(table.Arrow().Fields(), columnFrom(p.Int32, ids...), columnFrom(c.to, c.out...))
				got := decode(t, bs[0])
				mustEqual(t, "put", got, want)
				want.Release()
				got.Release()
				bs[0].Release()
			}
			if now := buf.Live(); now != live {
				t.Errorf("%d buffers are still held", now-live)
			}
		})
	}
}

func TestInputFills(t *testing.T) {
	p := arrow.PrimitiveTypes
	live := buf.Live()
	table := tableOf(t, arrow.NewSchema([]arrow.Field{
		field("id", p.Int64, false), field("name", arrow.BinaryTypes.String, false), field("at", p.Float64, true),
		field("tags", arrow.ListOf(arrow.BinaryTypes.String), true),
		field("place", arrow.StructOf(field("x", p.Int8, false), field("y", p.Int8, true)), true),
	}, nil), map[string]any{"name": "nobody"})
	for _, options := range compressions() {
		sent := recordFrom([]arrow.Field{field("id", p.Int64, true)}, columnFrom(p.Int64, "1", "2", "3"))
		bs, err := put(t, table, streamOf(t, sent.Schema(), []arrow.RecordBatch{sent}, options...))
		must(t, err)
		mustBeSound(t, "put", bs[0])
		got := decode(t, bs[0])
		want := recordFrom(table.Arrow().Fields(), columnFrom(p.Int64, "1", "2", "3"),
			columnFrom(arrow.BinaryTypes.String, "nobody", "nobody", "nobody"), columnFrom(p.Float64, "null", "null", "null"),
			columnFrom(arrow.ListOf(arrow.BinaryTypes.String), "null", "null", "null"),
			columnFrom(table.Arrow().Field(4).Type, "null", "null", "null"))
		mustEqual(t, "filled", got, want)
		got.Release()
		want.Release()
		sent.Release()
		bs[0].Release()
	}
	if now := buf.Live(); now != live {
		t.Errorf("%d buffers are still held", now-live)
	}
}

func TestInputRefusesNulls(t *testing.T) {
	p := arrow.PrimitiveTypes
	for _, sentType := range []arrow.DataType{p.Int64, p.Int32, &arrow.DictionaryType{IndexType: p.Int8, ValueType: p.Int64}} {
		for _, options := range compressions() {
			table := tableOf(t, arrow.NewSchema([]arrow.Field{field("n", p.Int8, true), field("id", p.Int64, false)}, nil), nil)
			sent := recordFrom([]arrow.Field{field("id", sentType, true), field("n", p.Int8, true)},
				columnFrom(sentType, "1", "null"), columnFrom(p.Int8, "null", "null"))
			_, err := put(t, table, streamOf(t, sent.Schema(), []arrow.RecordBatch{sent}, options...))
			if quiver.ReasonOf(err) != quiver.SchemaMismatch || !strings.Contains(fmt.Sprint(err), `"id"`) {
				t.Errorf("%s: %v", sentType, err)
			}
			sent.Release()
		}
	}
}

// TestInputNestedNulls: a required field below a null struct may be null, elsewhere it may not, whatever is converted.
func TestInputNestedNulls(t *testing.T) {
	p := arrow.PrimitiveTypes
	for _, sentType := range []arrow.DataType{p.Int64, p.Int32, &arrow.DictionaryType{IndexType: p.Int8, ValueType: p.Int64}} {
		for _, shape := range []func(f arrow.Field) arrow.DataType{
			func(f arrow.Field) arrow.DataType { return arrow.StructOf(f) },
			func(f arrow.Field) arrow.DataType { return arrow.FixedSizeListOfField(1, f) },
		} {
			table := tableOf(t, arrow.NewSchema([]arrow.Field{field("s", shape(field("a", p.Int64, false)), true)}, nil), nil)
			for nulls, fine := range map[byte]bool{0b11: false, 0b01: true} {
				child := columnFrom(sentType, "1", "null")
				data := array.NewData(shape(field("a", sentType, true)), 2, []*memory.Buffer{memory.NewBufferBytes([]byte{nulls})},
					[]arrow.ArrayData{child.Data()}, array.UnknownNullCount, 0)
				column := array.MakeFromData(data)
				sent := recordFrom([]arrow.Field{field("s", column.DataType(), true)}, column)
				bs, err := put(t, table, streamOf(t, sent.Schema(), []arrow.RecordBatch{sent}))
				switch {
				case fine && err != nil:
					t.Errorf("%s: %v", column.DataType(), err)
				case !fine && quiver.ReasonOf(err) != quiver.SchemaMismatch:
					t.Errorf("%s: a null passes as required: %v", column.DataType(), err)
				}
				for _, b := range bs {
					mustPassAgain(t, "put", b)
					b.Release()
				}
			}
		}
	}
}

// TestInputDictionaries: dictionaries are replaced and added to between batches.
func TestInputDictionaries(t *testing.T) {
	dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	table := tableOf(t, arrow.NewSchema([]arrow.Field{field("s", arrow.BinaryTypes.String, true)}, nil), nil)
	batches := [][]string{{"a", "b", "null"}, {"a", "c"}, {"d", "c", "b", "a"}}
	for _, deltas := range []bool{true, false} {
		live := buf.Live()
		var recs []arrow.RecordBatch
		b := array.NewDictionaryBuilder(memory.DefaultAllocator, dt).(*array.BinaryDictionaryBuilder)
		for _, texts := range batches {
			for _, text := range texts {
				if text == "null" {
					b.AppendNull()
				} else {
					must(t, b.AppendString(text))
				}
			}
			var a arrow.Array
			if deltas { // the same dictionary, longer each time
				a = cumulative(t, b, dt)
			} else {
				a = b.NewArray()
				b.ResetFull()
			}
			recs = append(recs, recordFrom([]arrow.Field{field("s", dt, true)}, a))
		}
		options := []aipc.Option{aipc.WithDictionaryDeltas(deltas)}
		ms := streamOf(t, recs[0].Schema(), recs, options...)
		kinds := ""
		for _, m := range ms {
			msg, err := parseMessage(m.meta)
			must(t, err)
			kinds += fmt.Sprint(msg.kind)
			if msg.delta {
				kinds += "+"
			}
		}
		bs, err := put(t, table, ms)
		if err != nil {
			t.Fatalf("deltas %v, messages %s: %v", deltas, kinds, err)
		}
		for i, texts := range batches {
			want := recordFrom(table.Arrow().Fields(), columnFrom(arrow.BinaryTypes.String, texts...))
			got := decode(t, bs[i])
			mustEqual(t, fmt.Sprintf("batch %d, deltas %v, messages %s", i, deltas, kinds), got, want)
			want.Release()
			got.Release()
			bs[i].Release()
			recs[i].Release()
		}
		b.Release()
		if now := buf.Live(); now != live {
			t.Errorf("%d buffers are still held", now-live)
		}
		if deltas != strings.Contains(kinds, "+") {
			t.Errorf("messages %s", kinds)
		}
	}
}

// cumulative is the rows since the last call, with all the dictionary so far.
func cumulative(t *testing.T, b *array.BinaryDictionaryBuilder, dt *arrow.DictionaryType) arrow.Array {
	t.Helper()
	a := b.NewDictionaryArray()
	defer a.Release()
	a.Retain()
	return a
}

// TestInputDictionaryOfTwoTypes: a number that two columns use as different values is refused, not mistaken.
func TestInputDictionaryOfTwoTypes(t *testing.T) {
	p := arrow.PrimitiveTypes
	client := arrow.NewSchema([]arrow.Field{
		field("a", &arrow.DictionaryType{IndexType: p.Int8, ValueType: arrow.BinaryTypes.String}, true),
		field("b", &arrow.DictionaryType{IndexType: p.Int8, ValueType: p.Int64}, true),
	}, nil)
	table := tableOf(t, arrow.NewSchema([]arrow.Field{field("a", arrow.BinaryTypes.String, true), field("b", p.Int64, true)}, nil), nil)
	l, err := NewLayout(table)
	must(t, err)
	if _, err := NewInput(client, []int64{3, 3}, table, l, Limits{}); quiver.ReasonOf(err) != quiver.SchemaMismatch {
		t.Errorf("one dictionary for texts and numbers: %v", err)
	}
	in, err := NewInput(client, []int64{3, 4}, table, l, Limits{})
	must(t, err)
	in.Close()
}

// TestInputBombs: a few bytes that stand for very many are refused before memory is taken.
func TestInputBombs(t *testing.T) {
	p := arrow.PrimitiveTypes
	text := columnFrom(arrow.BinaryTypes.String, strings.Repeat("x", 1<<20))
	defer text.Release()
	zeros := func(t arrow.DataType, n int) arrow.Array {
		return columnFrom(t, strings.Split(strings.Repeat("0 ", n-1)+"0", " ")...)
	}
	dictionary := func() arrow.Array {
		indices := zeros(p.Int16, 4000)
		defer indices.Release()
		return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: p.Int16, ValueType: arrow.BinaryTypes.String}, indices, text)
	}
	views := func() arrow.Array {
		const n = 20_000
		offsets, sizes := make([]byte, 4*n), make([]byte, 4*n)
		for i := range n {
			storeIndex(sizes, i, 4, n)
		}
		child := zeros(p.Int8, n)
		defer child.Release()
		data := array.NewData(arrow.ListViewOf(p.Int8), n, []*memory.Buffer{nil, memory.NewBufferBytes(offsets), memory.NewBufferBytes(sizes)},
			[]arrow.ArrayData{child.Data()}, 0, 0)
		defer data.Release()
		return array.MakeFromData(data)
	}
	runs := func() arrow.Array {
		ends := columnFrom(p.Int32, "5000")
		defer ends.Release()
		return array.NewRunEndEncodedArray(ends, text, 5000, 0)
	}
	sameView := func() arrow.Array {
		b := array.NewStringViewBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Append(strings.Repeat("x", 30_000))
		one := b.NewArray()
		defer one.Release()
		buffers := one.Data().Buffers()
		view := bytes.Repeat(buffers[1].Bytes()[:viewSize], 60_000)
		data := array.NewData(arrow.BinaryTypes.StringView, 60_000, []*memory.Buffer{nil, memory.NewBufferBytes(view), buffers[2]}, nil, 0, 0)
		defer data.Release()
		return array.MakeFromData(data)
	}
	for name, c := range map[string]struct {
		make func() arrow.Array
		to   arrow.DataType
	}{
		"dictionary": {dictionary, arrow.BinaryTypes.LargeString},
		"list views": {views, arrow.ListOf(p.Int8)},
		"runs":       {runs, arrow.BinaryTypes.String},
		"views":      {sameView, arrow.BinaryTypes.String},
	} {
		column := c.make()
		sent := recordFrom([]arrow.Field{field("s", column.DataType(), true)}, column)
		ms := streamOf(t, sent.Schema(), []arrow.RecordBatch{sent})
		sent.Release()
		table := tableOf(t, arrow.NewSchema([]arrow.Field{field("s", c.to, true)}, nil), nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := put(t, table, ms)
		runtime.ReadMemStats(&after)
		if quiver.ReasonOf(err) != quiver.BatchTooLarge {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: took %d bytes", name, took)
		}
	}
}

// BenchmarkInput is the way of what pandas and polars send into a table of strings, beside that of plain columns.
func BenchmarkInput(b *testing.B) {
	rec := benchRecord(10, 65536, "")
	table := tableOf(b, rec.Schema(), nil)
	l, err := NewLayout(table)
	must(b, err)
	variants := map[string]func(a arrow.Array) arrow.Array{
		"plain":        func(a arrow.Array) arrow.Array { a.Retain(); return a },
		"large_string": func(a arrow.Array) arrow.Array { return rebuilt(a, arrow.BinaryTypes.LargeString) },
		"string_view":  func(a arrow.Array) arrow.Array { return rebuilt(a, arrow.BinaryTypes.StringView) },
		"dictionary":   func(a arrow.Array) arrow.Array { return asDictionary(rand.New(rand.NewPCG(1, 1)), a) },
	}
	for _, name := range []string{"plain", "large_string", "string_view", "dictionary"} {
		b.Run(name, func(b *testing.B) {
			fields, cols := rec.Schema().Fields(), make([]arrow.Array, rec.NumCols())
			for i, c := range rec.Columns() {
				cols[i] = c
				if c.DataType().ID() == arrow.STRING {
					cols[i] = variants[name](c)
				}
				fields[i].Type = cols[i].DataType()
			}
			sent := array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, rec.NumRows())
			ms := streamOf(b, sent.Schema(), []arrow.RecordBatch{sent})
			_, ids, err := ParseSchema(ms[0].meta)
			must(b, err)
			in, err := NewInput(sent.Schema(), ids, table, l, Limits{})
			must(b, err)
			defer in.Close()
			for _, m := range ms[1 : len(ms)-1] {
				body := staged(m.body)
				must(b, in.Dictionary(m.meta, body))
				body.Release()
			}
			last := ms[len(ms)-1]
			body := staged(last.body)
			defer body.Release()
			b.SetBytes(int64(len(last.body)))
			b.ReportAllocs()
			for b.Loop() {
				batch, err := in.Batch(last.meta, body)
				must(b, err)
				batch.Release()
			}
		})
	}
}
