package intake

import (
	"sync"
	"sync/atomic"
)

// Sizes of what a connection is read into.
const (
	smallBytes = 32 << 10
	largeBytes = 256 << 10
	fewLarge   = 8  // so many large ones may be out in any case
	largeShare = 64 // beyond that, they may be this part of the memory for messages
)

// buffers are what connections are read into. A connection that filled its last one gets a large one, which saves calls
// of the system; but hundreds of connections may be stopped with one in their hands, so only some large ones are out at
// a time.
type buffers struct {
	small, large sync.Pool
	out          atomic.Int64 // large ones
	most         int64        // of these
}

// get gives a buffer, a large one if it is wanted and not too many are out.
func (b *buffers) get(large bool) *[]byte {
	from, size := &b.small, smallBytes
	if large {
		if b.out.Add(1) <= b.most {
			from, size = &b.large, largeBytes
		} else {
			b.out.Add(-1)
		}
	}
	if kept, ok := from.Get().(*[]byte); ok {
		return kept
	}
	fresh := make([]byte, size)
	return &fresh
}

// put takes one back.
func (b *buffers) put(p *[]byte) {
	if len(*p) == smallBytes {
		b.small.Put(p)
		return
	}
	b.out.Add(-1)
	b.large.Put(p)
}
