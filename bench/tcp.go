package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
)

// tcpWrite is the size of one write of T.
const tcpWrite = 256 << 10

// serveTCP is the server of T: for each 8-byte number it gets, it sends so many bytes. It ends with the context.
func serveTCP(ctx context.Context, announce func(address string)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	memory := newRing(ringBytes)
	announce(listener.Addr().String())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := sendAsked(conn, memory); err != nil {
			return err
		}
	}
}

// sendAsked answers one connection until its end.
func sendAsked(conn net.Conn, memory *ring) error {
	defer closeRead(conn)
	var head [8]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil // the client left
		}
		for left := int(binary.LittleEndian.Uint64(head[:])); left > 0; {
			n := min(left, tcpWrite)
			if _, err := conn.Write(memory.next(n)); err != nil {
				return err
			}
			left -= n
		}
	}
}

// tcpGet asks for n bytes and reads them.
func tcpGet(conn net.Conn, n int64, scratch []byte) error {
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], uint64(n))
	if _, err := conn.Write(head[:]); err != nil {
		return err
	}
	for n > 0 {
		got, err := conn.Read(scratch[:min(int64(len(scratch)), n)])
		if err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}
