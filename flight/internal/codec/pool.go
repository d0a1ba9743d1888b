package codec

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Pool gives gRPC the buffers that it receives frames into and gathers writes in. Unlike gRPC's own pool it does not
// clear a buffer before it is used again: the transport fills every buffer before anyone reads it, and clearing what
// is about to be overwritten takes a tenth of a put's CPU time. A server takes it with experimental.BufferPool.
type Pool struct {
	classes [classes]sync.Pool // of *[]byte, by the power of two that their capacity is
}

var _ mem.BufferPool = (*Pool)(nil)

// The sizes of buffers that are kept: 2^8 to 2^20 bytes. Larger ones are left to the garbage collector.
const (
	smallestClass = 8
	largestClass  = 20
	classes       = largestClass - smallestClass + 1
)

// Get gives a buffer of the length, with any content.
func (p *Pool) Get(length int) *[]byte {
	class := max(bits.Len(uint(max(length, 1)-1)), smallestClass)
	if class > largestClass {
		b := make([]byte, length)
		return &b
	}
	if kept, ok := p.classes[class-smallestClass].Get().(*[]byte); ok {
		*kept = (*kept)[:length]
		return kept
	}
	b := make([]byte, length, 1<<class)
	return &b
}

// Put takes a buffer back, or any prefix of it.
func (p *Pool) Put(b *[]byte) {
	size := cap(*b)
	class := bits.Len(uint(size)) - 1
	if class < smallestClass || class > largestClass || size != 1<<class {
		return
	}
	p.classes[class-smallestClass].Put(b)
}
