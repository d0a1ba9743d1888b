//go:build !race

package intake

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
)

// endless is a connection that gives the same frames over and over, as many at once as fit.
type endless struct {
	net.Conn
	start, frames []byte
	at            int
}

func (e *endless) Read(p []byte) (n int, err error) {
	if len(e.start) > 0 {
		n = copy(p, e.start)
		e.start = e.start[n:]
		return n, nil
	}
	for n < len(p) {
		got := copy(p[n:], e.frames[e.at:])
		n += got
		e.at = (e.at + got) % len(e.frames)
	}
	return n, nil
}

func (e *endless) RemoteAddr() net.Addr { return (*wire)(nil).RemoteAddr() }

// sends gives a connection that sends messages of a size for ever, in frames of 16 KiB, and how many bytes each takes
// on the wire.
func sends(size int) (e *endless, each int) {
	var start, frames bytes.Buffer
	start.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&start, nil)
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true})
	f = http2.NewFramer(&frames, nil)
	for b := message(size); len(b) > 0; b = b[min(len(b), 16<<10):] {
		_ = f.WriteData(1, false, b[:min(len(b), 16<<10)])
	}
	return &endless{start: start.Bytes(), frames: frames.Bytes()}, frames.Len()
}

// frames reads frames as gRPC does until so many bytes have come.
func frames(tb testing.TB, r io.Reader, into []byte, bytes int) {
	for bytes > 0 {
		head := into[:headBytes]
		if _, err := io.ReadFull(r, head); err != nil {
			tb.Fatal(err)
		}
		n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if _, err := io.ReadFull(r, into[:n]); err != nil {
			tb.Fatal(err)
		}
		bytes -= headBytes + n
	}
}

// following gives a connection with a call that takes messages of a size, and how many bytes each is on the wire.
func following(tb testing.TB, size int) (c *Conn, s *Stream, each int) {
	e, each := sends(size)
	o := limits()
	o.Receive = 576 << 20
	i := New(o)
	c = newConn(i, e)
	i.enter(c)
	into := make([]byte, 32<<10)
	if _, err := io.ReadFull(c, into[:prefaceBytes]); err != nil {
		tb.Fatal(err)
	}
	frames(tb, c, into, headBytes)
	s, cancel, err := tapped(tb, i, c, doPut)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cancel)
	s.Begin()
	return c, s, each
}

// TestFollowingMakesNoGarbage passes messages of several sizes: nothing is allocated for any.
func TestFollowingMakesNoGarbage(t *testing.T) {
	for _, size := range []int{100, 100_000, 1 << 20, 20 << 20} {
		c, s, each := following(t, size)
		into := make([]byte, 32<<10)
		if n := testing.AllocsPerRun(20, func() {
			s.Await()
			frames(t, c, into, each)
			s.Took()
		}); n != 0 {
			t.Errorf("%v allocations for a message of %d bytes", n, size)
		}
		if s.receiving != 0 || s.GivenUp() != nil {
			t.Errorf("%d bytes are charged in the end, %v", s.receiving, s.GivenUp())
		}
		s.End()
	}
}

// TestReadingMakesNoGarbage reads a socket: nothing is allocated for what comes.
func TestReadingMakesNoGarbage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := New(limits()).Listen(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	ping := append([]byte{0, 0, 8, byte(http2.FramePing), 0, 0, 0, 0, 0}, make([]byte, 8)...)
	if _, err := client.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	into := make([]byte, 100)
	if _, err := io.ReadFull(accepted, into[:prefaceBytes]); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := client.Write(ping); err != nil {
			t.Error(err)
		}
		frames(t, accepted, into, len(ping))
	}); n != 0 {
		t.Errorf("%v allocations for each read", n)
	}
}

// BenchmarkFollowing compares reading through a Conn with reading through a buffer of gRPC's, as gRPC would: the
// difference is what the budget costs.
func BenchmarkFollowing(b *testing.B) {
	for _, of := range []struct {
		name string
		size int
	}{{"100B", 100}, {"100KB", 100_000}, {"1MB", 1 << 20}, {"20MB", 20 << 20}} {
		into := make([]byte, 32<<10)
		b.Run(of.name+"/plain", func(b *testing.B) {
			e, each := sends(of.size)
			r := bufio.NewReaderSize(e, largeBytes)
			if _, err := io.ReadFull(r, into[:prefaceBytes+headBytes]); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(each))
			b.ReportAllocs()
			for b.Loop() {
				frames(b, r, into, each)
			}
		})
		b.Run(of.name+"/followed", func(b *testing.B) {
			c, s, each := following(b, of.size)
			b.SetBytes(int64(each))
			b.ReportAllocs()
			for b.Loop() {
				s.Await()
				frames(b, c, into, each)
				s.Took()
			}
			s.End()
		})
	}
}
