package intake

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/quiverlog/quiver"
)

// Bounds that no option moves.
const (
	frameCost    = 128                    // bytes that gRPC keeps of a frame beside its payload, about
	frameSmall   = 4 << 10                // a frame of so many bytes does not pay for that
	smallShare   = 64                     // a message of at most this part of the limit is small
	reserveShare = 8                      // part of the limit that small messages may go beyond it
	smallGrace   = 5 * time.Millisecond   // who began a shorter time ago is not given up for a small message
	grace        = 200 * time.Millisecond // who sent something a shorter time ago is not given up for a large one,
	decentTime   = time.Second            // nor who began a shorter time ago
	decentRate   = 1 << 20                // or came with so many bytes a second
	patience     = time.Second            // who waits for less does not end one that goes on, however slowly
	lazyGrace    = 10 * time.Second       // what the server itself leaves lying is not given up before
	sendGrace    = time.Second            // nor a reader that took something a shorter time ago
	lookAgain    = 5 * time.Millisecond   // how often who waits looks for somebody to give up
	slowTime     = time.Minute            // a message may take this long, however slow
	slowRate     = 16 << 10               // bytes a second that it must come with afterwards
)

// Options say what is bounded. All are needed.
type Options struct {
	Receive     int64 // bytes of messages that came and were not taken, over all streams
	Send        int64 // bytes of answers that were sent and not taken by their readers, likewise
	Streams     int   // calls that run
	Connections int
	Request     int // largest message of a call that takes one message, in bytes
}

// Intake counts what streams hold. Its methods may be called at any time by anybody.
type Intake struct {
	options Options

	mu       sync.Mutex // guards what follows, and the fields of connections and streams that say so
	received account
	sent     account
	conns    map[*Conn]struct{}
	running  int           // streams
	leaving  int           // those of them that were given up
	waiters  int           // who waits for news
	news     chan struct{} // closed, and made anew, when something was given back
	counts   Counts
}

// account is what streams hold of one kind.
type account struct {
	used, limit, peak int64
	looked            [2]time.Time // when somebody to give up was looked for last: for large ones, for small ones
}

// Counts tell what was done about greed.
type Counts struct {
	Waits              int64 // frames and answers that waited
	GivenUp            int64 // streams that were ended to get memory back, or because they were slow
	RefusedStreams     int64 // calls that were refused, or ended for others
	RefusedConnections int64 // connections that were closed at once, or for others
}

// New gives an intake with nothing held.
func New(o Options) *Intake {
	return &Intake{
		options: o, received: account{limit: o.Receive}, sent: account{limit: o.Send},
		conns: map[*Conn]struct{}{}, news: make(chan struct{}),
	}
}

// Usage is what is held at one moment.
type Usage struct {
	Received, Sent         int64 // bytes
	PeakReceived, PeakSent int64 // the most there were
	Streams, Connections   int
	Counts
}

// Usage tells what is held.
func (i *Intake) Usage() Usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	return Usage{Received: i.received.used, Sent: i.sent.used, PeakReceived: i.received.peak, PeakSent: i.sent.peak,
		Streams: i.running, Connections: len(i.conns), Counts: i.counts}
}

// Tap is gRPC's tap.ServerInHandle: it is called as a call begins, on the goroutine that reads its connection, right
// after the frame that began it. The context it gives knows the stream: see From.
func (i *Intake) Tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	s := &Stream{intake: i, method: info.FullMethodName, limit: math.MaxInt}
	s.waiting.Store(true)
	if who, ok := peer.FromContext(ctx); ok {
		if at, ok := who.Addr.(address); ok {
			s.conn, s.id = at.conn, at.conn.opened()
		}
	}
	if !streams[info.FullMethodName] {
		s.limit = i.options.Request
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if err := i.admit(s); err != nil {
		s.cancel(err)
		return nil, err
	}
	s.unseen = context.AfterFunc(ctx, s.End)
	return context.WithValue(s.ctx, streamKey{}, s), nil
}

// streams are the calls that take more than one message, or large ones.
var streams = map[string]bool{
	"/arrow.flight.protocol.FlightService/DoPut":      true,
	"/arrow.flight.protocol.FlightService/DoExchange": true,
}

// unary are the calls that end by themselves soon after their request has come. gRPC takes the request before there is a
// handler: of one that is given up then it tells CANCELED, whatever the cause.
var unary = map[string]bool{
	"/arrow.flight.protocol.FlightService/GetFlightInfo":  true,
	"/arrow.flight.protocol.FlightService/GetSchema":      true,
	"/arrow.flight.protocol.FlightService/PollFlightInfo": true,
}

// admit counts a stream that begins. At the limit one of the connection with most streams makes room, unless that is
// the stream's own. Streams that were given up and have not ended yet do not count, as long as they are no more than
// a quarter of the others.
func (i *Intake) admit(s *Stream) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running-i.leaving >= i.options.Streams || i.running >= i.mostStreams() {
		i.counts.RefusedStreams++
		leaves := i.leavesFor(s)
		if leaves == nil {
			return overloaded("the server runs as many calls as it may, %d", i.options.Streams)
		}
		leaves.giveUp(overloaded("the server runs as many calls as it may, %d, and this connection has most of them", i.options.Streams))
	}
	i.running++
	if s.conn != nil {
		s.conn.streams[s.id] = s
		s.conn.going++
	}
	return nil
}

// mostStreams is how many may run with those that were given up.
func (i *Intake) mostStreams() int { return i.options.Streams + i.options.Streams/4 }

// leavesFor is the stream that makes room for one that begins, nil if none does; i.mu must be held.
func (i *Intake) leavesFor(s *Stream) *Stream {
	greedy := i.greediest()
	if i.running >= i.mostStreams() || greedy == nil || s.conn == nil || greedy.going <= s.conn.going+1 {
		return nil
	}
	return greedy.youngest()
}

// greediest is the connection with most streams that were not given up; i.mu must be held.
func (i *Intake) greediest() *Conn {
	var most *Conn
	for c := range i.conns {
		if most == nil || c.going > most.going {
			most = c
		}
	}
	return most
}

// overloaded is what a stream ends with that takes more than is there.
func overloaded(format string, args ...any) error {
	return quiver.Errorf(quiver.Overloaded, format, args...).Advise("try again later, on fewer streams, with smaller messages")
}

// acquire takes bytes of an account for a stream, and waits until they fit. Meanwhile streams that keep memory for
// nothing are given up. It gives false if the stream or its connection is at an end. i.mu must be held; it is not held
// while the stream waits.
func (i *Intake) acquire(s *Stream, a *account, n int64) bool {
	small := s.held(a)+n <= a.limit/smallShare
	limit := a.limit
	if small {
		limit += a.limit / reserveShare
	}
	if s.conn != nil && a == &i.received {
		s.conn.stopped = true
		defer func() { s.conn.stopped = false }()
	}
	var since time.Time
	var waited time.Duration
	for a.used+n > limit && !s.over() {
		if a == &i.sent && a.used == 0 {
			break // larger than all: it goes alone
		}
		if a == &i.received && (n > limit || waited > grace && s.holdsUp()) {
			i.abandon(s, a)
			break
		}
		if since.IsZero() {
			i.counts.Waits++
			since = time.Now()
		}
		waited = time.Since(since)
		if victim := i.slowest(a, small, waited, a.used+n-limit); victim != nil {
			i.abandon(victim, a)
			continue
		}
		i.await(s)
	}
	if s.conn != nil && a == &i.received && !since.IsZero() {
		s.conn.resumes(time.Since(since))
	}
	if s.over() {
		return false
	}
	i.take(s, a, n)
	return true
}

// take charges a stream, whether it fits or not; i.mu must be held.
func (i *Intake) take(s *Stream, a *account, n int64) {
	s.add(a, n)
	a.used += n
	a.peak = max(a.peak, a.used)
}

// abandon gives a stream up for what it holds; i.mu must be held.
func (i *Intake) abandon(s *Stream, a *account) {
	i.counts.GivenUp++
	what := "a message comes in too slowly"
	if a == &i.sent {
		what = "its answers are not read"
	}
	s.giveUp(overloaded("the memory for messages is used up, and this stream keeps %d bytes of %d while %s", s.held(a), a.limit, what))
}

// await waits until something was given back, or it is time to look again; i.mu is held before and after.
func (i *Intake) await(s *Stream) {
	news := i.news
	i.waiters++
	i.mu.Unlock()
	again := time.NewTimer(lookAgain)
	var closed <-chan struct{}
	if s.conn != nil {
		closed = s.conn.closed
	}
	select {
	case <-news:
	case <-again.C:
	case <-closed:
	}
	again.Stop()
	i.mu.Lock()
	i.waiters--
}

// release gives bytes back; i.mu must be held.
func (i *Intake) release(a *account, n int64) {
	a.used -= n
	if i.waiters > 0 {
		close(i.news)
		i.news = make(chan struct{})
	}
}

// slowest is the stream to be given up when an account is used up: of those that hold something and had their time, the
// one that goes on most slowly, by the square of its size. nil if there is none, or those given up already will give
// back what is missing. small and waited say for whom. i.mu must be held.
//
// Messages of which each waits for the memory of the others would wait for ever: two hundred clients that send 2 MB
// each, in 256 MB. Once nothing moves any more one of them is given up.
func (i *Intake) slowest(a *account, small bool, waited time.Duration, missing int64) *Stream {
	var found, stuck slower
	moves := a == &i.sent || waited <= grace
	now, looked := time.Now(), &a.looked[0]
	if small {
		looked = &a.looked[1]
	}
	if now.Sub(*looked) < lookAgain {
		return nil // however many wait
	}
	*looked = now
	for c := range i.conns {
		for _, s := range c.streams {
			if s.over() {
				missing -= s.held(a)
				moves = moves || s.held(a) > 0
				continue
			}
			if s.held(a) == 0 {
				continue
			}
			rate := s.rate(a, now) / float64(s.held(a)) / float64(s.held(a)) // a small one that had to wait for a processor is not to pay for large ones
			if s.hadItsTime(a, now, small, waited) {
				found.see(s, rate)
			}
			stuck.see(s, rate)
			moves = moves || s.untaken() > 0 || !c.stopped
		}
	}
	switch {
	case missing <= 0:
		return nil
	case found.stream == nil && !moves:
		return stuck.stream
	default:
		return found.stream
	}
}

// slower is the stream with the lowest rate of those seen.
type slower struct {
	stream *Stream
	rate   float64
}

func (l *slower) see(s *Stream, rate float64) {
	if l.stream == nil || rate < l.rate {
		l.stream, l.rate = s, rate
	}
}

// Sweep gives up messages that come too slowly. It is to be called every few seconds.
func (i *Intake) Sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	for c := range i.conns {
		for _, s := range c.streams {
			age, got := now.Sub(s.began), s.got.Load()
			if s.waiting.Load() && s.partial > 0 && age > slowTime && float64(got) < slowRate*age.Seconds() && !s.over() {
				i.counts.GivenUp++
				s.giveUp(overloaded("a message came too slowly, %d bytes in %v", got, age.Round(time.Second)))
			}
		}
	}
}

// address is a connection's remote address, which finds the connection again.
type address struct {
	net.Addr
	conn *Conn
}
