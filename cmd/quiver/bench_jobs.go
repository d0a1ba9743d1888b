package main

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver/flight"
)

// sizeOf is the size of a batch in Arrow's own layout.
func sizeOf(batch arrow.RecordBatch) (n int64) {
	for _, c := range batch.Columns() {
		n += int64(c.Data().SizeInBytes())
	}
	return n
}

// appenders gives each caller an appender of its own, and the function that ends them. acknowledged, which may be nil, is told of
// the ranges of each.
func (b *benching) appenders(ctx context.Context, acknowledged func(caller int, ranges []flight.Range)) ([]*flight.Appender, func(), error) {
	var all []*flight.Appender
	end := func() {
		closing, cancel := b.ask(context.WithoutCancel(ctx))
		defer cancel()
		for _, a := range all {
			_, _ = a.Close(closing) // what counts was flushed
		}
	}
	for n := range b.callers {
		options := b.table.appendOptions(n)
		if acknowledged != nil {
			options.Acknowledged = func(ranges []flight.Range) { acknowledged(n, ranges) }
		}
		asked, cancel := b.ask(ctx)
		a, err := b.client.Append(asked, b.table.name, options)
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

// madeUp is the batch of one operation: keys are drawn from --keys, or where there is no such flag are all different.
func (b *benching) madeUp(random *rand.Rand) arrow.RecordBatch {
	return b.table.makeUp(b.batch, random, func(int) int64 {
		if b.keys > 0 {
			return random.Int64N(b.keys)
		}
		return random.Int64()
	})
}

// startAppend is for append and upsert.
func startAppend(ctx context.Context, b *benching) (benchOp, func(), error) {
	all, end, err := b.appenders(ctx, nil)
	return func(ctx context.Context, caller int, random *rand.Rand) (int64, int64, error) {
		return put(ctx, all[caller], b.madeUp(random))
	}, end, err
}

// fill puts --keys rows into the table of the run.
func (b *benching) fill(ctx context.Context) error {
	asked, cancel := b.ask(ctx)
	defer cancel()
	a, err := b.client.Append(asked, b.table.name, b.table.appendOptions(0))
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1))
	for from := int64(0); from < b.keys && err == nil; {
		n := min(b.keys-from, demoMaxBatch)
		batch := b.table.makeUp(int(n), random, func(i int) int64 { return from + int64(i) })
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
	if b.table.own {
		if err := b.fill(ctx); err != nil {
			return nil, nil, err
		}
	}
	keys, err := b.drawKeys(ctx)
	if err != nil {
		return nil, nil, err
	}
	l := b.client.Lookup(b.table.name, flight.LookupOptions{})
	return func(ctx context.Context, _ int, random *rand.Rand) (int64, int64, error) {
		from := random.Int64N(keys.NumRows() - int64(b.batch) + 1)
		batch := keys.NewSlice(from, from+int64(b.batch))
		defer batch.Release()
		found, err := l.Find(ctx, batch)
		if err != nil {
			return 0, 0, err
		}
		defer found.Release()
		b.missed.Add(batch.NumRows() - found.NumRows())
		return found.NumRows(), sizeOf(found), nil
	}, func() { l.Close(); keys.Release() }, nil
}

// scanned is what a scan of the run reads.
func (b *benching) scanned() flight.ScanCommand {
	command := flight.ScanCommand{Table: flight.Named(b.table.name), Columns: b.columns}
	if b.partition != "" {
		command.Partition = &b.partition
	}
	if b.filter != "" {
		command.Filter = &b.filter
	}
	return command
}

func startScan(ctx context.Context, b *benching) (benchOp, func(), error) {
	if b.table.own {
		if err := b.fill(ctx); err != nil {
			return nil, nil, err
		}
	}
	return func(ctx context.Context, _ int, _ *rand.Rand) (rows, bytes int64, err error) {
		s, err := b.client.Scan(ctx, b.scanned())
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
