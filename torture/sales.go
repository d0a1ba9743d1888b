package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// The tables of examples/sales_per_minute.py, which has names for them: a log of sales, and what they come to by store
// and minute.
var (
	salesColumns = []quiver.ColumnSpec{
		{Name: "store", Type: "string", Nullable: new(bool)},
		{Name: "at", Type: "timestamp[ms, tz=UTC]", Nullable: new(bool)},
		{Name: "cents", Type: "int64", Nullable: new(bool)},
	}
	minutesColumns = []quiver.ColumnSpec{
		{Name: "store", Type: "string", Nullable: new(bool)},
		{Name: "minute", Type: "timestamp[s, tz=UTC]", Nullable: new(bool)},
		{Name: "sales", Type: "int64", Nullable: new(bool)},
		{Name: "cents", Type: "int64", Nullable: new(bool)},
		{Name: "until", Type: "int64", Nullable: new(bool)},
	}
)

// salesBuckets is how many buckets the log has; the job makes it with as many.
const salesBuckets = 3

// sale is a row of the log.
type sale struct {
	store string
	at    int64 // Unix milliseconds
	cents int64
}

// window is a key of what the sales come to.
type window struct {
	store  string
	minute int64 // Unix seconds
}

func (s sale) window() window { return window{s.store, s.at / 60_000 * 60} }

// text names a window as the judge does, and a lookup.
func (w window) text() string {
	return w.store + "|" + time.Unix(w.minute, 0).UTC().Format(time.RFC3339)
}

// tally is what the sales of a window before an offset of its bucket come to.
type tally struct{ sales, cents, until int64 }

func (t tally) add(s sale, offset int64) tally {
	return tally{t.sales + 1, t.cents + s.cents, offset + 1}
}

// till puts sales, exactly once: most are of now, some of a minute ago, a few of half an hour ago.
type till struct {
	*named
	batches [][]sale
	rows    int64
	cents   int64
}

// tillPause is how long it waits between two batches: the jobs are to keep up.
const tillPause = 60 * time.Millisecond

func newTill(c *client) *till {
	t := &till{named: &named{client: c, most: 30, unacked: 64 << 10}}
	t.make, t.batch = t.sell, t.record
	t.done = func(i int64) { t.count("sales acknowledged", int64(len(t.batches[i]))) }
	return t
}

// sell makes the next batch.
func (t *till) sell() {
	t.pause(tillPause)
	now := time.Date(2026, 11, 22, 10, 0, len(t.batches), 0, time.UTC).UnixMilli()
	rows := make([]sale, 1+t.random.IntN(pick(t.random, 1, 3, 20, 150)))
	for i := range rows {
		late := pick(t.random, 1e3, 60e3, 60e3, 1800e3) * t.random.Float64()
		rows[i] = sale{fmt.Sprint("store-", min(t.random.IntN(9), t.random.IntN(9))), now - int64(late), t.random.Int64N(10_500) - 500}
		t.cents += rows[i].cents
	}
	t.rows += int64(len(rows))
	t.batches = append(t.batches, rows)
}

// times is a column of times of one unit.
func times(unit arrow.TimeUnit, values []int64) arrow.Array {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: unit, TimeZone: "UTC"})
	defer b.Release()
	for _, v := range values {
		b.Append(arrow.Timestamp(v))
	}
	return b.NewArray()
}

// words is a column of text.
func words(values []string) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(values, nil)
	return b.NewArray()
}

func (t *till) record(i int64) arrow.RecordBatch {
	batch := t.batches[i]
	stores, at, cents := make([]string, len(batch)), make([]int64, len(batch)), make([]int64, len(batch))
	for n, s := range batch {
		stores[n], at[n], cents[n] = s.store, s.at, s.cents
	}
	return batchOf([]string{"store", "at", "cents"}, words(stores), times(arrow.Millisecond, at), ints(cents...))
}

// salesOf reads a batch of the log.
func salesOf(batch arrow.RecordBatch) ([]sale, error) {
	stores, ok0 := column(batch, "store").(*array.String)
	at, ok1 := column(batch, "at").(*array.Timestamp)
	cents, ok2 := column(batch, "cents").(*array.Int64)
	if !ok0 || !ok1 || !ok2 {
		return nil, broken("changed: a batch of sales has the schema %s", batch.Schema())
	}
	out := make([]sale, batch.NumRows())
	for i := range out {
		out[i] = sale{textAt(stores, i), int64(at.Value(i)), cents.Value(i)}
	}
	return out, nil
}

// job counts sales by store and minute, as the example does, and remembers nothing from one session to the next: where
// it goes on is told by a cursor, which it moves behind its puts, and what is counted by the rows. A session ends at any
// place, as if it had been killed. Several of them may run at one time.
type job struct{ *client }

// salesCursor is the one that the jobs share.
const salesCursor = "sales_per_minute"

func (j *job) session(ctx context.Context, c *conn) (done bool, err error) {
	lag, from, err := salesLag(ctx, c, j.table)
	if err != nil {
		return false, err
	}
	if j.ends() && lag == 0 {
		return true, nil
	}
	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named(j.table), Columns: []string{"store", "at", "cents"}, From: from, Follow: !j.ends()})
	if err != nil {
		return false, err
	}
	defer s.Close()
	for left := 1 + j.random.IntN(60); left > 0 && s.Next(); left-- {
		if j.ends() && s.Info().Idle {
			return false, nil // to look at the cursor
		}
		if s.Batch().NumRows() == 0 {
			continue
		}
		if err := j.take(ctx, c, s.Batch(), s.Info()); err != nil {
			return false, err
		}
	}
	j.count("jobs ended", 1)
	return false, s.Err()
}

// salesLag is how far the jobs lag behind the log, and where they go on.
func salesLag(ctx context.Context, c *conn, table string) (rows int64, from flight.Position, err error) {
	cursors, err := c.Cursors(ctx, table)
	if err != nil {
		return 0, from, err
	}
	for _, row := range cursors {
		if row.Cursor == salesCursor {
			return *row.LagRows, flight.Position{Kind: flight.AtCursor, Cursor: salesCursor}, nil
		}
	}
	return 1, flight.Position{Kind: flight.Earliest}, nil
}

// take counts a batch and moves the cursor behind it, or ends between two of these steps.
func (j *job) take(ctx context.Context, c *conn, batch arrow.RecordBatch, info flight.BatchInfo) error {
	sales, err := salesOf(batch)
	if err != nil {
		return err
	}
	tallies := map[window]tally{}
	for _, s := range sales {
		tallies[s.window()] = tally{}
	}
	if err := findTallies(ctx, c, tallies); err != nil {
		return err
	}
	for i, s := range sales {
		if t, offset := tallies[s.window()], int64(info.From)+int64(i); offset >= t.until { // else it is counted there
			tallies[s.window()] = t.add(s, offset)
		}
	}
	rows := tallyRows(tallies)
	defer rows.Release()
	if err := c.putOne(ctx, putCommand{Put: tableMinutes}, rows); err != nil {
		return err
	}
	j.count("sales counted", int64(len(sales)))
	if j.random.IntN(10) == 0 {
		return nil // as if it was killed before it moved the cursor, and another one behind it did
	}
	_, err = c.CommitCursor(ctx, flight.CursorCommit{Cursor: salesCursor, Table: flight.Named(j.table),
		Offsets: flight.Offsets{Buckets: flight.BucketOffsets{info.Bucket: info.Until}}})
	return err
}

// findTallies fills in what is counted of some windows.
func findTallies(ctx context.Context, c *conn, tallies map[window]tally) error {
	command := flight.LookupCommand{Table: flight.Named(tableMinutes)}
	for w := range tallies {
		command.Keys = append(command.Keys, fmt.Appendf(nil, `[%q,%q]`, w.store, time.Unix(w.minute, 0).UTC().Format(time.RFC3339)))
	}
	batches, err := c.LookupKeys(ctx, command)
	if err != nil {
		return err
	}
	for _, b := range batches {
		stores, minutes := column(b, "store"), column(b, "minute").(*array.Timestamp)
		sales, cents, until := column(b, "sales"), column(b, "cents"), column(b, "until")
		for i := range int(b.NumRows()) {
			tallies[window{textAt(stores, i), int64(minutes.Value(i))}] = tally{intAt(sales, i), intAt(cents, i), intAt(until, i)}
		}
		b.Release()
	}
	return nil
}

func tallyRows(tallies map[window]tally) arrow.RecordBatch {
	n := len(tallies)
	stores, minutes := make([]string, 0, n), make([]int64, 0, n)
	sales, cents, until := make([]int64, 0, n), make([]int64, 0, n), make([]int64, 0, n)
	for w, t := range tallies {
		stores, minutes = append(stores, w.store), append(minutes, w.minute)
		sales, cents, until = append(sales, t.sales), append(cents, t.cents), append(until, t.until)
	}
	return batchOf([]string{"store", "minute", "sales", "cents", "until"}, words(stores), times(arrow.Second, minutes), ints(sales...), ints(cents...), ints(until...))
}

// judgeSales compares what the jobs counted, and every row that they ever showed, with a count of the whole log that
// knows nothing of them.
func judgeSales(ctx context.Context, c *conn, t *till) error {
	states, err := countSales(ctx, c, t)
	if err != nil {
		return err
	}
	shown := map[string]tally{}
	folded, err := foldLog(ctx, c, tableMinutes, minutesKey, func(ch change) error {
		now := tally{ch.at("sales"), ch.at("cents"), ch.at("until")}
		switch before, ok := shown[ch.key]; {
		case ch.what == "-U":
			return nil
		case ch.what == "-D":
			return broken("job: %s is deleted", ch.key)
		case !states[ch.key][now]:
			return broken("job: %s was shown as %+v, which its sales never came to", ch.key, now)
		case ok && now.until <= before.until:
			return broken("job: %s went back from %+v to %+v", ch.key, before, now)
		}
		shown[ch.key] = now
		return nil
	})
	if err != nil {
		return err
	}
	for w, may := range states {
		var last tally
		for s := range may {
			if s.until > last.until {
				last = s
			}
		}
		if shown[w] != last {
			return broken("job: %s is counted as %+v, and its sales come to %+v", w, shown[w], last)
		}
	}
	return judgeFold(ctx, c, tableMinutes, minutesKey, folded)
}

// countSales gives, for each window, all that its sales came to, one after the other.
func countSales(ctx context.Context, c *conn, t *till) (map[string]map[tally]bool, error) {
	states, now := map[string]map[tally]bool{}, map[window]tally{}
	var rows, cents int64
	err := readAll(ctx, c, flight.ScanCommand{Table: flight.Named(tableSales)}, func(s *flight.Scanner) error {
		sales, err := salesOf(s.Batch())
		for i, one := range sales {
			w := one.window()
			now[w] = now[w].add(one, int64(s.Info().From)+int64(i))
			if states[w.text()] == nil {
				states[w.text()] = map[tally]bool{}
			}
			states[w.text()][now[w]] = true
			rows++
			cents += one.cents
		}
		return err
	})
	if err == nil && (rows != t.rows || cents != t.cents) {
		err = broken("sales: %d sales of %d cents are in the log, %d of %d were put", rows, cents, t.rows, t.cents)
	}
	return states, err
}
