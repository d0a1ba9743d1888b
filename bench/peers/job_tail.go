package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"

	"github.com/quiverlog/quiver/flight"
)

// tailRate is how many rows are due a second.
const tailRate = 1000

// tailColumns are 100 bytes a row.
var tailColumns = []column{{"due", int64s}, {"text", texts}}

// runTail measures from when a row was due until a reader has it.
func runTail(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	rows := p.size(2*tailRate, 200)
	o := order{"do": "tail", "rows": strconv.Itoa(rows), "rate": strconv.Itoa(tailRate), "columns": columnWords(tailColumns)}
	golang := func(ctx context.Context, table string) (metrics, answer, error) {
		return inHere(t.q.pids(), 0, 0, func() (answer, error) { return t.tailGo(ctx, table, rows) })
	}
	quiver := func(work appendWork) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoQuiver(tailColumns, timedWork(work)))
	}
	fluss := func(conf, reading string) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoFluss(tailColumns, "", timedWork(byClient(t.f.pids(), t.f.java, 0, o.with(order{"conf": conf, "reading": reading})))))
	}
	kafka := func(topic, conf string) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoKafka(topic, timedWork(byClient(t.k.pids(), t.k.java, 0, o.with(order{"conf": conf})))))
	}
	arms := []arm{
		{quiverName, goName, defaults, synced, quiver(golang)},
		{quiverName, pyarrowName, defaults, synced, quiver(byClient(t.q.pids(), t.q.python, 0, o))},
		{flussName, javaName, defaults, pageCache, fluss("", "")},
		{flussName, javaName, flussWriteNow, pageCache, fluss(flussWriteNow, "")},
		{flussName, javaName, flussWriteNow + ";" + flussFetchSoon, pageCache, fluss(flussWriteNow, flussFetchSoon)},
		{kafkaName, javaName, defaults, pageCache, kafka("", "")},
		{kafkaName, javaName, kafkaNow, pageCache, kafka("", kafkaNow)},
		{kafkaName, javaName, kafkaSync, synced, kafka(kafkaSync, "")},
		{kafkaName, javaName, kafkaNow + ";" + kafkaSync, synced, kafka(kafkaSync, kafkaNow)},
	}
	r.Notes = []string{
		fmt.Sprintf("%d rows of 100 bytes a turn, one every millisecond, each measured from when it was due until the client of a reader has it. Writer and reader share a program and its clock. One bucket or partition, one replica.", rows),
		"A fetch of Fluss that finds nothing is not woken by an append: it sleeps its whole wait (500 ms by default). Both of its waits are set in the last of its rows.",
		"Quiver shows a row to readers only once it is synced.",
	}
	for _, metric := range []string{p50, p99} {
		for other := 2; other < len(arms); other++ {
			r.pair(metric, &arms[0], &arms[other])
		}
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// tailGo appends rows on schedule and follows the table, by the Go client.
func (t *trio) tailGo(ctx context.Context, table string, rows int) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	clock := time.Now()
	scanner, err := t.q.client.Scan(ctx, flight.ScanCommand{Table: flight.Named(table), Follow: true, Limit: new(int64(rows))})
	if err != nil {
		return a, err
	}
	defer scanner.Close()
	followed := make(chan error, 1)
	go func() {
		for scanner.Next() {
			now := int64(time.Since(clock))
			for _, due := range scanner.Batch().Column(0).(*array.Int64).Int64Values() {
				a.Times = append(a.Times, now-due)
			}
		}
		followed <- scanner.Err()
	}()
	err = t.appendOnTime(ctx, table, clock, rows)
	if err != nil {
		cancel()
	}
	err = errors.Join(err, <-followed)
	a.Seconds, a.Rows = time.Since(clock).Seconds(), int64(len(a.Times))
	if err == nil && len(a.Times) != rows {
		err = fmt.Errorf("%d of %d rows were read", len(a.Times), rows)
	}
	return a, err
}

// appendOnTime appends each row when it is due.
func (t *trio) appendOnTime(ctx context.Context, table string, clock time.Time, rows int) error {
	appender, err := t.q.client.Append(ctx, table, flight.AppendOptions{})
	if err != nil {
		return err
	}
	const interval = time.Second / tailRate
	first := time.Since(clock) + 50*time.Millisecond // the reader waits by then
	schema := (&dataset{columns: tailColumns}).schema()
	for i := 0; err == nil && i < rows; i++ {
		due := first + time.Duration(i)*interval
		waitUntil(clock, due)
		batch := dueRow(schema, due)
		err = appender.Append(ctx, batch)
		batch.Release()
	}
	if _, closed := appender.Close(ctx); err == nil {
		err = closed
	}
	return err
}

// waitUntil sleeps in the kernel: the runtime's timers are late by up to a millisecond.
func waitUntil(clock time.Time, due time.Duration) {
	for wait := due - time.Since(clock); wait > 0; wait = due - time.Since(clock) {
		pause := unix.NsecToTimespec(int64(wait))
		_ = unix.Nanosleep(&pause, nil) // woken early it looks again
	}
}

var tailText = strings.Repeat("x", 92)

func dueRow(schema *arrow.Schema, due time.Duration) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(int64(due))
	b.Field(1).(*array.StringBuilder).Append(tailText)
	return b.NewRecordBatch()
}
