package codec

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/quiverlog/quiver/internal/buf"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// In is one received FlightData.
//
// The zero value is ready. Its owner calls Reset before the next message and after the last one: that releases
// the body. Descriptor, Header and Metadata are slices of their own and stay valid after Reset, but for ReuseHeader.
type In struct {
	Descriptor []byte   // flight_descriptor in its protobuf form, nil if there was none
	Header     []byte   // data_header, empty if there was none
	Metadata   []byte   // app_metadata, empty if there was none
	Body       *buf.Buf // data_body, starting on 64 bytes; nil if it was empty or absent
	Size       int      // bytes of the whole message as received
	Err        error    // why the message was not taken: *TooLargeError or *MalformedError; nothing else is set then

	// Admit, if set, is asked before the body is copied and may wait: the place for a memory budget. Its
	// error ends up in Err. It outlives Reset.
	Admit func(bodyBytes int) error

	// ReuseHeader has the next message's header stand in the memory of this one's: who keeps it copies it. It outlives
	// Reset.
	ReuseHeader bool
}

// reusedHeader is how many bytes are kept for headers at most.
const reusedHeader = 4 << 10

// Reset releases the body and forgets the message.
func (in *In) Reset() {
	if in.Body != nil {
		in.Body.Release()
	}
	header := in.Header
	*in = In{Admit: in.Admit, ReuseHeader: in.ReuseHeader}
	if in.ReuseHeader && cap(header) <= reusedHeader {
		in.Header = header[:0]
	}
}

// TakeBody hands the body's reference over to the caller; Reset leaves it alone then.
func (in *In) TakeBody() *buf.Buf {
	b := in.Body
	in.Body = nil
	return b
}

// Receiver is the half of a gRPC stream that receives.
type Receiver interface{ RecvMsg(m any) error }

// Recv resets in and receives one message into it. Besides what the stream returns (io.EOF at its end) it returns
// *TooLargeError and *MalformedError, after which the stream still works.
func Recv(s Receiver, in *In) error {
	in.Reset()
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	return in.Err
}

// TooLargeError says that a message, or one field of it, is above its limit.
type TooLargeError struct {
	What  string // "message", "data_header", "app_metadata" or "flight_descriptor"
	Size  int    // bytes that came
	Limit int    // bytes that are taken
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s of %d bytes is above the limit of %d bytes", e.What, e.Size, e.Limit)
}

// IsCommand says whether words were too long, and not data.
func (e *TooLargeError) IsCommand() bool { return e.What == whatDescriptor || e.What == whatMetadata }

// The names of what can be too large.
const (
	whatMessage    = "message"
	whatHeader     = "data_header"
	whatMetadata   = "app_metadata"
	whatDescriptor = "flight_descriptor"
)

// MalformedError says that bytes are no protobuf message.
type MalformedError struct{ Err error }

func (e *MalformedError) Error() string { return "the message is no FlightData: " + e.Err.Error() }
func (e *MalformedError) Unwrap() error { return e.Err }

// Limits bound what is received. Zero means no limit.
type Limits struct {
	Message int // bytes of a whole message
	Field   int // bytes of each of data_header, app_metadata and flight_descriptor
}

// unmarshal parses a message that lies in chunks. Errors of the sender go to in.Err.
func (in *In) unmarshal(data mem.BufferSlice, lim Limits) {
	in.Reset()
	size := data.Len()
	in.Size = size
	if lim.Message > 0 && size > lim.Message {
		in.fail(&TooLargeError{whatMessage, size, lim.Message})
		return
	}
	c := cursor{chunks: data, left: size}
	var body span
	for c.left > 0 {
		if err := in.field(&c, lim, &body); err != nil {
			in.fail(err)
			return
		}
	}
	if err := in.copyBody(body); err != nil {
		in.fail(err)
	}
}

// span is where a body lies: n bytes from the cursor on.
type span struct {
	at cursor
	n  int
}

// fail drops what was parsed and keeps why.
func (in *In) fail(err error) {
	size := in.Size
	in.Reset()
	in.Size, in.Err = size, err
}

// field reads one field. A known field of another wire type is an unknown field, as everywhere in protobuf.
func (in *In) field(c *cursor, lim Limits, body *span) error {
	num, typ, err := c.tag()
	if err != nil {
		return err
	}
	if typ != protowire.BytesType {
		return c.skip(num, typ, 0)
	}
	n, err := c.length()
	if err != nil {
		return err
	}
	switch num {
	case fieldDescriptor:
		if in.Descriptor == nil {
			in.Descriptor = []byte{} // present, if empty
		}
		return c.small(whatDescriptor, n, lim, &in.Descriptor, len(in.Descriptor))
	case fieldHeader:
		return c.small(whatHeader, n, lim, &in.Header, 0)
	case fieldMetadata:
		return c.small(whatMetadata, n, lim, &in.Metadata, 0)
	case fieldBody:
		*body = span{at: *c, n: n} // the last one wins
		c.discard(n)
		return nil
	default:
		c.discard(n)
		return nil
	}
}

// copyBody copies the body into a pooled buffer, once it is sure that the message is whole.
func (in *In) copyBody(body span) error {
	if body.n == 0 {
		return nil
	}
	if in.Admit != nil {
		if err := in.Admit(body.n); err != nil {
			return err
		}
	}
	in.Body = buf.Get(body.n)
	body.at.read(in.Body.Bytes())
	return nil
}

// maxGroupDepth bounds the nesting of unknown groups. Nobody sends groups; protobuf itself allows 10,000.
const maxGroupDepth = 100

var (
	errTruncated = &MalformedError{io.ErrUnexpectedEOF}
	errVarint    = &MalformedError{errors.New("varint overflows 64 bits")}
	errField     = &MalformedError{errors.New("field number out of range")}
	errWireType  = &MalformedError{errors.New("unknown wire type")}
	errGroup     = &MalformedError{errors.New("groups do not match or nest too deep")}
)

// cursor walks over a message that lies in chunks.
type cursor struct {
	chunks mem.BufferSlice
	first  []byte // the rest of the chunk before chunks
	left   int    // bytes of the whole message from here on
}

// chunk returns the bytes at hand; it is empty only at the end of the message.
func (c *cursor) chunk() []byte {
	for len(c.first) == 0 && len(c.chunks) > 0 {
		c.first = c.chunks[0].ReadOnlyData()
		c.chunks = c.chunks[1:]
	}
	return c.first
}

func (c *cursor) byte() (byte, error) {
	b := c.chunk()
	if len(b) == 0 {
		return 0, errTruncated
	}
	c.first = b[1:]
	c.left--
	return b[0], nil
}

// read fills p, which is never longer than what is left.
func (c *cursor) read(p []byte) {
	for len(p) > 0 {
		n := copy(p, c.chunk())
		p = p[n:]
		c.first = c.first[n:]
		c.left -= n
	}
}

// discard skips n bytes, never more than what is left.
func (c *cursor) discard(n int) {
	c.left -= n
	for n > 0 {
		step := min(n, len(c.chunk()))
		c.first = c.first[step:]
		n -= step
	}
}

func (c *cursor) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := c.byte()
		if err != nil {
			return 0, err
		}
		if shift == 63 && b > 1 {
			return 0, errVarint
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errVarint
}

func (c *cursor) tag() (protowire.Number, protowire.Type, error) {
	v, err := c.varint()
	if err != nil {
		return 0, 0, err
	}
	num := v >> 3
	if num < uint64(protowire.MinValidNumber) || num > uint64(protowire.MaxValidNumber) {
		return 0, 0, errField
	}
	return protowire.Number(num), protowire.Type(v & 7), nil
}

// length reads the length of a bytes field and checks that so many bytes follow.
func (c *cursor) length() (int, error) {
	n, err := c.varint()
	if err != nil {
		return 0, err
	}
	if n > uint64(c.left) {
		return 0, errTruncated
	}
	return int(n), nil
}

// small copies a field behind the first keep bytes of into, which are 0 where the last field wins.
func (c *cursor) small(what string, n int, lim Limits, into *[]byte, keep int) error {
	if lim.Field > 0 && keep+n > lim.Field {
		return &TooLargeError{what, keep + n, lim.Field}
	}
	*into = slices.Grow((*into)[:keep], n)[:keep+n]
	c.read((*into)[keep:])
	return nil
}

// skip passes over the value of a field that is not ours.
func (c *cursor) skip(num protowire.Number, typ protowire.Type, depth int) error {
	switch typ {
	case protowire.VarintType:
		_, err := c.varint()
		return err
	case protowire.Fixed32Type:
		return c.skipFixed(4)
	case protowire.Fixed64Type:
		return c.skipFixed(8)
	case protowire.BytesType:
		n, err := c.length()
		if err != nil {
			return err
		}
		c.discard(n)
		return nil
	case protowire.StartGroupType:
		return c.skipGroup(num, depth+1)
	case protowire.EndGroupType:
		return errGroup
	default:
		return errWireType
	}
}

func (c *cursor) skipFixed(n int) error {
	if c.left < n {
		return errTruncated
	}
	c.discard(n)
	return nil
}

// skipGroup passes over a group up to its end tag, which must bear the group's own number.
func (c *cursor) skipGroup(group protowire.Number, depth int) error {
	if depth > maxGroupDepth {
		return errGroup
	}
	for {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		if typ == protowire.EndGroupType {
			if num != group {
				return errGroup
			}
			return nil
		}
		if err := c.skip(num, typ, depth); err != nil {
			return err
		}
	}
}
