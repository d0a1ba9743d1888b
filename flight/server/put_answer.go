package server

import (
	"context"
	"sync"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// putAnswers gathers what is to be told to the client of a put. While an answer waits to be sent, what becomes
// durable is added to it; each flush gets an answer of its own.
type putAnswers struct {
	mu      sync.Mutex
	room    sync.Cond         // fewer flushes wait than before, or the stream ended
	answer  *flight.PutAnswer // totals, and what is new since the answer before
	fresh   bool              // the answer says something that was not sent
	flushes [][]byte          // answers to flushes, encoded, first come first
	waiting int               // bytes of them
	err     error             // what the call ends with
	ended   bool
	wake    chan struct{} // holds one token while there is something to do
	done    chan struct{} // closed by finish
}

func newPutAnswers() *putAnswers {
	a := &putAnswers{
		answer: flight.NewPutAnswer(),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	a.room.L = &a.mu
	return a
}

// add counts one durable batch, or takes up a flush before which everything is durable.
func (a *putAnswers) add(item *staged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if item.flush != nil {
		a.answer.Flush = item.flush
		text := a.answer.Encode()
		a.flushes = append(a.flushes, text)
		a.waiting += len(text)
		a.answer.Sent()
		a.fresh = false
	} else {
		a.count(item)
	}
	a.signal()
}

// count adds a batch to the totals.
func (a *putAnswers) count(item *staged) {
	a.answer.Batches++
	a.answer.Rows += item.rows
	if item.sequence != quiver.NoSequence {
		a.answer.Sequence = item.sequence
	}
	if item.duplicate() {
		a.answer.Duplicates++
	}
	for _, p := range item.parts() {
		if p.place.Until > p.place.From {
			a.answer.AddRange(flight.Range{Partition: p.partition, Bucket: p.bucket, From: p.place.From, Until: p.place.Until})
		}
	}
	a.fresh = true
}

// finish ends the stream: nothing more becomes durable. err is what went wrong, nil if nothing did, and rest what
// became of everything behind the batches counted.
func (a *putAnswers) finish(err error, rest quiver.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if err != nil {
		a.err = a.answer.Fail(err, rest)
	}
	close(a.done)
	a.room.Broadcast()
	a.signal()
}

// failure is what the call ends with, once finish was called.
func (a *putAnswers) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *putAnswers) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// awaitRoom blocks while too many flushes wait for a client that does not read: one that asks without listening is
// not read on.
func (a *putAnswers) awaitRoom(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		a.mu.Lock() // who checked the context before it ended is waiting by now
		defer a.mu.Unlock()
		a.room.Broadcast()
	})()
	a.mu.Lock()
	defer a.mu.Unlock()
	for (len(a.flushes) >= waitingAnswers || a.waiting >= waitingBytes) && !a.ended && ctx.Err() == nil {
		a.room.Wait()
	}
}

// step is what the sender of answers does next: send a text, or end the call, with an error if there is one.
type step struct {
	text  []byte
	ended bool
	err   error
}

// next waits for something to do. Answers that were not sent come before a good end, and are left out before a bad
// one, whose text tells the same.
func (a *putAnswers) next() step {
	for {
		if s, ok := a.poll(); ok {
			return s
		}
		<-a.wake
	}
}

// poll takes what is to be done now; ok is false if there is nothing.
func (a *putAnswers) poll() (s step, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended && a.err != nil:
		return step{ended: true, err: a.err}, true
	case len(a.flushes) > 0:
		s.text = a.flushes[0]
		a.flushes = a.flushes[1:]
		a.waiting -= len(s.text)
		a.room.Broadcast()
		return s, true
	case a.fresh:
		s.text = a.answer.Encode()
		a.answer.Sent()
		a.fresh = false
		return s, true
	default:
		return step{ended: a.ended}, a.ended
	}
}
