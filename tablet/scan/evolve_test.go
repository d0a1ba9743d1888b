package scan

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/filter"
)

// The model of a table whose columns change: rows as numbers and texts by column id, whatever type they were stored in.

// cellsOf is a row of the model: what was stored, nil for null. Columns that it does not have were added later, or had
// been dropped.
type cellsOf map[quiver.ColumnID]any

type modelRow struct {
	cells     cellsOf
	schema    *quiver.Schema // it was stored in
	timestamp int64
}

// evolving is a bucket with its model.
type evolving struct {
	*bucket
	model []modelRow
}

// randomType is a type that can be widened, with one that it can be widened to.
var typeChains = [][]string{
	{"int8", "int16", "int32", "int64"},
	{"uint8", "uint16", "uint32", "uint64"},
	{"float", "double"},
	{"int32", "double"},
	{"string", "large_string"},
	{"timestamp[s]", "timestamp[ms]", "timestamp[us]"},
	{"bool"},
	{"list<item: int32>", "list<item: int64>"},
}

// changer draws random changes of a schema.
type changer struct {
	rng   *rand.Rand
	chain map[quiver.ColumnID][]string // what each column can still become, what it is included
	names int
}

func (c *changer) name() string {
	c.names++
	return fmt.Sprintf("c%d", c.names)
}

func (c *changer) change(s *quiver.Schema) quiver.SchemaChange {
	columns := s.Columns()
	any := columns[c.rng.IntN(len(columns))]
	switch kind := c.rng.IntN(6); {
	case kind == 0 && len(columns) > 2:
		return quiver.SchemaChange{Drop: any.Field.Name}
	case kind == 1:
		return quiver.SchemaChange{Rename: &quiver.RenameColumn{From: any.Field.Name, To: c.name()}}
	case kind == 2:
		return quiver.SchemaChange{Move: &quiver.MoveColumn{Name: any.Field.Name, First: true}}
	case kind == 3 && len(c.chain[any.ID]) > 1:
		c.chain[any.ID] = c.chain[any.ID][1:]
		if inner, ok := strings.CutPrefix(c.chain[any.ID][0], "list<item: "); ok {
			return quiver.SchemaChange{Widen: &quiver.WidenColumn{Name: any.Field.Name + ".item", Type: strings.TrimSuffix(inner, ">")}}
		}
		return quiver.SchemaChange{Widen: &quiver.WidenColumn{Name: any.Field.Name, Type: c.chain[any.ID][0]}}
	}
	add := &quiver.AddColumn{Name: c.name(), Type: typeChains[c.rng.IntN(len(typeChains))][0], First: c.rng.IntN(3) == 0}
	switch c.rng.IntN(3) {
	case 0:
		add.Nullable = new(strings.HasPrefix(add.Type, "list"))
		fallthrough
	case 1:
		add.Default = []byte(defaultOf(add.Type))
	}
	return quiver.SchemaChange{Add: add}
}

// defaultOf is the default that columns of a type have in these tests, in JSON. Lists have none.
func defaultOf(typ string) string {
	switch {
	case strings.HasPrefix(typ, "list"):
		return "null"
	case strings.Contains(typ, "string"):
		return `"dflt"`
	case strings.HasPrefix(typ, "timestamp"):
		return `"1970-01-01T00:00:07"`
	case typ == "bool":
		return "true"
	}
	return "7"
}

// modelDefault is the same in the model.
func modelDefault(f arrow.Field) any {
	switch f.Type.(type) {
	case *arrow.StringType, *arrow.LargeStringType:
		return "dflt"
	case *arrow.TimestampType:
		return int64(7_000_000)
	case *arrow.BooleanType:
		return true
	case *arrow.Float32Type, *arrow.Float64Type:
		return 7.0
	}
	return int64(7)
}

// randomValue fits every type of the chain that the column's type stands in.
func randomValue(rng *rand.Rand, f arrow.Field) any {
	if f.Nullable && rng.IntN(4) == 0 {
		return nil
	}
	switch f.Type.(type) {
	case *arrow.StringType, *arrow.LargeStringType:
		return fmt.Sprint("s", rng.IntN(20))
	case *arrow.TimestampType:
		return int64(rng.IntN(20)) * 1_000_000
	case *arrow.BooleanType:
		return rng.IntN(2) == 0
	case *arrow.Float32Type, *arrow.Float64Type:
		return float64(rng.IntN(20)) / 2
	case *arrow.ListType:
		return []int64{int64(rng.IntN(3)), int64(rng.IntN(100))}[:rng.IntN(3)]
	}
	return int64(rng.IntN(20))
}

// appendValue adds a value of the model to a builder of its column's type.
func appendValue(b array.Builder, value any) {
	switch b := b.(type) {
	case *array.Int8Builder:
		b.Append(int8(value.(int64)))
	case *array.Int16Builder:
		b.Append(int16(value.(int64)))
	case *array.Int32Builder:
		b.Append(int32(value.(int64)))
	case *array.Int64Builder:
		b.Append(value.(int64))
	case *array.Uint8Builder:
		b.Append(uint8(value.(int64)))
	case *array.Uint16Builder:
		b.Append(uint16(value.(int64)))
	case *array.Uint32Builder:
		b.Append(uint32(value.(int64)))
	case *array.Uint64Builder:
		b.Append(uint64(value.(int64)))
	case *array.Float32Builder:
		b.Append(float32(number(value)))
	case *array.Float64Builder:
		b.Append(number(value))
	case *array.StringBuilder:
		b.Append(value.(string))
	case *array.LargeStringBuilder:
		b.Append(value.(string))
	case *array.BooleanBuilder:
		b.Append(value.(bool))
	case *array.TimestampBuilder:
		unit := b.Type().(*arrow.TimestampType).Unit
		b.Append(arrow.Timestamp(value.(int64) / (1_000_000 / perSecond(unit))))
	case *array.ListBuilder:
		b.Append(true)
		for _, v := range value.([]int64) {
			appendValue(b.ValueBuilder(), v)
		}
	default:
		panic(fmt.Sprintf("%T", b))
	}
}

func perSecond(u arrow.TimeUnit) int64 {
	n := int64(1)
	for range int(u) {
		n *= 1000
	}
	return n
}

// number is a value of the model as a double: columns of int32 may become one.
func number(value any) float64 {
	if n, ok := value.(int64); ok {
		return float64(n)
	}
	return value.(float64)
}

// modelCell is a value as text, the same in whatever type it is read.
func modelCell(value any, f arrow.Field) string {
	switch v := value.(type) {
	case nil:
		return "(null)"
	case []int64:
		return fmt.Sprint(v)
	case int64:
		if _, double := f.Type.(*arrow.Float64Type); double {
			return fmt.Sprint(float64(v))
		}
	}
	return fmt.Sprint(value)
}

// arrayCell is a value that was read, likewise.
func arrayCell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "(null)"
	}
	switch a := a.(type) {
	case *array.Timestamp:
		return fmt.Sprint(int64(a.Value(i)) * (1_000_000 / perSecond(a.DataType().(*arrow.TimestampType).Unit)))
	case *array.Float32:
		return fmt.Sprint(float64(a.Value(i)))
	case *array.Float64:
		return fmt.Sprint(a.Value(i))
	case *array.List:
		from, until := a.ValueOffsets(i)
		texts := []string{}
		for j := from; j < until; j++ {
			texts = append(texts, arrayCell(a.ListValues(), int(j)))
		}
		return fmt.Sprint(texts)
	}
	return a.ValueStr(i)
}

// put stores random rows in the schema.
func (b *evolving) put(rng *rand.Rand, s *quiver.Schema, n int, timestamp int64) {
	b.t.Helper()
	layout, err := record.NewLayout(s)
	if err != nil {
		b.t.Fatal(err)
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, s.Stored())
	defer builder.Release()
	low := rng.IntN(100) // some batches hold a narrow range, so that statistics can rule them out
	for range n {
		row := modelRow{cells: cellsOf{}, schema: s, timestamp: timestamp}
		for i, c := range s.Columns() {
			value := randomValue(rng, c.Field)
			if v, ok := value.(int64); ok && low < 20 {
				value = (int64(low) + v%3) // still fits
				if _, time := c.Field.Type.(*arrow.TimestampType); time {
					value = (int64(low) + v%3) * 1_000_000
				}
			}
			row.cells[c.ID] = value
			if value == nil {
				builder.Field(i).AppendNull()
			} else {
				appendValue(builder.Field(i), value)
			}
		}
		b.model = append(b.model, row)
	}
	rec := builder.NewRecordBatch()
	defer rec.Release()
	b.mu.Lock()
	b.store(layout, rec, timestamp)
	for range n { // the source's own model only counts here
		b.rows = append(b.rows, row{timestamp: timestamp})
	}
	b.high = quiver.Offset(len(b.rows))
	b.mu.Unlock()
}

// see is a row as a reader of a schema sees it in a column. ok is false where it cannot.
func (r *modelRow) see(reader *quiver.Schema, id quiver.ColumnID) (value any, ok bool) {
	c, _ := reader.Column(id)
	stored, has := r.schema.Column(id)
	switch {
	case has && r.schema.ID() > reader.ID() && wider(stored.Field.Type, c.Field.Type):
		return nil, false
	case has:
		return r.cells[id], true
	case r.schema.ID() > reader.ID():
		return nil, c.Field.Nullable // dropped since
	case c.Default != nil:
		return modelDefault(c.Field), true
	}
	return nil, true
}

// wider says that values of the type need not fit into the narrower one. Strings do, and so do the times of these tests.
func wider(stored, reader arrow.DataType) bool {
	text, time := arrow.IsBaseBinary(stored.ID()), stored.ID() == arrow.TIMESTAMP
	return !text && !time && quiver.FormatType(stored) != quiver.FormatType(reader)
}

// truth is SQL's: false, unknown, true.
type truth int8

const (
	isFalse truth = iota
	isUnknown
	isTrue
)

// condition is a filter and its obvious meaning.
type condition struct {
	text    string
	columns []quiver.ColumnID
	holds   func(see func(quiver.ColumnID) any, bucket int32, offset int64) truth
}

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

func randomCondition(rng *rand.Rand, s *quiver.Schema, depth int) condition {
	if depth > 0 && rng.IntN(2) == 0 {
		a, b := randomCondition(rng, s, depth-1), randomCondition(rng, s, depth-1)
		both := append(slices.Clone(a.columns), b.columns...)
		switch rng.IntN(3) {
		case 0:
			return condition{"(" + a.text + " and " + b.text + ")", both, func(see func(quiver.ColumnID) any, bucket int32, o int64) truth {
				return min(a.holds(see, bucket, o), b.holds(see, bucket, o))
			}}
		case 1:
			return condition{"(" + a.text + " or " + b.text + ")", both, func(see func(quiver.ColumnID) any, bucket int32, o int64) truth {
				return max(a.holds(see, bucket, o), b.holds(see, bucket, o))
			}}
		}
		return condition{"not " + a.text, a.columns, func(see func(quiver.ColumnID) any, bucket int32, o int64) truth {
			return isTrue - a.holds(see, bucket, o)
		}}
	}
	switch rng.IntN(8) {
	case 0:
		n := int64(rng.IntN(3000))
		return condition{fmt.Sprintf("__offset >= %d", n), nil, func(_ func(quiver.ColumnID) any, _ int32, o int64) truth { return truthOf(o >= n) }}
	case 1:
		return condition{"__bucket = 1", nil, func(_ func(quiver.ColumnID) any, b int32, _ int64) truth { return truthOf(b == 1) }}
	}
	c := s.Columns()[rng.IntN(s.NumColumns())]
	name, ids := c.Field.Name, []quiver.ColumnID{c.ID}
	null := condition{name + " is null", ids, func(see func(quiver.ColumnID) any, _ int32, _ int64) truth { return truthOf(see(c.ID) == nil) }}
	compare := func(text string, holds func(any) bool) condition {
		return condition{text, ids, func(see func(quiver.ColumnID) any, _ int32, _ int64) truth {
			if v := see(c.ID); v != nil {
				return truthOf(holds(v))
			}
			return isUnknown
		}}
	}
	switch c.Field.Type.(type) {
	case *arrow.ListType:
		return null
	case *arrow.StringType, *arrow.LargeStringType:
		want := fmt.Sprint("s", rng.IntN(20))
		return compare(fmt.Sprintf("%s <= '%s'", name, want), func(v any) bool { return v.(string) <= want })
	case *arrow.BooleanType:
		return compare(name+" = true", func(v any) bool { return v.(bool) })
	case *arrow.TimestampType:
		at := int64(rng.IntN(20))
		return compare(fmt.Sprintf("%s > '1970-01-01T00:00:%02d'", name, at), func(v any) bool { return v.(int64) > at*1_000_000 })
	}
	if rng.IntN(4) == 0 {
		return null
	}
	n := rng.IntN(20)
	return compare(fmt.Sprintf("%s > %d", name, n), func(v any) bool { return number(v) > float64(n) })
}

// TestEvolvingScans changes a table between puts at random, and reads it in the newest schema and in old ones, with
// random columns, filters, limits and sizes: every read gives the rows of the model, or ends with SCHEMA_CHANGED at the
// first row that its schema cannot show.
func TestEvolvingScans(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	metrics := NewMetrics(prometheus.NewRegistry())
	for range 12 {
		evolve(t, rng, metrics)
	}
	if testutil.ToFloat64(metrics.BatchesSkipped) == 0 || testutil.ToFloat64(metrics.BatchesConverted) == 0 {
		t.Error("no batch was skipped, or none converted")
	}
}

func evolve(t *testing.T, rng *rand.Rand, metrics *Metrics) {
	c := &changer{rng: rng, chain: map[quiver.ColumnID][]string{1: typeChains[0], 2: typeChains[4]}}
	schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int8}, {Name: "b", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	table := testTable(t, int32(1+rng.IntN(3)))
	schemas := []*quiver.Schema{schema}
	var buckets []*evolving
	for i := range table.Buckets {
		buckets = append(buckets, &evolving{bucket: newBucket(t, table, i)})
	}
	for step := range 30 {
		switch rng.IntN(3) {
		case 0:
			before := schema
			if schema, err = schema.Alter([]quiver.SchemaChange{c.change(schema)}, schema.ID()+1); err != nil {
				t.Fatal(err)
			}
			if schema != before {
				schemas = append(schemas, schema)
			}
			for _, added := range schema.Columns() {
				if c.chain[added.ID] == nil {
					typ := quiver.FormatType(added.Field.Type)
					at := slices.IndexFunc(typeChains, func(chain []string) bool { return chain[0] == typ })
					c.chain[added.ID] = typeChains[max(at, 0)]
					if at < 0 {
						c.chain[added.ID] = []string{typ}
					}
				}
			}
		default:
			b := buckets[rng.IntN(len(buckets))]
			b.codec = mixed[rng.IntN(len(mixed))]
			n := 1 + rng.IntN(4)
			if rng.IntN(3) == 0 {
				n = 1 + rng.IntN(2000)
			}
			b.put(rng, schema, n, int64(1000+step))
		}
		if rng.IntN(2) == 0 {
			reader := schemas[rng.IntN(len(schemas))]
			if rng.IntN(2) == 0 {
				reader = schema
			}
			evolvedRead(t, rng, table, reader, buckets, metrics)
		}
	}
	for _, b := range buckets {
		checkReaders(t, b.bucket)
	}
}

func evolvedRead(t *testing.T, rng *rand.Rand, table *quiver.Table, reader *quiver.Schema, buckets []*evolving, metrics *Metrics) {
	t.Helper()
	seen := *table
	seen.Schema = reader
	columns, _ := randomColumns(t, rng, &seen)
	spec := Spec{Table: &seen, Columns: columns}
	for _, b := range buckets {
		spec.Sources = append(spec.Sources, b)
	}
	var err error
	if spec.Ranges, err = Resolve(t.Context(), &seen, spec.Sources, Position{}, Position{}, false); err != nil {
		t.Fatal(err)
	}
	if rng.IntN(2) == 0 {
		spec.BatchRows = 1 + rng.IntN(500)
	}
	if rng.IntN(3) == 0 {
		spec.Limit = new(rng.Int64N(2000))
	}
	where := condition{holds: func(func(quiver.ColumnID) any, int32, int64) truth { return isTrue }}
	if rng.IntN(3) > 0 {
		where = randomCondition(rng, reader, 2)
		parsed, err := filter.Parse(where.text)
		if err != nil {
			t.Fatal(err)
		}
		if spec.Filter, err = parsed.Bind(reader); err != nil {
			t.Fatalf("%s: %v", where.text, err)
		}
	}
	w := &expected{reader: reader, columns: columns, where: where, left: 1 << 60}
	if spec.Limit != nil {
		w.left = *spec.Limit
	}
	s, err := Open(spec, Options{Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, b := range buckets {
		if !w.drain(t, s, b) {
			return
		}
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatalf("behind the end: %v", err)
	}
}

// expected walks the model beside a scan.
type expected struct {
	reader  *quiver.Schema
	columns []Column
	where   condition
	left    int64 // of the limit
}

// drain compares all chunks of a bucket. It is false once the scan has ended as it had to.
func (w *expected) drain(t *testing.T, s *Scanner, b *evolving) bool {
	t.Helper()
	next := b.start
	for next < b.high && w.left > 0 {
		c, err := s.Next(t.Context())
		if err != nil {
			w.changed(t, b, next, err)
			return false
		}
		if c.Bucket != b.number || c.From != next || c.Until > b.high || c.Until <= c.From {
			t.Fatalf("chunk %+v of bucket %d, row %d is next", c, b.number, next)
		}
		if barren(s, b) && c.Batch.Rows() > 0 {
			t.Fatalf("chunk %+v of a bucket that cannot match", c)
		}
		w.compare(t, b, &c, barren(s, b))
		next = c.Until
		c.Batch.Release()
	}
	return w.left > 0
}

// barren says that nothing is read of a bucket, as its number alone rules it out.
func barren(s *Scanner, b *evolving) bool {
	return slices.ContainsFunc(s.cursors, func(c *cursor) bool { return c.src == Source(b) && c.barren })
}

// changed checks the error of a scan that could not go on at a row.
func (w *expected) changed(t *testing.T, b *evolving, at quiver.Offset, err error) {
	t.Helper()
	if quiver.ReasonOf(err) != quiver.SchemaChanged || !strings.Contains(err.Error(), fmt.Sprintf("from offset %d on", at)) {
		t.Fatalf("at row %d (%s): %v", at, w.where.text, err)
	}
	if w.row(b, at) != nil {
		t.Fatalf("row %d can be read: %v", at, err)
	}
}

// row is what is to be seen of a row for each column that is needed; nil if it cannot be read.
func (w *expected) row(b *evolving, at quiver.Offset) map[quiver.ColumnID]any {
	cells := map[quiver.ColumnID]any{}
	need := slices.Clone(w.where.columns)
	for _, c := range w.columns {
		if c.System == UserColumn {
			need = append(need, c.ID)
		}
	}
	for _, id := range need {
		value, ok := b.model[at].see(w.reader, id)
		if !ok {
			return nil
		}
		cells[id] = value
	}
	return cells
}

// compare checks the rows of a chunk.
func (w *expected) compare(t *testing.T, b *evolving, c *Chunk, unread bool) {
	t.Helper()
	rec, err := c.Batch.Decode()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	at := 0
	for offset := c.From; offset < c.Until; offset++ {
		cells := w.row(b, offset)
		if cells == nil && unread {
			return
		}
		if cells == nil {
			t.Fatalf("row %d cannot be read, and was (%s)", offset, w.where.text)
		}
		if w.where.holds(func(id quiver.ColumnID) any { return cells[id] }, b.number, int64(offset)) != isTrue {
			continue
		}
		if at >= c.Batch.Rows() {
			t.Fatalf("chunk %+v of %d rows: row %d is missing (%s)", *c, c.Batch.Rows(), offset, w.where.text)
		}
		for i, column := range w.columns {
			got := arrayCell(rec.Column(i), at)
			if want := w.cell(b, column, offset, cells); got != want {
				t.Fatalf("row %d, column %+v: %s, want %s (%s)", offset, column, got, want, w.where.text)
			}
		}
		at++
	}
	if at != c.Batch.Rows() {
		t.Fatalf("chunk %+v of %d rows, %d match (%s)", *c, c.Batch.Rows(), at, w.where.text)
	}
	if w.left -= int64(at); w.left < 0 {
		t.Fatalf("%d rows beyond the limit", -w.left)
	}
}

func (w *expected) cell(b *evolving, c Column, offset quiver.Offset, cells map[quiver.ColumnID]any) string {
	switch c.System {
	case BucketColumn:
		return fmt.Sprint(b.number)
	case OffsetColumn:
		return fmt.Sprint(offset)
	case TimestampColumn:
		return fmt.Sprint(b.model[offset].timestamp * 1000)
	case PartitionColumn:
		return ""
	}
	column, _ := w.reader.Column(c.ID)
	return modelCell(cells[c.ID], column.Field)
}
