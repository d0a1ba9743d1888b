package record

import (
	"slices"
	"sync/atomic"

	"github.com/quiverlog/quiver/internal/buf"
)

// node is one array of a batch, of a column or nested in one: an Arrow FieldNode.
type node struct {
	length int64 // values, nulls included
	nulls  int64
}

// span is the place of one buffer in the body: an Arrow Buffer. Spans of a batch ascend, do not overlap and start on
// 8 bytes; between two of them lie zeros only.
type span struct {
	off int64
	len int64 // without padding
}

// bodyAlign is what bodies and whole messages are rounded up to, and where the buffers of bodies that we lay out
// ourselves start: a cache line, and the widest vector register.
const bodyAlign = 64

// Batch is one record batch as bytes. Holding one means that it is safe: it passed the gate (Verify), was encoded by
// us (Encode), or its checksums matched what we once wrote (Load).
//
// A Batch is counted by reference: it is born with one, Retain adds one, the last Release frees the buffers below
// it. Its rows never change. Seal, SetProducers and Stamp belong to the one who owns it before it is stored;
// everything else may be called from many goroutines.
type Batch struct {
	layout  *Layout
	rows    int
	nodes   []node // as many as the layout has
	buffers []span // as many as the layout has, and the data buffers of views behind each array of views
	views   []int  // of each array of views: how many data buffers it has; nil in stored layouts
	codec   Compression

	// The body: parts in order, padding included, whose lengths add up to bodyLen, a multiple of 64. No buffer
	// straddles two parts.
	bodyLen int64
	parts   [][]byte
	starts  []int64 // where each part starts in the body; nil while there are at most two parts

	owners    []*buf.Buf // what keeps the parts alive; one reference each
	producers []Producer // empty: all rows come from one anonymous producer
	summary   *Summary   // what statistics were asked for; nil: none yet
	stats     []byte     // as they are stored; empty: none
	sealed    seal

	refs atomic.Int32

	// Memory of parts and owners where there are a part, perhaps its padding, and one owner: nearly always.
	partMemory     [2][]byte
	oneOwnerMemory [1]*buf.Buf
}

// newBatch makes a batch with one reference. It takes over the caller's reference on each owner.
func newBatch(l *Layout, rows int, nodes []node, buffers []span, codec Compression, owners []*buf.Buf) *Batch {
	b := &Batch{layout: l, rows: rows, nodes: nodes, buffers: buffers, codec: codec, owners: owners}
	b.refs.Store(1)
	return b
}

// newWhole is newBatch of a body in one piece.
func newWhole(l *Layout, rows int, nodes []node, buffers []span, codec Compression, body *buf.Buf) *Batch {
	b := newBatch(l, rows, nodes, buffers, codec, nil)
	b.setBody(body, body.Bytes(), nil)
	return b
}

// setBody gives the batch a body of one part with padding behind it, if there is any, and its owner, whose reference it
// takes over.
func (b *Batch) setBody(owner *buf.Buf, part, pad []byte) {
	b.oneOwnerMemory[0] = owner
	b.owners = b.oneOwnerMemory[:]
	b.partMemory = [2][]byte{part, pad}
	n := 0
	for n < len(b.partMemory) && len(b.partMemory[n]) > 0 {
		n++
	}
	b.setParts(b.partMemory[:n])
}

// setParts gives the batch its body.
func (b *Batch) setParts(parts [][]byte) {
	b.parts = parts
	b.bodyLen = 0
	if len(parts) > 2 {
		b.starts = make([]int64, len(parts))
	}
	for i, p := range parts {
		if b.starts != nil {
			b.starts[i] = b.bodyLen
		}
		b.bodyLen += int64(len(p))
	}
}

// Retain adds a reference and gives the batch back.
func (b *Batch) Retain() *Batch {
	if b.refs.Add(1) <= 1 {
		panic("record: Retain of a released batch")
	}
	return b
}

// Release drops a reference. With the last one the buffers go back to where they came from.
func (b *Batch) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
	case n == 0:
		for _, o := range b.owners {
			o.Release()
		}
		b.owners, b.parts = nil, nil
	default:
		panic("record: Release of a released batch")
	}
}

// Rows is the number of rows.
func (b *Batch) Rows() int { return b.rows }

// Layout is the shape of the batch's columns.
func (b *Batch) Layout() *Layout { return b.layout }

// Compression is how the buffers of the body are compressed.
func (b *Batch) Compression() Compression { return b.codec }

// BodySize is the length of the body in bytes, a multiple of 64.
func (b *Batch) BodySize() int64 { return b.bodyLen }

// Size is what the batch takes in a segment, in bytes: prefix, metadata and body. It is a multiple of 64.
func (b *Batch) Size() int {
	switch {
	case b.sealed.meta != nil:
		return len(b.sealed.meta) + int(b.bodyLen)
	case b.sealed.loaded != 0:
		return b.sealed.loaded + int(b.bodyLen)
	}
	return b.metadataSize() + int(b.bodyLen)
}

// buffer is the content of the i-th buffer of the layout as it lies in the body: with its length prefix where the
// body is compressed.
func (b *Batch) buffer(i int) []byte {
	s := b.buffers[i]
	if s.len == 0 {
		return nil
	}
	part, start := 0, int64(0)
	switch {
	case b.starts != nil:
		part = b.partAt(s.off)
		start = b.starts[part]
	case s.off >= int64(len(b.parts[0])):
		part, start = 1, int64(len(b.parts[0]))
	}
	from := s.off - start
	return b.parts[part][from : from+s.len : from+s.len]
}

// partAt is the part that holds the byte at a place of the body, of a batch with more than two parts.
func (b *Batch) partAt(off int64) int {
	at, found := slices.BinarySearch(b.starts, off)
	if !found {
		at--
	}
	// Empty parts share their start with the part behind them.
	for int64(len(b.parts[at])) <= off-b.starts[at] {
		at++
	}
	return at
}

// zeros is the padding between buffers.
var zeros [bodyAlign]byte

// padding is how many bytes are missing from n to the next multiple of 64.
func padding(n int64) int64 { return -n & (bodyAlign - 1) }

// smallBody is the body size up to which assemble copies the buffers together: one short piece costs every later
// step (checksum, write, send) less than a list of pieces does.
const smallBody = 32 << 10

// assemble makes a batch of the given buffers, one for each of the layout, in its order, as they are to stand in the
// body (so compressed ones with their length prefix). Every buffer is laid out on 64 bytes with zeros between. The
// buffers are kept, not copied, unless they are few bytes altogether. The caller's reference on each owner is taken
// over.
func assemble(l *Layout, rows int, nodes []node, bufs [][]byte, codec Compression, owners []*buf.Buf) *Batch {
	spans := make([]span, len(bufs))
	var size int64
	pieces := 0
	for i, p := range bufs {
		n := int64(len(p))
		spans[i] = span{size, n}
		size += n + padding(n)
		if n > 0 {
			pieces += 2
		}
	}
	if size <= smallBody {
		for _, o := range owners {
			defer o.Release()
		}
		return assembleSmall(l, rows, nodes, spans, bufs, size, codec)
	}
	parts := make([][]byte, 0, pieces)
	for _, p := range bufs {
		n := int64(len(p))
		if n == 0 {
			continue
		}
		parts = append(parts, p)
		if pad := padding(n); pad > 0 {
			parts = append(parts, zeros[:pad:pad])
		}
	}
	b := newBatch(l, rows, nodes, spans, codec, owners)
	b.setParts(parts)
	return b
}

// assembleSmall copies the buffers into one piece of memory.
func assembleSmall(l *Layout, rows int, nodes []node, spans []span, bufs [][]byte, size int64, codec Compression) *Batch {
	if size == 0 {
		b := newBatch(l, rows, nodes, spans, codec, nil)
		b.setParts(nil)
		return b
	}
	body := buf.Get(int(size))
	data := body.Bytes()
	for i, p := range bufs {
		at := spans[i].off
		n := copy(data[at:], p)
		end := at + int64(n)
		clear(data[end : end+padding(int64(n))])
	}
	return newWhole(l, rows, nodes, spans, codec, body)
}
