package record

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/arrow/scalar"

	"github.com/quiverlog/quiver"
)

// versions makes schemas of one table: ids rise over all of them.
type versions struct {
	r    *rand.Rand
	last quiver.ColumnID
	id   quiver.SchemaID
}

// withFieldID puts an id on a field alone.
func withFieldID(f arrow.Field, id quiver.ColumnID) arrow.Field {
	f.Metadata = arrow.NewMetadata([]string{quiver.FieldIDKey}, []string{strconv.Itoa(int(id))})
	return f
}

// fresh gives a new field, and what is nested in it, ids of its own.
func (v *versions) fresh(f arrow.Field) arrow.Field {
	v.last++
	f = withFieldID(f, v.last)
	f.Type = v.mapFields(f.Type, v.fresh)
	return f
}

// mapFields replaces the fields directly below a type.
func (v *versions) mapFields(dt arrow.DataType, replace func(arrow.Field) arrow.Field) arrow.DataType {
	switch t := dt.(type) {
	case *arrow.ListType:
		return arrow.ListOfField(replace(t.ElemField()))
	case *arrow.LargeListType:
		return arrow.LargeListOfField(replace(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), replace(t.ElemField()))
	case *arrow.StructType:
		fields := t.Fields()
		for i, f := range fields {
			fields[i] = replace(f)
		}
		return arrow.StructOf(fields...)
	case *arrow.MapType:
		key := replace(t.KeyField())
		key.Nullable = false
		return arrow.MapOfFields(key, replace(t.ItemField()))
	}
	return dt
}

// schema makes a schema of fields that have ids.
func (v *versions) schema(t testing.TB, fields []arrow.Field, defaults map[string]any) *quiver.Schema {
	t.Helper()
	v.id++
	var ids []quiver.ColumnID
	plain := make([]arrow.Field, len(fields))
	texts := map[string]json.RawMessage{}
	for i, f := range fields {
		plain[i] = v.bare(f, &ids)
		if value := defaults[f.Name]; value != nil {
			text, err := quiver.FormatDefault(f.Type, value)
			must(t, err)
			texts[f.Name] = text
		}
	}
	text, err := json.Marshal(map[string]any{
		"version": 1, "id": v.id, "last_column": v.last, "columns": ids, "defaults": texts,
		"arrow": quiver.FormatSchemaMessage(arrow.NewSchema(plain, nil)),
	})
	must(t, err)
	s, err := quiver.DecodeSchema(text)
	must(t, err)
	return s
}

// bare takes the ids off a field and lists them.
func (v *versions) bare(f arrow.Field, ids *[]quiver.ColumnID) arrow.Field {
	id, _ := quiver.FieldID(f)
	*ids = append(*ids, id)
	f.Metadata = arrow.Metadata{}
	f.Type = v.mapFields(f.Type, func(c arrow.Field) arrow.Field { return v.bare(c, ids) })
	return f
}

// evolve changes a field: its name, its type, what is nested in it.
func (v *versions) evolve(f arrow.Field) arrow.Field {
	r := v.r
	if r.IntN(3) == 0 {
		f.Name += "'"
	}
	f.Nullable = f.Nullable || f.Type.ID() != arrow.NULL && r.IntN(3) == 0
	switch t := f.Type.(type) {
	case *arrow.StructType:
		f.Type = arrow.StructOf(v.evolveFields(t.Fields(), true)...)
	case *arrow.MapType:
		id := func(f arrow.Field) arrow.Field { return f }
		f.Type = v.mapFields(t, id)
		if r.IntN(2) == 0 {
			f.Type = arrow.MapOfFields(v.required(t.KeyField()), v.evolve(t.ItemField()))
		}
	default:
		f.Type = v.mapFields(v.widened(f.Type), v.evolve)
	}
	return f
}

func (v *versions) required(f arrow.Field) arrow.Field {
	f.Nullable = false
	return f
}

// widened draws a type that holds every value of another, or nearly so.
func (v *versions) widened(dt arrow.DataType) arrow.DataType {
	p := arrow.PrimitiveTypes
	wider := map[arrow.Type][]arrow.DataType{
		arrow.INT8: {p.Int16, p.Int32, p.Int64, p.Float64}, arrow.INT16: {p.Int32, p.Int64, p.Float64},
		arrow.INT32: {p.Int64, p.Float64}, arrow.UINT8: {p.Int16, p.Uint32, p.Int64, p.Float64},
		arrow.UINT16: {p.Int32, p.Uint64}, arrow.UINT32: {p.Int64, p.Uint64}, arrow.FLOAT32: {p.Float64},
		arrow.STRING: {arrow.BinaryTypes.LargeString}, arrow.LARGE_STRING: {arrow.BinaryTypes.String},
		arrow.BINARY: {arrow.BinaryTypes.LargeBinary},
	}[dt.ID()]
	if t, ok := dt.(*arrow.TimestampType); ok {
		for u := arrow.Second; u <= arrow.Nanosecond; u++ {
			wider = append(wider, &arrow.TimestampType{Unit: u, TimeZone: t.TimeZone})
		}
	}
	if t, ok := dt.(*arrow.Decimal128Type); ok {
		wider = append(wider, &arrow.Decimal256Type{Precision: 50, Scale: t.Scale})
	}
	if len(wider) == 0 || v.r.IntN(2) == 0 {
		return dt
	}
	return wider[v.r.IntN(len(wider))]
}

// evolveFields changes the fields of a struct, or the columns: some go, some come, all may move.
func (v *versions) evolveFields(fields []arrow.Field, nested bool) []arrow.Field {
	r := v.r
	var out []arrow.Field
	for _, f := range fields {
		if r.IntN(5) > 0 {
			out = append(out, v.evolve(f))
		}
	}
	for len(out) == 0 || r.IntN(3) == 0 {
		out = append(out, v.fresh(arrow.Field{Name: fmt.Sprintf("new%d", v.last), Type: randomType(r, 1), Nullable: true}))
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// convertObvious is Convert as anyone would write it: decode, cast column by column, encode.
func convertObvious(t testing.TB, b *Batch, m *quiver.Mapping, to *Layout) (*Batch, error) {
	t.Helper()
	rec := decode(t, b)
	defer rec.Release()
	columns := make([]arrow.Array, len(m.Columns()))
	defer releaseAll(columns)
	for i, c := range m.Columns() {
		var err error
		switch {
		case c.Source >= 0:
			columns[i], err = castObvious(rec.Column(c.Source), c.Column.Field)
		case c.Column.Default == nil:
			columns[i] = nullsOf(to.slots[i].typ, b.rows)
		default:
			var value scalar.Scalar
			if value, err = scalar.MakeScalarParam(c.Column.Default, to.slots[i].typ); err == nil {
				columns[i], err = scalar.MakeArrayFromScalar(value, b.rows, memory.DefaultAllocator)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return encodeColumns(to, b.rows, columns, b.codec)
}

// nullsOf is n nulls. (array.MakeArrayOfNull does not make those of a struct that has a field of type null.)
func nullsOf(dt arrow.DataType, n int) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	defer b.Release()
	for range n {
		b.AppendNull()
	}
	return b.NewArray()
}

// castObvious casts an array to the type of a field, nested fields by id.
func castObvious(a arrow.Array, to arrow.Field) (arrow.Array, error) {
	data := a.Data()
	buffers := append([]*memory.Buffer(nil), data.Buffers()...)
	var children []arrow.ArrayData
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	keep := func(c arrow.Array, err error) error {
		if err == nil {
			children = append(children, c.Data())
			c.Data().Retain()
			c.Release()
		}
		return err
	}
	switch t := to.Type.(type) {
	case *arrow.StructType:
		s := a.(*array.Struct)
		have := map[string]int{}
		for i, f := range s.DataType().(*arrow.StructType).Fields() {
			have[byID(f)] = i
		}
		for _, f := range t.Fields() {
			var err error
			if i, ok := have[byID(f)]; ok {
				err = keep(castObvious(s.Field(i), f))
			} else {
				err = keep(nullsOf(f.Type, a.Len()), nil)
			}
			if err != nil {
				return nil, err
			}
		}
	case *arrow.MapType:
		m := a.(*array.Map)
		entries := m.ListValues().Data()
		key, err := castObvious(m.Keys(), t.KeyField())
		if err != nil {
			return nil, err
		}
		defer key.Release()
		item, err := castObvious(m.Items(), t.ItemField())
		if err != nil {
			return nil, err
		}
		defer item.Release()
		children = []arrow.ArrayData{array.NewData(t.Elem(), entries.Len(), entries.Buffers(),
			[]arrow.ArrayData{key.Data(), item.Data()}, entries.NullN(), 0)}
	case *arrow.ListType:
		if err := keep(castObvious(a.(array.ListLike).ListValues(), t.ElemField())); err != nil {
			return nil, err
		}
	case *arrow.LargeListType:
		if err := keep(castObvious(a.(array.ListLike).ListValues(), t.ElemField())); err != nil {
			return nil, err
		}
	case *arrow.FixedSizeListType:
		if err := keep(castObvious(a.(*array.FixedSizeList).ListValues(), t.ElemField())); err != nil {
			return nil, err
		}
	default:
		return castFlat(a, to.Type)
	}
	made := array.NewData(to.Type, a.Len(), buffers, children, data.NullN(), data.Offset())
	defer made.Release()
	return array.MakeFromData(made), nil
}

func castFlat(a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	if arrow.TypeEqual(a.DataType(), to) {
		a.Retain()
		return a, nil
	}
	if d, ok := a.(*array.Decimal128); ok { // which Arrow compute casts by way of text
		b := array.NewDecimal256Builder(memory.DefaultAllocator, to.(*arrow.Decimal256Type))
		for i := range d.Len() {
			if d.IsNull(i) {
				b.AppendNull()
			} else if err := b.AppendValueFromString(d.ValueStr(i)); err != nil {
				return nil, err
			}
		}
		return b.NewArray(), nil
	}
	return compute.CastArray(context.Background(), a, compute.SafeCastOptions(to))
}

func TestConvertIsCast(t *testing.T) {
	fits, misfits := 0, 0
	seeded(t, 600, func(t *testing.T, r *rand.Rand) {
		v := &versions{r: r}
		var fields []arrow.Field
		for _, f := range randomSchema(r, 3).Fields() {
			fields = append(fields, v.fresh(f))
		}
		stored := v.schema(t, fields, nil)
		from, err := NewLayout(stored)
		must(t, err)
		evolved := v.evolveFields(fields, false)
		defaults := map[string]any{}
		for i, f := range evolved {
			if f.Type.ID() == arrow.STRING && r.IntN(2) == 0 {
				defaults[f.Name] = "as agreed"
			}
			if id, _ := quiver.FieldID(f); f.Type.ID() == arrow.INT64 && stored.Index(id) < 0 {
				defaults[f.Name], evolved[i].Nullable = int64(r.Uint64()), false
			}
		}
		reader := v.schema(t, evolved, defaults)
		var chosen []quiver.ColumnID
		if r.IntN(2) == 0 {
			for _, c := range reader.Columns() {
				if r.IntN(3) > 0 {
					chosen = append(chosen, c.ID)
				}
			}
		}
		m, err := quiver.MapColumns(stored, reader, chosen)
		must(t, err)
		to, err := from.mapped(m, nil)
		must(t, err)
		b := randomBatch(t, r, from, randomRows(r), randomCodec(r))
		defer b.Release()
		b.SetProducers(randomProducers(r, b.Rows()))
		got, err := b.Convert(m, to)
		want, obviousErr := convertObvious(t, b, m, to)
		if obviousErr != nil {
			if quiver.ReasonOf(err) != quiver.SchemaChanged {
				t.Fatalf("%v, want SCHEMA_CHANGED as of %v", err, obviousErr)
			}
			misfits++
			return
		}
		must(t, err)
		fits++
		defer got.Release()
		defer want.Release()
		if got.Compression() != b.Compression() && len(got.buffers) > 0 || got.Layout() != to {
			t.Fatalf("compressed as %s, was %s", got.Compression(), b.Compression())
		}
		if a, b := rowProducers(got), rowProducers(b); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("producers of the rows:\n got %v\nwant %v", a, b)
		}
		align := int64(8)
		mustBeAligned(t, "converted", got, align)
		mustPassAgain(t, "converted", got)
		g, w := decode(t, got), decode(t, want)
		defer g.Release()
		defer w.Release()
		mustEqual(t, "converted", g, w)
		for _, c := range m.Columns() {
			if c.Cast {
				return
			}
		}
		picked, err := b.Project(m)
		must(t, err)
		defer picked.Release()
		p := decode(t, picked)
		defer p.Release()
		mustEqual(t, "projected", p, w)
	})
	if fits == 0 || misfits == 0 {
		t.Errorf("%d batches fit and %d did not: the test shows too little", fits, misfits)
	}
}

// TestConvertShares: what stays takes no memory of its own.
func TestConvertShares(t *testing.T) {
	v := &versions{r: rand.New(rand.NewPCG(1, 1))}
	fields := []arrow.Field{
		v.fresh(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64}),
		v.fresh(arrow.Field{Name: "b", Type: arrow.BinaryTypes.String}),
		v.fresh(arrow.Field{Name: "c", Type: arrow.PrimitiveTypes.Int8}),
	}
	stored := v.schema(t, fields, nil)
	from, err := NewLayout(stored)
	must(t, err)
	fields[2].Type = arrow.PrimitiveTypes.Int32
	reader := v.schema(t, []arrow.Field{fields[1], fields[2], fields[0]}, nil)
	to, err := NewLayout(reader)
	must(t, err)
	m, err := quiver.MapColumns(stored, reader, nil)
	must(t, err)
	b := randomBatch(t, v.r, from, 1<<16, None)
	defer b.Release()
	got, err := b.Convert(m, to)
	must(t, err)
	defer got.Release()
	own := 0
	for _, o := range got.owners[len(b.owners):] {
		own += o.Len()
	}
	if own > 4<<16+64<<10 {
		t.Errorf("%d bytes are new, the one column that was cast takes %d", own, 4<<16)
	}
	same, err := got.Convert(mustMap(t, reader, reader), to)
	must(t, err)
	defer same.Release()
	if same != got {
		t.Error("a batch that has the schema is made again")
	}
	renamed := v.schema(t, []arrow.Field{{Name: "x", Type: fields[1].Type, Metadata: fields[1].Metadata}, fields[2], fields[0]}, nil)
	other, err := NewLayout(renamed)
	must(t, err)
	again, err := got.Convert(mustMap(t, reader, renamed), other)
	must(t, err)
	defer again.Release()
	if &again.parts[0][0] != &got.parts[0][0] || again.Layout() != other || again.Header().Schema != renamed.ID() {
		t.Error("a renamed column is copied")
	}
}

func mustMap(t testing.TB, from, to *quiver.Schema) *quiver.Mapping {
	t.Helper()
	m, err := quiver.MapColumns(from, to, nil)
	must(t, err)
	return m
}

// TestConvertRefuses: a mapping that is not of these layouts is found out before anything is read by it.
func TestConvertRefuses(t *testing.T) {
	v := &versions{r: rand.New(rand.NewPCG(1, 1))}
	number := v.fresh(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64})
	text := v.fresh(arrow.Field{Name: "b", Type: arrow.BinaryTypes.String})
	one, two := v.schema(t, []arrow.Field{number}, nil), v.schema(t, []arrow.Field{number, text}, nil)
	from, err := NewLayout(one)
	must(t, err)
	to, err := NewLayout(two)
	must(t, err)
	b := randomBatch(t, v.r, from, 10, None)
	defer b.Release()
	for name, m := range map[string]*quiver.Mapping{"of two columns": mustMap(t, two, two), "to one": mustMap(t, one, one)} {
		if got, err := b.Convert(m, to); quiver.ReasonOf(err) != quiver.Internal {
			t.Errorf("a mapping %s: %v, %v", name, got, err)
		}
	}
}

// BenchmarkConvert casts one of ten columns, adds one with a default and drops one.
func BenchmarkConvert(b *testing.B) {
	v := &versions{r: rand.New(rand.NewPCG(1, 1))}
	base, _ := benchmarkBatch(b, 1)
	var fields []arrow.Field
	for i, f := range base.Schema().Fields() {
		if i == 3 {
			f.Type = arrow.PrimitiveTypes.Int32
		}
		fields = append(fields, v.fresh(f))
	}
	stored := v.schema(b, fields, nil)
	from, err := NewLayout(stored)
	must(b, err)
	fields[3].Type = arrow.PrimitiveTypes.Int64
	fields[7] = v.fresh(arrow.Field{Name: "added", Type: arrow.PrimitiveTypes.Int64})
	reader := v.schema(b, fields, map[string]any{"added": int64(7)})
	to, err := NewLayout(reader)
	must(b, err)
	m := mustMap(b, stored, reader)
	for _, codec := range []Compression{None, LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			const rows = 1 << 16
			batch := randomBatch(b, v.r, from, rows, codec)
			b.SetBytes(batch.plainSize())
			b.ReportAllocs()
			for b.Loop() {
				got, err := batch.Convert(m, to)
				must(b, err)
				got.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
