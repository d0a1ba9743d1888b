package tablet

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// altered gives table 7 another schema, and returns it with its layout.
func (e *env) altered(schema *quiver.Schema) *record.Layout {
	e.t.Helper()
	layout, err := record.NewLayout(schema)
	if err != nil {
		e.t.Fatal(err)
	}
	e.reconcile(func(d *quiver.Desired) {
		for i, t := range d.Tables {
			if t.ID == 7 {
				changed := *t
				changed.Schema = schema
				d.Tables[i] = &changed
			}
		}
	})
	return layout
}

func (e *env) schema() *quiver.Schema {
	table, err := e.server.Table(7)
	if err != nil {
		e.t.Fatal(err)
	}
	return table.Schema
}

// alter changes a schema.
func alter(t *testing.T, s *quiver.Schema, changes ...quiver.SchemaChange) *quiver.Schema {
	t.Helper()
	altered, err := s.Alter(changes, s.ID()+1)
	if err != nil {
		t.Fatal(err)
	}
	return altered
}

// columns reads one bucket of the table whole, as its newest schema has it: the texts of each column's values.
func (e *env) columns(bucket int32) map[string][]string {
	e.t.Helper()
	s, err := e.scanner(7, false)
	if err != nil {
		e.t.Fatal(err)
	}
	defer s.Close()
	out := map[string][]string{}
	for {
		c, err := s.Next(e.t.Context())
		if err != nil {
			return out
		}
		rows, err := c.Batch.Decode()
		c.Batch.Release()
		if err != nil {
			e.t.Fatal(err)
		}
		for i, f := range rows.Schema().Fields() {
			for n := range int(rows.NumRows()) {
				out[f.Name] = append(out[f.Name], rows.Column(i).ValueStr(n))
			}
		}
		rows.Release()
	}
}

// wide is a unit of the layout's schema with one row: numbers, texts as numbers, nulls for all else.
func wide(t *testing.T, l *record.Layout, n int64) []*record.Batch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, l.Schema())
	defer b.Release()
	for i := range l.Schema().NumFields() {
		switch f := b.Field(i).(type) {
		case *array.Int64Builder:
			f.Append(n)
		case *array.Int32Builder:
			f.Append(int32(n))
		default:
			f.AppendNull()
		}
	}
	rows := b.NewRecordBatch()
	defer rows.Release()
	batch, err := record.Encode(l, rows, record.None)
	if err != nil {
		t.Fatal(err)
	}
	return []*record.Batch{batch}
}

// TestMixedProducersDoNotFlap has producers of three schemas of a table put in turn: each alter begins one segment, and
// what is stored has the newest schema.
func TestMixedProducersDoNotFlap(t *testing.T) {
	e := newEnv(t, 1)
	first := e.layout
	tablet := e.tablet(0)
	putAs := func(l *record.Layout, n int64) {
		t.Helper()
		s, err := tablet.Put(t.Context(), wide(t, l, n), anonymous(1))
		if err == nil {
			err = tablet.Wait(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	putAs(first, 1)
	second := e.altered(alter(t, e.schema(), quiver.SchemaChange{Add: &quiver.AddColumn{
		Name: "x", Type: "int32", Default: json.RawMessage("40")}}))
	putAs(first, 2) // the first batch after the change is one of before
	putAs(second, 3)
	third := e.altered(alter(t, e.schema(),
		quiver.SchemaChange{Drop: "id"},
		quiver.SchemaChange{Add: &quiver.AddColumn{Name: "y", Type: "int64", Nullable: new(bool), Default: json.RawMessage("7")}},
		quiver.SchemaChange{Widen: &quiver.WidenColumn{Name: "x", Type: "int64"}}))
	for n := int64(4); n < 40; n += 3 {
		putAs(third, n)
		putAs(first, n+1)
		putAs(second, n+2)
	}
	stats, err := tablet.Stats(t.Context())
	if err != nil || stats.Segments != 3 {
		t.Errorf("%d segments, %v; one for each schema would be 3", stats.Segments, err)
	}
	got := e.columns(0)
	if x := got["x"]; !slices.Equal(x[:6], []string{"40", "40", "3", "4", "40", "6"}) || len(x) != 39 {
		t.Errorf("x: %v", x)
	}
	if y := got["y"]; !slices.Equal(y[:6], []string{"7", "7", "7", "4", "7", "7"}) {
		t.Errorf("y: %v", y)
	}
	if _, there := got["id"]; there {
		t.Error("a dropped column is read")
	}
}

// A batch of a schema that the server has not heard of may be sent again.
func TestSchemaFromTheFuture(t *testing.T) {
	e := newEnv(t, 1)
	layout, err := record.NewLayout(alter(t, e.schema(), quiver.SchemaChange{Add: &quiver.AddColumn{
		Name: "x", Type: "int32"}}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.tablet(0).Put(t.Context(), wide(t, layout, 1), anonymous(1))
	reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	e.mustPut(e.tablet(0), 2)
}

// A repeat is one in whatever schema it comes.
func TestRepeatInAnOlderSchema(t *testing.T) {
	e := newEnv(t, 1)
	e.grant(5, 0)
	first := e.layout
	if _, err := e.put(e.tablet(0), by(5, 0, 0, 2), 1, 2); err != nil {
		t.Fatal(err)
	}
	e.altered(alter(t, e.schema(), quiver.SchemaChange{Add: &quiver.AddColumn{
		Name: "x", Type: "int32"}}))
	e.layout = first
	s, err := e.put(e.tablet(0), by(5, 0, 0, 2), 1, 2)
	if err != nil || !s.Duplicate || s.From != 0 || s.Until != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := e.put(e.tablet(0), by(5, 0, 1, 1), 3); err != nil || s.Duplicate || s.From != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}
