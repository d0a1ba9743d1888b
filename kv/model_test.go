package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// The model is a map from a key to a row in JSON: columns by name, as arrow prints them.

type fields map[string]any

// modelRow is a row of the model with the offset of its last change.
type modelRow struct {
	values fields
	offset int64
}

// logged is one row of the model's changelog.
type logged struct {
	what   quiver.ChangeType
	values fields
}

type model struct {
	config  Config
	rows    map[string]modelRow
	log     []logged
	counter int64
}

func keyOf(f fields) string { return fmt.Sprint(f["k1"], "/", f["k2"]) }

var modelFields = []arrow.Field{
	{Name: "k1", Type: arrow.PrimitiveTypes.Int32},
	{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "k2", Type: arrow.BinaryTypes.String},
	{Name: "text", Type: arrow.BinaryTypes.LargeString, Nullable: true},
	{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "price", Type: &arrow.Decimal128Type{Precision: 12, Scale: 2}, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int16), Nullable: true},
	{Name: "deep", Type: arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64), Nullable: true}), Nullable: true},
	{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}

func modelSchema(t testing.TB) *quiver.Schema {
	t.Helper()
	s, err := quiver.NewSchema(1, arrow.NewSchema(modelFields, nil), map[string]any{"text": "none"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func idOf(s *quiver.Schema, name string) quiver.ColumnID {
	c, _ := s.ByName(name)
	return c.ID
}

func randomConfig(t testing.TB, r *rand.Rand) Config {
	s := modelSchema(t)
	c := Config{Schema: s, Key: []quiver.ColumnID{idOf(s, "k1"), idOf(s, "k2")}, Engine: Engine(r.IntN(4)),
		OmitBefore: r.IntN(4) == 0, EmitNoOp: r.IntN(4) == 0}
	if r.IntN(3) == 0 {
		c.AutoIncrement = idOf(s, "id")
	}
	switch c.Engine {
	case Versioned:
		c.Version = idOf(s, "v")
	case Aggregation:
		c.Aggregates = map[quiver.ColumnID]quiver.Aggregate{
			idOf(s, "v"): {Function: "sum"}, idOf(s, "text"): {Function: "listagg", Delimiter: "|"},
			idOf(s, "flag"): {Function: "bool_or"}, idOf(s, "price"): {Function: "max"}, idOf(s, "list"): {Function: "first_value"},
		}
	}
	return c
}

// upsert is the obvious way.
func (m *model) upsert(in fields, sent []string) {
	now, ok := m.rows[keyOf(in)]
	next := maps.Clone(in)
	auto := m.config.AutoIncrement != 0
	if !ok {
		for _, name := range []string{"text"} {
			if !slices.Contains(sent, name) {
				next[name] = "none"
			}
		}
		if auto {
			m.counter++
			next["id"] = json.Number(fmt.Sprint(m.counter))
		}
		m.set(quiver.Insert, next)
		return
	}
	merged := maps.Clone(now.values)
	switch m.config.Engine {
	case FirstRow:
	case Versioned:
		if next["v"] == nil || now.values["v"] != nil && number(next["v"]) < number(now.values["v"]) {
			break
		}
		m.take(merged, next, sent)
	case LastRow:
		m.take(merged, next, sent)
	case Aggregation:
		for _, name := range sent {
			if name != "k1" && name != "k2" && !(auto && name == "id") {
				merged[name] = m.aggregate(name, merged[name], next[name])
			}
		}
	}
	if same(merged, now.values) && !m.config.EmitNoOp {
		return
	}
	if !m.config.OmitBefore {
		m.log = append(m.log, logged{quiver.UpdateBefore, now.values})
	}
	m.set(quiver.UpdateAfter, merged)
}

func (m *model) take(merged, next fields, sent []string) {
	for _, name := range sent {
		if !(m.config.AutoIncrement != 0 && name == "id") {
			merged[name] = next[name]
		}
	}
}

func (m *model) set(what quiver.ChangeType, f fields) {
	m.rows[keyOf(f)] = modelRow{f, int64(len(m.log))}
	m.log = append(m.log, logged{what, f})
}

func (m *model) delete(in fields) {
	if now, ok := m.rows[keyOf(in)]; ok {
		m.log = append(m.log, logged{quiver.Delete, now.values})
		delete(m.rows, keyOf(in))
	}
}

func number(v any) int64 {
	n, _ := v.(json.Number).Int64()
	return n
}

func (m *model) aggregate(name string, now, next any) any {
	switch {
	case name == "list":
		return now
	case next == nil:
		return now
	case now == nil:
		return next
	}
	switch name {
	case "v":
		return json.Number(fmt.Sprint(number(now) + number(next)))
	case "text":
		return now.(string) + "|" + next.(string)
	case "flag":
		return now.(bool) || next.(bool)
	case "price":
		a, b := cents(now), cents(next)
		if a >= b {
			return now
		}
	}
	return next
}

// cents reads a decimal of two digits.
func cents(v any) (n int64) {
	n, _ = strconv.ParseInt(strings.Replace(fmt.Sprint(v), ".", "", 1), 10, 64)
	return n
}

func same(a, b fields) bool { return text(a) == text(b) }

func text(f fields) string {
	plain := maps.Clone(f)
	maps.DeleteFunc(plain, func(_ string, v any) bool { return v == nil })
	b, _ := json.Marshal(plain)
	return string(b)
}

// Random rows.

func randomRow(r *rand.Rand) fields {
	f := fields{"k1": json.Number(fmt.Sprint(r.IntN(7) - 3)), "k2": []string{"", "a", "a\x00b", "ä", "a\x00"}[r.IntN(5)]}
	maybe := func(name string, make func() any) {
		if r.IntN(4) > 0 {
			f[name] = make()
		} else {
			f[name] = nil
		}
	}
	maybe("v", func() any { return json.Number(fmt.Sprint(r.IntN(5) - 2)) })
	maybe("text", func() any { return strings.Repeat("x", r.IntN(3)) })
	maybe("flag", func() any { return r.IntN(2) == 0 })
	maybe("price", func() any { return fmt.Sprintf("%d.%d%d", r.IntN(3), r.IntN(10), 1+r.IntN(9)) })
	maybe("list", func() any {
		list := make([]any, r.IntN(3))
		for i := range list {
			if r.IntN(3) > 0 {
				list[i] = json.Number(fmt.Sprint(r.IntN(9)))
			}
		}
		return list
	})
	maybe("deep", func() any {
		deep := map[string]any{"a": nil, "m": nil}
		if r.IntN(2) == 0 {
			deep["a"] = "deep"
		}
		if r.IntN(2) == 0 {
			deep["m"] = []any{map[string]any{"key": "k", "value": json.Number("1.5")}}
		}
		return deep
	})
	return f
}

// batchOf makes arrow columns of rows, of the columns sent.
func batchOf(t testing.TB, s *quiver.Schema, rows []fields, sent []string) []arrow.Array {
	t.Helper()
	columns := make([]arrow.Array, s.NumColumns())
	for place, c := range s.Columns() {
		if !slices.Contains(sent, c.Field.Name) {
			continue
		}
		values := make([]any, len(rows))
		for i := range rows {
			values[i] = rows[i][c.Field.Name]
		}
		js, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		arr, _, err := array.FromJSON(memory.DefaultAllocator, c.Field.Type, bytes.NewReader(js))
		if err != nil {
			t.Fatalf("column %s: %v", c.Field.Name, err)
		}
		columns[place] = arr
	}
	return columns
}

// rowAt gives a row of columns as the model has it.
func rowAt(t testing.TB, s *quiver.Schema, places []int, columns []arrow.Array, i int) fields {
	t.Helper()
	f := fields{}
	for n, place := range places {
		b, err := json.Marshal(columns[n].GetOneForMarshal(i))
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		f[s.Columns()[place].Field.Name] = v
	}
	return f
}

func allPlaces(s *quiver.Schema) []int {
	places := make([]int, s.NumColumns())
	for i := range places {
		places[i] = i
	}
	return places
}

// Putting.

// bucket is a tablet under test with its model, and its log as arrow columns.
type bucket struct {
	t      *testing.T
	r      *rand.Rand
	dir    *Dir
	store  *Store
	tablet *Tablet
	model  *model
	log    []*Changelog
	units  []int64 // where units of the log end
	end    int64
	high   int64
}

var testBucket = quiver.BucketID{Table: 7, Partition: 3, Bucket: 1}

func (b *bucket) open(fsys fs.FS, c Config) {
	var err error
	if b.dir, err = OpenDir(fsys, "/data/kv", Options{MemtableBytes: 64 << 10, CacheBytes: 1 << 20, Checkpoints: "/data/kv-checkpoint"}); err != nil {
		b.t.Fatal(err)
	}
	if b.store, err = b.dir.Open(); err != nil {
		b.t.Fatal(err)
	}
	b.store.engine.parts, b.store.engine.part = 4, 1+b.r.IntN(8) // as if there were very many keys
	if b.r.IntN(3) == 0 {                                        // nothing is found without a search
		b.store.engine.held, b.store.engine.knownMost = nil, 0
	}
	if b.tablet, err = b.store.Tablet(testBucket, c); err != nil {
		b.t.Fatal(err)
	}
}

// put prepares and stages one random batch, and the model does the same.
func (b *bucket) put() {
	rows := make([]fields, 1+b.r.IntN(12))
	for i := range rows {
		rows[i] = randomRow(b.r)
	}
	sent := []string{"k1", "k2"}
	partial := b.r.IntN(3) == 0
	for _, f := range modelFields {
		if f.Name != "k1" && f.Name != "k2" && f.Name != "id" && (!partial || b.r.IntN(2) == 0) {
			sent = append(sent, f.Name)
		}
	}
	in := &Rows{Len: len(rows), Columns: batchOf(b.t, b.model.config.Schema, rows, sent), Partial: partial}
	if b.r.IntN(3) == 0 {
		for range rows {
			in.Ops = append(in.Ops, Op(b.r.IntN(3)))
		}
	} else if b.r.IntN(6) == 0 { // deletes, by keys alone
		in.Op = Delete
		in.Columns = batchOf(b.t, b.model.config.Schema, rows, []string{"k1", "k2"})
		if partial {
			for _, name := range sent[2:] {
				c, _ := b.model.config.Schema.ByName(name)
				in.Listed = append(in.Listed, b.model.config.Schema.Index(c.ID))
			}
		}
	}
	b.stage(in, rows, sent)
}

func (b *bucket) stage(in *Rows, rows []fields, sent []string) {
	b.t.Helper()
	change, err := b.tablet.Prepare(in, func() (int64, error) { b.model.counter++; return b.model.counter, nil })
	if err != nil {
		b.t.Fatal(err)
	}
	if b.model.config.AutoIncrement != 0 { // the model counts the same rows again
		for i := range change.entries {
			if change.entries[i].what == quiver.Insert {
				b.model.counter--
			}
		}
	}
	whole := sent
	if !in.Partial {
		whole = nil
		for _, f := range modelFields {
			if f.Name != "id" {
				whole = append(whole, f.Name)
			}
		}
	}
	for i, f := range rows {
		sentRow := fields{}
		for _, name := range sent {
			sentRow[name] = f[name]
		}
		op := in.Op
		if in.Ops != nil {
			op = in.Ops[i]
		}
		switch {
		case op == Skip:
		case op == Delete && in.Partial && len(sent) > 2:
			b.model.partialDelete(f, sent)
		case op == Delete:
			b.model.delete(f)
		default:
			b.model.upsert(sentRow, whole)
		}
	}
	from, most := b.end, 1+b.r.IntN(2000) // the changelog is one unit in several pieces
	for {
		columns, err := change.Piece(most)
		if err != nil {
			b.t.Fatal(err)
		}
		if columns == nil {
			break
		}
		b.compareLog(columns)
		piece := &Changelog{Schema: b.model.config.Schema, Base: quiver.Offset(b.end), Continued: b.end+int64(columns[0].Len()) < from+int64(change.Len()),
			Columns: columns[:len(columns)-1], Types: columns[len(columns)-1].(*array.Int8)}
		b.log = append(b.log, piece)
		b.end += int64(piece.Types.Len())
	}
	if change.Len() != int(b.end-from) || int(b.end) != len(b.model.log) {
		b.t.Fatalf("a change of %d rows gave %d, the model has %d", change.Len(), b.end-from, len(b.model.log))
	}
	if b.end > from {
		b.tablet.Stage(change, quiver.Offset(from))
		b.units = append(b.units, b.end)
	}
}

func (m *model) partialDelete(in fields, sent []string) {
	now, ok := m.rows[keyOf(in)]
	if !ok {
		return
	}
	left := maps.Clone(now.values)
	some := false
	for name, v := range left {
		switch {
		case name == "k1" || name == "k2":
		case slices.Contains(sent, name):
			left[name] = nil
		case v != nil:
			some = true
		}
	}
	switch {
	case !some:
		m.delete(in)
	case same(left, now.values):
	default:
		if !m.config.OmitBefore {
			m.log = append(m.log, logged{quiver.UpdateBefore, now.values})
		}
		m.set(quiver.UpdateAfter, left)
	}
}

// compareLog compares what a batch added to the changelog with the model's.
func (b *bucket) compareLog(columns []arrow.Array) {
	b.t.Helper()
	s := b.model.config.Schema
	types := columns[len(columns)-1].(*array.Int8)
	if int(b.end)+types.Len() > len(b.model.log) {
		b.t.Fatalf("the changelog has %d rows, the model %d", int(b.end)+types.Len(), len(b.model.log))
	}
	for i := range types.Len() {
		want := b.model.log[int(b.end)+i]
		got := rowAt(b.t, s, allPlaces(s), columns, i)
		if quiver.ChangeType(types.Value(i)) != want.what || !same(got, want.values) {
			b.t.Fatalf("row %d of the changelog is %v %s, want %v %s", int(b.end)+i, quiver.ChangeType(types.Value(i)), text(got), want.what, text(want.values))
		}
	}
}

// advance moves the high watermark to the end of some batch.
func (b *bucket) advance() {
	for _, end := range b.units {
		if end > b.high {
			b.high = end
			if b.r.IntN(3) == 0 {
				break
			}
		}
	}
	if err := b.tablet.Advance(quiver.Offset(b.high), 1); err != nil {
		b.t.Fatal(err)
	}
}

// state folds the model's changelog up to an offset.
func (m *model) state(until int64) map[string]modelRow {
	rows := map[string]modelRow{}
	for i, l := range m.log[:until] {
		switch l.what {
		case quiver.Insert, quiver.UpdateAfter:
			rows[keyOf(l.values)] = modelRow{l.values, int64(i)}
		case quiver.Delete:
			delete(rows, keyOf(l.values))
		}
	}
	return rows
}

// check compares all that can be read with the fold of the changelog.
func (b *bucket) check() {
	b.t.Helper()
	mark := b.tablet.Mark()
	want := b.model.state(int64(mark.Applied))
	if mark.Rows != int64(len(want)) {
		b.t.Fatalf("%d rows are counted, there are %d", mark.Rows, len(want))
	}
	s := b.model.config.Schema
	places := allPlaces(s)
	snapshot := b.store.Snapshot()
	defer snapshot.Close()
	scan, err := b.tablet.Scan(context.Background(), nil, snapshot, Bounds{}, places)
	if err != nil {
		b.t.Fatal(err)
	}
	defer scan.Close()
	seen := 0
	for {
		a, err := scan.Next(context.Background(), 1+b.r.IntN(5), 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		if a == nil {
			break
		}
		for i := range a.Len {
			got := rowAt(b.t, s, a.Places, a.Columns, i)
			row, ok := want[keyOf(got)]
			if !ok || !same(got, row.values) || a.Offsets[i] != row.offset {
				b.t.Fatalf("a scan has %s at %d, want %s at %d", text(got), a.Offsets[i], text(row.values), row.offset)
			}
			seen++
		}
		a.Release()
	}
	if seen != len(want) {
		b.t.Fatalf("a scan has %d rows, want %d", seen, len(want))
	}
	b.lookup(want)
}

// lookup asks for random keys, some of them twice.
func (b *bucket) lookup(want map[string]modelRow) {
	b.t.Helper()
	s := b.model.config.Schema
	rows := make([]fields, 20)
	for i := range rows {
		rows[i] = randomRow(b.r)
	}
	columns := batchOf(b.t, s, rows, []string{"k1", "k2"})
	a, err := b.tablet.Get(context.Background(), []arrow.Array{columns[0], columns[2]}, allPlaces(s))
	if err != nil {
		b.t.Fatal(err)
	}
	defer a.Release()
	n := 0
	for i, f := range rows {
		row, ok := want[keyOf(f)]
		if !ok {
			continue
		}
		if n >= a.Len || a.Index[n] != int64(i) || !same(rowAt(b.t, s, a.Places, a.Columns, n), row.values) {
			b.t.Fatalf("key %d, %s, is not answered as %s", i, keyOf(f), text(row.values))
		}
		n++
	}
	if n != a.Len {
		b.t.Fatalf("%d rows are answered, want %d", a.Len, n)
	}
}

// TestModel runs random puts, truncations and crashes beside the model, with every merge engine.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, n))
		t.Run(fmt.Sprint(n), func(t *testing.T) { runModel(t, r) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	config := randomConfig(t, r)
	disk := fs.NewMem()
	b := &bucket{t: t, r: r, model: &model{config: config, rows: map[string]modelRow{}}}
	b.open(disk, config)
	for range 60 {
		switch r.IntN(12) {
		case 0, 1, 2:
			b.advance()
		case 3:
			b.check()
		case 4:
			b.truncate()
		case 5:
			if err := b.store.Flush(); err != nil {
				t.Fatal(err)
			}
		case 6:
			disk = b.restart(disk, config, r.IntN(2) == 0)
		default:
			b.put()
		}
	}
	b.advance()
	b.check()
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.verify(disk)
}

// truncate loses what is above the high watermark.
func (b *bucket) truncate() {
	b.tablet.Truncate(quiver.Offset(b.high))
	b.model.log = b.model.log[:b.high]
	b.model.rows = b.model.state(b.high)
	b.end = b.high
	b.log = slices.DeleteFunc(b.log, func(p *Changelog) bool { return int64(p.Base) >= b.high })
	b.units = slices.DeleteFunc(b.units, func(end int64) bool { return end > b.high })
}

// restart closes the store or crashes, and brings the rows up to the log again: what is below the high watermark into
// Pebble, the rest into the overlay.
func (b *bucket) restart(disk *fs.Mem, c Config, crash bool) *fs.Mem {
	b.t.Helper()
	durable, err := b.store.Durable(testBucket)
	if err != nil {
		b.t.Fatal(err)
	}
	after := disk
	if crash {
		after = disk.CrashClone(fs.CrashConfig{Rand: b.r, KeepUnsynced: b.r.IntN(101), TearSectors: true})
	}
	if err := errors.Join(b.store.Close(), b.dir.Close()); err != nil {
		b.t.Fatal(err)
	}
	b.verify(after)
	b.open(after, c)
	if mark := b.tablet.Mark(); mark.Applied < durable.Applied || mark.Applied > quiver.Offset(b.high) {
		b.t.Fatalf("after a restart the rows are those at %d; durable was %d, the high watermark is %d", mark.Applied, durable.Applied, b.high)
	}
	for _, piece := range b.log {
		if int64(piece.Base) < b.high {
			err = b.tablet.Fold(piece, 2)
		} else {
			err = b.tablet.StageLog(piece)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.check()
	return after
}
