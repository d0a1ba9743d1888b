package intake

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/quiverlog/quiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const doPut = "/arrow.flight.protocol.FlightService/DoPut"

// wire is a connection that gives what it holds, in pieces, and then waits until it is closed.
type wire struct {
	net.Conn
	bytes  []byte
	piece  func() int
	closed chan struct{}
}

func newWire(b []byte) *wire { return &wire{bytes: b, closed: make(chan struct{})} }

func (w *wire) Read(p []byte) (int, error) {
	if len(w.bytes) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(w.bytes))
	if w.piece != nil {
		n = min(n, w.piece())
	}
	copy(p, w.bytes[:n])
	w.bytes = w.bytes[n:]
	return n, nil
}

func (w *wire) Close() error         { return nil }
func (w *wire) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// message is a message as gRPC frames it.
func message(n int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(n))
	return append(b, bytes.Repeat([]byte{7}, n)...)
}

// tapped begins a call, as gRPC does after its HEADERS frame.
func tapped(t testing.TB, i *Intake, c *Conn, method string) (*Stream, context.CancelFunc, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(peer.NewContext(context.Background(), &peer.Peer{Addr: c.RemoteAddr()}))
	ctx, err := i.Tap(ctx, &tap.Info{FullMethodName: method})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return From(ctx), cancel, nil
}

// connected is a connection that the intake knows, and whose bytes are written by the function.
func connected(i *Intake, write func(f *http2.Framer)) *Conn {
	b := bytes.NewBufferString(http2.ClientPreface)
	f := http2.NewFramer(b, nil)
	f.AllowIllegalWrites = true
	write(f)
	c := newConn(i, newWire(b.Bytes()))
	i.enter(c)
	return c
}

// drain reads as gRPC's framer does: the preface, then heads and payloads, and calls a function at each HEADERS.
func drain(t testing.TB, c *Conn, headers func()) (out []byte) {
	t.Helper()
	read := func(n int) bool {
		b := make([]byte, n)
		got, err := io.ReadFull(c, b)
		out = append(out, b[:got]...)
		return err == nil
	}
	if !read(prefaceBytes) {
		return out
	}
	for read(headBytes) {
		head := out[len(out)-headBytes:]
		n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		kind := head[3]
		if !read(n) {
			return out
		}
		if kind == frameHeaders {
			headers()
		}
	}
	return out
}

func limits() Options {
	return Options{Receive: 1 << 20, Send: 1 << 20, Streams: 100, Connections: 100, Request: 1000}
}

// TestFramesAreFollowed sends messages in frames of any size, with padding, over several streams: every byte arrives,
// each message is charged when it has come and given back when it was taken.
func TestFramesAreFollowed(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		i := New(limits())
		sent := map[uint32][]int{}
		c := connected(i, func(f *http2.Framer) { writeFrames(r, f, sent) })
		w := c.Conn.(*wire)
		w.piece = func() int { return 1 + r.IntN(1+r.IntN(5000)) }
		want := slices.Clone(w.bytes)
		found := map[uint32]*Stream{}
		got := drain(t, c, func() {
			s, cancel, err := tapped(t, i, c, doPut)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cancel)
			found[s.id] = s
		})
		if !bytes.Equal(got, want) {
			t.Fatal("bytes were changed on their way")
		}
		for id, sizes := range sent {
			s := found[id]
			if s.untaken() != len(sizes) || s.partial != 0 {
				t.Fatalf("stream %d: %d messages came whole, %d were sent; %d bytes are of none", id, s.untaken(), len(sizes), s.partial)
			}
			sum := 0
			for _, n := range sizes {
				sum += n + len(s.prefix)
			}
			if s.receiving < int64(sum) {
				t.Fatalf("stream %d: %d bytes are charged for %d", id, s.receiving, sum)
			}
			for range sizes[:len(sizes)/2] {
				s.Took()
			}
			s.Begin()
			s.End()
		}
		if u := i.Usage(); u.Received != 0 || u.Streams != 0 || u.GivenUp != 0 {
			t.Fatalf("in the end: %+v", u)
		}
		_ = c.Close()
	}
}

// writeFrames writes streams of messages, mixed.
func writeFrames(r *rand.Rand, f *http2.Framer, sent map[uint32][]int) {
	_ = f.WriteSettings()
	rest := map[uint32][]byte{}
	for n := range 1 + r.IntN(3) {
		id := uint32(2*n + 1)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: make([]byte, r.IntN(50)), EndHeaders: r.IntN(2) == 0})
		for range 1 + r.IntN(5) {
			size := r.IntN(1 + r.IntN(40_000))
			sent[id] = append(sent[id], size)
			rest[id] = append(rest[id], message(size)...)
		}
	}
	for len(rest) > 0 {
		for id, b := range rest {
			n := min(len(b), r.IntN(1+r.IntN(16_000)))
			if r.IntN(3) == 0 {
				_ = f.WriteDataPadded(id, false, b[:n], make([]byte, r.IntN(200)))
			} else {
				_ = f.WriteData(id, false, b[:n])
			}
			if rest[id] = b[n:]; len(rest[id]) == 0 {
				delete(rest, id)
			}
		}
		_ = f.WritePing(false, [8]byte{})
	}
}

// FuzzConn reads any bytes as a connection: they pass on unchanged, and nothing is charged in the end.
func FuzzConn(f *testing.F) {
	var b bytes.Buffer
	framer := http2.NewFramer(&b, nil)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
	_ = framer.WriteDataPadded(1, false, message(10), make([]byte, 9))
	_ = framer.WriteData(1, true, message(100)[:50])
	f.Add(b.Bytes(), uint16(7))
	f.Add([]byte{0, 0, 1, frameData, flagPadded, 0, 0, 0, 1, 255}, uint16(1))
	f.Add([]byte{255, 255, 255, frameHeaders, 0, 255, 255, 255, 255}, uint16(1))
	f.Fuzz(func(t *testing.T, frames []byte, piece uint16) {
		i := New(limits())
		i.rate = math.MaxFloat64
		c := connected(i, func(*http2.Framer) {})
		w := c.Conn.(*wire)
		w.bytes = append(w.bytes, frames...)
		w.piece = func() int { return int(piece) + 1 }
		want := slices.Clone(w.bytes)
		var all []*Stream
		got := drain(t, c, func() {
			if s, cancel, err := tapped(t, i, c, doPut); err == nil {
				s.Begin()
				t.Cleanup(cancel)
				all = append(all, s)
			}
		})
		if !bytes.Equal(got, want) {
			t.Fatal("bytes were changed on their way")
		}
		for _, s := range all {
			s.End()
		}
		if u := i.Usage(); u.Received != 0 || u.Streams != 0 {
			t.Fatalf("in the end: %+v", u)
		}
	})
}

// begun opens a call over a connection of its own that has sent so much of a message.
func begun(t *testing.T, i *Intake, of, came int) *Stream {
	t.Helper()
	var s *Stream
	c := connected(i, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
		for b := message(of)[:came]; len(b) > 0; b = b[min(len(b), 16<<10):] {
			_ = f.WriteData(1, false, b[:min(len(b), 16<<10)])
		}
	})
	drain(t, c, func() {
		var cancel context.CancelFunc
		var err error
		if s, cancel, err = tapped(t, i, c, doPut); err != nil {
			t.Fatal(err)
		}
		s.Begin()
		t.Cleanup(cancel)
	})
	return s
}

// TestStalledMessagesMakeRoom fills the memory with messages that do not go on: those who wait get it, and the small
// one does not wait at all.
func TestStalledMessagesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		var stalled []*Stream
		for range 4 {
			stalled = append(stalled, begun(t, i, 250_000, 10_000))
		}
		began := time.Now()
		small := begun(t, i, 10_000, 10_005)
		if waited := time.Since(began); waited > 0 || small.GivenUp() != nil {
			t.Errorf("a small message waited %v, %v", waited, small.GivenUp())
		}
		for _, s := range stalled { // the handlers of those that are given up
			go func() {
				<-s.ctx.Done()
				s.End()
			}()
		}
		large := begun(t, i, 250_000, 250_005)
		if waited := time.Since(began); waited > 2*grace || large.GivenUp() != nil {
			t.Errorf("a large message waited %v, %v", waited, large.GivenUp())
		}
		given := 0
		for _, s := range stalled {
			if quiver.ReasonOf(s.GivenUp()) == quiver.Overloaded {
				given++
			}
			s.cancel(errEnded)
		}
		if u := i.Usage(); given != 1 || u.GivenUp != 1 || u.PeakReceived > i.received.limit+i.received.limit/reserveShare {
			t.Errorf("%d were given up: %+v", given, u)
		}
		synctest.Wait()
	})
}

// TestMessagesThatGoOnAreWaitedFor has messages that fill the memory and are taken: who comes later waits for them.
func TestMessagesThatGoOnAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		var whole []*Stream
		for range 4 {
			s := begun(t, i, 250_000, 250_005)
			whole = append(whole, s)
			s.waiting.Store(false)
		}
		go func() {
			time.Sleep(time.Second)
			for _, s := range whole {
				s.Took()
			}
		}()
		began := time.Now()
		late := begun(t, i, 250_000, 250_005)
		if waited := time.Since(began); waited < time.Second || late.GivenUp() != nil {
			t.Errorf("it waited %v, %v", waited, late.GivenUp())
		}
		if u := i.Usage(); u.GivenUp != 0 {
			t.Errorf("%+v", u)
		}
	})
}

// TestMessagesInTinyFramesPay sends a message in frames of one byte: it is ended when what gRPC keeps of the frames does
// not fit.
func TestMessagesInTinyFramesPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // each of its frames waits
		i := New(limits())
		var s *Stream
		c := connected(i, func(f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
			for _, b := range message(20_000) {
				_ = f.WriteData(1, false, []byte{b})
			}
		})
		drain(t, c, func() {
			var err error
			if s, _, err = tapped(t, i, c, doPut); err != nil {
				t.Fatal(err)
			}
		})
		if quiver.ReasonOf(s.GivenUp()) != quiver.Overloaded {
			t.Error(s.GivenUp())
		}
		if u := i.Usage(); u.PeakReceived > i.received.limit+i.received.limit/reserveShare {
			t.Errorf("%+v", u)
		}
		s.End()
	})
}

// TestLargeTicketsEndAtOnce sends only the beginning of a ticket that is too large.
func TestLargeTicketsEndAtOnce(t *testing.T) {
	i := New(limits())
	c := connected(i, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
		_ = f.WriteData(1, false, message(1001)[:5])
	})
	var s *Stream
	drain(t, c, func() { s, _, _ = tapped(t, i, c, "/arrow.flight.protocol.FlightService/DoGet") })
	if err := s.GivenUp(); quiver.ReasonOf(err) != quiver.BadCommand || !errors.Is(context.Cause(s.ctx), err) {
		t.Error(err)
	}
	s.End()
}

// TestUnreadAnswers has readers that do not read: they are ended when another one waits, and what is read is not.
func TestUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		lost, reader := begun(t, i, 10, 15), begun(t, i, 10, 15)
		for range 4 {
			if err := lost.Hold(250_000); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			<-lost.ctx.Done()
			lost.End()
			lost.Let(1_000_000)
		}()
		began := time.Now()
		for range 20 {
			if err := reader.Hold(100_000); err != nil {
				t.Fatal(err)
			}
			reader.Let(100_000)
		}
		if waited := time.Since(began); waited > 2*sendGrace || quiver.ReasonOf(lost.GivenUp()) != quiver.Overloaded {
			t.Errorf("it waited %v, %v", waited, lost.GivenUp())
		}
		if err := reader.Hold(5_000_000); err != nil {
			t.Errorf("one that is larger than all: %v", err)
		}
		reader.Let(5_000_000)
		synctest.Wait()
	})
}

// TestSlowMessagesEnd has one that trickles.
func TestSlowMessagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		slow, idle := begun(t, i, 100_000, 50), begun(t, i, 10, 15)
		idle.Took()
		idle.Await()
		time.Sleep(slowTime - time.Second)
		i.Sweep()
		if slow.GivenUp() != nil {
			t.Error("too early")
		}
		time.Sleep(2 * time.Second)
		i.Sweep()
		if quiver.ReasonOf(slow.GivenUp()) != quiver.Overloaded || idle.GivenUp() != nil {
			t.Error(slow.GivenUp(), idle.GivenUp())
		}
	})
}

// TestTooManyCalls fills the calls from one connection: another one still gets its own.
func TestTooManyCalls(t *testing.T) {
	i := New(limits())
	greedy := connected(i, func(*http2.Framer) {})
	var all []*Stream
	for n := range 100 {
		greedy.newest = uint32(2*n + 1)
		s, _, err := tapped(t, i, greedy, doPut)
		if err != nil {
			t.Fatal(err)
		}
		s.Begin()
		all = append(all, s)
	}
	greedy.newest = 201
	if _, _, err := tapped(t, i, greedy, doPut); quiver.ReasonOf(err) != quiver.Overloaded {
		t.Errorf("the 101st: %v", err)
	}
	modest := connected(i, func(*http2.Framer) {})
	modest.newest = 1
	s, _, err := tapped(t, i, modest, doPut)
	if err != nil {
		t.Fatal(err)
	}
	if quiver.ReasonOf(all[99].GivenUp()) != quiver.Overloaded || all[0].GivenUp() != nil {
		t.Error("the wrong call was ended")
	}
	all = append(all, s)
	for n := range 10 { // each ends another one
		modest.newest = uint32(2*n + 3)
		s, _, err := tapped(t, i, modest, doPut)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		if all[98-n].GivenUp() == nil {
			t.Errorf("call %d was not ended", 98-n)
		}
	}
	for _, s := range all {
		s.Begin()
		s.End()
	}
	if u := i.Usage(); u.Streams != 0 || u.RefusedStreams != 12 {
		t.Errorf("%+v", u)
	}
	if i.leaving != 0 || greedy.going != 0 || modest.going != 0 {
		t.Errorf("in the end %d leave, %d and %d go on", i.leaving, greedy.going, modest.going)
	}
}

// TestTooManyConnections fills the connections: one that does nothing makes room, one with calls does not.
func TestTooManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limits()
		o.Connections = 2
		i := New(o)
		idle, used := connected(i, func(*http2.Framer) {}), connected(i, func(*http2.Framer) {})
		used.newest = 1
		s, cancel, err := tapped(t, i, used, doPut)
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		s.Begin()
		defer s.End()
		next := newConn(i, newWire(nil))
		if room, _ := i.enter(next); room {
			t.Error("there was room before anybody had rested")
		}
		time.Sleep(2 * restTime)
		room, leaves := i.enter(next)
		if !room || leaves != idle {
			t.Errorf("room %v, the wrong one leaves", room)
		}
	})
}

// TestMessagesThatWaitForEachOther has so many unfinished messages that all of the memory is theirs and none can go on:
// few are given up for it, and the others arrive.
func TestMessagesThatWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size = 90, 16_000
		i := New(limits())
		given, came := make(chan error, clients), time.Now()
		for range clients {
			go func() { given <- sendSlowly(t, i, size) }()
		}
		lost := 0
		for range clients {
			if err := <-given; err != nil {
				lost++
			}
		}
		if waited := time.Since(came); lost == 0 || lost > clients/2 || waited > 5*time.Second {
			t.Errorf("%d of %d were given up, after %v", lost, clients, waited)
		}
		if u := i.Usage(); u.Received != 0 || u.GivenUp != int64(lost) {
			t.Errorf("in the end: %+v", u)
		}
	})
}

// sendSlowly sends a message over a connection of its own in frames that come one each millisecond, and gives why it was
// given up.
func sendSlowly(t *testing.T, i *Intake, size int) error {
	const frame = 500
	c := connected(i, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
		for b := message(size); len(b) > 0; b = b[min(len(b), frame):] {
			_ = f.WriteData(1, false, b[:min(len(b), frame)])
		}
	})
	c.Conn.(*wire).piece = func() int {
		time.Sleep(time.Millisecond)
		return frame + headBytes
	}
	var s *Stream
	drain(t, c, func() {
		var cancel context.CancelFunc
		s, cancel, _ = tapped(t, i, c, doPut)
		t.Cleanup(cancel)
		s.Begin()
		go func() {
			<-s.ctx.Done()
			s.End()
		}()
	})
	s.Took()
	err := s.GivenUp()
	s.cancel(errEnded)
	return err
}

// TestSlowMessagesSurviveAMoment has one that goes on slowly while the memory is short: for a moment it stays, for long
// it does not.
func TestSlowMessagesSurviveAMoment(t *testing.T) {
	for _, short := range []time.Duration{patience / 2, 3 * patience} {
		synctest.Test(t, func(t *testing.T) {
			i := New(limits())
			slow := begun(t, i, 600_000, 100_000)
			whole := begun(t, i, 400_000, 400_005)
			whole.waiting.Store(false)
			done := make(chan struct{})
			go func() { // it goes on at 0.1 MB/s
				for n := range 100 {
					select {
					case <-slow.ctx.Done():
						slow.End()
						return
					case <-done:
						return
					case <-time.After(100 * time.Millisecond):
					}
					slow.got.Store(100_000 + int64(n)*10_000)
					slow.last.Store(time.Now().UnixNano())
				}
			}()
			time.Sleep(2 * decentTime)
			go func() {
				time.Sleep(short)
				whole.Took()
			}()
			began := time.Now()
			late := begun(t, i, 400_000, 400_005)
			close(done)
			waited, survives := time.Since(began), slow.GivenUp() == nil
			time.Sleep(short) // the other goroutines end
			if late.GivenUp() != nil || survives != (short < patience) || waited > patience+grace {
				t.Errorf("short of memory for %v: another waited %v, the slow one survives: %v", short, waited, survives)
			}
			synctest.Wait()
		})
	}
}

// TestTheEndBeginsNoMessage ends what a client sends with an empty frame, as some do. Its call may take as long as it
// will, whatever others wait for.
func TestTheEndBeginsNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		c := connected(i, func(f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
			_ = f.WriteData(1, false, message(100))
			_ = f.WriteData(1, true, nil)
		})
		var s *Stream
		drain(t, c, func() {
			var cancel context.CancelFunc
			s, cancel, _ = tapped(t, i, c, doPut)
			t.Cleanup(cancel)
			s.Begin()
		})
		s.Took()
		s.Await()
		time.Sleep(2 * slowTime)
		i.Sweep()
		if u := i.Usage(); s.GivenUp() != nil || u.Received != 0 {
			t.Errorf("%v: %+v", s.GivenUp(), u)
		}
		s.End()
	})
}

// TestMessagesPayForThemselves has two messages in one frame: each gives back what it takes.
func TestMessagesPayForThemselves(t *testing.T) {
	i := New(limits())
	c := connected(i, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
		_ = f.WriteData(1, false, append(message(10), message(10_000)...))
	})
	var s *Stream
	drain(t, c, func() {
		var cancel context.CancelFunc
		s, cancel, _ = tapped(t, i, c, doPut)
		t.Cleanup(cancel)
	})
	s.Took()
	if u := i.Usage(); u.Received != 10_005 {
		t.Errorf("%d bytes are charged for a message of 10000", u.Received)
	}
	s.Took()
	if u := i.Usage(); u.Received != 0 {
		t.Errorf("%+v", u)
	}
	s.End()
}

// TestCallsThatEndSoonStay has a connection with most calls, of which the youngest is unary and has its request: another
// one is ended.
func TestCallsThatEndSoonStay(t *testing.T) {
	o := limits()
	o.Streams = 4
	i := New(o)
	greedy := connected(i, func(f *http2.Framer) {
		for id := uint32(1); id <= 7; id += 2 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true})
			_ = f.WriteData(id, true, message(10))
		}
	})
	methods, all := []string{doPut, doPut, doPut, "/arrow.flight.protocol.FlightService/GetFlightInfo"}, []*Stream(nil)
	drain(t, greedy, func() {
		s, cancel, err := tapped(t, i, greedy, methods[len(all)])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cancel)
		all = append(all, s)
	})
	modest := connected(i, func(*http2.Framer) {})
	modest.newest = 1
	s, cancel, err := tapped(t, i, modest, doPut)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	if all[3].GivenUp() != nil || all[2].GivenUp() == nil {
		t.Error("the wrong call was ended")
	}
	for _, s := range append(all, s) {
		s.Begin()
		s.End()
	}
}

// TestFramesThatCarryNothingWait sends frames of several kinds, and looks how long their connection was not read on.
func TestFramesThatCarryNothingWait(t *testing.T) {
	for _, of := range []struct {
		name  string
		write func(f *http2.Framer)
		least time.Duration
		most  time.Duration
	}{
		{"calls that are reset", func(f *http2.Framer) {
			for id := uint32(1); id < 4000; id += 2 {
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true})
				_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}, 1500 * time.Millisecond, 2 * time.Second},
		{"a few of them", func(f *http2.Framer) {
			for id := uint32(1); id < 40; id += 2 {
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true})
				_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}, 0, 0},
		{"settings", func(f *http2.Framer) {
			for range 1000 {
				_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
			}
		}, 700 * time.Millisecond, time.Second},
		{"pings", func(f *http2.Framer) {
			for range 1000 {
				_ = f.WritePing(false, [8]byte{})
			}
		}, 0, 0},
		{"a message byte by byte", func(f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
			for _, b := range message(500) {
				_ = f.WriteData(1, false, []byte{b})
			}
		}, 300 * time.Millisecond, 500 * time.Millisecond},
		{"small messages", func(f *http2.Framer) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
			for range 1000 {
				_ = f.WriteData(1, false, message(5))
			}
		}, 0, 0},
	} {
		t.Run(of.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := New(Options{Receive: 1 << 20, Send: 1 << 20, Streams: 3000, Connections: 10, Request: 1000})
				c := connected(i, of.write)
				var all []*Stream
				began := time.Now()
				drain(t, c, func() {
					s, cancel, err := tapped(t, i, c, doPut)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(cancel)
					s.Begin()
					all = append(all, s)
				})
				if took := time.Since(began); took < of.least || took > of.most {
					t.Errorf("its connection waited %v, not %v to %v", took, of.least, of.most)
				}
				for _, s := range all {
					s.End()
				}
			})
		})
	}
}
