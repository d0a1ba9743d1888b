package codec

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// smallPart is the size up to which a part is copied: grpc-go never calls the pool of such a buffer back.
const smallPart = 1 << 10

// Field numbers of arrow.flight.protocol.FlightData and PutResult.
const (
	fieldDescriptor = 1
	fieldHeader     = 2
	fieldMetadata   = 3
	fieldBody       = 1000

	fieldPutMetadata = 1
)

// Owner keeps the parts of a body alive. Release gives back the one reference that an Out took over.
type Owner interface{ Release() }

// Out is one FlightData on its way out.
//
// Descriptor, Metadata and Header are copied (the header with zeros behind it, see padding) while Send runs and may be used again afterwards. The bytes of Body
// must not change until Owner is released; the slice of slices itself may be used again after Send.
type Out struct {
	Descriptor []byte   // FlightDescriptor in its protobuf form; on a client's first message only
	Metadata   []byte   // app_metadata
	Header     []byte   // data_header: a Message flatbuffer without prefix; empty makes a message without data
	Body       [][]byte // data_body in order, as a list of parts
	Owner      Owner    // released once when no part is in use any more; nil if the parts need no owner

	taken bool // Marshal took over the reference
}

// Sender is the half of a gRPC stream that sends.
type Sender interface{ SendMsg(m any) error }

// Send sends one message and gives its owner away: it is released exactly once, on every path.
func Send(s Sender, out *Out) error {
	err := s.SendMsg(out)
	if !out.taken && out.Owner != nil {
		out.Owner.Release() // the stream was over before it looked at the message
	}
	out.taken = true
	return err
}

var errSentTwice = errors.New("codec: the message was sent before; its body belongs to the transport")

// marshal lays the message out as buffers for the transport. Small parts lie in one allocation together with the
// fields before the body; each large part is its own buffer, and all of them share one lease on the owner.
func (o *Out) marshal() (mem.BufferSlice, error) {
	if o.taken {
		return nil, errSentTwice
	}
	o.taken = true

	bodyLen, small, large := 0, 0, 0
	for _, part := range o.Body {
		bodyLen += len(part)
		if len(part) > smallPart {
			large++
		} else {
			small += len(part)
		}
	}
	padding := o.padding(bodyLen)
	b := make([]byte, 0, o.headSize(bodyLen, padding)+small)
	b = appendBytes(b, fieldDescriptor, o.Descriptor)
	b = appendBytes(b, fieldMetadata, o.Metadata)
	b = appendHeader(b, o.Header, padding)
	if bodyLen > 0 {
		b = protowire.AppendTag(b, fieldBody, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(bodyLen))
	}

	if large == 0 {
		b = appendParts(b, o.Body)
		if o.Owner != nil {
			o.Owner.Release()
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}

	lease := newLease(o.Owner, large)
	out := make(mem.BufferSlice, 0, 2*large+1)
	run := 0 // start of the run of copied bytes that no buffer covers yet
	for i := range o.Body {
		part := &o.Body[i]
		if len(*part) <= smallPart {
			b = append(b, *part...)
			continue
		}
		if run < len(b) {
			out = append(out, mem.SliceBuffer(b[run:len(b):len(b)]))
			run = len(b)
		}
		out = append(out, mem.NewBuffer(part, lease))
	}
	if run < len(b) {
		out = append(out, mem.SliceBuffer(b[run:]))
	}
	return out, nil
}

// alignFrom is the body size from which a body starts on alignment within its message.
const (
	alignFrom = 4 << 10
	alignment = 64
)

// padding is how many zeros behind the header make the body start on 64 bytes within the message. A flatbuffer may be
// followed by anything. Clients that take a large message into one piece of memory and use it in place, as pyarrow
// does, then have aligned buffers; without it Acero warns and may copy.
func (o *Out) padding(bodyLen int) int {
	if bodyLen < alignFrom || len(o.Header) == 0 {
		return 0
	}
	padding := 0
	for o.headSize(bodyLen, padding)%alignment != 0 {
		padding++ // more than once around only where the length's own varint grows
	}
	return padding
}

// headSize is the number of bytes before the body's first.
func (o *Out) headSize(bodyLen, padding int) int {
	size := sizeBytes(fieldDescriptor, len(o.Descriptor)) + sizeBytes(fieldMetadata, len(o.Metadata)) +
		sizeBytes(fieldHeader, len(o.Header)+padding)
	if bodyLen > 0 {
		size += protowire.SizeTag(fieldBody) + protowire.SizeVarint(uint64(bodyLen))
	}
	return size
}

// appendHeader appends the header field with zeros behind its content.
func appendHeader(b, header []byte, padding int) []byte {
	if len(header) == 0 {
		return b
	}
	b = protowire.AppendTag(b, fieldHeader, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(header)+padding))
	b = append(b, header...)
	return append(b, make([]byte, padding)...)
}

func appendParts(b []byte, parts [][]byte) []byte {
	for _, part := range parts {
		b = append(b, part...)
	}
	return b
}

// sizeBytes is the size of a bytes field; proto3 leaves empty ones out.
func sizeBytes(field protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

// lease counts the parts of one message that the transport still holds. It poses as the pool that they came
// from, which is the only way grpc-go tells that it is done with a buffer.
//
// grpc-go does not always tell. A reader leaves: its stream is cleaned up, the handler, which has not heard of that
// yet, queues one more message, and the connection's writer finds no stream for it and drops it without Free. The same
// happens to what is queued when a connection breaks. Nothing refers to the lease then, so the garbage collector
// finds it, and the owner is released by the cleanup: late, but surely. Leases are used again, so that the cleanup
// is attached once to each and costs a message nothing.
type lease struct{ hold *hold }

// hold is what a lease stands for, apart from it so that it outlives it.
type hold struct {
	parts atomic.Int32
	owner Owner
}

var leases = sync.Pool{New: func() any {
	l := &lease{hold: new(hold)}
	runtime.AddCleanup(l, (*hold).release, l.hold)
	return l
}}

func newLease(owner Owner, parts int) *lease {
	l := leases.Get().(*lease)
	l.hold.owner = owner
	l.hold.parts.Store(int32(parts))
	return l
}

// Get is never called: nothing allocates from a lease.
func (l *lease) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put is called once for each part, when its last reference goes.
func (l *lease) Put(*[]byte) {
	if l.hold.parts.Add(-1) > 0 {
		return
	}
	l.hold.release()
	leases.Put(l)
}

// release releases the owner, if that was not done before.
func (h *hold) release() {
	owner := h.owner
	h.owner = nil
	if owner != nil {
		owner.Release()
	}
}
