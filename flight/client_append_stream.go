package flight

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// run sends what is queued, over one stream after the other, until the appender is closed and everything is durable,
// or something is refused.
func (a *Appender) run(ctx context.Context) {
	var o outage
	var doubtful int64 // batches that an earlier stream may have brought to the server, acknowledged or not
	for a.waitForWork(ctx) {
		before := a.acknowledged()
		sent, err := a.stream(ctx)
		if err == nil {
			o.over()
			continue
		}
		if a.acknowledged() > before {
			o.over()
		}
		if !a.waitForWork(ctx) {
			return // it broke when everything was durable
		}
		if err := a.again(ctx, &o, err); err != nil {
			if a.acknowledged() < doubtful {
				err = inDoubt(err)
			}
			a.fail(err)
			return
		}
		if quiver.OutcomeOf(err) != quiver.NotDone {
			doubtful = max(doubtful, before+sent)
		}
		a.client.conn.ResetConnectBackoff()
	}
}

// again waits until the batches that are not acknowledged may be put again. It gives the error back if they may not.
func (a *Appender) again(ctx context.Context, o *outage, err error) error {
	if a.options.Unsequenced && quiver.OutcomeOf(err) != quiver.NotDone {
		return err // what was put again might be there twice
	}
	return o.next(ctx, a.client.options.RetryFor, err)
}

// inDoubt says of the error of a repeat that nobody knows what became of the first try, unless the server looked for that
// before it refused.
func inDoubt(err error) error {
	var e *quiver.Error
	if !errors.As(err, &e) || e.Reason == quiver.ConditionFailed || e.Reason == quiver.ExpectedOffsetMismatch {
		return err
	}
	return e.WithOutcome(quiver.Unknown)
}

// waitForWork waits until a batch is to be sent, and says that there is one. There is none any more once the appender
// is closed or has failed.
func (a *Appender) waitForWork(ctx context.Context) bool {
	for {
		a.mu.Lock()
		some, over := len(a.queue) > 0, a.err != nil || a.closing
		a.mu.Unlock()
		if some || over {
			return some
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return false
		}
	}
}

func (a *Appender) acknowledged() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.totals.Batches
}

// putting is one put stream of an appender.
type putting struct {
	a      *Appender
	ctx    context.Context
	cancel context.CancelFunc
	stream afl.FlightService_DoPutClient
	schema *arrow.Schema

	base  int64         // batches that were durable before the stream began
	sent  atomic.Int64  // batches sent over it
	ended chan struct{} // closed once err is set
	err   error         // what the stream ended with; nil: everything sent is durable
}

// stream opens one stream, sends what is queued over it and returns when the stream has ended: without an error if
// everything sent is durable. It tells how many batches were sent.
func (a *Appender) stream(ctx context.Context) (int64, error) {
	base := a.acknowledged()
	first, _ := a.nth(base)
	if first == nil {
		return 0, nil
	}
	defer first.held.Release()
	p := &putting{a: a, schema: first.schema, base: base, ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	defer p.cancel()
	var err error
	if p.stream, err = a.client.stub.DoPut(a.client.outgoing(p.ctx)); err != nil {
		return 0, notDone(callError(p.ctx, err)) // no byte of a batch has left
	}
	settleAttempt(p.stream)
	go p.receive()
	err = p.open(first)
	if err == nil {
		err = p.send()
	}
	if err == nil {
		err = p.stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.cancel() // the stream itself is told why; what cannot be sent at all is our own fault
	}
	<-p.ended
	sent := p.sent.Load()
	switch {
	case p.err != nil && sent == 0:
		return 0, notDone(p.err)
	case p.err == nil && (sent == 0 || a.acknowledged() < base+sent):
		return sent, quiver.Errorf(quiver.Internal, "the server ended the put without a word on %d batches", sent-(a.acknowledged()-base))
	}
	return sent, p.err
}

// notDone says of an error whose outcome is not known that nothing was appended, since nothing was sent.
func notDone(err error) error {
	var e *quiver.Error
	if errors.As(err, &e) {
		return e.WithOutcome(quiver.NotDone)
	}
	return err
}

// open sends the schema and the options of the stream.
func (p *putting) open(first *unacked) error {
	o := &p.a.options
	command := PutCommand{Table: p.a.table, TableID: o.TableID, Acks: o.Acks, Bucket: o.Bucket, Partition: o.Partition,
		Op: o.Op, Columns: o.Columns}
	if first.sequence != quiver.NoSequence {
		command.WriterID, command.WriterEpoch, command.Sequence = &p.a.writer.WriterID, p.a.writer.WriterEpoch, &first.sequence
	}
	if first.expect != NoExpectation {
		command.ExpectOffset = &first.expect
	}
	descriptor, err := proto.Marshal(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: command.Encode()})
	if err != nil {
		return err
	}
	return codec.Send(p.stream, &codec.Out{Descriptor: descriptor, Header: encodeSchema(p.schema)})
}

// send sends batches as they are queued, until there will be none or one has another schema, or the stream has ended.
func (p *putting) send() error {
	for {
		u, last := p.a.nth(p.base + p.sent.Load())
		switch {
		case u == nil && last:
			return nil
		case u == nil:
			select {
			case <-p.a.wake:
			case <-p.ended:
				return nil
			}
			continue
		}
		another := u.schema != p.schema && !u.schema.Equal(p.schema)
		var err error
		if !another {
			err = p.sendOne(u)
		}
		u.held.Release()
		if err != nil || another {
			return err
		}
	}
}

func (p *putting) sendOne(u *unacked) error {
	for i := range u.frames {
		if i == len(u.frames)-1 {
			p.sent.Add(1) // also if sending fails: some of it may have left
		}
		if err := codec.Send(p.stream, u.out(&u.frames[i], nil)); err != nil {
			return err
		}
	}
	return nil
}

// receive takes the server's answers until the stream ends.
func (p *putting) receive() {
	defer close(p.ended)
	for {
		var answer codec.PutResult
		err := p.stream.RecvMsg(&answer)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			p.err = p.settle(callError(p.ctx, err))
			return
		}
		told, err := putAnswer(answer.Metadata)
		if err != nil {
			p.err = err
			p.cancel()
			return
		}
		p.acknowledge(told.Batches, told)
	}
}

// acknowledge takes note that so many batches of the stream are durable.
func (p *putting) acknowledge(batches int64, answer *PutAnswer) {
	batches = min(batches, p.sent.Load())
	p.a.acknowledge(batches-(p.a.acknowledged()-p.base), answer)
}

// settle takes note of what the error that ended the stream says is durable.
func (p *putting) settle(err error) error {
	var e *quiver.Error
	if errors.As(err, &e) {
		if durable, ok := metaNumber(e, "durable_batches"); ok {
			p.acknowledge(durable, nil)
		}
	}
	return err
}
