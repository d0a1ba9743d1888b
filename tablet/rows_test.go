package tablet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/kv"
)

// The keyed table of these tests: k int64 is the primary key, v int64.
const keyedID = quiver.TableID(9)

var keyedSchema = arrow.NewSchema([]arrow.Field{
	{Name: "k", Type: arrow.PrimitiveTypes.Int64},
	{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}, nil)

// newKeyedEnv starts a server with a primary-key table of so many buckets beside the log table.
func newKeyedEnv(t *testing.T, buckets int32, options map[string]string) *env {
	t.Helper()
	e := newEnv(t, 1)
	e.addKeyed(buckets, options)
	e.reconcile(func(*quiver.Desired) {})
	return e
}

func (e *env) addKeyed(buckets int32, options map[string]string) {
	e.t.Helper()
	table, err := quiver.TableSpec{Database: "default", Name: "keyed", Schema: keyedSchema, PrimaryKey: []string{"k"},
		Buckets: buckets, Options: options}.Table(keyedID, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.desired.Tables = append(e.desired.Tables, table)
	for b := range buckets {
		e.desired.Assignments = append(e.desired.Assignments, quiver.Assignment{Bucket: quiver.BucketID{Table: keyedID, Bucket: b}})
	}
}

func (e *env) keyed() *quiver.Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.desired.Tables, func(t *quiver.Table) bool { return t.ID == keyedID })
	return e.desired.Tables[i]
}

// pairs is a batch of keys, each with a value.
func pairs(t testing.TB, schema *quiver.Schema, kvs ...int64) *record.Batch {
	layout, err := record.NewLayout(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, layout.Schema())
	defer b.Release()
	for i, v := range kvs {
		b.Field(i % 2).(*array.Int64Builder).Append(v)
	}
	for _, f := range b.Fields()[2:] {
		for range len(kvs) / 2 {
			f.AppendNull()
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	batch, err := record.Encode(layout, rec, record.None)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// tryUpsert upserts and waits.
func (e *env) tryUpsert(bucket int32, op kv.Op, o Origin, kvs ...int64) (Staged, error) {
	schema := e.keyed().Schema
	batch := pairs(e.t, schema, kvs...)
	defer batch.Release()
	tablet := e.tabletOf(keyedID, bucket)
	s, err := tablet.Upsert(context.Background(), &Rows{Batch: batch, Schema: schema, Op: op}, o)
	if err != nil {
		return s, err
	}
	return s, tablet.Wait(context.Background(), s)
}

func (e *env) upsert(bucket int32, kvs ...int64) {
	e.t.Helper()
	if _, err := e.tryUpsert(bucket, kv.Upsert, anonymous(len(kvs)/2), kvs...); err != nil {
		e.t.Fatal(err)
	}
}

// current reads the rows of a bucket, as a lookup and a scan of them show them.
func (e *env) current(bucket int32) map[int64]int64 {
	e.t.Helper()
	l, err := e.tabletOf(keyedID, bucket).Lookup(context.Background(), 0)
	if err != nil {
		e.t.Fatal(err)
	}
	scanner, err := l.Rows.Scan(context.Background(), nil, nil, kv.Bounds{}, []int{0, 1})
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() {
		if err := scanner.Close(); err != nil {
			e.t.Error(err)
		}
	}()
	rows := map[int64]int64{}
	for {
		a, err := scanner.Next(context.Background(), 1000, 1<<20)
		if err != nil {
			e.t.Fatal(err)
		}
		if a == nil {
			break
		}
		for i := range a.Len {
			rows[a.Columns[0].(*array.Int64).Value(i)] = a.Columns[1].(*array.Int64).Value(i)
		}
		a.Release()
	}
	if counted := l.Rows.Mark().Rows; counted != int64(len(rows)) {
		e.t.Errorf("%d rows, and the mark counts %d", len(rows), counted)
	}
	return rows
}

// folded reads the log of each bucket from its start, and gives what it comes to. Each change has to fit the state
// before it.
func (e *env) folded() map[int32]map[int64]int64 {
	e.t.Helper()
	state := map[int32]map[int64]int64{}
	for b := range e.keyed().Buckets {
		state[b] = map[int64]int64{}
		l, err := e.tabletOf(keyedID, b).leader(context.Background())
		if err != nil {
			e.t.Fatal(err)
		}
		if err := foldLog(state[b], l.log); err != nil {
			e.t.Fatalf("bucket %d: %v", b, err)
		}
	}
	return state
}

func foldLog(state map[int64]int64, log *arrowlog.Log) error {
	reader := log.Read(0, log.HighWatermark(), arrowlog.ReadSpec{})
	defer reader.Close()
	for {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := foldBatch(state, batch); err != nil {
			return err
		}
	}
}

func foldBatch(state map[int64]int64, batch *record.Batch) error {
	defer batch.Release()
	rec, err := batch.Decode()
	if err != nil {
		return err
	}
	defer rec.Release()
	keys, values := rec.Column(0).(*array.Int64), rec.Column(1).(*array.Int64)
	types, ok := rec.Column(int(rec.NumCols()) - 1).(*array.Int8)
	if !ok {
		return fmt.Errorf("change types are %s", rec.Column(int(rec.NumCols())-1).DataType())
	}
	for i := range int(rec.NumRows()) {
		k, v := keys.Value(i), values.Value(i)
		now, there := state[k]
		what := quiver.ChangeType(types.Value(i))
		switch {
		case what == quiver.Insert && !there, what == quiver.UpdateAfter && there:
			state[k] = v
		case what == quiver.UpdateBefore && there && now == v:
		case what == quiver.Delete && there && now == v:
			delete(state, k)
		default:
			return fmt.Errorf("%s of key %d, value %d, where %d is there: %t", what, k, v, now, there)
		}
	}
	return nil
}

// check compares the rows with the changelog, and with what they have to be; nil: not known.
func (e *env) check(what string, want map[int32]map[int64]int64) {
	e.t.Helper()
	folded := e.folded()
	for b, log := range folded {
		rows := e.current(b)
		if !maps.Equal(rows, log) {
			e.t.Errorf("%s: bucket %d has %v, its changelog comes to %v", what, b, rows, log)
		}
		if want != nil && !maps.Equal(rows, want[b]) {
			e.t.Errorf("%s: bucket %d has %v, want %v", what, b, rows, want[b])
		}
	}
}

// churn does random upserts and deletes, and does the same to a map.
func (e *env) churn(r *rand.Rand, want map[int32]map[int64]int64, batches int) {
	e.t.Helper()
	for range batches {
		bucket := int32(r.IntN(len(want)))
		var kvs []int64
		for range 1 + r.IntN(5) {
			kvs = append(kvs, r.Int64N(8), r.Int64N(1000))
		}
		op := kv.Op(r.IntN(2))
		if _, err := e.tryUpsert(bucket, op, anonymous(len(kvs)/2), kvs...); err != nil {
			e.t.Fatal(err)
		}
		for i := 0; i < len(kvs); i += 2 {
			if op == kv.Delete {
				delete(want[bucket], kvs[i])
			} else {
				want[bucket][kvs[i]] = kvs[i+1]
			}
		}
	}
}

func emptyRows(buckets int32) map[int32]map[int64]int64 {
	want := map[int32]map[int64]int64{}
	for b := range buckets {
		want[b] = map[int64]int64{}
	}
	return want
}

// TestRowsOutliveRestarts starts the server again and again: with its rows, with those of some earlier moment, and with
// none at all.
func TestRowsOutliveRestarts(t *testing.T) {
	r := seeded(t)
	e := newKeyedEnv(t, 3, nil)
	want := emptyRows(3)
	for round := range 12 {
		e.churn(r, want, 10)
		e.check("before the restart", want)
		how := r.IntN(3)
		switch how {
		case 0: // an orderly end
			e.stop()
		case 1: // the rows are lost
			e.stop()
			if err := e.mem.RemoveAll("data/kv"); err != nil {
				t.Fatal(err)
			}
		case 2: // what a power cut leaves
			left := e.mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: r.IntN(101), TearSectors: true})
			e.stop()
			e.mem, e.fsys = left, left
		}
		e.start()
		e.check(fmt.Sprintf("round %d, restart %d", round, how), want)
	}
}

// TestLargeChangelogIsOneUnit makes changes whose changelog takes several stored batches: they are one unit, which a
// power cut leaves as a whole or not at all.
func TestLargeChangelogIsOneUnit(t *testing.T) {
	r := seeded(t)
	e := newKeyedEnv(t, 1, map[string]string{"compression": "lz4"})
	const keys = 40_000
	all := func(v int64) []int64 {
		kvs := make([]int64, 0, 2*keys)
		for k := range int64(keys) {
			kvs = append(kvs, k, v)
		}
		return kvs
	}
	e.upsert(0, all(0)...)
	for round := range int64(2) {
		e.upsert(0, all(2*round+1)...)
		batch := pairs(t, e.keyed().Schema, all(2*round+2)...)
		bucket := e.tabletOf(keyedID, 0)
		staged, err := bucket.Upsert(context.Background(), &Rows{Batch: batch, Schema: e.keyed().Schema}, anonymous(keys))
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
		cut := e.mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: r.IntN(101), TearSectors: true})
		if err := bucket.Wait(context.Background(), staged); err != nil {
			t.Fatal(err)
		}
		if n := e.piecesBehind(staged.From); n < 2 {
			t.Fatalf("the changelog is %d stored batches", n)
		}
		e.stop()
		e.mem, e.fsys = cut, cut
		e.start()
		first := e.value(0)
		if first != 2*round+1 && first != 2*round+2 {
			t.Fatalf("round %d: the first row has %d", round, first)
		}
		for key, value := range e.current(0) {
			if value != first {
				t.Fatalf("round %d: row 0 has %d, row %d has %d", round, first, key, value)
			}
		}
		e.check(fmt.Sprint("round ", round), nil)
	}
}

// piecesBehind counts the stored batches from an offset on, which are one unit.
func (e *env) piecesBehind(from quiver.Offset) (n int) {
	e.t.Helper()
	l, err := e.tabletOf(keyedID, 0).leader(context.Background())
	if err != nil {
		e.t.Fatal(err)
	}
	reader := l.log.Read(from, l.log.HighWatermark(), arrowlog.ReadSpec{})
	defer reader.Close()
	for {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			e.t.Fatal(err)
		}
		n++
		h, size := batch.Header(), batch.Size()
		batch.Release()
		if last := h.BaseOffset+quiver.Offset(h.Rows) == l.log.HighWatermark(); last == (h.Flags&record.Continued != 0) || size > 4<<20 {
			e.t.Fatalf("batch %d of %d bytes has flags %d, the last one: %t", n, size, h.Flags, last)
		}
	}
}

// TestRowsFollowLeaderships raises the epoch of a bucket under upserts and lookups: the new leadership takes over the
// log of the old one, and with it everything that was decided by then.
func TestRowsFollowLeaderships(t *testing.T) {
	e := newKeyedEnv(t, 1, map[string]string{"merge-engine": "aggregation", "aggregate.v": "sum"})
	const callers, rounds = 4, 150
	var acked [callers]int64
	var failed atomic.Pointer[error]
	var callersDone, done sync.WaitGroup
	stop := make(chan struct{})
	for caller := range callers {
		callersDone.Go(func() {
			for range rounds {
				_, err := e.tryUpsert(0, kv.Upsert, anonymous(1), int64(caller), 1)
				for quiver.ReasonOf(err) == quiver.LeaderNotAvailable && quiver.OutcomeOf(err) == quiver.NotDone {
					_, err = e.tryUpsert(0, kv.Upsert, anonymous(1), int64(caller), 1)
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				acked[caller]++
				if got := e.value(int64(caller)); got != acked[caller] {
					err := fmt.Errorf("key %d is %d, acknowledged were %d", caller, got, acked[caller])
					failed.Store(&err)
					return
				}
			}
		})
	}
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := e.elect(t.Context(), quiver.BucketID{Table: keyedID}); err != nil {
					t.Error(err)
				}
				e.value(0)
			}
		}
	})
	callersDone.Wait()
	close(stop)
	done.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	want := emptyRows(1)
	for caller := range callers {
		want[0][int64(caller)] = rounds
	}
	e.check("in the end", want)
	e.stop()
	e.start()
	e.check("after a restart", want)
}

// value looks one key up; 0 for none.
func (e *env) value(key int64) int64 {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	b.Append(key)
	keys := b.NewArray()
	l, err := e.tabletOf(keyedID, 0).Lookup(context.Background(), 0)
	if err != nil {
		e.t.Error(err)
		return -1
	}
	a, err := l.Rows.Get(context.Background(), []arrow.Array{keys}, []int{1})
	if err != nil {
		e.t.Error(err)
		return -1
	}
	defer a.Release()
	if a.Len == 0 {
		return 0
	}
	return a.Columns[0].(*array.Int64).Value(0)
}

// TestRowsOutliveTheirStore lets the store of rows fail while the logs go on: the bucket comes back, with everything
// that was acknowledged.
func TestRowsOutliveTheirStore(t *testing.T) {
	r := seeded(t)
	var failing atomic.Bool
	e := newKeyedEnv(t, 2, nil)
	e.stop()
	e.fsys = fs.WithErrors(e.mem, func(op fs.Op, name string) error {
		if failing.Load() && op.Changes() && inStore(name) {
			return errors.New("broken disk")
		}
		return nil
	})
	e.start()
	want := emptyRows(2)
	for range 4 {
		e.churn(r, want, 10)
		store, err := e.server.rows.get()
		if err != nil {
			t.Fatal(err)
		}
		failing.Store(true)
		_ = store.Flush()
		if store.Failed() == nil {
			t.Fatal("the store did not fail")
		}
		failing.Store(false)
		e.check("after the store failed", want)
	}
	e.stop()
	e.start()
	e.check("after a restart", want)
}

func inStore(name string) bool {
	return len(name) > 7 && (name[:7] == "data/kv" || len(name) > 8 && name[:8] == "/data/kv")
}

// TestChangelogOfOlderSchemas alters the table between upserts; the rows are made from the whole log again.
func TestChangelogOfOlderSchemas(t *testing.T) {
	e := newKeyedEnv(t, 1, nil)
	e.upsert(0, 1, 10, 2, 20)
	alter := func(changes ...quiver.SchemaChange) {
		e.reconcile(func(d *quiver.Desired) {
			for i, table := range d.Tables {
				if table.ID != keyedID {
					continue
				}
				schema, err := table.Schema.Alter(changes, table.Schema.ID()+1)
				if err != nil {
					t.Fatal(err)
				}
				altered := *table
				altered.Schema = schema
				d.Tables[i] = &altered
			}
		})
	}
	alter(quiver.SchemaChange{Add: &quiver.AddColumn{Name: "note", Type: "string"}})
	e.upsert(0, 2, 21, 3, 30)
	alter(quiver.SchemaChange{Rename: &quiver.RenameColumn{From: "v", To: "value"}}, quiver.SchemaChange{Drop: "note"})
	e.upsert(0, 3, 31, 4, 40)
	want := map[int32]map[int64]int64{0: {1: 10, 2: 21, 3: 31, 4: 40}}
	e.check("altered", want)
	e.stop()
	if err := e.mem.RemoveAll("data/kv"); err != nil {
		t.Fatal(err)
	}
	e.start()
	e.check("made anew", want)
}

// TestNumbersAreGivenOnce counts rows up over restarts.
func TestNumbersAreGivenOnce(t *testing.T) {
	e := newKeyedEnv(t, 2, map[string]string{"auto-increment": "v"})
	seen := map[int64]bool{}
	for round := range int64(4) {
		for b := range int32(2) {
			schema := e.keyed().Schema
			only, err := schema.Pick([]quiver.ColumnID{schema.Columns()[0].ID})
			if err != nil {
				t.Fatal(err)
			}
			layout, err := record.NewLayout(only)
			if err != nil {
				t.Fatal(err)
			}
			builder := array.NewRecordBuilder(memory.DefaultAllocator, layout.Schema())
			for i := range int64(5) {
				builder.Field(0).(*array.Int64Builder).Append(round*100 + i)
			}
			rec := builder.NewRecordBatch()
			batch, err := record.Encode(layout, rec, record.None)
			rec.Release()
			builder.Release()
			if err != nil {
				t.Fatal(err)
			}
			tablet := e.tabletOf(keyedID, b)
			s, err := tablet.Upsert(t.Context(), &Rows{Batch: batch, Schema: only}, anonymous(5))
			batch.Release()
			if err != nil {
				t.Fatal(err)
			}
			if err := tablet.Wait(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			for k, number := range e.current(b) {
				if k/100 == round {
					if seen[number] {
						t.Errorf("number %d was given twice", number)
					}
					seen[number] = true
				}
			}
		}
		e.stop()
		e.start()
	}
	if len(seen) != 4*2*5 {
		t.Errorf("%d numbers", len(seen))
	}
}

// TestFencedWriterOfNothing: a batch that leaves no row is refused as any other when its writer was taken over, and its
// sequence is still the successor's.
func TestFencedWriterOfNothing(t *testing.T) {
	e := newKeyedEnv(t, 1, nil)
	e.upsert(0, 1, 10)
	e.grant(7, 1)
	_, err := e.tryUpsert(0, kv.Upsert, by(7, 0, 3, 1), 1, 10)
	reason(t, err, quiver.FencedWriter, quiver.NotDone)
	if _, err := e.tryUpsert(0, kv.Upsert, by(7, 1, 3, 1), 1, 11); err != nil {
		t.Fatal(err)
	}
	e.check("after the successor's batch", map[int32]map[int64]int64{0: {1: 11}})
}

// TestUpsertsExpectAnOffset: an upsert that expects another end of the changelog than it has is refused, be it before or
// behind it, and leaves nothing.
func TestUpsertsExpectAnOffset(t *testing.T) {
	e := newKeyedEnv(t, 1, nil)
	e.upsert(0, 1, 10, 2, 20)
	for _, expected := range []quiver.Offset{0, 1, 3} {
		o := anonymous(1)
		o.ExpectOffset = expected
		_, err := e.tryUpsert(0, kv.Upsert, o, 1, 11)
		reason(t, err, quiver.ExpectedOffsetMismatch, quiver.NotDone)
	}
	e.check("after refusals", map[int32]map[int64]int64{0: {1: 10, 2: 20}})
	o := anonymous(1)
	o.ExpectOffset = 2
	if _, err := e.tryUpsert(0, kv.Upsert, o, 1, 11); err != nil {
		t.Error(err)
	}
	e.check("in the end", map[int32]map[int64]int64{0: {1: 11, 2: 20}})
}
