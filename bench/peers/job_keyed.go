package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver/flight"
)

const (
	keyColumn       = "id"
	flussLookupSoon = "client.lookup.batch-timeout=1ms"
	flussBuffer     = "client.writer.buffer.memory-size=256mb"
)

// keyedRow is a row as a Go program has it.
type keyedRow struct {
	ID      int64     `arrow:"id"`
	Amount  int64     `arrow:"amount"`
	Score   float64   `arrow:"score"`
	Name    string    `arrow:"name"`
	City    string    `arrow:"city"`
	Changed time.Time `arrow:"changed"`
	Visits  int32     `arrow:"visits"`
}

// keyedKey is its key.
type keyedKey struct {
	ID int64 `arrow:"id"`
}

// keyedRows are the rows of a file.
func keyedRows(file *datafile) ([]keyedRow, error) {
	rows := make([]keyedRow, 0, file.rows())
	err := file.eachBatch(func(batch arrow.RecordBatch) error {
		for i := range int(batch.NumRows()) {
			rows = append(rows, keyedRow{
				ID: batch.Column(0).(*array.Int64).Value(i), Amount: batch.Column(1).(*array.Int64).Value(i),
				Score: batch.Column(2).(*array.Float64).Value(i), Name: batch.Column(3).(*array.String).Value(i),
				City: batch.Column(4).(*array.String).Value(i), Visits: batch.Column(6).(*array.Int32).Value(i),
				Changed: time.UnixMicro(int64(batch.Column(5).(*array.Timestamp).Value(i))).UTC(),
			})
		}
		return nil
	})
	return rows, err
}

// keyedFiles are each key once, and twice the same keys with other values, put in turns.
type keyedFiles struct {
	every   *datafile
	updates [2]*datafile
	turns   map[string]int // of each table: how often it was updated
}

// keys is how many keys there are, a power of two.
func (p *peers) keys() int { return p.size(256<<10, 4<<10) }

func (p *peers) keyedFiles() (k *keyedFiles, err error) {
	k = &keyedFiles{turns: map[string]int{}}
	batch, keys := p.size(16<<10, 1<<10), p.keys()
	if k.every, err = p.data(keyed("keyed-every", batch, keys/batch, keys, true, 0), keys); err != nil {
		return nil, err
	}
	for i := range k.updates {
		d := keyed(fmt.Sprintf("keyed-update%d", i), batch, keys/batch/2, keys, false, uint64(i+1))
		if k.updates[i], err = p.data(d, d.rows()); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// upsertWay puts a file into a table.
type upsertWay func(ctx context.Context, table string, file *datafile) (metrics, error)

// runUpsert puts rows into tables with a primary key. Kafka has none.
func runUpsert(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	files, err := p.keyedFiles()
	if err != nil {
		return err
	}
	rows := map[*datafile][]keyedRow{}
	for _, f := range []*datafile{files.every, files.updates[0], files.updates[1]} {
		if rows[f], err = keyedRows(f); err != nil {
			return err
		}
	}
	byPy := func(ctx context.Context, table string, file *datafile) (metrics, error) {
		m, _, err := ordered(ctx, t.q.pids(), t.q.python, file.rowBytes, 0, order{"do": "append", "file": file.arrow, "table": table})
		return m, err
	}
	byGo := func(ctx context.Context, table string, file *datafile) (metrics, error) {
		m, _, err := inHere(t.q.pids(), file.rowBytes, 0, func() (answer, error) {
			return timed(int64(file.rows()), func() error { return t.upsertRows(ctx, table, rows[file]) })
		})
		return m, err
	}
	byJava := func(conf string) upsertWay {
		return func(ctx context.Context, table string, file *datafile) (metrics, error) {
			m, _, err := ordered(ctx, t.f.pids(), t.f.java, file.rowBytes, 0,
				order{"do": "upsert", "file": file.records, "table": table, "columns": columnWords(file.columns), "conf": conf})
			return m, err
		}
	}
	quiver := keyedPlace{t.q.create, t.q.drop}
	fluss := func(properties string) keyedPlace {
		return keyedPlace{func(ctx context.Context, table string, columns []column, key string) error {
			return t.f.create(ctx, table, columns, key, properties)
		}, t.f.drop}
	}
	var arms []arm
	for _, a := range []struct {
		arm
		place keyedPlace
		way   upsertWay
	}{
		{arm{System: quiverName, Client: pyarrowName, Setting: defaults, Durable: synced}, quiver, byPy},
		{arm{System: quiverName, Client: goName, Setting: defaults + ", row by row", Durable: synced}, quiver, byGo},
		{arm{System: flussName, Client: javaName, Setting: defaults + ", row by row", Durable: pageCache}, fluss(""), byJava("")},
		{arm{System: flussName, Client: javaName, Setting: flussLZ4 + ";" + flussBuffer + ", row by row", Durable: pageCache}, fluss(flussLZ4), byJava(flussBuffer)},
	} {
		update, err := t.updating(ctx, files, a.place, a.way)
		if err != nil {
			return err
		}
		fresh, old := a.arm, a.arm
		fresh.Setting, fresh.run = a.Setting+", new keys", t.inserting(files, a.place, a.way)
		old.Setting, old.run = a.Setting+", updates", update
		arms = append(arms, fresh, old)
	}
	r.Notes = []string{
		files.every.describe() + fmt.Sprintf(", each key once, in no order, into a new table; updates: %d rows over the same keys, any key as often as any other, into a table that has them all. One bucket, one replica, full changelog in both.", files.updates[0].rows()),
		"Fluss's batches stay at their default of 2 MB: larger ones fail with its primary-key tables (more than 131,072 changes in a batch). pyfluss takes keyed rows as Python dictionaries only, so Fluss's figures are its Java client's. Kafka has no such tables.",
	}
	for _, mine := range []int{0, 1, 2, 3} {
		r.pair(rowsPerSec, &arms[mine], &arms[4+mine%2])
		r.pair(rowsPerSec, &arms[mine], &arms[6+mine%2])
		r.pair(serverCPU, &arms[mine], &arms[4+mine%2])
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// keyedPlace makes and drops tables of a system.
type keyedPlace struct {
	create func(ctx context.Context, table string, columns []column, key string) error
	drop   func(ctx context.Context, table string) error
}

// inserting puts every key into a new table.
func (t *trio) inserting(files *keyedFiles, place keyedPlace, way upsertWay) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		table := t.table("fresh")
		if err := place.create(ctx, table, files.every.columns, keyColumn); err != nil {
			return nil, err
		}
		m, err := way(ctx, table, files.every)
		if err != nil {
			return nil, err
		}
		return m, place.drop(ctx, table)
	}
}

// updating loads a table, and puts new values of some keys into it each time.
func (t *trio) updating(ctx context.Context, files *keyedFiles, place keyedPlace, way upsertWay) (func(context.Context) (metrics, error), error) {
	table := t.table("updated")
	if err := place.create(ctx, table, files.every.columns, keyColumn); err != nil {
		return nil, err
	}
	if _, err := way(ctx, table, files.every); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (metrics, error) {
		files.turns[table]++
		return way(ctx, table, files.updates[files.turns[table]%2])
	}, nil
}

// upsertRows gives rows to an Upserter one by one.
func (t *trio) upsertRows(ctx context.Context, table string, rows []keyedRow) error {
	appender, err := t.q.client.Append(ctx, table, flight.AppendOptions{})
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
}

// runLookup looks keys up, so many at a time.
func runLookup(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	files, err := p.keyedFiles()
	if err != nil {
		return err
	}
	file := files.every
	mine, theirs := t.table("lookup"), t.table("lookup")
	if err := t.q.create(ctx, mine, file.columns, keyColumn); err != nil {
		return err
	}
	if _, err := t.q.python.do(ctx, order{"do": "append", "file": file.arrow, "table": mine}); err != nil {
		return err
	}
	if err := t.f.create(ctx, theirs, file.columns, keyColumn, ""); err != nil {
		return err
	}
	if _, err := t.f.java.do(ctx, order{"do": "upsert", "file": file.records, "table": theirs, "columns": columnWords(file.columns)}); err != nil {
		return err
	}
	lookuper := t.q.client.Lookup(mine, flight.LookupOptions{})
	defer lookuper.Close()
	found, err := flight.LookupsOf[keyedKey, keyedRow](ctx, lookuper)
	if err != nil {
		return err
	}
	span := time.Duration(p.size(700, 150)) * time.Millisecond
	var arms []arm
	for _, flight := range []int{1, 16, 128, 1024} {
		at := fmt.Sprintf(", %d in flight", flight)
		o := order{"do": "lookup", "flight": strconv.Itoa(flight), "most": "1000000", "ms": strconv.Itoa(int(span.Milliseconds())), "keys": strconv.Itoa(p.keys())}
		ask := func(pids []int, c *client, table, conf string) func(context.Context) (metrics, error) {
			return func(ctx context.Context) (metrics, error) {
				m, a, err := ordered(ctx, pids, c, 0, 0, o.with(order{"table": table, "conf": conf}))
				return lookedUp(m, a, err)
			}
		}
		arms = append(arms,
			arm{quiverName, goName, defaults + at, readOnly, func(ctx context.Context) (metrics, error) {
				m, a, err := inHere(t.q.pids(), 0, 0, func() (answer, error) { return lookUp(ctx, found, flight, p.keys(), span) })
				return lookedUp(m, a, err)
			}},
			arm{quiverName, pyarrowName, defaults + at, readOnly, ask(t.q.pids(), t.q.python, mine, "")},
			arm{flussName, javaName, defaults + at, readOnly, ask(t.f.pids(), t.f.java, theirs, "")},
			arm{flussName, javaName, flussLookupSoon + at, readOnly, ask(t.f.pids(), t.f.java, theirs, flussLookupSoon)},
		)
	}
	r.Notes = []string{
		fmt.Sprintf("%d rows as in the table of upserts, all columns asked for, random keys, all of them there; each arm looks up for %v a turn. In the Go client every lookup is a goroutine's; pyarrow sends batches of one key over one exchange, Fluss's Java client futures.", file.rows(), span),
		"At defaults Fluss's client waits up to 100 ms for 128 lookups to fill a request; 1 ms is the least that works, with 0 no lookup is answered. pyfluss has no option for that and asks one key at a time, so it is left out. Kafka has no lookups.",
	}
	for i := 0; i < len(arms); i += 4 {
		for _, metric := range []string{lookups, p50, p99} {
			r.pair(metric, &arms[i], &arms[i+2])
			r.pair(metric, &arms[i], &arms[i+3])
		}
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// lookedUp turns the metrics of lookups into theirs; a miss is an error, since all keys are there.
func lookedUp(m metrics, a answer, err error) (metrics, error) {
	if err != nil {
		return nil, err
	}
	if a.Misses > 0 {
		return nil, fmt.Errorf("%d of %d keys were not found", a.Misses, a.Rows)
	}
	m[lookups] = m[rowsPerSec]
	return timedRows(m, a), nil
}

// lookUp has so many goroutines look up random keys for a time.
func lookUp(ctx context.Context, found *flight.Lookups[keyedKey, keyedRow], callers, keys int, span time.Duration) (a answer, err error) {
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		misses atomic.Int64
		failed error
	)
	began := time.Now()
	for range callers {
		wait.Go(func() {
			var times []int64
			for time.Since(began) < span {
				sent := time.Now()
				_, ok, err := found.Get(ctx, keyedKey{rand.Int64N(int64(keys))})
				times = append(times, int64(time.Since(sent)))
				if !ok {
					misses.Add(1)
				}
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					break
				}
			}
			mu.Lock()
			a.Times = append(a.Times, times...)
			mu.Unlock()
		})
	}
	wait.Wait()
	a.Seconds, a.Rows, a.Misses = time.Since(began).Seconds(), int64(len(a.Times)), misses.Load()
	return a, failed
}
