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
	conn net.Conn
	raw  syscall.RawConn // nil: it is read as any connection
}

func newSource(c net.Conn) source {
	if has, ok := c.(syscall.Conn); ok {
		if raw, err := has.SyscallConn(); err == nil {
			return source{c, raw}
		}
	}
	return source{conn: c}
}

// read waits for bytes. They stand in a buffer that is to be given back.
func (s source) read() (buffer *[]byte, got []byte, err error) {
	if s.raw == nil {
		return readInto(s.conn)
	}
	n := 0
	var failed error
	err = s.raw.Read(func(fd uintptr) bool {
		buffer = buffers.Get().(*[]byte)
		for {
			n, failed = syscall.Read(int(fd), *buffer)
			if !errors.Is(failed, syscall.EINTR) {
				break
			}
		}
		if errors.Is(failed, syscall.EAGAIN) {
			buffers.Put(buffer)
			buffer = nil
			return false
		}
		return true
	})
	switch {
	case err != nil:
	case failed != nil:
		err = &net.OpError{Op: "read", Net: "tcp", Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	case n == 0:
		err = io.EOF
	default:
		return buffer, (*buffer)[:n], nil
	}
	if buffer != nil {
		buffers.Put(buffer)
	}
	return nil, nil, err
}
