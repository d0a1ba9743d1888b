package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/flight"
)

// benchRows makes a batch of rows with ids that next gives.
func benchRows(n int, random *rand.Rand, next func(i int) int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, benchSchema)
	defer b.Release()
	now := arrow.Timestamp(time.Now().UnixMicro())
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(next(i))
		b.Field(1).(*array.Float64Builder).Append(float64(random.Int64N(100_000)) / 100)
		b.Field(2).(*array.TimestampBuilder).Append(now)
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("row of caller with number %08x", random.Uint32()))
	}
	return b.NewRecordBatch()
}

// sizeOf is the size of a batch in Arrow's own layout.
func sizeOf(batch arrow.RecordBatch) (n int64) {
	for _, c := range batch.Columns() {
		n += int64(c.Data().SizeInBytes())
	}
	return n
}

// appenders gives each caller an appender of its own, and the function that ends them.
func (b *benching) appenders(ctx context.Context) ([]*flight.Appender, func(), error) {
	var all []*flight.Appender
	end := func() {
		closing, cancel := b.ask(context.WithoutCancel(ctx))
		defer cancel()
		for _, a := range all {
			_, _ = a.Close(closing) // what counts was flushed
		}
	}
	for range b.callers {
		asked, cancel := b.ask(ctx)
		a, err := b.client.Append(asked, b.table, flight.AppendOptions{Linger: -1})
		cancel()
		if err != nil {
			end()
			return nil, nil, err
		}
		all = append(all, a)
	}
	return all, end, nil
}

// put appends a batch and waits until it is durable.
func put(ctx context.Context, a *flight.Appender, batch arrow.RecordBatch) (rows, bytes int64, err error) {
	defer batch.Release()
	rows, bytes = batch.NumRows(), sizeOf(batch)
	if err := a.Append(ctx, batch); err != nil {
		return 0, 0, err
	}
	_, err = a.Flush(ctx)
	return rows, bytes, err
}

// startAppend is for append and upsert.
func startAppend(ctx context.Context, b *benching) (benchOp, func(), error) {
	all, end, err := b.appenders(ctx)
	return func(ctx context.Context, caller int, random *rand.Rand) (int64, int64, error) {
		return put(ctx, all[caller], benchRows(b.batch, random, func(int) int64 {
			if b.job.keyed {
				return random.Int64N(b.keys)
			}
			return random.Int64()
		}))
	}, end, err
}

// fill puts --keys rows into the table.
func (b *benching) fill(ctx context.Context) error {
	asked, cancel := b.ask(ctx)
	defer cancel()
	a, err := b.client.Append(asked, b.table, flight.AppendOptions{Linger: -1})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1))
	for from := int64(0); from < b.keys && err == nil; {
		n := min(b.keys-from, demoMaxBatch)
		batch := benchRows(int(n), random, func(i int) int64 { return from + int64(i) })
		err = a.Append(ctx, batch)
		batch.Release()
		from += n
	}
	closing, stop := b.ask(context.WithoutCancel(ctx))
	defer stop()
	_, closed := a.Close(closing)
	return errors.Join(err, closed)
}

func startLookup(ctx context.Context, b *benching) (benchOp, func(), error) {
	if err := b.fill(ctx); err != nil {
		return nil, nil, err
	}
	l := b.client.Lookup(b.table, flight.LookupOptions{})
	keys := arrow.NewSchema(benchSchema.Fields()[:1], nil)
	return func(ctx context.Context, _ int, random *rand.Rand) (int64, int64, error) {
		builder := array.NewRecordBuilder(memory.DefaultAllocator, keys)
		defer builder.Release()
		for range b.batch {
			builder.Field(0).(*array.Int64Builder).Append(random.Int64N(b.keys))
		}
		batch := builder.NewRecordBatch()
		defer batch.Release()
		found, err := l.Find(ctx, batch)
		if err != nil {
			return 0, 0, err
		}
		defer found.Release()
		if found.NumRows() != batch.NumRows() {
			return 0, 0, fmt.Errorf("%d of %d keys of table %s were found; somebody else changed it", found.NumRows(), batch.NumRows(), b.table)
		}
		return found.NumRows(), sizeOf(found), nil
	}, l.Close, nil
}

func startScan(ctx context.Context, b *benching) (benchOp, func(), error) {
	if b.own {
		if err := b.fill(ctx); err != nil {
			return nil, nil, err
		}
	}
	return func(ctx context.Context, _ int, _ *rand.Rand) (rows, bytes int64, err error) {
		s, err := b.client.Scan(ctx, flight.ScanCommand{Table: flight.Named(b.table)})
		if err != nil {
			return 0, 0, err
		}
		defer s.Close()
		for batch, err := range s.Batches() {
			if err != nil {
				return 0, 0, err
			}
			rows += batch.NumRows()
			bytes += sizeOf(batch)
		}
		return rows, bytes, nil
	}, func() {}, nil
}

// arrivals tells callers that the rows they wait for were seen by the follower.
type arrivals struct {
	mu      sync.Mutex
	waiting map[int64]chan struct{} // by the id of a batch's last row
	ended   chan struct{}
	err     error // of the follower; set before ended is closed
}

// expect has the row announced on the channel that it gives.
func (a *arrivals) expect(id int64) chan struct{} {
	seen := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[id] = seen
	return seen
}

// follow reads the table as it grows.
func (a *arrivals) follow(s *flight.Scanner) {
	defer close(a.ended)
	for batch, err := range s.Batches() {
		if err != nil {
			a.err = err
			return
		}
		a.mu.Lock()
		for _, id := range batch.Column(0).(*array.Int64).Int64Values() {
			if seen := a.waiting[id]; seen != nil {
				close(seen)
				delete(a.waiting, id)
			}
		}
		a.mu.Unlock()
	}
}

func startTail(ctx context.Context, b *benching) (benchOp, func(), error) {
	all, end, err := b.appenders(ctx)
	if err != nil {
		return nil, nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	s, err := b.client.Scan(following, flight.ScanCommand{Table: flight.Named(b.table), Columns: []string{"id"}, Follow: true})
	if err != nil {
		stop()
		end()
		return nil, nil, err
	}
	a := &arrivals{waiting: map[int64]chan struct{}{}, ended: make(chan struct{})}
	go a.follow(s)
	return func(ctx context.Context, caller int, random *rand.Rand) (int64, int64, error) {
			first := random.Int64() >> 1
			seen := a.expect(first + int64(b.batch) - 1)
			rows, bytes, err := put(ctx, all[caller], benchRows(b.batch, random, func(i int) int64 { return first + int64(i) }))
			if err != nil {
				return 0, 0, err
			}
			select {
			case <-seen:
				return rows, bytes, nil
			case <-a.ended:
				return 0, 0, a.err
			case <-ctx.Done():
				return 0, 0, context.Cause(ctx)
			}
		}, func() {
			stop()
			<-a.ended
			s.Close()
			end()
		}, nil
}
