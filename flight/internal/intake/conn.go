package intake

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"time"
)

// The parts of a connection's bytes, in the order in which gRPC reads them.
const (
	prefaceBytes = 24 // "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headBytes    = 9  // of a frame

	callWork = 32 // a call that begins costs as much as so many frames, about
	restWork = 64 // after so many frames others run, before a frame begins

	lightBurst = 20   // frames that carry nothing, of a connection at once,
	lightOwn   = 100  // and a second; beyond that
	lightRate  = 1000 // a second over all connections
	tinyFrame  = 64   // bytes of a DATA frame that carries nothing, unless a message ends with it

	frameData     = 0
	frameHeaders  = 1
	framePriority = 2
	frameReset    = 3
	frameSettings = 4
	flagPadded    = 8
)

// Conn is a connection whose frames are followed on their way to gRPC. Only one goroutine reads it, and that one also
// calls Intake.Tap.
type Conn struct {
	net.Conn
	intake *Intake
	source *source
	closed chan struct{}
	once   sync.Once

	// Of the reading goroutine.
	buffer *[]byte // what was read and not passed on yet stands in rest; nil: nothing
	rest   []byte
	head   [headBytes]byte
	have   int       // bytes of the frame's head
	left   int       // bytes of the part at hand: the preface, or a payload
	data   *Stream   // whose payload it is; nil: of no stream that is counted
	last   *Stream   // whose the last DATA frame was
	now    time.Time // when the bytes in rest came, or somebody last waited for memory
	padded bool      // its first byte is a length of padding
	pad    int       // bytes at the end of the payload that are padding
	newest uint32    // the stream of the last HEADERS frame
	size   int       // bytes of the payload at hand
	work   int       // what was passed on since others were let run, in frames
	light  float64   // frames that carried nothing, less those that time has forgiven
	eased  time.Time // when it forgave last

	// Guarded by the intake's mutex.
	streams  map[uint32]*Stream
	going    int       // those of them that were not given up
	stopped  bool      // it is not read on until there is memory
	since    time.Time // when it came, or its last stream ended
	served   bool      // it has had a stream
	isClosed bool
}

func newConn(i *Intake, c net.Conn) *Conn {
	now := time.Now()
	return &Conn{Conn: c, intake: i, source: newSource(c, &i.buffers), closed: make(chan struct{}), left: prefaceBytes,
		eased: now, streams: map[uint32]*Stream{}, since: now}
}

// RemoteAddr is the address of the other side.
func (c *Conn) RemoteAddr() net.Addr { return address{c.Conn.RemoteAddr(), c} }

// opened is the stream whose HEADERS frame was passed on last: that of the call for which Tap is called.
func (c *Conn) opened() uint32 { return c.newest }

// Close closes the connection. Its streams are counted until their handlers have ended.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.intake.lock()
		defer c.intake.unlock()
		c.isClosed = true
		close(c.closed)
		delete(c.intake.conns, c)
		if c.intake.greedy == c {
			c.intake.greedy = nil
		}
	})
	return c.Conn.Close()
}

// Read passes bytes on, never more than up to the end of the part of a frame that they belong to. gRPC asks for these
// parts, one after the other. Payloads of DATA frames are charged before.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		var err error
		if c.buffer, c.rest, err = c.source.read(); err != nil {
			return 0, err
		}
		c.now, c.work = time.Now(), 0
	}
	n := min(len(p), len(c.rest))
	if c.left > 0 {
		n = min(n, c.left)
	} else {
		n = min(n, headBytes-c.have)
		c.rests()
		c.slows()
	}
	copy(p, c.rest[:n])
	c.pass(c.rest[:n])
	c.rest = c.rest[n:]
	if len(c.rest) == 0 {
		c.give()
	}
	if c.isGone() {
		return 0, net.ErrClosed
	}
	return n, nil
}

// rests lets others run once much was passed on. A connection has a quarter of a megabyte at hand at a time: tens of
// thousands of frames, or thousands of calls that begin, each with goroutines of its own. Who has one frame would wait
// behind all of that.
func (c *Conn) rests() {
	if c.work >= restWork {
		c.work = 0
		runtime.Gosched()
	}
}

// give returns the buffer.
func (c *Conn) give() {
	if c.buffer != nil {
		c.intake.buffers.put(c.buffer)
		c.buffer = nil
	}
}

func (c *Conn) isGone() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// pass follows bytes that are about to be passed on, all of one part.
func (c *Conn) pass(p []byte) {
	if c.left > 0 {
		c.left -= len(p)
		if c.data != nil {
			c.payload(p)
		}
		if c.left == 0 {
			c.weigh()
			c.forget()
		}
		return
	}
	c.have += copy(c.head[c.have:], p)
	if c.have < headBytes {
		return
	}
	c.have = 0
	c.left = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
	c.data, c.size = nil, c.left
	id := binary.BigEndian.Uint32(c.head[5:]) & 0x7fffffff
	c.work++
	switch c.head[3] {
	case frameHeaders:
		c.newest = id
		c.work += callWork
	case frameData:
		c.begin(id)
	case framePriority, frameReset, frameSettings:
		c.light++
	}
}

// weigh counts a DATA frame that is over, if it carried next to nothing of a message that goes on.
func (c *Conn) weigh() {
	if c.data != nil && c.size < tinyFrame && c.data.have > 0 {
		c.light++
	}
}

// slows lets a connection wait that sends frames which carry nothing: calls that are begun and reset, settings, messages
// byte by byte. Each costs the server as much as one that does carry something, and its sender next to nothing. A few are
// every connection's right; what goes beyond them shares one rate, however many connections it comes over. Pings are none
// of them: honest clients measure by them how much may be under way, about one an answer, and gRPC counts them itself.
func (c *Conn) slows() {
	if c.light <= lightBurst {
		return
	}
	now := time.Now()
	c.light -= lightOwn * min(now.Sub(c.eased).Seconds(), 1)
	if c.eased = now; c.light <= lightBurst {
		c.light = max(c.light, 0)
		return
	}
	wait := time.NewTimer(c.intake.lightTurn(c.light, now).Sub(now))
	defer wait.Stop()
	c.light = 0
	select {
	case <-wait.C:
	case <-c.closed:
	}
}

// begin charges the stream of a DATA frame for it, and waits until there is memory for it. Most frames of a message
// were paid for ahead, and take no lock.
func (c *Conn) begin(id uint32) {
	if c.left == 0 {
		return // gRPC keeps nothing of it. It is how a client ends what it sends, and begins no message
	}
	s := c.last
	if s == nil || s.id != id || !s.paid(int64(c.left), c.now) {
		if s = c.charge(id); s == nil {
			return // gRPC throws away what comes for a stream that is over
		}
	}
	c.last, c.data, c.padded, c.pad = s, s, c.head[4]&flagPadded != 0, 0
}

// charge charges the stream for the frame at hand; nil if it is over.
func (c *Conn) charge(id uint32) *Stream {
	c.intake.lock()
	defer c.intake.unlock()
	s := c.streams[id]
	switch n := int64(c.left); {
	case s == nil || s.over():
		return nil
	case s.paid(n, c.now) || s.frame(n, c.now): // the last frame may have been another stream's
		return s
	default:
		return nil
	}
}

// forget keeps nothing of a stream, behind its frame, unless its next frame was paid for: a connection that has nothing
// to read does not hold a call that is over.
func (c *Conn) forget() {
	c.data = nil
	if c.last != nil && c.last.credit == 0 {
		c.last = nil
	}
}

// resumes notes that the connection is read on, after so long. Its streams could send nothing meanwhile, and are not
// late because of us: who was woken at the same moment would give them up. What they were late before stays. The
// intake's mutex must be held.
func (c *Conn) resumes(after time.Duration) {
	c.now = time.Now()
	for _, s := range c.streams {
		s.last.Add(int64(after))
	}
}

// payload follows a piece of a DATA frame's payload.
func (c *Conn) payload(p []byte) {
	if c.padded && len(p) > 0 {
		c.pad, c.padded, p = int(p[0]), false, p[1:]
	}
	behind := c.left - c.pad
	if behind < 0 { // the end of the piece is padding
		p = p[:max(0, len(p)+behind)]
	}
	c.data.payload(p, max(behind, 0))
}

// readInto waits with a buffer at hand.
func readInto(c net.Conn, from *buffers) (buffer *[]byte, got []byte, err error) {
	buffer = from.get(false)
	n, err := c.Read(*buffer)
	if n == 0 {
		from.put(buffer)
		return nil, nil, err
	}
	return buffer, (*buffer)[:n], nil
}
