package intake

import (
	"context"
	"math"
	"net"
	"runtime"
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
	readShare    = 4                      // of the limit is the most that is asked for before rows are read
	reserveShare = 8                      // part of the limit that small messages may go beyond it
	smallGrace   = 5 * time.Millisecond   // who began a shorter time ago is not given up for a small message
	grace        = 200 * time.Millisecond // who sent something a shorter time ago is not given up for a large one,
	decentTime   = time.Second            // nor who began a shorter time ago
	decentRate   = 1 << 20                // or came with so many bytes a second
	patience     = time.Second            // who waits for less does not end one that goes on, however slowly
	lazyGrace    = 10 * time.Second       // what the server itself leaves lying is not given up before
	sendGrace    = time.Second            // nor a reader that took something a shorter time ago
	lookAgain    = 5 * time.Millisecond   // how often who waits looks for somebody to give up
	fewStreams   = 8                      // a connection with fewer may begin one where others may not
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
	buffers buffers

	mu       sync.Mutex // guards what follows, and the fields of connections and streams that say so
	received account
	sent     account
	conns    map[*Conn]struct{}
	running  int // streams
	leaving  int // those of them that were given up
	greedy   *Conn
	sought   time.Time // when it was looked for
	ending   []*Stream // were given up: their contexts are to be ended when the mutex is free
	light    time.Time // when frames that carry nothing may be taken again
	rate     float64   // of these, a second
	counts   Counts

	full, fullOfYours error // what a call gets for which there is no room, or that leaves for another one
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
		options: o, rate: lightRate, buffers: buffers{most: max(fewLarge, o.Receive/largeShare/largeBytes)},
		received: account{limit: o.Receive}, sent: account{limit: o.Send, alone: true}, conns: map[*Conn]struct{}{},
		full:        overloaded("the server runs as many calls as it may, %d", o.Streams),
		fullOfYours: overloaded("the server runs as many calls as it may, %d, and this connection has most of them", o.Streams),
	}
}

// lock takes the mutex. A mutex that somebody has waited for a millisecond is handed over to who waits, and nobody has
// it until that one's turn on a processor comes: under attack hundreds are due before, and then every call goes at this
// pace, one after the other. All that is done under this mutex takes microseconds, so who does not get it lets others
// run, and tries again.
func (i *Intake) lock() {
	for range 100 {
		if i.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	i.mu.Lock()
}

// unlock frees the mutex, and ends the contexts of those that were given up: each end wakes who waits for it.
func (i *Intake) unlock() {
	ending := i.ending
	i.ending = nil
	i.mu.Unlock()
	for _, s := range ending {
		s.cancel(s.cause) // which is never another one
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
	i.lock()
	defer i.unlock()
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
// the stream's own. Streams that were given up and have not ended yet do not count, up to a bound: see mostStreams.
func (i *Intake) admit(s *Stream) error {
	i.lock()
	defer i.unlock()
	if i.running-i.leaving >= i.options.Streams || i.running >= i.mostStreams(s.conn) {
		i.counts.RefusedStreams++
		leaves := i.leavesFor(s)
		if leaves == nil {
			return i.full
		}
		leaves.giveUp(i.fullOfYours)
	}
	i.running++
	if s.conn != nil {
		s.conn.streams[s.id] = s
		s.conn.going++
	}
	return nil
}

// mostStreams is how many may run with those that were given up, when the connection begins one more: a quarter beyond
// the limit, and twice that for one with few streams. Who opens hundreds, and makes others leave for them, has used up the
// first quarter long before those have left; who has a few does not pay for it. i.mu must be held.
func (i *Intake) mostStreams(c *Conn) int {
	beyond := i.options.Streams / 4
	if c != nil && len(c.streams) < fewStreams {
		beyond *= 2
	}
	return i.options.Streams + beyond
}

// leavesFor is the stream that makes room for one that begins, nil if none does; i.mu must be held.
func (i *Intake) leavesFor(s *Stream) *Stream {
	if i.running >= i.mostStreams(s.conn) || s.conn == nil {
		return nil
	}
	greedy := i.greediest(s.conn)
	if greedy == nil || greedy.going <= s.conn.going+1 {
		return nil
	}
	return greedy.youngest()
}

// greediest is the connection with most streams that were not given up, for a given one: or one that had most a moment
// ago and has more than that one, which may have few. nil if there is none; i.mu must be held.
func (i *Intake) greediest(than *Conn) *Conn {
	now := time.Now()
	if g := i.greedy; g != nil && now.Sub(i.sought) < lookAgain {
		if g.going > than.going+1 || len(than.streams) >= fewStreams {
			return g
		}
	}
	i.greedy, i.sought = nil, now
	for c := range i.conns {
		if i.greedy == nil || c.going > i.greedy.going {
			i.greedy = c
		}
	}
	return i.greedy
}

// lightTurn is when so many frames that carry nothing may have been taken, behind those of others.
func (i *Intake) lightTurn(frames float64, now time.Time) time.Time {
	i.lock()
	defer i.unlock()
	if i.light.Before(now) {
		i.light = now
	}
	i.light = i.light.Add(time.Duration(frames / i.rate * float64(time.Second)))
	return i.light
}

// overloaded is what a stream ends with that takes more than is there.
func overloaded(format string, args ...any) error {
	return quiver.Errorf(quiver.Overloaded, format, args...).Advise("try again later, on fewer streams, with smaller messages")
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

// slowest is the stream to be given up when an account is used up: of those that hold something and had their time, the
// one that goes on most slowly, by the square of its size. nil if there is none, or those given up already will give
// back what is missing. line and waited say for whom. i.mu must be held.
//
// Messages of which each waits for the memory of the others would wait for ever: two hundred clients that send 2 MB
// each, in 256 MB. Once nothing moves any more one of them is given up.
func (i *Intake) slowest(a *account, line int, waited time.Duration, missing int64) *Stream {
	var found, stuck slower
	moves := a == &i.sent || waited <= grace
	now, looked := time.Now(), &a.looked[line]
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
			if s.hadItsTime(a, now, line == smallLine, waited) {
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
	i.lock()
	defer i.unlock()
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
