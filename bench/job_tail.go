package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/flight"
)

// The arms of J5.
const (
	tailQuiver = "Quiver"
	tailSync   = "D, 4 KiB"
)

// tailRate is the rows of J5 in a second.
const tailRate = 10_000

// tailTable is the table of J5: when each row was due, and some text.
const tailTable = "tail"

var tailSchema = arrow.NewSchema([]arrow.Field{
	{Name: "due", Type: arrow.PrimitiveTypes.Int64}, // nanoseconds of the producer's clock
	{Name: "text", Type: arrow.BinaryTypes.String},
}, nil)

// tailText makes a row of about 100 bytes.
const tailText = "a hundred bytes, or nearly, as a small event has them: user, action, place, time, and so on"

// runTail is J5: rows are due at fixed times, whatever happened to those before them. Each goes out at its time, with
// whatever else is due by then, and its latency counts from when it was due until a following reader has decoded it.
func runTail(ctx context.Context, b *bench, r *result) error {
	q, err := b.quiverOn(ctx, "quiver", filepath.Join(b.dir, "tail"))
	if err != nil {
		return err
	}
	producer, err := dial(q.address)
	if err != nil {
		return err
	}
	consumer, err := flight.Dial(q.address, flight.ClientOptions{})
	if err != nil {
		return err
	}
	rows := b.size(6*tailRate, 500)
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{
		{tailQuiver, func(ctx context.Context) (metrics, error) { return tail(ctx, q, producer, consumer, rows) }},
		{tailSync, func(context.Context) (metrics, error) { return syncMetrics(b.dir, b.size(2000, 20)) }},
	})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("Open loop: %d rows of about 100 bytes a second from one producer, %d rows a round, each due at its own time and sent with what else is due by then; measured from when a row was due until a following reader, on another connection, has decoded it. Go client; replication factor 1; shown to readers only once fdatasync is done.", tailRate, rows),
		"Producer, consumer and server share the machine. D is append + fdatasync of 4 KiB in the same directory.",
	}
	return nil
}

// judgeTail judges J5.
func judgeTail(r *result) {
	r.about("append to consumer")
	r.atMost(0.5, r.series(tailQuiver, p50), "p50, ms")
	r.atMost(2, r.series(tailQuiver, p99), "p99, ms")
	r.atMost(5, r.series(tailQuiver, p999), "p99.9, ms")
	r.atMost(3.4/5, r.series(tailQuiver, p50), "p50, ms, beside a fifth of Kafka's with flush (3.4)")
	r.atMost(21.0/5, r.series(tailQuiver, p99), "p99, ms, beside a fifth of Kafka's with flush (21)")
	r.atMost(303.0/100, r.series(tailQuiver, p50), "p50, ms, beside a hundredth of Fluss's by default (303)")
}

// tail produces rows on schedule into a new table and follows them.
func tail(ctx context.Context, q *quiverServer, producer *grpc.ClientConn, consumer *flight.Client, rows int) (metrics, error) {
	if _, err := q.act(ctx, "table.create", map[string]any{"table": tailTable, "schema": []map[string]any{
		{"name": "due", "type": "int64"}, {"name": "text", "type": "string"}}}); err != nil {
		return nil, err
	}
	clock := time.Now()
	times := newHistogram()
	ticket := map[string]any{"table": tailTable, "follow": true, "limit": rows}
	followed := follow(ctx, consumer, ticket, func(batch arrow.RecordBatch) {
		now := int64(time.Since(clock))
		for _, due := range batch.Column(0).(*array.Int64).Int64Values() {
			times.record(time.Duration(now - due))
		}
	})
	m, err := onTime(q, rows, followed, func() error {
		return produceOnTime(ctx, producer, clock, rows, tailTable, tailSchema, dueRows)
	})
	if err != nil {
		return nil, err
	}
	times.report(m)
	return m, q.drop(ctx, tailTable)
}

// follow reads a ticket to its end in the background.
func follow(ctx context.Context, consumer *flight.Client, ticket map[string]any, see func(arrow.RecordBatch)) <-chan error {
	followed := make(chan error, 1)
	go func() {
		_, err := getDecoded(ctx, consumer, ticket, see)
		followed <- err
	}()
	return followed
}

// onTime meters a producer with a follower.
func onTime(q *quiverServer, rows int, followed <-chan error, produce func() error) (metrics, error) {
	m, err := metered(q.process, 1, func() (work, error) {
		return timed(int64(rows), func() error {
			if err := produce(); err != nil {
				return err
			}
			return <-followed
		})
	})
	if err == nil {
		m.perRow(int64(rows))
	}
	return m, err
}

// produceOnTime sends rows when they are due: n rows from the i-th on are what encode makes of them.
func produceOnTime(ctx context.Context, conn *grpc.ClientConn, clock time.Time, rows int, table string, schema *arrow.Schema, encode func(first, interval time.Duration, i, n int) (*frame, error)) error {
	stream, err := openPut(ctx, conn, pathOf("default", table), schema)
	if err != nil {
		return err
	}
	const lead, interval = 50 * time.Millisecond, time.Second / tailRate
	first := time.Since(clock) + lead // the reader is there by then
	if err := whenDue(clock, first, interval, rows, func(i, n int) error {
		f, err := encode(first, interval, i, n)
		if err != nil {
			return err
		}
		return stream.send(f)
	}); err != nil {
		return err
	}
	return stream.finish()
}

// whenDue calls a function for things that are due one after the other, the first one at a time of the clock: each at
// its time, with whatever else is due by then. It sleeps in the kernel, since the runtime's timers are late by up to a
// millisecond, on a thread of its own, whose sleep is not stretched.
func whenDue(clock time.Time, first, interval time.Duration, count int, do func(i, n int) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // nanoseconds; the kernel's default is 50 µs
	for done := 0; done < count; {
		due := first + time.Duration(done)*interval
		if wait := due - time.Since(clock); wait > 0 {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&pause, nil) // woken early it looks again
			continue
		}
		n := min(int((time.Since(clock)-first)/interval)+1-done, count-done)
		if err := do(done, n); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// dueRows encodes n rows.
func dueRows(first, interval time.Duration, from, n int) (*frame, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, tailSchema)
	defer b.Release()
	for i := from; i < from+n; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(first + time.Duration(i)*interval))
		b.Field(1).(*array.StringBuilder).Append(tailText)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	m, err := encode(batch, nil)
	return &frame{head: flightData(nil, nil, m.header, len(m.body)), body: m.body, rows: n}, err
}
