package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/flight"
)

// The arms of J6.
const (
	upsertNewGo    = "Quiver, new keys, Go client"
	upsertNewPy    = "Quiver, new keys, pyarrow"
	upsertNewK     = "K, new keys"
	upsertOldGo    = "Quiver, uniform, Go client"
	upsertOldPy    = "Quiver, uniform, pyarrow"
	upsertRows     = "Quiver, uniform, Go rows"
	upsertOldK     = "K, uniform"
	upsertOldBlind = "K, uniform, never read before"
	upsertZipfGo   = "Quiver, Zipf, Go client"
	upsertZipfK    = "K, Zipf"
	upsertTail     = "Quiver, changelog followed at 10,000 rows/s"
)

// upsertBed is what J6 works with.
type upsertBed struct {
	*bench
	quiver *quiverServer
	conn   *grpc.ClientConn
	client *flight.Client
	floor  *pebbleClient

	every         *datafile    // each key once
	uniform, zipf [2]*datafile // the same keys with other values: put in turns, so that every row changes something
	frames        map[*datafile][]frame
	turns         map[string]int // of each table or database: how often it was updated
}

// keyedBatch is the rows of a batch of J6: about the 2 MB that peers send at once by default.
const keyedBatch = 16 << 10

// runUpsert is J6.
func runUpsert(ctx context.Context, b *bench, r *result) error {
	bed, err := newUpsertBed(ctx, b)
	if err != nil {
		return err
	}
	arms, err := bed.arms(ctx)
	if err != nil {
		return err
	}
	if r.Arms, err = b.takeTurns(ctx, r.Job, arms); err != nil {
		return err
	}
	r.Notes = []string{
		describe(bed.every) + fmt.Sprintf(", each key once, in no order: new keys go into a new table. Updates: %d rows over the same keys, uniform or by Zipf's law (0.99), into a table that has them all; every row changes its key's values.", bed.uniform[0].rows()),
		"Every acknowledged row is durable in the changelog, +I or -U and +U with all columns. The Go client sends batches that were encoded before the run; \"Go rows\" are structs given to the Upserter one by one.",
		"K reads each key's row and replaces it, a Pebble batch for each batch of rows, its write-ahead log synced after each; it has the settings of Quiver's rows, and neither client nor changelog.",
		fmt.Sprintf("The changelog is followed as in J5: %d rows a second, each due at its own time, inserts first and updates later, measured until a follower on another connection has decoded the new row.", tailRate),
	}
	return nil
}

// judgeUpsert judges J6.
func judgeUpsert(r *result) {
	atLeast := func(names ...string) {
		for _, name := range names {
			r.atLeast(400e3, r.series(name, rowsPerSec), "rows/s, "+name)
		}
	}
	r.about("new keys")
	atLeast(upsertNewGo, upsertNewPy)
	r.atLeast(5*83e3, r.series(upsertNewPy, rowsPerSec), "rows/s, new keys, pyarrow, beside 5 × pyfluss's 83 K")
	r.about("updates")
	atLeast(upsertOldGo, upsertOldPy, upsertZipfGo)
	r.atLeast(10*38e3, r.series(upsertOldPy, rowsPerSec), "rows/s, updates, pyarrow, beside 10 × pyfluss's 38 K")
	r.atLeast(10*46e3, r.series(upsertRows, rowsPerSec), "rows/s, updates, Go rows, beside 10 × Fluss's 46 K in Java")
	r.about("changelog")
	r.atMost(3, r.series(upsertTail, p99), "changelog visible, p99, ms")
}

func newUpsertBed(ctx context.Context, b *bench) (*upsertBed, error) {
	bed := &upsertBed{bench: b, frames: map[*datafile][]frame{}, turns: map[string]int{}}
	keys, batch := b.size(1<<20, 1<<10), b.size(keyedBatch, 256)
	var err error
	if bed.every, err = b.data(keyed("kv-every", batch, keys/batch, everyKey(keys), 0)); err != nil {
		return nil, err
	}
	for i := range bed.uniform {
		if bed.uniform[i], err = b.data(keyed(fmt.Sprint("kv-uniform-", i), batch, keys/batch/4, uniformKeys(keys), uint64(i))); err != nil {
			return nil, err
		}
		if bed.zipf[i], err = b.data(keyed(fmt.Sprint("kv-zipf-", i), batch, keys/batch/4, zipfKeys(keys), uint64(i))); err != nil {
			return nil, err
		}
	}
	for _, file := range []*datafile{bed.every, bed.uniform[0], bed.uniform[1], bed.zipf[0], bed.zipf[1]} {
		if bed.frames[file], err = file.frames(); err != nil {
			return nil, err
		}
	}
	if bed.quiver, err = b.quiverOn(ctx, "quiver", filepath.Join(b.dir, "upsert")); err != nil {
		return nil, err
	}
	if bed.conn, err = dial(bed.quiver.address); err != nil {
		return nil, err
	}
	if bed.client, err = flight.Dial(bed.quiver.address, flight.ClientOptions{}); err != nil {
		return nil, err
	}
	bed.floor, err = b.pebbleOn(ctx)
	return bed, err
}

// arms loads what updates need, and gives the arms.
func (bed *upsertBed) arms(ctx context.Context) ([]arm, error) {
	for _, table := range []string{"uniform_go", "uniform_py", "uniform_rows", "zipf_go"} {
		if table == "uniform_py" && bed.bench.client == nil {
			continue
		}
		if err := bed.makeTable(ctx, table); err != nil {
			return nil, err
		}
		if err := putAll(ctx, bed.conn, pathOf("default", table), keyedSchema, bed.frames[bed.every]); err != nil {
			return nil, fmt.Errorf("load %s: %w", table, err)
		}
	}
	for _, store := range []string{"uniform", "blind", "zipf"} {
		if _, err := bed.floor.do(pebbleOrder{Do: "upsert", Store: store, File: bed.every.path}); err != nil {
			return nil, err
		}
	}
	arms := []arm{
		{upsertNewGo, func(ctx context.Context) (metrics, error) { return bed.fresh(ctx, bed.byGo) }},
		{upsertNewK, bed.freshFloor},
		{upsertOldGo, bed.update("uniform_go", &bed.uniform, bed.byGo)},
		{upsertRows, bed.update("uniform_rows", &bed.uniform, bed.byRows)},
		{upsertOldK, bed.updateFloor("uniform", &bed.uniform, true)},
		{upsertOldBlind, bed.updateFloor("blind", &bed.uniform, false)},
		{upsertZipfGo, bed.update("zipf_go", &bed.zipf, bed.byGo)},
		{upsertZipfK, bed.updateFloor("zipf", &bed.zipf, true)},
		{upsertTail, bed.tail},
	}
	if bed.bench.client != nil {
		arms = append(arms,
			arm{upsertNewPy, func(ctx context.Context) (metrics, error) { return bed.fresh(ctx, bed.byPy) }},
			arm{upsertOldPy, bed.update("uniform_py", &bed.uniform, bed.byPy)})
	}
	return arms, nil
}

func (bed *upsertBed) makeTable(ctx context.Context, table string) error {
	_, err := bed.quiver.act(ctx, "table.create", map[string]any{"table": table, "primary_key": []string{"id"}, "schema": keyedColumns})
	return err
}

// upsertWay puts a file into a table.
type upsertWay func(ctx context.Context, table string, file *datafile) (work, error)

func (bed *upsertBed) byGo(ctx context.Context, table string, file *datafile) (work, error) {
	return timed(int64(file.rows()), func() error {
		return putAll(ctx, bed.conn, pathOf("default", table), keyedSchema, bed.frames[file])
	})
}

func (bed *upsertBed) byPy(_ context.Context, table string, file *datafile) (work, error) {
	w, err := bed.byPyarrow(map[string]any{"do": "put", "address": bed.quiver.address, "file": file.path, "path": []string{"default", table}})
	return w, checkRows(err, w.rows, file)
}

// keyedRow is a row of D5 as a Go program has it.
type keyedRow struct {
	ID      int64     `arrow:"id"`
	Amount  int64     `arrow:"amount"`
	Score   float64   `arrow:"score"`
	Name    string    `arrow:"name"`
	City    string    `arrow:"city"`
	Changed time.Time `arrow:"changed"`
	Visits  int32     `arrow:"visits"`
}

// byRows gives the rows of a file to an Upserter one by one.
func (bed *upsertBed) byRows(ctx context.Context, table string, file *datafile) (work, error) {
	rows, err := keyedRows(file)
	if err != nil {
		return work{}, err
	}
	return timed(int64(len(rows)), func() error {
		appender, err := bed.client.Append(ctx, "default."+table, flight.AppendOptions{})
		if err != nil {
			return err
		}
		upserter, err := flight.UpserterOf[keyedRow](ctx, appender)
		for i := 0; err == nil && i < len(rows); i++ {
			err = upserter.Upsert(ctx, rows[i])
		}
		if _, closed := appender.Close(ctx); err == nil {
			err = closed
		}
		return err
	})
}

func keyedRows(file *datafile) ([]keyedRow, error) {
	rows := make([]keyedRow, 0, file.rows())
	err := eachBatch(file.path, func(batch arrow.RecordBatch) (bool, error) {
		for i := range int(batch.NumRows()) {
			rows = append(rows, keyedRow{
				ID: batch.Column(0).(*array.Int64).Value(i), Amount: batch.Column(1).(*array.Int64).Value(i),
				Score: batch.Column(2).(*array.Float64).Value(i), Name: batch.Column(3).(*array.String).Value(i),
				City: batch.Column(4).(*array.String).Value(i), Visits: batch.Column(6).(*array.Int32).Value(i),
				Changed: time.UnixMicro(int64(batch.Column(5).(*array.Timestamp).Value(i))).UTC(),
			})
		}
		return true, nil
	})
	return rows, err
}

// fresh puts every key into a new table.
func (bed *upsertBed) fresh(ctx context.Context, way upsertWay) (metrics, error) {
	const table = "fresh"
	if err := bed.makeTable(ctx, table); err != nil {
		return nil, err
	}
	m, err := bed.put(ctx, table, bed.every, way)
	if err != nil {
		return nil, err
	}
	return m, bed.quiver.drop(ctx, table)
}

// update puts new values of some keys into a table that has them all.
func (bed *upsertBed) update(table string, files *[2]*datafile, way upsertWay) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		bed.turns[table]++
		return bed.put(ctx, table, files[bed.turns[table]%2], way)
	}
}

func (bed *upsertBed) put(ctx context.Context, table string, file *datafile, way upsertWay) (metrics, error) {
	before, err := bed.logBytes(ctx, table)
	if err != nil {
		return nil, err
	}
	m, err := metered(bed.quiver.process, 1, func() (work, error) { return way(ctx, table, file) })
	if err != nil {
		return nil, err
	}
	after, err := bed.logBytes(ctx, table)
	m[changeBytes] = (after - before) / float64(file.rows())
	m.perRow(int64(file.rows()))
	return m, err
}

// logBytes is what the changelog of a table takes.
func (bed *upsertBed) logBytes(ctx context.Context, table string) (float64, error) {
	stats, err := bed.quiver.act(ctx, "table.stats", map[string]any{"table": table})
	if err != nil || len(stats) == 0 {
		return 0, err
	}
	bytes, _ := stats[len(stats)-1]["bytes"].(float64)
	return bytes, nil
}

// freshFloor has K put every key into a new database.
func (bed *upsertBed) freshFloor(context.Context) (metrics, error) {
	const store = "fresh"
	m, err := bed.onFloor(pebbleOrder{Do: "upsert", Store: store, File: bed.every.path, Look: true}, bed.every.rows())
	if err != nil {
		return nil, err
	}
	_, err = bed.floor.do(pebbleOrder{Do: "drop", Store: store})
	return m, err
}

// updateFloor has K put new values of some keys.
func (bed *upsertBed) updateFloor(store string, files *[2]*datafile, look bool) func(context.Context) (metrics, error) {
	return func(context.Context) (metrics, error) {
		name := "K/" + store
		bed.turns[name]++
		file := files[bed.turns[name]%2]
		return bed.onFloor(pebbleOrder{Do: "upsert", Store: store, File: file.path, Look: look}, file.rows())
	}
}

// onFloor meters K. It is client and server at once: all of its CPU time is the server's.
func (bed *upsertBed) onFloor(order pebbleOrder, rows int) (metrics, error) {
	m, err := metered(bed.floor.process, 1, func() (work, error) {
		w, _, err := bed.floor.work(order)
		return w, err
	})
	if err == nil {
		m.perRow(int64(rows))
		delete(m, clientRow)
	}
	return m, err
}

// changesTable is the table whose changelog is followed.
const changesTable = "changes"

var changesSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "due", Type: arrow.PrimitiveTypes.Int64}, // nanoseconds of the producer's clock
	{Name: "text", Type: arrow.BinaryTypes.String},
}, nil)

// tail upserts rows on schedule and follows the changelog. Every key comes several times.
func (bed *upsertBed) tail(ctx context.Context) (metrics, error) {
	rows, keys := bed.size(3*tailRate, 500), bed.size(tailRate, 100)
	if _, err := bed.quiver.act(ctx, "table.create", map[string]any{"table": changesTable, "primary_key": []string{"id"}, "schema": []map[string]any{
		{"name": "id", "type": "int64"}, {"name": "due", "type": "int64"}, {"name": "text", "type": "string"}}}); err != nil {
		return nil, err
	}
	clock := time.Now()
	times := newHistogram()
	ticket := map[string]any{"table": changesTable, "read": "log", "follow": true, "columns": []string{"__change_type", "due"}, "limit": keys + 2*(rows-keys)}
	followed := follow(ctx, bed.client, ticket, func(batch arrow.RecordBatch) {
		now := int64(time.Since(clock))
		changes := batch.Column(0).(*array.Dictionary)
		words := changes.Dictionary().(*array.String)
		for i, due := range batch.Column(1).(*array.Int64).Int64Values() {
			if words.Value(changes.GetValueIndex(i)) != "-U" {
				times.record(time.Duration(now - due))
			}
		}
	})
	encode := func(first, interval time.Duration, i, n int) (*frame, error) {
		return changedRows(first, interval, i, n, keys)
	}
	m, err := onTime(bed.quiver, rows, followed, func() error {
		return produceOnTime(ctx, bed.conn, clock, rows, changesTable, changesSchema, encode)
	})
	if err != nil {
		return nil, err
	}
	times.report(m)
	return m, bed.quiver.drop(ctx, changesTable)
}

// changedRows encodes n rows whose keys come again and again.
func changedRows(first, interval time.Duration, from, n, keys int) (*frame, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, changesSchema)
	defer b.Release()
	for i := from; i < from+n; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(i % keys))
		b.Field(1).(*array.Int64Builder).Append(int64(first + time.Duration(i)*interval))
		b.Field(2).(*array.StringBuilder).Append(tailText)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	m, err := encode(batch, nil)
	return &frame{head: flightData(nil, nil, m.header, len(m.body)), body: m.body, rows: n}, err
}
