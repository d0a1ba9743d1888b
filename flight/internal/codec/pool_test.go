package codec

import (
	"sync"
	"testing"
)

// TestPool checks lengths and capacities over all classes, and that no two users hold the same buffer.
func TestPool(t *testing.T) {
	var p Pool
	for _, length := range []int{0, 1, 255, 256, 257, 4096, 16384, 16385, 1 << 20, 1<<20 + 1} {
		b := p.Get(length)
		if len(*b) != length || length <= 1<<20 && cap(*b)&(cap(*b)-1) != 0 {
			t.Errorf("Get(%d): %d bytes, capacity %d", length, len(*b), cap(*b))
		}
		*b = (*b)[:length/2] // a prefix, as the transport gives back
		p.Put(b)
	}
	odd := make([]byte, 300)
	p.Put(&odd) // of no class: dropped
	if got := p.Get(300); cap(*got) < 300 || len(*got) != 300 {
		t.Errorf("%d bytes, capacity %d", len(*got), cap(*got))
	}
	var wg sync.WaitGroup
	for mark := range 8 {
		wg.Go(func() {
			for range 1000 {
				b := p.Get(512)
				for i := range *b {
					(*b)[i] = byte(mark)
				}
				for _, got := range *b {
					if got != byte(mark) {
						t.Error("two users share a buffer")
						return
					}
				}
				p.Put(b)
			}
		})
	}
	wg.Wait()
}
