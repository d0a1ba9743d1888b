package main

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// named puts batches through our own client, which gets over outages by itself: as a named writer, whose sessions take
// over from each other, so that nothing of one is left out or doubled.
type named struct {
	*client
	most    int                             // new batches of a session
	unacked int64                           // bytes on their way
	make    func()                          // the next batch
	batch   func(i int64) arrow.RecordBatch // gives one that was made, always the same
	sent    func(i int64, writer uint64)    // is told before one is sent; nil: nobody is
	done    func(i int64)                   // is told that one is durable
	made    int64
	acked   int64 // batches that are durable, and all before them
}

func (a *named) session(ctx context.Context, _ *conn) (done bool, err error) {
	c, err := flight.Dial(a.addr, flight.ClientOptions{RetryFor: patience})
	if err != nil {
		return false, err
	}
	defer c.Close() //nolint:errcheck // the appender was closed, which tells more
	out, err := c.Append(ctx, a.table, flight.AppendOptions{Writer: a.name + "@" + a.table, Sequence: new(quiver.Sequence(a.acked)), MaxUnacked: a.unacked})
	if err != nil {
		return false, err
	}
	for i := a.acked; i < a.made; i++ {
		if err := a.append(ctx, out, i); err != nil {
			return false, errors.Join(err, a.settle(out))
		}
	}
	for range 1 + a.random.IntN(a.most) {
		if a.ends() {
			break
		}
		a.make()
		a.made++
		if err := a.append(ctx, out, a.made-1); err != nil {
			return false, errors.Join(err, a.settle(out))
		}
	}
	_, err = out.Close(ctx)
	if err := errors.Join(err, a.settle(out)); err != nil {
		return false, err
	}
	if a.acked != a.made {
		return false, broken("lost: an appender closed well, and %d of %d batches are durable", a.acked, a.made)
	}
	return a.ends(), nil
}

func (a *named) append(ctx context.Context, out *flight.Appender, i int64) error {
	if a.sent != nil {
		a.sent(i, uint64(out.Writer().WriterID))
	}
	batch := a.batch(i)
	defer batch.Release()
	return out.Append(ctx, batch)
}

// settle takes note of what an appender that has ended knows to be durable.
func (a *named) settle(out *flight.Appender) error {
	totals, _ := out.Close(a.ctx) // it has ended, with an error that was told
	if totals.Sequence == quiver.NoSequence {
		return nil
	}
	first := a.acked
	a.acked = int64(totals.Sequence) + 1
	if a.acked > a.made || a.acked < first {
		return broken("miscounted: an appender of batches %d to %d says that those before %d are durable", first, a.made, a.acked)
	}
	for i := first; i < a.acked; i++ {
		a.done(i)
	}
	return nil
}
