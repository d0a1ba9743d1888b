package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// demoCounting writes bids and counts them at the same time, shows the counts while it does, and prints them at its end.
// What was written is counted before it ends, also when it is interrupted.
func (c *call) demoCounting(ctx context.Context, d demo) error {
	lasting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	k, err := c.newCounting(ctx, d)
	if err != nil {
		return err
	}
	defer k.close()
	writing, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	following, written := context.WithCancel(lasting)
	defer written()
	counted, watched := make(chan error, 1), make(chan struct{})
	go func() {
		err := k.run(lasting, following)
		if err != nil {
			fail(err)
		}
		counted <- err
	}()
	go func() {
		defer close(watched)
		c.watch(following, k)
	}()
	// The end of the progress, before the summary is told, is that of the board.
	err = c.writeBids(writing, d, &progress{started: time.Now(), stop: func() {
		written()
		<-watched
	}})
	timer := time.AfterFunc(c.timeout, giveUp)
	defer timer.Stop()
	if err = errors.Join(err, <-counted); err != nil {
		return err
	}
	return c.printCounts(lasting, k)
}

// counting keeps one row per value of a column of the bids: how many there were, and the highest.
//
// It is the job of examples/sales_per_minute.py, with the Go client: a row tells in until how far the log is counted in
// it, bids that are in a row already are left out, and of two versions of a row the one that counted further stays. So
// each bid is counted once, however often the demo is ended or killed, and however many of them run.
type counting struct {
	*call
	bids   string          // the log
	source *arrow.Schema   // what is read of it: the key, price, __offset
	target string          // the table of the counts, and the cursor in the log
	schema *arrow.Schema   // of the target
	at     flight.Position // the bids before it are counted, by this run or an earlier one
	find   *flight.Lookuper
	keep   *flight.Appender
}

// tally is a row of counts but for its key.
type tally struct {
	bids    int64
	highest int64
	until   int64 // the bids before this offset are counted
}

// newCounting makes the table of the counts, if there is none yet.
func (c *call) newCounting(ctx context.Context, d demo) (*counting, error) {
	key, _ := bidSchema.FieldsByName(d.count)
	k := &counting{call: c, bids: d.table, target: d.table + "_by_" + d.count}
	k.source = arrow.NewSchema([]arrow.Field{key[0], {Name: "price", Type: intColumn}, {Name: "__offset", Type: intColumn}}, nil)
	k.schema = arrow.NewSchema([]arrow.Field{key[0], {Name: "bids", Type: intColumn}, {Name: "highest", Type: intColumn}, {Name: "until", Type: intColumn}}, nil)
	word, err := schemaWord(k.schema)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.ask(ctx)
	defer cancel()
	log, err := c.client.DescribeTable(ctx, k.bids)
	if err != nil {
		return nil, err
	}
	if len(log.PartitionBy) > 0 || log.Buckets > 1 && !slices.Equal(log.BucketKey, []string{d.count}) {
		return nil, fmt.Errorf("%s is divided into buckets or partitions, and the bids of one %s lie in several: give another --table", log.Table, d.count)
	}
	comment := fmt.Sprintf("counts %s, table %d", log.Table, log.TableID)
	counts, err := c.client.CreateTable(ctx, flight.TableCreate{Table: flight.Named(k.target), Schema: word, PrimaryKey: []string{d.count}, IfNotExists: true, Comment: comment,
		Options: map[string]string{"merge-engine": "versioned", "merge-engine.version-column": "until"}})
	if err != nil {
		return nil, err
	}
	if counts.Comment != comment {
		return nil, fmt.Errorf("%s is there, and counts something else; drop it with: quiver table drop %[1]s", counts.Table)
	}
	if k.keep, err = c.client.Append(ctx, k.target, flight.AppendOptions{}); err != nil {
		return nil, err
	}
	k.find = c.client.Lookup(k.target, flight.LookupOptions{})
	return k, nil
}

func (k *counting) close() {
	closing, stop := context.WithTimeout(context.Background(), k.timeout)
	defer stop()
	_, _ = k.keep.Close(closing) // all of it was flushed
	k.find.Close()
}

// run counts bids as they come, until following ends, and then those that are left.
func (k *counting) run(ctx, following context.Context) (err error) {
	if k.at, err = k.begin(ctx); err != nil {
		return err
	}
	if err := k.pass(ctx, following, true); err != nil && following.Err() == nil {
		return err
	}
	return k.pass(ctx, ctx, false)
}

// pass counts from where it stands; what was read is counted as a whole, also when reading ends.
func (k *counting) pass(ctx, reading context.Context, follow bool) error {
	scanner, err := k.client.Scan(reading, flight.ScanCommand{Table: flight.Named(k.bids), Columns: []string{k.source.Field(0).Name, "price", "__offset"}, From: k.at, Follow: follow})
	if err != nil {
		return err
	}
	defer scanner.Close()
	for i, field := range scanner.Schema().Fields() {
		if want := k.source.Field(i); !arrow.TypeEqual(field.Type, want.Type) || field.Nullable {
			return fmt.Errorf("%s has other columns than quiver demo makes, such as %q: give another --table", k.bids, field.Name)
		}
	}
	for scanner.Next() {
		if scanner.Batch().NumRows() == 0 {
			continue
		}
		if err := k.take(ctx, scanner.Batch()); err != nil {
			return err
		}
		k.at = scanner.Position()
		if err := k.commit(ctx); err != nil {
			return err
		}
	}
	return scanner.Err()
}

// commit moves the cursor to where the counts are. It may lag behind them, never go before them: so it moves only now,
// and where the server is away at this moment, which the others get over, it moves the next time.
func (k *counting) commit(ctx context.Context) error {
	ctx, cancel := k.ask(ctx)
	defer cancel()
	_, err := k.client.CommitCursor(ctx, flight.CursorCommit{Cursor: k.target, Table: flight.Named(k.bids), Offsets: k.at.Offsets})
	if class, _ := flight.ClassOf(err); err != nil && class == quiver.ClassUnavailable {
		return nil
	}
	return err
}

// begin is where the cursor stands, if there is one yet.
func (k *counting) begin(ctx context.Context) (flight.Position, error) {
	ctx, cancel := k.ask(ctx)
	defer cancel()
	cursors, err := k.client.Cursors(ctx, k.bids)
	if err != nil {
		return flight.Position{}, err
	}
	if slices.ContainsFunc(cursors, func(row flight.CursorRow) bool { return row.Cursor == k.target }) {
		return flight.Position{Kind: flight.AtCursor, Cursor: k.target}, nil
	}
	return flight.Position{}, nil
}

// take adds bids to their rows, which are durable when it returns.
func (k *counting) take(ctx context.Context, bids arrow.RecordBatch) error {
	tallies, order, rowOf := map[any]*tally{}, []any{}, make([]*tally, bids.NumRows())
	for i := range rowOf {
		key := cellOf(bids.Column(0), i)
		t := tallies[key]
		if t == nil {
			t = &tally{}
			tallies[key], order = t, append(order, key)
		}
		rowOf[i] = t
	}
	if err := k.look(ctx, tallies, order); err != nil {
		return err
	}
	prices, offsets := intsOf(bids.Column(1)), intsOf(bids.Column(2))
	for i, t := range rowOf {
		if offsets[i] < t.until {
			continue // it is counted already
		}
		t.bids, t.highest, t.until = t.bids+1, max(t.highest, prices[i]), offsets[i]+1
	}
	rows := batchOf(k.schema, len(order), func(i int) []any {
		t := tallies[order[i]]
		return []any{order[i], t.bids, t.highest, t.until}
	})
	defer rows.Release()
	if err := k.keep.Append(ctx, rows); err != nil {
		return err
	}
	_, err := k.keep.Flush(ctx)
	return err
}

// look fills in the rows that are there.
func (k *counting) look(ctx context.Context, tallies map[any]*tally, order []any) error {
	keys := batchOf(arrow.NewSchema(k.schema.Fields()[:1], nil), len(order), func(i int) []any { return order[i : i+1] })
	defer keys.Release()
	found, err := k.find.Find(ctx, keys)
	if err != nil {
		return err
	}
	defer found.Release()
	for key, t := range talliesOf(found, 1) { // behind __key_index
		*tallies[key] = t
	}
	return nil
}

// talliesOf gives the rows of a batch by their keys; the key is the column at, and the others stand behind it.
func talliesOf(rows arrow.RecordBatch, at int) map[any]tally {
	bids, highest, until := intsOf(rows.Column(at+1)), intsOf(rows.Column(at+2)), intsOf(rows.Column(at+3))
	tallies := make(map[any]tally, len(bids))
	for i := range bids {
		tallies[cellOf(rows.Column(at), i)] = tally{bids[i], highest[i], until[i]}
	}
	return tallies
}

// cellOf is a key as a value that can be compared, and that outlives its batch.
func cellOf(column arrow.Array, i int) any {
	if text, ok := column.(*array.String); ok {
		return strings.Clone(text.Value(i))
	}
	return column.(*array.Int64).Value(i)
}

func intsOf(column arrow.Array) []int64 { return column.(*array.Int64).Int64Values() }

// batchOf makes a batch of rows.
func batchOf(schema *arrow.Schema, n int, row func(i int) []any) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		for c, value := range row(i) {
			appendCell(b.Field(c), value)
		}
	}
	return b.NewRecordBatch()
}
