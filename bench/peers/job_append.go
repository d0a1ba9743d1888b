package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver/flight"
)

// Systems and clients, as tables name them.
const (
	quiverName  = "Quiver"
	flussName   = "Fluss"
	kafkaName   = "Kafka"
	pyarrowName = "pyarrow"
	goName      = "Go"
	javaName    = "Java"
	pyflussName = "pyfluss"
	defaults    = "defaults"
)

// What the tuned settings set.
const (
	flussLZ4     = "table.log.arrow.compression.type=LZ4_FRAME"
	flussPlain   = "table.log.arrow.compression.type=NONE"
	flussBatches = "client.writer.batch-size=8mb;client.writer.buffer.memory-size=256mb"
	kafkaBatches = "batch.size=1048576;linger.ms=5;compression.type=lz4"
	kafkaSync    = "flush.messages=1" // of a topic: it is synced with every produce request
)

// trio is what the jobs work with: all three systems.
type trio struct {
	*peers
	q *quiverSystem
	f *flussSystem
	k *kafkaSystem
}

// all starts the systems that are not there yet.
func (p *peers) all(ctx context.Context) (t *trio, err error) {
	t = &trio{peers: p}
	if t.q, err = p.onQuiver(ctx); err != nil {
		return nil, err
	}
	if t.f, err = p.onFluss(ctx); err != nil {
		return nil, err
	}
	t.k, err = p.onKafka(ctx)
	return t, err
}

// appendWork is one append of a file into a new table of a system.
type appendWork func(ctx context.Context, table string) (metrics, answer, error)

// intoQuiver makes a table, appends, and says what that takes on the disk.
func (t *trio) intoQuiver(columns []column, work appendWork) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		table := t.table("append")
		if err := t.q.create(ctx, table, columns, ""); err != nil {
			return nil, err
		}
		return appended(ctx, table, work, func() (int64, error) { return t.q.disk(ctx, table) }, t.q.drop)
	}
}

func (t *trio) intoFluss(columns []column, properties string, work appendWork) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		table := t.table("append")
		if err := t.f.create(ctx, table, columns, "", properties); err != nil {
			return nil, err
		}
		return appended(ctx, table, work, func() (int64, error) { return t.f.disk(table) }, t.f.drop)
	}
}

func (t *trio) intoKafka(properties string, work appendWork) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		topic := t.table("append")
		if err := t.k.create(ctx, topic, properties); err != nil {
			return nil, err
		}
		return appended(ctx, topic, work, func() (int64, error) { return t.k.disk(topic) }, t.k.drop)
	}
}

// appended does the work on a table that was made for it, adds what that takes on the disk, and drops it.
func appended(ctx context.Context, table string, work appendWork, disk func() (int64, error), drop func(context.Context, string) error) (metrics, error) {
	m, a, err := work(ctx, table)
	if err != nil {
		return nil, err
	}
	bytes, err := disk()
	if err != nil {
		return nil, err
	}
	m[diskRow] = float64(bytes) / float64(a.Rows)
	return m, drop(ctx, table)
}

// byClient is an append, or whatever else an order says, of a client.
func byClient(pids []int, c *client, rowBytes float64, o order) appendWork {
	return func(ctx context.Context, table string) (metrics, answer, error) {
		return ordered(ctx, pids, c, rowBytes, 0, o.with(order{"table": table}))
	}
}

// runAppendBatches appends Arrow batches. Kafka has none: its records are in the next job.
func runAppendBatches(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	file, err := p.data(bids(p.size(65_536, 8192), p.size(32, 2)), p.size(512<<10, 8192))
	if err != nil {
		return err
	}
	batches, err := file.held()
	if err != nil {
		return err
	}
	defer releaseAll(batches)
	python := func(compression string) appendWork {
		return byClient(t.q.pids(), t.q.python, file.rowBytes, order{"do": "append", "file": file.arrow, "compression": compression})
	}
	golang := func(ctx context.Context, table string) (metrics, answer, error) {
		return inHere(t.q.pids(), file.rowBytes, 0, func() (answer, error) {
			return timed(int64(file.rows()), func() error { return t.appendBatches(ctx, table, batches, flight.AppendOptions{}) })
		})
	}
	pyfluss := byClient(t.f.pids(), t.f.python, file.rowBytes, order{"do": "append", "file": file.arrow})
	arms := []arm{
		{quiverName, pyarrowName, defaults, synced, t.intoQuiver(file.columns, python(""))},
		{quiverName, pyarrowName, "LZ4", synced, t.intoQuiver(file.columns, python("lz4"))},
		{quiverName, goName, defaults, synced, t.intoQuiver(file.columns, golang)},
		{flussName, pyflussName, defaults, pageCache, t.intoFluss(file.columns, "", pyfluss)},
		{flussName, pyflussName, flussLZ4, pageCache, t.intoFluss(file.columns, flussLZ4, pyfluss)},
		{flussName, pyflussName, flussPlain, pageCache, t.intoFluss(file.columns, flussPlain, pyfluss)},
	}
	r.Notes = []string{
		file.describe() + ". One producer, one bucket, one replica; each append makes a new table; the clock stops when everything is acknowledged.",
		"By default Fluss compresses with ZSTD and Quiver stores what it is sent. Kafka has no Arrow batches: its records are in the next table.",
	}
	for _, mine := range []int{0, 1} {
		for _, other := range []int{3, 4, 5} {
			r.pair(rowsPerSec, &arms[mine], &arms[other])
		}
	}
	for _, metric := range []string{serverCPU, clientCPU, diskRow} {
		r.pair(metric, &arms[0], &arms[3]) // as both come
		r.pair(metric, &arms[0], &arms[5]) // both plain
		r.pair(metric, &arms[1], &arms[4]) // both LZ4
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// held reads all batches into memory.
func (f *datafile) held() (batches []arrow.RecordBatch, err error) {
	err = f.eachBatch(func(batch arrow.RecordBatch) error {
		batch.Retain()
		batches = append(batches, batch)
		return nil
	})
	return batches, err
}

func releaseAll(batches []arrow.RecordBatch) {
	for _, b := range batches {
		b.Release()
	}
}

// appendBatches appends by the Go client until everything is durable.
func (t *trio) appendBatches(ctx context.Context, table string, batches []arrow.RecordBatch, o flight.AppendOptions) error {
	appender, err := t.q.client.Append(ctx, table, o)
	if err != nil {
		return err
	}
	for _, batch := range batches {
		if err = appender.Append(ctx, batch); err != nil {
			break
		}
	}
	if _, closed := appender.Close(ctx); err == nil {
		err = closed
	}
	return err
}

// bidRow is a bid as a Go program has it.
type bidRow struct {
	Auction int64     `arrow:"auction"`
	Bidder  int64     `arrow:"bidder"`
	Price   int64     `arrow:"price"`
	Channel string    `arrow:"channel"`
	URL     string    `arrow:"url"`
	At      time.Time `arrow:"at"`
}

// bidRows are the first rows of a file.
func bidRows(file *datafile, most int) ([]bidRow, error) {
	rows := make([]bidRow, 0, most)
	err := file.eachBatch(func(batch arrow.RecordBatch) error {
		number := func(c, i int) int64 { return batch.Column(c).(*array.Int64).Value(i) }
		text := func(c, i int) string { return batch.Column(c).(*array.String).Value(i) }
		for i := 0; i < int(batch.NumRows()) && len(rows) < most; i++ {
			at := batch.Column(5).(*array.Timestamp).Value(i)
			rows = append(rows, bidRow{number(0, i), number(1, i), number(2, i), text(3, i), text(4, i), time.UnixMilli(int64(at)).UTC()})
		}
		return nil
	})
	return rows, err
}

// runAppendRows appends rows as the clients have them, one call each.
func runAppendRows(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	file, err := p.data(bids(p.size(65_536, 8192), p.size(32, 2)), p.size(512<<10, 8192))
	if err != nil {
		return err
	}
	rows, err := bidRows(file, file.recorded)
	if err != nil {
		return err
	}
	golang := func(ctx context.Context, table string) (metrics, answer, error) {
		return inHere(t.q.pids(), file.rowBytes, 0, func() (answer, error) {
			return timed(int64(len(rows)), func() error { return t.appendRows(ctx, table, rows) })
		})
	}
	o := order{"do": "append", "file": file.records, "columns": columnWords(file.columns)}
	fluss := func(conf string) appendWork {
		return byClient(t.f.pids(), t.f.java, file.rowBytes, o.with(order{"conf": conf}))
	}
	kafka := func(conf string) appendWork {
		return byClient(t.k.pids(), t.k.java, file.rowBytes, o.with(order{"conf": conf}))
	}
	arms := []arm{
		{quiverName, goName, defaults, synced, t.intoQuiver(file.columns, golang)},
		{flussName, javaName, defaults, pageCache, t.intoFluss(file.columns, "", fluss(""))},
		{flussName, javaName, flussLZ4 + ";" + flussBatches, pageCache, t.intoFluss(file.columns, flussLZ4, fluss(flussBatches))},
		{kafkaName, javaName, defaults, pageCache, t.intoKafka("", kafka(""))},
		{kafkaName, javaName, kafkaBatches, pageCache, t.intoKafka("", kafka(kafkaBatches))},
		{kafkaName, javaName, kafkaBatches + ";" + kafkaSync, synced, t.intoKafka(kafkaSync, kafka(kafkaBatches))},
	}
	r.Notes = []string{
		fmt.Sprintf("The first %d rows of `%s`, %.0f bytes each in Arrow: Go structs, Fluss's `GenericRow`s made of bytes within the clock, Kafka's records encoded before. One producer, one bucket or partition, one replica, acks=all.", file.recorded, file.name, file.rowBytes),
		"Kafka gets bytes that it never looks at, the other two typed columns. MB/s are of the rows in Arrow for all three.",
	}
	for other := 1; other < len(arms); other++ {
		r.pair(rowsPerSec, &arms[0], &arms[other])
	}
	for _, metric := range []string{serverCPU, clientCPU, diskRow} {
		for other := 1; other < len(arms); other++ {
			r.pair(metric, &arms[0], &arms[other])
		}
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// appendRows appends structs by the Go client until everything is durable.
func (t *trio) appendRows(ctx context.Context, table string, rows []bidRow) error {
	appender, err := t.q.client.Append(ctx, table, flight.AppendOptions{})
	if err != nil {
		return err
	}
	into, err := flight.RowsOf[bidRow](ctx, appender)
	for i := 0; err == nil && i < len(rows); i++ {
		err = into.Append(ctx, rows[i])
	}
	if _, closed := appender.Close(ctx); err == nil {
		err = closed
	}
	return err
}
