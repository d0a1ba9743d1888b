package intake

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
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
	credit int64   // bytes that were taken for frames of it that are still to come

	// Of everybody.
	waiting atomic.Bool  // the handler waits for a message
	closed  atomic.Bool  // it has ended or was given up
	got     atomic.Int64 // what has come of the unfinished message
	last    atomic.Int64 // when the last frame came, in nanoseconds since 1970

	// Guarded by the intake's mutex.
	receiving int64   // bytes held of messages that were not taken
	whole     []int64 // what each message costs that is whole and was not taken, in order, behind those that were
	taken     int     // so many of whole
	partial   int64   // what the unfinished one costs so far, all of it if it is large
	began     time.Time
	unseen    func() bool // keeps the end of its context from ending it
	sending   int64
	reserved  int64     // of sending: for rows that are being read
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
	if s == nil || !s.closed.Load() {
		return nil
	}
	s.intake.lock()
	defer s.intake.unlock()
	return s.cause
}

// Begin tells that the call has a handler, which will call End. One that never gets a handler ends with its context.
func (s *Stream) Begin() {
	if s != nil {
		s.unseen()
	}
}

// Await tells that the handler waits for the next message.
func (s *Stream) Await() {
	if s != nil {
		s.waiting.Store(true)
	}
}

// Heard tells that the handler waits no more, and has taken no message: none comes.
func (s *Stream) Heard() {
	if s != nil {
		s.waiting.Store(false)
	}
}

// Took tells that the handler has taken one message.
func (s *Stream) Took() {
	if s == nil {
		return
	}
	i := s.intake
	i.lock()
	defer i.unlock()
	s.waiting.Store(false)
	if s.untaken() == 0 || s.ended {
		return
	}
	cost := s.whole[s.taken]
	if s.taken++; s.untaken() == 0 {
		s.whole, s.taken = s.whole[:0], 0
	}
	s.receiving -= cost
	i.release(&i.received, cost)
}

// End tells that the call is over: gRPC keeps nothing of it any more.
func (s *Stream) End() {
	if s == nil {
		return
	}
	i := s.intake
	i.lock()
	defer i.unlock()
	s.end()
}

// untaken is how many messages are whole and were not taken; the intake's mutex must be held.
func (s *Stream) untaken() int { return len(s.whole) - s.taken }

// end is End; the intake's mutex must be held. What was sent and not taken stays charged until it is given back.
func (s *Stream) end() {
	if s.ended {
		return
	}
	i := s.intake
	s.ended = true
	s.closed.Store(true)
	i.running--
	if s.cause != nil {
		i.leaving--
	} else {
		s.stops()
	}
	if s.conn != nil && s.conn.streams[s.id] == s {
		delete(s.conn.streams, s.id)
		s.conn.since, s.conn.served = time.Now(), true
	}
	i.release(&i.received, s.receiving)
	s.receiving, s.whole, s.taken, s.partial = 0, nil, 0, 0
	// Its context ends when gRPC has told the client: an earlier end would take the status's place.
}

var errEnded = errors.New("the call has ended")

// Hold charges the stream for an answer that is to be sent, and waits until there is memory for it. It ends in a Let of
// the same bytes.
func (s *Stream) Hold(n int64) error {
	if s == nil {
		return nil
	}
	s.intake.lock()
	defer s.intake.unlock()
	if s.reserved > 0 {
		s.settle(n)
		return nil
	}
	return s.hold(n)
}

// Reserve charges the stream for rows that are about to be read for an answer, about so many bytes, and waits until
// there is memory for them. It ends in the Hold of that answer, or in Unreserve. A client says how large answers may be,
// and is not to have the memory empty for what may become little: there is a most that is waited for.
func (s *Stream) Reserve(n int64) error {
	if s == nil {
		return nil
	}
	s.intake.lock()
	defer s.intake.unlock()
	n = min(n, s.intake.sent.limit/readShare)
	if err := s.hold(n); err != nil {
		return err
	}
	s.reserved += n
	return nil
}

// Unreserve gives back what Reserve took: there is no answer.
func (s *Stream) Unreserve() {
	if s == nil {
		return
	}
	s.intake.lock()
	defer s.intake.unlock()
	if s.reserved > 0 {
		s.settle(0)
	}
}

// settle makes so many bytes of what was reserved. Rows that were read are there, also if they are more than was
// thought: others wait for them. The intake's mutex must be held.
func (s *Stream) settle(n int64) {
	i := s.intake
	i.take(s, &i.sent, n-s.reserved)
	s.reserved, s.progress = 0, time.Now()
	i.grant(&i.sent)
}

// hold takes memory for answers; the intake's mutex must be held.
func (s *Stream) hold(n int64) error {
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
	i.lock()
	defer i.unlock()
	s.sending -= n
	s.progress = time.Now()
	i.release(&i.sent, n)
}

// giveUp ends the stream; the intake's mutex must be held. What it holds is given back when its handler has ended.
func (s *Stream) giveUp(why error) {
	if s.cause == nil {
		if !s.ended {
			s.intake.leaving++
			s.stops()
		}
		s.cause = why
		s.closed.Store(true)
		s.intake.ending = append(s.intake.ending, s)
	}
}

// stops notes that the stream is none of those any more that its connection goes on with; the intake's mutex must be
// held.
func (s *Stream) stops() {
	if s.conn != nil {
		s.conn.going--
	}
}

// endsSoon tells whether the call has all that it needs to end by itself; the intake's mutex must be held.
func (s *Stream) endsSoon() bool {
	return unary[s.method] && (s.untaken() > 0 || !s.waiting.Load())
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
//
// waited is how long the other one has. What goes on is not given up before it has waited for a while: memory that
// others give back in a moment is not short.
func (s *Stream) hadItsTime(a *account, now time.Time, small bool, waited time.Duration) bool {
	silent := time.Duration(now.UnixNano() - s.last.Load())
	switch {
	case a == &s.intake.sent:
		return now.Sub(s.progress) >= sendGrace && s.sending > s.reserved // what is being read is not the reader's fault
	case !s.waiting.Load() || s.untaken() > 0:
		return silent >= lazyGrace
	case s.conn.stopped:
		return false
	case small:
		return now.Sub(s.began) >= smallGrace
	default:
		age := now.Sub(s.began)
		return silent >= grace || waited >= patience && age >= decentTime && float64(s.got.Load()) < decentRate*age.Seconds()
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
	return float64(s.got.Load()) / max(now.Sub(s.began).Seconds(), 1e-9)
}

// paid notes a DATA frame of so many bytes that was paid for ahead. It gives false if there is something to pay or to
// look at. It runs on the goroutine that reads the connection, and takes no lock.
func (s *Stream) paid(n int64, now time.Time) bool {
	cost := s.cost(n)
	if cost > s.credit || s.closed.Load() {
		return false
	}
	s.credit -= cost
	s.got.Add(n)
	s.last.Store(now.UnixNano())
	return true
}

// cost is what a frame of so many bytes costs. Those of the next message that stand in it are paid for when a large
// one is whole: see finished.
func (s *Stream) cost(n int64) int64 {
	cost := n
	if s.large {
		cost = min(n, s.left)
	}
	if n < frameSmall {
		cost += frameCost
	}
	return cost
}

// frame charges the stream for a DATA frame of so many bytes, and waits until there is memory for them; the intake's
// mutex must be held. It gives false if the stream is over.
//
// It pays ahead for as much of the message as has come, at most: so a message of n frames is charged in some log n
// steps, and what is charged for nothing is never more than what somebody sent.
func (s *Stream) frame(n int64, now time.Time) bool {
	i := s.intake
	s.last.Store(now.UnixNano())
	if s.have == 0 {
		s.began = now // a message begins with the frame
		s.got.Store(0)
	}
	ahead := int64(0)
	if s.have == len(s.prefix) && !s.large {
		ahead = max(0, min(s.left-n, s.got.Load()))
	}
	s.got.Add(n)
	cost := s.cost(n) - s.credit
	s.credit = 0
	if !s.large {
		s.credit = ahead
		return i.acquire(s, &i.received, cost+ahead)
	}
	// Who waits with a message that was let in could make others wait that he waits for. Much of this is a message in
	// frames of a few bytes: it ends if they do not fit.
	if i.received.used+cost > i.received.limit+i.received.limit/reserveShare {
		i.abandon(s, &i.received)
		return false
	}
	i.take(s, &i.received, cost)
	return true
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
// take is taken at once, so that messages that were let in can always be finished, and with it what gRPC keeps of frames
// that are not tiny.
func (s *Stream) announced(rest int64) {
	i := s.intake
	if s.left <= int64(s.limit) && rest <= i.received.limit/smallShare {
		return
	}
	i.lock()
	defer i.unlock()
	if s.left > int64(s.limit) {
		s.giveUp(quiver.Errorf(quiver.BadCommand, "the message has %d bytes, a ticket, command or action at most %d", s.left, s.limit).
			Advise("send less; rows go through DoPut, keys through DoExchange"))
		return
	}
	all := rest + rest/frameSmall*frameCost
	if all > i.received.limit {
		all = rest // it has the memory for itself, and not even that: each frame pays
	}
	if i.acquire(s, &i.received, all) {
		s.large, s.credit = true, all
	}
}

// finished notes that a message is whole, and that so many bytes of the next one stand behind it in its frame. They are
// charged already, unless the message was a large one.
func (s *Stream) finished(rest int64) {
	i := s.intake
	i.lock()
	defer i.unlock()
	large := s.large
	s.large, s.credit = false, 0
	if s.ended {
		return
	}
	if large {
		i.take(s, &i.received, rest)
	}
	s.keep(s.partial - rest)
	s.partial, s.began = rest, time.Unix(0, s.last.Load())
	s.got.Store(rest)
}

// keep adds what a whole message costs; the intake's mutex must be held.
func (s *Stream) keep(cost int64) {
	if len(s.whole) == cap(s.whole) && s.taken > len(s.whole)/2 {
		s.whole, s.taken = s.whole[:copy(s.whole, s.whole[s.taken:])], 0
	}
	s.whole = append(s.whole, cost)
}

// youngest is the stream that began last of those that may be given up for another one, nil if there is none; the
// intake's mutex must be held.
func (c *Conn) youngest() *Stream {
	var found *Stream
	for _, s := range c.streams {
		if s.cause == nil && !s.endsSoon() && (found == nil || s.id > found.id) {
			found = s
		}
	}
	return found
}
