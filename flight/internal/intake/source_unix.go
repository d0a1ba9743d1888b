//go:build unix

package intake

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// source reads a connection without keeping memory while there is nothing to read: a buffer is taken once the kernel
// has something.
type source struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: it is read as any connection
	buffers *buffers
	filled  bool // the last read would have filled a small buffer

	// Of the reading goroutine: what try is asked for and gives. A closure of its own for each read would be garbage.
	try    func(fd uintptr) bool
	buffer *[]byte
	got    int
	failed error
}

func newSource(c net.Conn, b *buffers) *source {
	s := &source{conn: c, buffers: b}
	if has, ok := c.(syscall.Conn); ok {
		if raw, err := has.SyscallConn(); err == nil {
			s.raw, s.try = raw, s.tryRead
		}
	}
	return s
}

// read waits for bytes. They stand in a buffer that is to be given back.
func (s *source) read() (buffer *[]byte, got []byte, err error) {
	if s.raw == nil {
		return readInto(s.conn, s.buffers)
	}
	err = s.raw.Read(s.try)
	buffer, s.buffer = s.buffer, nil
	switch {
	case err != nil:
	case s.failed != nil:
		err = &net.OpError{Op: "read", Net: "tcp", Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("read", s.failed)}
	case s.got == 0:
		err = io.EOF
	default:
		return buffer, (*buffer)[:s.got], nil
	}
	if buffer != nil {
		s.buffers.put(buffer)
	}
	return nil, nil, err
}

// tryRead reads what the kernel has. It gives false, and keeps no buffer, if that is nothing.
func (s *source) tryRead(fd uintptr) bool {
	s.buffer = s.buffers.get(s.filled)
	for {
		s.got, s.failed = syscall.Read(int(fd), *s.buffer)
		if !errors.Is(s.failed, syscall.EINTR) {
			break
		}
	}
	if errors.Is(s.failed, syscall.EAGAIN) {
		s.buffers.put(s.buffer)
		s.buffer = nil
		return false
	}
	s.filled = s.got >= smallBytes
	return true
}
