package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver/internal/fs"
)

// engine is a primary-key table of these tests, with columns k, v and text, and what an upsert makes of a row of it.
type engine struct {
	table   string
	options string
	merge   func(now, next keyedRow) keyedRow
}

// keyedRow is a row without its key.
type keyedRow struct {
	v    int64
	text string
}

var keyedSchema = arrow.NewSchema([]arrow.Field{
	{Name: "k", Type: arrow.PrimitiveTypes.Int64},
	{Name: "v", Type: arrow.PrimitiveTypes.Int64},
	{Name: "text", Type: arrow.BinaryTypes.String},
}, nil)

var engines = []engine{
	{"last", `{}`, func(_, next keyedRow) keyedRow { return next }},
	{"first", `{"merge-engine":"first-row"}`, func(now, _ keyedRow) keyedRow { return now }},
	{"versioned", `{"merge-engine":"versioned","merge-engine.version-column":"v"}`, func(now, next keyedRow) keyedRow {
		if next.v < now.v {
			return now
		}
		return next
	}},
	{"aggregated", `{"merge-engine":"aggregation","aggregate.v":"sum","aggregate.text":"listagg","changelog-image":"wal"}`, func(now, next keyedRow) keyedRow {
		return keyedRow{now.v + next.v, now.text + "," + next.text}
	}},
	{"counted", `{"auto-increment":"id"}`, func(_, next keyedRow) keyedRow { return next }},
}

const keyedKeys = 6

// keyedPut is an upsert or delete of some keys of one table.
type keyedPut struct {
	table string
	op    string
	keys  []int64
	rows  []keyedRow
}

// keyedState is the rows of all tables, by table and key.
type keyedState map[string]map[int64]keyedRow

// after is the state after a put.
func (s keyedState) after(p keyedPut) keyedState {
	merge := engines[slices.IndexFunc(engines, func(e engine) bool { return e.table == p.table })].merge
	table := maps.Clone(s[p.table])
	if table == nil {
		table = map[int64]keyedRow{}
	}
	for i, key := range p.keys {
		now, ok := table[key]
		switch {
		case p.op == "delete":
			delete(table, key)
		case ok:
			table[key] = merge(now, p.rows[i])
		default:
			table[key] = p.rows[i]
		}
	}
	next := maps.Clone(s)
	next[p.table] = table
	return next
}

// keyedPlan is puts and the states before, between and after them.
type keyedPlan struct {
	puts   []keyedPut
	states []keyedState
}

func planKeyed(rng *rand.Rand, state keyedState, puts int) keyedPlan {
	plan := keyedPlan{states: []keyedState{state}}
	for n := range puts {
		p := keyedPut{table: engines[rng.IntN(len(engines))].table, op: "upsert"}
		if rng.IntN(4) == 0 {
			p.op = "delete"
		}
		for range 1 + rng.IntN(5) {
			p.keys = append(p.keys, rng.Int64N(keyedKeys))
			p.rows = append(p.rows, keyedRow{rng.Int64N(5), strings.Repeat(string(rune('a'+n%26)), 1+rng.IntN(3)*100)})
		}
		state = state.after(p)
		plan.puts = append(plan.puts, p)
		plan.states = append(plan.states, state)
	}
	return plan
}

func (p keyedPut) batch() arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, keyedSchema)
	defer b.Release()
	for i, key := range p.keys {
		b.Field(0).(*array.Int64Builder).Append(key)
		b.Field(1).(*array.Int64Builder).Append(p.rows[i].v)
		b.Field(2).(*array.StringBuilder).Append(p.rows[i].text)
	}
	return b.NewRecordBatch()
}

// workKeyed starts a node on the file system, makes the tables and carries out a plan, until something fails.
func (l *life) workKeyed(fsys fs.FS, plan keyedPlan) error {
	r, err := tryStart(fsys)
	if err != nil {
		return err
	}
	defer func() { _ = r.stop() }()
	ctx := context.Background()
	for _, e := range engines {
		id := ""
		if e.table == "counted" {
			id = `,{"name":"id","type":"int64"}`
		}
		if _, err := r.action(ctx, "table.create", fmt.Sprintf(`{"table":%q,"if_not_exists":true,"primary_key":["k"],"options":%s,"schema":[{"name":"k","type":"int64","nullable":false},{"name":"v","type":"int64","nullable":false},{"name":"text","type":"string"}%s]}`,
			e.table, e.options, id)); err != nil {
			return err
		}
	}
	for i, p := range plan.puts {
		if _, err := r.put(ctx, map[string]any{"put": p.table, "op": p.op}, p.batch()); err != nil {
			return err
		}
		l.ack(int64(i + 1))
	}
	return nil
}

// readKeyed gives the rows of a ticket to a function: its columns by name.
func (r *running) readKeyed(ctx context.Context, ticket string, use func(row func(name string) arrow.Array, i int) error) error {
	stream, err := r.client.DoGet(ctx, &afl.Ticket{Ticket: []byte(ticket)})
	if err != nil {
		return err
	}
	reader, err := afl.NewRecordReader(stream)
	if err != nil {
		return err
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		column := func(name string) arrow.Array { return batch.Column(batch.Schema().FieldIndices(name)[0]) }
		for i := range int(batch.NumRows()) {
			if err := use(column, i); err != nil {
				return err
			}
		}
	}
	return reader.Err()
}

func keyedRowAt(column func(string) arrow.Array, i int) (int64, keyedRow) {
	return column("k").(*array.Int64).Value(i), keyedRow{column("v").(*array.Int64).Value(i), column("text").(*array.String).Value(i)}
}

// rowsOf reads a table in all ways there are, which have to say the same: nil if there is no such table.
func (r *running) rowsOf(ctx context.Context, table string) (map[int64]keyedRow, error) {
	rows := map[int64]keyedRow{}
	err := r.readKeyed(ctx, fmt.Sprintf(`{"table":%q,"read":"table"}`, table), func(column func(string) arrow.Array, i int) error {
		key, row := keyedRowAt(column, i)
		rows[key] = row
		return nil
	})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[int64]keyedRow{}
	err = r.readKeyed(ctx, fmt.Sprintf(`{"lookup":%q,"keys":[[0],[1],[2],[3],[4],[5]]}`, table), func(column func(string) arrow.Array, i int) error {
		key, row := keyedRowAt(column, i)
		if index := column("__key_index").(*array.Int64).Value(i); index != key {
			return fmt.Errorf("key %d was found as number %d", key, index)
		}
		found[key] = row
		return nil
	})
	if err != nil {
		return nil, err
	}
	fold, err := r.foldOf(ctx, table)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(found, rows) || !maps.Equal(fold, rows) {
		return nil, fmt.Errorf("table %s has the rows %v, lookups find %v, its changelog gives %v", table, rows, found, fold)
	}
	stats, err := r.action(ctx, "table.stats", fmt.Sprintf(`{"table":%q}`, table))
	if err == nil && !strings.Contains(stats[len(stats)-1], fmt.Sprintf(`"rows":%d,`, len(rows))) {
		err = fmt.Errorf("table %s has %d rows, and counts them as %s", table, len(rows), stats[len(stats)-1])
	}
	return rows, err
}

// foldOf folds the changelog of a table, and checks every step of it.
func (r *running) foldOf(ctx context.Context, table string) (map[int64]keyedRow, error) {
	rows, ids := map[int64]keyedRow{}, map[int64]bool{}
	return rows, r.readKeyed(ctx, fmt.Sprintf(`{"table":%q,"read":"log"}`, table), func(column func(string) arrow.Array, i int) error {
		key, row := keyedRowAt(column, i)
		now, there := rows[key]
		change := column("__change_type").ValueStr(i)
		switch {
		case change == "+I" && !there, change == "+U" && there:
			rows[key] = row
		case change == "-D" && there && row == now:
			delete(rows, key)
		case change == "-U" && there && row == now:
		default:
			return fmt.Errorf("table %s: %s of key %d, %v, where the row is %v, %v", table, change, key, row, now, there)
		}
		if table == "counted" && change == "+I" {
			id := column("id").(*array.Int64).Value(i)
			if ids[id] {
				return fmt.Errorf("the number %d was given out twice", id)
			}
			ids[id] = true
		}
		return nil
	})
}

// checkKeyed compares the tables with a plan of which the first puts were acknowledged, and perhaps the next was carried
// out. It gives what is there.
func checkKeyed(ctx context.Context, r *running, plan keyedPlan, acked int64) (keyedState, error) {
	state := keyedState{}
	for _, e := range engines {
		rows, err := r.rowsOf(ctx, e.table)
		if err != nil {
			return nil, err
		}
		if rows == nil && acked > 0 {
			return nil, errors.New("there is no table " + e.table)
		}
		may := plan.states[acked:min(acked+2, int64(len(plan.states)))]
		if !slices.ContainsFunc(may, func(s keyedState) bool { return maps.Equal(s[e.table], rows) }) {
			return nil, fmt.Errorf("after %d puts were acknowledged, table %s has %v, want %v or %v", acked, e.table, rows, may[0][e.table], may[len(may)-1][e.table])
		}
		state[e.table] = rows
	}
	return state, nil
}

const keyedPuts = 16

// countKeyed runs a life without a cut, and gives its number of steps.
func countKeyed(t *testing.T, plan keyedPlan) int {
	t.Helper()
	mem, l := fs.NewMem(), &life{}
	if err := l.workKeyed(fs.Record(mem, func(op fs.Op, _ string) { l.watch(mem, fs.CrashConfig{}, op) }), plan); err != nil {
		t.Fatal(err)
	}
	return l.step
}

// TestPowerCutsOfKeyedTables does what TestPowerCuts does with primary-key tables of all merge engines: what every way
// to read them says is what the acknowledged puts made, or what the put under way made beside.
func TestPowerCutsOfKeyedTables(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	plan := planKeyed(rng, keyedState{}, keyedPuts)
	steps := countKeyed(t, plan)
	t.Logf("%d operations", steps)
	cuts := 40
	if testing.Short() {
		cuts = 8
	}
	for range cuts {
		at := 1 + rng.IntN(steps)
		cfg := fs.CrashConfig{Rand: rand.New(rand.NewPCG(seed, uint64(at))), KeepUnsynced: rng.IntN(101), TearSectors: rng.IntN(2) == 0}
		mem, l := fs.NewMem(), &life{at: at}
		if err := l.workKeyed(fs.Record(mem, func(op fs.Op, _ string) { l.watch(mem, cfg, op) }), plan); err != nil {
			t.Fatal(err)
		}
		if l.clone == nil {
			continue // this life had fewer operations
		}
		r := start(t, l.clone)
		state, err := checkKeyed(t.Context(), r, plan, l.known)
		if err == nil {
			err = r.stop()
		}
		if err != nil {
			t.Fatalf("cut after operation %d: %v", at, err)
		}
		more, next := planKeyed(rng, state, 4), &life{}
		if err := next.workKeyed(l.clone, more); err != nil {
			t.Fatalf("cut after operation %d: the node does not go on: %v", at, err)
		}
		again := start(t, l.clone)
		if _, err = checkKeyed(t.Context(), again, more, 4); err == nil {
			err = again.stop()
		}
		if err != nil {
			t.Fatalf("cut after operation %d, then more puts: %v", at, err)
		}
	}
}

// TestFailingOperationsOfKeyedTables does what TestFailingOperations does with primary-key tables of all merge engines.
func TestFailingOperationsOfKeyedTables(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	plan := planKeyed(rng, keyedState{}, keyedPuts)
	steps := countKeyed(t, plan)
	t.Logf("%d operations", steps)
	failures := 40
	if testing.Short() {
		failures = 8
	}
	for range failures {
		at := 1 + rng.IntN(steps)
		mem, l := fs.NewMem(), &life{}
		failing := fs.WithErrors(mem, func(op fs.Op, _ string) error {
			l.watch(mem, fs.CrashConfig{}, op)
			l.mu.Lock()
			defer l.mu.Unlock()
			if op.Changes() && l.step == at {
				return errBroken
			}
			return nil
		})
		_ = l.workKeyed(failing, plan) // whether it fails depends on which operation it was
		r, err := tryStart(mem)        // rows that could not be opened may have been moved aside, so it need not be sound
		if err == nil {
			_, err = checkKeyed(t.Context(), r, plan, l.acked)
			err = errors.Join(err, r.stop())
		}
		if err != nil {
			t.Fatalf("operation %d failed: %v", at, err)
		}
	}
}
