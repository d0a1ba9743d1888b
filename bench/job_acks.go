package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
)

// The arms of J2.
const (
	acksQuiver    = "Quiver"
	acksStock     = "S"
	acksOneQuiver = "Quiver, one producer"
	acksOneStock  = "S, one producer"
	acksSync      = "D, 4 KiB"
)

// ackConnections carry the producers' streams.
const ackConnections = 8

// ackBed is what J2 works with.
type ackBed struct {
	*bench
	row    frame // one bid
	data   *datafile
	quiver *quiverServer
	stock  *process
	conns  map[*process][]*grpc.ClientConn
}

// runAcks is J2: producers that send a row, wait until it is durable, and send the next.
func runAcks(ctx context.Context, b *bench, r *result) error {
	bed, err := newAckBed(ctx, b)
	if err != nil {
		return err
	}
	producers, rows := b.size(1000, 20), b.size(200, 10)
	stockRows := max(rows/4, 1) // it is slow
	alone := b.size(2000, 20)
	quiver := func(producers, rows int) func(context.Context) (metrics, error) {
		return func(ctx context.Context) (metrics, error) { return bed.onQuiver(ctx, producers, rows) }
	}
	stock := func(producers, rows int) func(context.Context) (metrics, error) {
		return func(ctx context.Context) (metrics, error) {
			return bed.produce(ctx, bed.stock, pathOf("acks", putTable), producers, rows)
		}
	}
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{
		{acksQuiver, quiver(producers, rows)},
		{acksStock, stock(producers, stockRows)},
		{acksOneQuiver, quiver(1, alone)},
		{acksOneStock, stock(1, alone)},
		{acksSync, func(context.Context) (metrics, error) { return syncMetrics(b.dir, b.size(2000, 20)) }},
	})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%d producers, each a stream of its own over %d connections, each sends one row of `bid`, waits for its acknowledgement and sends the next; Go client; clients and server share the machine.", producers, ackConnections),
		"Both acknowledge after fdatasync, S through one writer and syncs that its streams share.",
		"Bytes on the disk are compared with those of the same rows put in batches of 64K.",
	}
	r.atLeast(200e3, r.series(acksQuiver, acksPerSec), "acks/s")
	r.atMost(10, r.series(acksQuiver, p99), "p99, ms")
	r.atLeast(4, r.ratio(acksPerSec, acksQuiver, acksStock), "acks/s, of S")
	r.atMost(1.2, r.series(acksQuiver, storedRatio), "bytes on the disk, of the same rows in large batches")
	r.atMost(1, r.series(acksOneQuiver, p50), "one producer alone, p50, ms")
	return nil
}

func newAckBed(ctx context.Context, b *bench) (*ackBed, error) {
	bed := &ackBed{bench: b, conns: map[*process][]*grpc.ClientConn{}}
	single := bid(1, 1)
	file, err := b.data(single)
	if err != nil {
		return nil, err
	}
	frames, err := file.frames()
	if err != nil {
		return nil, err
	}
	bed.row, bed.data = frames[0], file
	if bed.quiver, err = b.quiverOn(ctx, "quiver", filepath.Join(b.dir, "acks")); err != nil {
		return nil, err
	}
	if bed.stock, err = b.child(ctx, "stock", "stock", b.dir); err != nil {
		return nil, err
	}
	for _, p := range []*process{bed.quiver.process, bed.stock} {
		for range ackConnections {
			conn, err := dial(p.address)
			if err != nil {
				return nil, err
			}
			bed.conns[p] = append(bed.conns[p], conn)
		}
	}
	return bed, nil
}

// onQuiver produces into a new table, compares what that takes on the disk, and drops the table.
func (bed *ackBed) onQuiver(ctx context.Context, producers, rows int) (metrics, error) {
	m, err := bed.produce(ctx, bed.quiver.process, pathOf("default", putTable), producers, rows)
	if err != nil {
		return nil, err
	}
	stored, groups, err := bed.quiver.storedBytes()
	if err != nil {
		return nil, err
	}
	m[groupMB] = medianSize(groups) / 1e6
	m[storedRatio] = float64(stored) / (float64(producers*rows) * bed.batchedRow())
	return m, bed.quiver.drop(ctx, putTable)
}

// batchedRow is what the row takes within a large batch: its values and 4 bytes for the end of each text.
func (bed *ackBed) batchedRow() float64 {
	const columns, texts, fixed = 7, 3, 8
	batch := bed.data.generate(0)
	defer batch.Release()
	bytes := fixed * (columns - texts)
	for _, column := range batch.Columns() {
		if text, ok := column.(interface{ Value(int) string }); ok {
			bytes += len(text.Value(0)) + 4
		}
	}
	return float64(bytes)
}

// produce lets all producers run to their end.
func (bed *ackBed) produce(ctx context.Context, server *process, where *afl.FlightDescriptor, producers, rows int) (metrics, error) {
	streams := make([]putStream, producers)
	for i := range streams {
		conns := bed.conns[server]
		var err error
		if streams[i], err = openPut(ctx, conns[i%len(conns)], where, bed.data.schema); err != nil {
			return nil, err
		}
		// The first row makes the table, and the stream is surely open on the server after it.
		if _, err := bed.produceOne(streams[i], 1); err != nil {
			return nil, err
		}
	}
	total := int64(producers) * int64(rows)
	times := newHistogram()
	m, err := metered(server, 1, func() (work, error) {
		return timed(total, func() error { return bed.produceAll(streams, rows, times) })
	})
	if err != nil {
		return nil, err
	}
	for _, stream := range streams {
		if err := stream.finish(); err != nil {
			return nil, err
		}
	}
	m[acksPerSec] = float64(total) / m[seconds]
	m.perRow(total)
	delete(m, rowsPerSec)
	times.report(m)
	return m, nil
}

// produceAll runs every stream in a goroutine of its own and merges their histograms.
func (bed *ackBed) produceAll(streams []putStream, rows int, times *histogram) error {
	var wg sync.WaitGroup
	errs := make([]error, len(streams))
	for i, stream := range streams {
		wg.Go(func() {
			own, err := bed.produceOne(stream, rows)
			errs[i] = err
			times.merge(own)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// produceOne sends rows one by one, each after the answer for the one before.
func (bed *ackBed) produceOne(stream putStream, rows int) (*histogram, error) {
	times := newHistogram()
	for range rows {
		began := time.Now()
		if err := stream.send(&bed.row); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := stream.answer(); err != nil {
			return nil, err
		}
		times.record(time.Since(began))
	}
	return times, nil
}

// syncMetrics are the percentiles of a bare fdatasync.
func syncMetrics(dir string, n int) (metrics, error) {
	took, err := syncTimes(dir, n)
	if err != nil {
		return nil, err
	}
	times := newHistogram()
	for _, d := range took {
		times.record(d)
	}
	m := metrics{}
	times.report(m)
	return m, nil
}
