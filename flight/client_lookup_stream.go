package flight

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// run asks what is queued, over one stream after the other, until the lookuper is closed.
func (l *Lookuper) run(ctx context.Context) {
	var o outage
	for l.waitForWork(ctx) {
		answered, err := l.stream(ctx)
		if answered > 0 {
			o.over()
		}
		if err == nil {
			continue
		}
		if again := o.next(ctx, l.client.options.RetryFor, err); again != nil && ctx.Err() == nil {
			if more := l.refuse(again); !more || !isRetriable(again) {
				o.over()
			}
		}
		l.client.conn.ResetConnectBackoff()
	}
}

// refuse fails the oldest request: the server answers in order, so what it refused is that one. It says whether there
// are others.
func (l *Lookuper) refuse(err error) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		l.settleLocked(err)
	}
	return len(l.queue) > 0
}

// forgetHalves lets go what an earlier stream gave of an answer.
func (l *Lookuper) forgetHalves() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.queue {
		a.release()
	}
}

// waitForWork waits until there is a request; there is none any more once the lookuper is closed.
func (l *Lookuper) waitForWork(ctx context.Context) bool {
	for ctx.Err() == nil {
		if l.nth(0) != nil {
			return true
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
	}
	return false
}

// nth gives the n-th request that is not answered, nil if there is none.
func (l *Lookuper) nth(n int) *asking {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n >= len(l.queue) {
		return nil
	}
	return l.queue[n]
}

// lookupStream is one DoExchange.
type lookupStream struct {
	l      *Lookuper
	ctx    context.Context
	cancel context.CancelFunc
	stream afl.FlightService_DoExchangeClient
	schema *arrow.Schema // of the keys

	sent     int          // requests sent, of the sender alone
	answered atomic.Int64 // and answered
	news     chan struct{}
	ended    chan struct{} // closed once err is set
	err      error         // what the stream ended with
}

// stream opens one stream and asks over it until it ends, or keys of another schema are next. It tells how many requests
// were answered.
func (l *Lookuper) stream(ctx context.Context) (answered int64, err error) {
	l.forgetHalves()
	s := &lookupStream{l: l, news: make(chan struct{}, 1), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	if s.stream, err = l.client.stub.DoExchange(l.client.outgoing(s.ctx)); err != nil {
		return 0, callError(s.ctx, err)
	}
	settleAttempt(s.stream)
	go s.receive()
	err = s.send()
	if err == nil {
		err = s.stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.cancel() // the stream itself is told why; what cannot be sent at all is our own fault
	}
	<-s.ended
	answered = s.answered.Load()
	if s.err == nil && answered < int64(s.sent) {
		s.err = quiver.Errorf(quiver.Unreachable, "the server ended the lookups without a word on %d of them", int64(s.sent)-answered)
	}
	if answered > 0 && answered == int64(s.sent) {
		return answered, nil // it broke when nothing was under way
	}
	return answered, s.err
}

// send opens the stream with the first request's schema and sends requests as they are queued, until one has other
// columns, or the stream has ended.
func (s *lookupStream) send() error {
	descriptor, err := proto.Marshal(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: s.l.command.Encode()})
	if err != nil {
		return err
	}
	for {
		under := s.sent - int(s.answered.Load())
		if under >= requestsUnderWay {
			if !s.wait(nil) {
				return nil
			}
			continue
		}
		a, ok := s.next()
		switch {
		case !ok: // answered meanwhile: look again
			continue
		case a == nil:
			if !s.wait(s.l.wake) {
				return nil
			}
			continue
		}
		if s.schema == nil {
			s.schema = a.keys.schema
			if err := codec.Send(s.stream, &codec.Out{Descriptor: descriptor, Header: encodeSchema(s.schema)}); err != nil {
				a.keys.held.Release()
				return err
			}
		}
		another := a.keys.schema != s.schema && !a.keys.schema.Equal(s.schema)
		if !another {
			s.sent++
			for i := range a.keys.frames {
				if err = codec.Send(s.stream, a.keys.out(&a.keys.frames[i], nil)); err != nil {
					break
				}
			}
		}
		a.keys.held.Release()
		if err != nil || another {
			return err
		}
	}
}

// next gives the first request that was not sent, its memory held for the caller; nil if there is none.
func (s *lookupStream) next() (a *asking, ok bool) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	at := s.sent - int(s.answered.Load())
	if at >= len(s.l.queue) {
		return nil, true
	}
	a = s.l.queue[at]
	a.keys.held.Retain()
	return a, true
}

// wait waits for an answer or a signal; it says no once the stream has ended.
func (s *lookupStream) wait(wake <-chan struct{}) bool {
	select {
	case <-wake:
		return true
	case <-s.news:
		return true
	case <-s.ended:
		return false
	}
}

// receive takes the server's answers until the stream ends.
func (s *lookupStream) receive() {
	defer close(s.ended)
	var in codec.In
	var gate *record.Output
	defer func() {
		in.Reset()
		if gate != nil {
			gate.Close()
		}
	}()
	for {
		err := codec.Recv(s.stream, &in)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			s.err = callError(s.ctx, err)
			return
		case gate == nil:
			gate, err = record.NewOutput(in.Header, s.l.client.limits())
		default:
			err = s.take(gate, &in)
		}
		if err != nil {
			s.err = err
			s.cancel()
			return
		}
	}
}

// lookupAnswer is the app_metadata of an answer.
type lookupAnswer struct {
	Request int64 `json:"request"`
	Last    bool  `json:"last"`
}

// take takes one message: a dictionary, or rows for the oldest request.
func (s *lookupStream) take(gate *record.Output, in *codec.In) error {
	var tells lookupAnswer
	if len(in.Metadata) > 0 {
		if err := decodeLoose(in.Metadata, &tells); err != nil {
			return err
		}
	}
	batch, err := gate.Take(in.Header, in.Body)
	if err != nil || batch == nil {
		return err
	}
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	// A request is answered under the lock, so that next sees queue and answered change together.
	if len(l.queue) == 0 || tells.Request != s.answered.Load() {
		batch.Release()
		return quiver.Errorf(quiver.Internal, "the server answered request %d where %d is next", tells.Request, s.answered.Load())
	}
	a := l.queue[0]
	if err := a.take(batch, int64(in.Size), l.options.MaxAnswer); err != nil {
		return err
	}
	if tells.Last {
		s.answered.Add(1)
		l.settleLocked(nil)
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
	return nil
}

// take keeps some of the answer, if it can be one.
func (a *asking) take(batch arrow.RecordBatch, bytes, most int64) error {
	var index *array.Int64
	ok := batch.NumCols() > 0
	if ok {
		index, ok = batch.Column(0).(*array.Int64)
	}
	last := int64(0)
	if n := len(a.batches); n > 0 {
		before := a.batches[n-1].Column(0).(*array.Int64)
		if before.Len() > 0 {
			last = before.Value(before.Len() - 1)
		}
	}
	for i := 0; ok && i < index.Len(); i++ {
		n := index.Value(i)
		ok = index.IsValid(i) && n >= last && n < int64(a.rows)
		last = n
	}
	if !ok {
		batch.Release()
		return quiver.Errorf(quiver.Internal, "the server's answer does not tell which keys its rows belong to")
	}
	a.bytes += bytes
	if a.bytes > most {
		batch.Release()
		return quiver.Errorf(quiver.BatchTooLarge, "the answer is larger than %d bytes", most).Advise("ask for fewer keys at a time, or raise MaxAnswer")
	}
	if a.callers == 0 || batch.NumRows() == 0 && len(a.batches) > 0 {
		batch.Release() // nobody waits any more, or it adds nothing
		return nil
	}
	a.batches = append(a.batches, batch)
	return nil
}
