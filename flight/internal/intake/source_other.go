//go:build !unix

package intake

import "net"

// source reads a connection.
type source struct{ conn net.Conn }

func newSource(c net.Conn) *source { return &source{c} }

// read waits for bytes. They stand in a buffer that is to be given back.
func (s *source) read() (buffer *[]byte, got []byte, err error) { return readInto(s.conn) }
