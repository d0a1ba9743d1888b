package intake

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/quiverlog/quiver"
)

// Stream is one call: what it holds, and how it is ended. A nil stream is that of a call that nobody counts.
type Stream struct {
	intake *Intake
	conn   *Conn // nil: it came over a connection that was not wrapped
	id     uint32
	method string
	limit  int             // bytes of a message, at most
	ctx    context.Context // of the call
	cancel context.CancelCauseFunc

	// Of the goroutine that reads the connection.
	prefix [5]byte // of the message at hand
	have   int     // bytes of it
	left   int64   // bytes of the message that are still to come, once its prefix is there
	large  bool    // all of it was taken from the account when its prefix had come

	// Guarded by the intake's mutex.
	receiving int64   // bytes held of messages that were not taken
	whole     []int64 // what each message costs that is whole and was not taken, in order
	partial   int64   // what the unfinished one costs so far, all of it if it is large
	got       int64   // what has come of it
	began     time.Time
	last      time.Time // when the last frame came
	waiting   bool      // the handler waits for a message
	seen      bool      // it has a handler, which will tell its end
	sending   int64
	progress  time.Time // when an answer was taken last, or the first one was sent
	cause     error     // it was given up
	ended     bool
}

type streamKey struct{}

// From gives the stream of a call's context; nil if it has none.
func From(ctx context.Context) *Stream {
	s, _ := ctx.Value(streamKey{}).(*Stream)
	return s
}

// GivenUp is why the stream was given up, nil if it was not. It wraps an OVERLOADED, or says that a message is too large.
func (s *Stream) GivenUp() error {
	if s == nil {
		return nil
	}
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	return s.cause
}

// Begin tells that the call has a handler, which will call End.
func (s *Stream) Begin() {
	if s == nil {
		return
	}
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	s.seen = true
}

// Await tells that the handler waits for the next message.
func (s *Stream) Await() {
	if s == nil {
		return
	}
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	s.waiting = true
}

// Took tells that the handler has taken one message.
func (s *Stream) Took() {
	if s == nil {
		return
	}
	i := s.intake
	i.mu.Lock()
	defer i.mu.Unlock()
	s.waiting = false
	if len(s.whole) == 0 || s.ended {
		return
	}
	cost := s.whole[0]
	s.whole = s.whole[1:]
	s.receiving -= cost
	i.release(&i.received, cost)
}

// End tells that the call is over: gRPC keeps nothing of it any more.
func (s *Stream) End() {
	if s == nil {
		return
	}
	i := s.intake
	i.mu.Lock()
	defer i.mu.Unlock()
	s.end()
}

// endUnseen ends a call that gRPC is done with and that never got a handler.
func (s *Stream) endUnseen() {
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	if !s.seen {
		s.end()
	}
}

// end is End; the intake's mutex must be held. What was sent and not taken stays charged until it is given back.
func (s *Stream) end() {
	if s.ended {
		return
	}
	i := s.intake
	s.ended = true
	i.running--
	if s.conn != nil && s.conn.streams[s.id] == s {
		delete(s.conn.streams, s.id)
		s.conn.since, s.conn.served = time.Now(), true
	}
	i.release(&i.received, s.receiving)
	s.receiving, s.whole, s.partial = 0, nil, 0
	// Its context ends when gRPC has told the client: an earlier end would take the status's place.
}

var errEnded = errors.New("the call has ended")

// Hold charges the stream for an answer that is to be sent, and waits until there is memory for it. It ends in a Let of
// the same bytes.
func (s *Stream) Hold(n int64) error {
	if s == nil {
		return nil
	}
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	switch {
	case s.intake.acquire(s, &s.intake.sent, n):
		return nil
	case s.cause != nil:
		return s.cause
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	default:
		return errEnded
	}
}

// Let gives back what Hold took: the answer has left.
func (s *Stream) Let(n int64) {
	if s == nil {
		return
	}
	i := s.intake
	i.mu.Lock()
	defer i.mu.Unlock()
	s.sending -= n
	s.progress = time.Now()
	i.release(&i.sent, n)
}

// giveUp ends the stream; the intake's mutex must be held. What it holds is given back when its handler has ended.
func (s *Stream) giveUp(why error) {
	if s.cause == nil {
		s.cause = why
		s.cancel(why)
	}
}

// over tells whether the stream takes no more; the intake's mutex must be held.
func (s *Stream) over() bool {
	return s.ended || s.cause != nil || s.ctx.Err() != nil || s.conn != nil && s.conn.isClosed
}

// held is what the stream holds of an account; the intake's mutex must be held.
func (s *Stream) held(a *account) int64 {
	if a == &s.intake.received {
		return s.receiving
	}
	return s.sending
}

// add charges the stream; the intake's mutex must be held.
func (s *Stream) add(a *account, n int64) {
	if a == &s.intake.received {
		s.receiving += n
		s.partial += n
		return
	}
	if s.sending == 0 {
		s.progress = time.Now()
	}
	s.sending += n
}

// hadItsTime tells whether the stream may be given up, for a small message or another one; the intake's mutex must be
// held. A connection that is not read on because of us is not slow by itself.
func (s *Stream) hadItsTime(a *account, now time.Time, small bool) bool {
	switch {
	case a == &s.intake.sent:
		return now.Sub(s.progress) >= sendGrace
	case !s.waiting || len(s.whole) > 0:
		return now.Sub(s.last) >= lazyGrace
	case s.conn.stopped:
		return false
	case small:
		return now.Sub(s.began) >= smallGrace
	default:
		age := now.Sub(s.began)
		return now.Sub(s.last) >= grace || age >= decentTime && float64(s.got) < decentRate*age.Seconds()
	}
}

// holdsUp tells whether a message of another stream cannot be finished while this one waits, because they share a
// connection; the intake's mutex must be held.
func (s *Stream) holdsUp() bool {
	if s.conn == nil {
		return false
	}
	for _, other := range s.conn.streams {
		if other != s && other.partial > 0 {
			return true
		}
	}
	return false
}

// rate is how fast the stream goes on, in bytes a second; the intake's mutex must be held.
func (s *Stream) rate(a *account, now time.Time) float64 {
	if a == &s.intake.sent {
		return 1 / max(now.Sub(s.progress).Seconds(), 1e-9)
	}
	return float64(s.got) / max(now.Sub(s.began).Seconds(), 1e-9)
}

// frame charges the stream for a DATA frame of so many bytes, and waits until there is memory for them; the intake's
// mutex must be held. It gives false if the stream is over.
func (s *Stream) frame(n int64) bool {
	i := s.intake
	s.last = time.Now()
	if s.have == 0 {
		s.began, s.got = s.last, 0 // a message begins with the frame
	}
	s.got += n
	cost := n
	if s.large {
		cost = 0 // it was taken when the message began
	}
	if n < frameSmall {
		cost += frameCost
	}
	if s.large {
		// Who waits with a message that was let in could make others wait that he waits for. Much of this is a message
		// in frames of a few bytes: it ends if they do not fit.
		if i.received.used+cost > i.received.limit+i.received.limit/reserveShare && cost > 0 {
			i.abandon(s, &i.received)
		}
		if s.over() {
			return false
		}
		i.take(s, &i.received, cost)
		return true
	}
	return i.acquire(s, &i.received, cost)
}

// payload follows the messages in a piece of what a DATA frame brings, behind which so many bytes of it are still to
// come. It runs on the goroutine that reads the connection, before gRPC sees the bytes.
func (s *Stream) payload(p []byte, behind int) {
	for len(p) > 0 {
		if s.have < len(s.prefix) {
			n := copy(s.prefix[s.have:], p)
			s.have, p = s.have+n, p[n:]
			if s.have < len(s.prefix) {
				return
			}
			s.left = int64(binary.BigEndian.Uint32(s.prefix[1:]))
			s.announced(s.left - int64(len(p)))
		}
		n := min(int64(len(p)), s.left)
		s.left, p = s.left-n, p[n:]
		if s.left == 0 {
			s.have = 0
			s.finished(int64(len(p) + behind))
		}
	}
}

// announced looks at the length of the message that begins, of which so much is still to come. What a large one will
// take is taken at once, so that messages that were let in can always be finished.
func (s *Stream) announced(rest int64) {
	i := s.intake
	i.mu.Lock()
	defer i.mu.Unlock()
	if s.left > int64(s.limit) {
		s.giveUp(quiver.Errorf(quiver.BadCommand, "the message has %d bytes, a ticket, command or action at most %d", s.left, s.limit).
			Advise("send less; rows go through DoPut, keys through DoExchange"))
		return
	}
	if rest > i.received.limit/smallShare {
		s.large = i.acquire(s, &i.received, rest)
	}
}

// finished notes that a message is whole, and that so many bytes of the next one stand behind it in its frame. The frame
// was charged to the message, but that of a large one was not.
func (s *Stream) finished(rest int64) {
	i := s.intake
	i.mu.Lock()
	defer i.mu.Unlock()
	large := s.large
	s.large = false
	if s.ended {
		return
	}
	s.whole = append(s.whole, s.partial)
	s.partial, s.got, s.began = 0, rest, s.last
	if large {
		i.take(s, &i.received, rest)
	}
}

// youngest is the stream that began last; the intake's mutex must be held.
func (c *Conn) youngest() *Stream {
	var found *Stream
	for _, s := range c.streams {
		if found == nil || s.id > found.id && s.cause == nil {
			found = s
		}
	}
	return found
}
