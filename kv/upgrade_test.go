package kv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// growing are columns that a table may have, with the types that they may be widened to one after the other. Paths are
// of what is nested.
var growing = []struct {
	name, kind string
	paths      [][2]string // path, type
}{
	{"i8", "int8", [][2]string{{"i8", "int16"}, {"i8", "int64"}}},
	{"u8", "uint8", [][2]string{{"u8", "uint32"}, {"u8", "int64"}}},
	{"i16", "int16", [][2]string{{"i16", "double"}}},
	{"u16", "uint16", [][2]string{{"u16", "double"}}},
	{"f", "float", [][2]string{{"f", "double"}}},
	{"dec", "decimal128(9, 2)", [][2]string{{"dec", "decimal128(20, 2)"}, {"dec", "decimal256(50, 2)"}}},
	{"ts", "timestamp[s]", [][2]string{{"ts", "timestamp[ms]"}, {"ts", "timestamp[us]"}}},
	{"zoned", "timestamp[ms, tz=UTC]", [][2]string{{"zoned", "timestamp[us, tz=UTC]"}}},
	{"text", "string", [][2]string{{"text", "large_string"}}},
	{"flag", "bool", nil},
	{"nothing", "null", [][2]string{{"nothing", "int32"}, {"nothing", "int64"}}},
	{"nothings", "null", [][2]string{{"nothings", "list<item: string>"}}},
	{"list", "list<item: int16>", [][2]string{{"list.item", "int32"}, {"list.item", "int64"}}},
	{"empty", "list<item: null>", [][2]string{{"empty.item", "int32"}}},
	{"pair", "fixed_size_list<item: float>[2]", [][2]string{{"pair.item", "double"}}},
	{"deep", "struct<a: int8, b: string, c: struct<d: timestamp[s]>>", [][2]string{{"deep.a", "int64"}, {"deep.b", "large_string"}, {"deep.c.d", "timestamp[ms]"}}},
	{"map", "map<string, int8>", [][2]string{{"map.value", "int32"}}},
}

// randomChange alters a schema once. Some of what it makes up is refused.
func randomChange(r *rand.Rand, s *quiver.Schema, step int) quiver.SchemaChange {
	at := growing[r.IntN(len(growing))]
	switch r.IntN(6) {
	case 0:
		return quiver.SchemaChange{Drop: at.name}
	case 1:
		return quiver.SchemaChange{Add: &quiver.AddColumn{Name: fmt.Sprint("more", step), Type: at.kind, First: r.IntN(2) == 0}}
	case 2:
		return quiver.SchemaChange{Add: &quiver.AddColumn{Name: fmt.Sprint("full", step), Type: "int32", Default: json.RawMessage("7")}}
	case 3:
		return quiver.SchemaChange{Move: &quiver.MoveColumn{Name: at.name, First: true}}
	case 4:
		return quiver.SchemaChange{Add: &quiver.AddColumn{Name: fmt.Sprint("deep.x", step), Type: "int32"}}
	}
	if len(at.paths) == 0 {
		return quiver.SchemaChange{Drop: "deep.b"}
	}
	to := at.paths[r.IntN(len(at.paths))]
	return quiver.SchemaChange{Widen: &quiver.WidenColumn{Name: to[0], Type: to[1]}}
}

// randomValue makes a value of a type, as JSON that arrow reads.
func randomValue(r *rand.Rand, dt arrow.DataType) any {
	if dt.ID() == arrow.NULL || r.IntN(4) == 0 {
		return nil
	}
	switch t := dt.(type) {
	case *arrow.StructType:
		v := map[string]any{}
		for _, f := range t.Fields() {
			v[f.Name] = randomValue(r, f.Type)
		}
		return v
	case *arrow.MapType:
		entries := make([]any, r.IntN(3))
		for i := range entries {
			entries[i] = map[string]any{"key": fmt.Sprint("k", i), "value": randomValue(r, t.ItemType())}
		}
		return entries
	case *arrow.FixedSizeListType:
		return randomValues(r, int(t.Len()), t.Elem())
	case arrow.ListLikeType:
		return randomValues(r, r.IntN(4), t.Elem())
	case *arrow.BooleanType:
		return r.IntN(2) == 0
	case *arrow.StringType, *arrow.LargeStringType:
		return fmt.Sprint("text", r.IntN(1000))
	case *arrow.TimestampType:
		text := time.Unix(r.Int64N(4e9)-2e9, 0).UTC().Format("2006-01-02T15:04:05")
		if t.TimeZone != "" {
			text += "Z"
		}
		return text
	case arrow.DecimalType:
		return fmt.Sprintf("%d.%02d", r.IntN(2000)-1000, r.IntN(100))
	}
	if arrow.IsUnsignedInteger(dt.ID()) {
		return json.Number(fmt.Sprint(r.IntN(256)))
	}
	return json.Number(fmt.Sprint(r.IntN(256) - 128))
}

func randomValues(r *rand.Rand, n int, dt arrow.DataType) []any {
	values := make([]any, n)
	for i := range values {
		values[i] = randomValue(r, dt)
	}
	return values
}

// randomRecord makes rows of a schema whose column k counts from a key on.
func randomRecord(t *testing.T, r *rand.Rand, s *quiver.Schema, key, rows int) arrow.RecordBatch {
	t.Helper()
	columns := make([]arrow.Array, s.NumColumns())
	for i, c := range s.Columns() {
		values := make([]any, rows)
		for n := range values {
			switch {
			case c.Field.Name == "k":
				values[n] = key + n
			case !c.Field.Nullable:
				values[n] = 1
			default:
				values[n] = randomValue(r, c.Field.Type)
			}
		}
		js, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if columns[i], _, err = array.FromJSON(memory.DefaultAllocator, c.Field.Type, bytes.NewReader(js)); err != nil {
			t.Fatalf("column %s, %s: %v", c.Field.Name, c.Field.Type, err)
		}
	}
	return array.NewRecordBatch(s.Arrow(), columns, int64(rows))
}

func firstSchema(t *testing.T) *quiver.Schema {
	t.Helper()
	fields := []arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64}}
	for _, g := range growing {
		dt, err := quiver.ParseType(g.kind)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, arrow.Field{Name: g.name, Type: dt, Nullable: true})
	}
	s, err := quiver.NewSchema(1, arrow.NewSchema(fields, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpgradeIsConvert stores rows under schemas that come from each other by random changes, and reads all of them
// under the last one: as the log's own conversion has them.
func TestUpgradeIsConvert(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		upgradeRows(t, r)
	}
}

func upgradeRows(t *testing.T, r *rand.Rand) {
	t.Helper()
	const rows = 6
	schema := firstSchema(t)
	key := []quiver.ColumnID{idOf(schema, "k")}
	dir, err := OpenDir(fs.NewMem(), "/kv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = store.Close(), dir.Close() }()
	tablet, err := store.Tablet(testBucket, Config{Schema: schema, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var stored []arrow.RecordBatch
	var schemas []*quiver.Schema
	var changes []string
	at := quiver.Offset(0)
	for version := range 4 {
		rec := randomRecord(t, r, schema, version*rows, rows)
		change, err := tablet.Prepare(&Rows{Len: rows, Columns: rec.Columns()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tablet.Stage(change, at)
		at += rows
		stored, schemas = append(stored, rec), append(schemas, schema)
		for range 1 + r.IntN(6) {
			change := randomChange(r, schema, int(schema.ID()))
			if altered, err := schema.Alter([]quiver.SchemaChange{change}, schema.ID()+1); err == nil {
				schema = altered
				text, _ := json.Marshal(change)
				changes = append(changes, string(text))
			}
		}
		if err := tablet.Configure(Config{Schema: schema, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tablet.Advance(at, 1); err != nil {
		t.Fatal(err)
	}
	for version, rec := range stored {
		want := convertRecord(t, rec, schemas[version], schema)
		got, err := tablet.Get(t.Context(), []arrow.Array{rec.Column(schemas[version].Index(key[0]))}, allPlaces(schema))
		if err != nil {
			t.Fatalf("rows of version %d after %v: %v", version, changes, err)
		}
		for i, c := range schema.Columns() {
			if !array.Equal(got.Columns[i], want.Column(i)) {
				t.Errorf("column %s of version %d after %v:\n got %v\nwant %v", c.Field.Name, version, changes, got.Columns[i], want.Column(i))
			}
		}
		got.Release()
		readBack(t, tablet, rec, schemas[version], schemas[0], key[0])
	}
}

// readBack reads rows under an older schema than the tablet's, as a stream does that began before: whatever the log can
// convert is the same here, and what it cannot is refused.
func readBack(t *testing.T, tablet *Tablet, rec arrow.RecordBatch, stored, older *quiver.Schema, key quiver.ColumnID) {
	t.Helper()
	lookup, err := tablet.NewLookup(older, []arrow.Array{rec.Column(stored.Index(key))})
	if err != nil {
		t.Fatal(err)
	}
	err = lookup.Find(t.Context(), tablet, nil, 0)
	if _, wrong := quiver.MapColumns(stored, older, nil); wrong != nil || err != nil {
		if quiver.ReasonOf(err) != quiver.SchemaChanged {
			t.Errorf("read back: %v, the log says %v", err, wrong)
		}
		return
	}
	got, err := lookup.Answer(allPlaces(older))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	want := convertRecord(t, rec, stored, older)
	for i, c := range older.Columns() {
		if !array.Equal(got.Columns[i], want.Column(i)) {
			t.Errorf("column %s read back:\n got %v\nwant %v", c.Field.Name, got.Columns[i], want.Column(i))
		}
	}
}

// convertRecord brings a record up to another schema as logs do.
func convertRecord(t *testing.T, rec arrow.RecordBatch, from, to *quiver.Schema) arrow.RecordBatch {
	t.Helper()
	var layouts [2]*record.Layout
	for i, s := range []*quiver.Schema{from, to} {
		var err error
		if layouts[i], err = record.NewLayout(s); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := record.Encode(layouts[0], rec, record.None)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	mapping, err := quiver.MapColumns(from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := batch.Convert(mapping, layouts[1])
	if err != nil {
		t.Fatal(err)
	}
	defer converted.Release()
	out, err := converted.Decode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzRows reads damaged rows: every one is a row or an error, in the schema it was stored under and in a later one.
func FuzzRows(f *testing.F) {
	fields := []arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64},
		{Name: "i", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "n", Type: arrow.StructOf(
			arrow.Field{Name: "wide", Type: &arrow.FixedSizeBinaryType{ByteWidth: 40}, Nullable: true},
			arrow.Field{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int16), Nullable: true},
			arrow.Field{Name: "map", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String), Nullable: true},
			arrow.Field{Name: "two", Type: arrow.FixedSizeListOf(2, arrow.FixedWidthTypes.Boolean), Nullable: true}), Nullable: true},
	}
	schema, err := quiver.NewSchema(1, arrow.NewSchema(fields, nil), nil)
	if err != nil {
		f.Fatal(err)
	}
	later, err := schema.Alter([]quiver.SchemaChange{{Widen: &quiver.WidenColumn{Name: "i", Type: "int64"}},
		{Widen: &quiver.WidenColumn{Name: "n.list.item", Type: "int64"}}, {Drop: "n.map"}, {Drop: "s"}}, 2)
	if err != nil {
		f.Fatal(err)
	}
	key := []quiver.ColumnID{schema.Columns()[0].ID}
	from, err := newCodec(schema, key)
	if err != nil {
		f.Fatal(err)
	}
	to, err := newCodec(later, key)
	if err != nil {
		f.Fatal(err)
	}
	up, err := newUpgrade(from, to)
	if err != nil {
		f.Fatal(err)
	}
	nested := []byte{1}
	nested = append(nested, make([]byte, 40)...)
	nested = append(nested, 1, 2, 1, 5, 0, 0, 1, 1, 1, 1, 1, 'k', 1, 1, 'v', 1, 1, 1, 0)
	f.Add([]byte(from.compose(func(i int) value {
		return value{raw: [][]byte{{1, 2, 3, 4}, []byte("text"), nested}[i]}
	})))
	f.Add([]byte(from.compose(func(int) value { return value{null: true} })))
	f.Add(make([]byte, from.start))
	keyBytes := make([]byte, 8)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := row(b)
		if len(r) < rowHeader || from.check(r) != nil {
			return
		}
		out := newOutputs(from, 1, 0, 1, 2, 3)
		if out.add(keyBytes, r) == nil {
			for _, c := range out.finish() {
				if c.Len() != 1 {
					t.Fatalf("%d values of one row", c.Len())
				}
				c.Release()
			}
		}
		now, err := up.row(r)
		if err != nil {
			return
		}
		if err := to.check(now); err != nil {
			t.Fatalf("what was made of %x is no row: %v", b, err)
		}
		out = newOutputs(to, 1, 0, 1, 2)
		if err := out.add(keyBytes, now); err == nil {
			for _, c := range out.finish() {
				c.Release()
			}
		}
	})
}

// TestPrepareAllocates bounds what an upsert of many rows allocates: by batch, not by row.
func TestPrepareAllocates(t *testing.T) {
	schema := modelSchema(t)
	c := Config{Schema: schema, Key: []quiver.ColumnID{idOf(schema, "k1")}}
	narrow, err := schema.Pick([]quiver.ColumnID{idOf(schema, "k1"), idOf(schema, "v"), idOf(schema, "text")})
	if err != nil {
		t.Fatal(err)
	}
	c.Schema = narrow
	dir, err := OpenDir(fs.NewMem(), "/kv", Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = store.Close(), dir.Close() }()
	tablet, err := store.Tablet(testBucket, c)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 1000
	in := &Rows{Len: rows, Columns: numbered(rows)}
	allocs := testing.AllocsPerRun(20, func() {
		if _, err := tablet.Prepare(in, nil); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > rows {
		t.Errorf("%d rows take %.0f allocations", rows, allocs)
	}
}

func numbered(rows int) []arrow.Array {
	k, v, s := array.NewInt32Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator), array.NewLargeStringBuilder(memory.DefaultAllocator)
	for i := range rows {
		k.Append(int32(i))
		v.Append(int64(i))
		s.Append(fmt.Sprint("text ", i))
	}
	return []arrow.Array{k.NewArray(), v.NewArray(), s.NewArray()}
}
