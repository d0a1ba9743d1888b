package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	afl "github.com/apache/arrow-go/v18/arrow/flight"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/flight/internal/intake"
	"github.com/quiverlog/quiver/tablet"
)

// put is one DoPut stream. See the package's doc for its goroutines.
type put struct {
	service *Service
	stream  afl.FlightService_DoPutServer
	ctx     context.Context // ends with the call, or when the server drains
	settled context.Context // the same without an end
	queue   *putQueue
	answers *putAnswers

	usage *usage // of the table; set by the receiver before it stages

	mu    sync.Mutex
	acked map[*tablet.Tablet]quiver.Sequence // the newest sequence that is durable in a bucket, of a sequenced stream
}

// DoPut takes a stream of batches into one table. It returns nil only when every row is durable.
func (s *Service) DoPut(stream afl.FlightService_DoPutServer) error {
	ctx, cancel := s.stopped(stream.Context())
	defer cancel()
	p := &put{
		service: s,
		stream:  stream,
		ctx:     ctx,
		settled: context.WithoutCancel(ctx),
		queue:   newPutQueue(),
		answers: newPutAnswers(),
		acked:   map[*tablet.Tablet]quiver.Sequence{},
	}
	defer s.metrics.putOpened()()
	go p.receive()
	go p.settle()
	// When the server drains or the client goes away, what is staged is settled, and nothing is staged after it.
	defer context.AfterFunc(ctx, func() { p.queue.close(context.Cause(ctx)) })()
	return p.answer()
}

// settle waits for what was staged, in order, and counts it. After a failure nothing more is staged, and what was
// staged behind it is settled as well: the error must tell whether any of it is stored.
func (p *put) settle() {
	var failure error
	rest := quiver.NotDone
	for items := p.queue.next(); len(items) > 0; items = p.queue.next() {
		for i := range items {
			item := &items[i]
			stored, err := p.wait(item)
			p.service.memory.Release(item.bytes)
			if failure == nil && err == nil {
				p.count(item)
				continue
			}
			if stored {
				rest = quiver.Unknown
			}
			if failure == nil {
				failure = err
				p.queue.close(err)
			}
		}
	}
	if failure == nil {
		failure = p.queue.cause()
	}
	p.answers.finish(failure, rest)
}

// wait blocks until the item is durable and readable in all its buckets, or is known not to be. An item that failed is
// stored if any bucket has its part, or may have it. The call's context does not matter: what was staged becomes
// durable or fails by itself, soon.
func (p *put) wait(item *staged) (stored bool, err error) {
	parts := item.parts()
	if len(parts) >= manyParts {
		p.hasten(parts)
	}
	err = item.failure
	for _, part := range parts {
		failure := part.tablet.Wait(p.settled, part.place)
		if failure == nil || quiver.OutcomeOf(failure) != quiver.NotDone {
			stored = true
		}
		if err == nil {
			err = failure
		}
	}
	return stored, err
}

// How many buckets a batch has rows for so that they are committed at the same time, and how many then are.
const (
	manyParts    = 64
	commitsAbout = 16
)

// hasten commits many buckets at the same time: the syncs of each wait for the disk, which takes some together. What became of
// each is asked for afterwards.
func (p *put) hasten(parts []part) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range commitsAbout {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(parts)); i = next.Add(1) - 1 {
				_ = parts[i].tablet.Wait(p.settled, parts[i].place)
			}
		})
	}
	workers.Wait()
}

// count adds a durable item to the answers.
func (p *put) count(item *staged) {
	if item.taken > 0 && item.sequence != quiver.NoSequence {
		p.mu.Lock()
		for _, part := range item.parts() {
			p.acked[part.tablet] = item.sequence
		}
		p.mu.Unlock()
	}
	p.service.metrics.settled(item, p.usage)
	p.answers.add(item)
}

// isAcked tells whether this stream was told, or is about to be told, that the sequence is durable in the bucket.
func (p *put) isAcked(t *tablet.Tablet, sequence quiver.Sequence) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	newest, known := p.acked[t]
	return known && sequence <= newest
}

// answer sends answers until everything is settled, and gives what the call ends with.
func (p *put) answer() error {
	for {
		next := p.answers.next()
		if next.ended {
			return next.err
		}
		if err := p.stream.SendMsg(&codec.PutResult{Metadata: next.text}); err != nil {
			p.queue.close(errors.Join(errClientGone, err))
			<-p.answers.done
			if intake.From(p.ctx).GivenUp() != nil {
				return p.answers.failure() // which tells what is durable
			}
			return err
		}
		p.service.metrics.answers.Inc()
	}
}

// errClientGone is why a stream stops whose answers cannot be sent.
var errClientGone = errors.New("the client went away")
