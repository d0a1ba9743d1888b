package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wire is a connection without a library, for what no library would send.
type wire struct {
	net.Conn
	*http2.Framer
	next uint32
}

// dialWire connects and begins HTTP/2. What the server says is thrown away, if listen is set.
func dialWire(address string, listen bool) (*wire, error) {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	w := &wire{c, http2.NewFramer(c, c), 1}
	w.AllowIllegalWrites = true
	_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	if err := w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
		return nil, err
	}
	if listen {
		go func() {
			for {
				if _, err := w.ReadFrame(); err != nil {
					return
				}
			}
		}()
	}
	return w, nil
}

// open begins a call.
func (w *wire) open(method string) (uint32, error) { return w.begins(headerBlock(method)) }

// headerBlock are the headers of a call, and more.
func headerBlock(method string, more ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: service + method}, {Name: ":authority", Value: "quiver"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}, more...) {
		_ = encoder.WriteField(f) // into memory
	}
	return block.Bytes()
}

// begins opens a stream with headers, in as many frames as they take.
func (w *wire) begins(headers []byte) (uint32, error) {
	block := bytes.NewBuffer(headers)
	id := w.next
	w.next += 2
	first := block.Next(16 << 10)
	err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: block.Len() == 0})
	for err == nil && block.Len() > 0 {
		next := block.Next(16 << 10)
		err = w.WriteContinuation(id, block.Len() == 0, next)
	}
	return id, err
}

// begin sends the head of a message of so many bytes, and some of them.
func (w *wire) begin(id uint32, of, some int) error {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(of))
	b = append(b, make([]byte, some)...)
	for len(b) > 0 {
		n := min(len(b), 16<<10)
		if err := w.WriteData(id, false, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
