package buf

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Buf is one reference-counted buffer, or a part of one.
//
// The zero Buf is not usable; Get, Wrap and Slice make them.
type Buf struct {
	refs atomic.Int32
	data []byte // what this Buf shows; nil once released

	// Where the memory comes from, one of three:
	parent *Buf   // a part: the whole buffer, of which this one holds a reference
	block  []byte // from Get: the block of its size class, starting on 64 bytes
	//              neither: memory that somebody else allocated (Wrap)

	class int // index of the size class of block, or noClass: too large for the pools, or no block
}

// handles keeps Bufs without a pooled block, for Wrap, Slice and sizes beyond the classes.
var handles = sync.Pool{New: func() any { return &Buf{class: noClass} }}

// live counts memory regions that are held: Gets and Wraps whose last reference, parts included, is not released.
var live atomic.Int64

// Live returns how many buffers are held: each Get or Wrap counts one until it and all its parts are released.
func Live() int64 { return live.Load() }

// Get returns a buffer of n bytes with one reference. It starts on a multiple of 64 and its content is arbitrary.
func Get(n int) *Buf {
	if n < 0 {
		panic(fmt.Sprintf("buf: Get of %d bytes", n))
	}
	live.Add(1)
	b := takeBlock(n)
	b.data = b.block[:n:n]
	b.refs.Store(1)
	return b
}

// Wrap makes a Buf of bytes that somebody else allocated and the garbage collector will free. The caller hands them
// over: nothing else may change them.
func Wrap(data []byte) *Buf {
	live.Add(1)
	return handle(data[:len(data):len(data)])
}

// handle returns a Buf with one reference that shows the data and owns no block.
func handle(data []byte) *Buf {
	b := takeHandle()
	b.data = data
	b.refs.Store(1)
	return b
}

// Bytes returns the buffer's bytes. They are valid until the last Release.
func (b *Buf) Bytes() []byte {
	if b.refs.Load() <= 0 {
		panicReleased()
	}
	return b.data
}

// Len returns the number of bytes.
func (b *Buf) Len() int { return len(b.Bytes()) }

// Retain adds a reference, which ends in a Release of its own, and returns the Buf.
func (b *Buf) Retain() *Buf {
	if b.refs.Add(1) <= 1 {
		panicReleased()
	}
	return b
}

// Release ends one reference. After the last one the Buf must not be touched.
func (b *Buf) Release() {
	switch refs := b.refs.Add(-1); {
	case refs > 0:
	case refs == 0:
		b.free()
	default:
		panic("buf: released more often than retained")
	}
}

// Slice returns the bytes [from, until) as a Buf of its own, with one reference. It shares the memory and holds it.
func (b *Buf) Slice(from, until int) *Buf {
	data := b.Bytes()
	if from < 0 || until < from || until > len(data) {
		panic(fmt.Sprintf("buf: slice [%d, %d) of a buffer of %d bytes", from, until, len(data)))
	}
	whole := b
	if b.parent != nil {
		whole = b.parent
	}
	whole.Retain()
	part := handle(data[from:until:until])
	part.parent = whole
	return part
}

// free gives back what the last reference held.
func (b *Buf) free() {
	b.data = nil
	if parent := b.parent; parent != nil {
		b.parent = nil
		giveHandle(b)
		parent.Release()
		return
	}
	live.Add(-1)
	if b.block != nil {
		giveBlock(b)
		return
	}
	giveHandle(b)
}

// panicReleased is apart so that Bytes stays small enough to be inlined.
//
//go:noinline
func panicReleased() { panic("buf: used after the last release") }
