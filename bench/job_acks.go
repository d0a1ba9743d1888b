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
	acksQuiver    = "Quiver, a stream each"
	acksStock     = "S, a stream each"
	acksShared    = "Quiver, sharing streams"
	acksSharedS   = "S, sharing streams"
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
	waiting, rows := b.size(1000, 40), b.size(60_000, 400)
	alone := b.size(1000, 20)
	quiver := func(streams, waiting, rows int) func(context.Context) (metrics, error) {
		return func(ctx context.Context) (metrics, error) { return bed.onQuiver(ctx, streams, waiting, rows) }
	}
	stock := func(streams, waiting, rows int) func(context.Context) (metrics, error) {
		return func(ctx context.Context) (metrics, error) {
			return bed.produce(ctx, bed.stock, pathOf("acks", putTable), streams, waiting, rows)
		}
	}
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{
		{acksShared, quiver(ackConnections, waiting, 4*rows)},
		{acksSharedS, stock(ackConnections, waiting, rows/2)},
		{acksQuiver, quiver(waiting, waiting, rows)},
		{acksStock, stock(waiting, waiting, rows/4)},
		{acksOneQuiver, quiver(1, 1, alone)},
		{acksOneStock, stock(1, 1, alone)},
		{acksSync, func(context.Context) (metrics, error) { return syncMetrics(b.dir, b.size(2000, 20)) }},
	})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%d producers wait at any time, each for the acknowledgement of one row of `bid`, then it sends the next: over a stream each, on %d connections, or sharing %d streams. Go client; clients and server share the machine.", waiting, ackConnections, ackConnections),
		"Both acknowledge after fdatasync, S through one writer and syncs that its streams share.",
		"Bytes on the disk are compared with those of the same rows put in batches of 64K.",
	}
	return nil
}

// judgeAcks judges J2.
func judgeAcks(r *result) {
	for _, way := range []struct{ name, quiver, stock string }{
		{"sharing streams", acksShared, acksSharedS}, {"a stream each", acksQuiver, acksStock},
	} {
		r.about(way.name)
		r.atLeast(200e3, r.series(way.quiver, acksPerSec), "acks/s, "+way.name)
		r.atMost(10, r.series(way.quiver, p99), "p99, ms, "+way.name)
		r.atLeast(4, r.ratio(acksPerSec, way.quiver, way.stock), "acks/s of S, "+way.name)
		r.atMost(1.2, r.series(way.quiver, storedRatio), "bytes on the disk, of the same rows in large batches, "+way.name)
	}
	r.about("one producer")
	r.atMost(1, r.series(acksOneQuiver, p50), "one producer alone, p50, ms")
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
func (bed *ackBed) onQuiver(ctx context.Context, streams, waiting, rows int) (metrics, error) {
	m, err := bed.produce(ctx, bed.quiver.process, pathOf("default", putTable), streams, waiting, rows)
	if err != nil {
		return nil, err
	}
	stored, groups, err := bed.quiver.storedBytes()
	if err != nil {
		return nil, err
	}
	m[groupMB] = medianSize(groups) / 1e6
	m[storedRatio] = float64(stored) / (float64(rows) * bed.batchedRow())
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

// produce sends rows over so many streams, while so many wait for their acknowledgement.
func (bed *ackBed) produce(ctx context.Context, server *process, where *afl.FlightDescriptor, count, waiting, rows int) (metrics, error) {
	streams := make([]putStream, count)
	for i := range streams {
		conns := bed.conns[server]
		var err error
		if streams[i], err = openPut(ctx, conns[i%len(conns)], where, bed.data.schema); err != nil {
			return nil, err
		}
		// The first row makes the table, and the stream is surely open on the server after it.
		if _, err := bed.produceOne(streams[i], 1, 1); err != nil {
			return nil, err
		}
	}
	total := int64(rows)
	times := newHistogram()
	m, err := metered(server, 1, func() (work, error) {
		return timed(total, func() error { return bed.produceAll(streams, waiting/count, rows/count, times) })
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
func (bed *ackBed) produceAll(streams []putStream, waiting, rows int, times *histogram) error {
	var wg sync.WaitGroup
	errs := make([]error, len(streams))
	for i, stream := range streams {
		wg.Go(func() {
			own, err := bed.produceOne(stream, waiting, rows)
			errs[i] = err
			times.merge(own)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// produceOne sends rows over one stream while so many wait for their acknowledgement, and tells how long each waited.
func (bed *ackBed) produceOne(stream putStream, waiting, rows int) (*histogram, error) {
	sent := make(chan time.Time, waiting) // when those that wait were sent
	failed := make(chan error, 1)
	go func() {
		for range rows {
			sent <- time.Now()
			if err := stream.send(&bed.row); err != nil && !errors.Is(err, io.EOF) { // the answer says why
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	times := newHistogram()
	for acked := 0; acked < rows; {
		more, err := stream.answer()
		if err != nil {
			return nil, err
		}
		now := time.Now()
		acked += more
		for range more {
			times.record(now.Sub(<-sent))
		}
	}
	return times, <-failed
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
