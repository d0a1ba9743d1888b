//go:build !unix

package intake

import "net"

// source reads a connection.
type source struct {
	conn    net.Conn
	buffers *buffers
}

func newSource(c net.Conn, b *buffers) *source { return &source{c, b} }

// read waits for bytes. They stand in a buffer that is to be given back.
func (s *source) read() (buffer *[]byte, got []byte, err error) { return readInto(s.conn, s.buffers) }
