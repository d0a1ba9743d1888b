package buf

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Budget bounds the bytes that are in use at one time. Those who ask for more than is free wait in line.
//
// Invariants:
//
//   - used never exceeds limit;
//   - the first in line is served first, also when a later one would fit, so large requests do not starve;
//   - a request larger than the limit counts as the limit: it waits until it is alone, then goes through.
type Budget struct {
	limit int64

	mu      sync.Mutex // guards what follows
	used    int64
	waiters list.List // of *waiter, first come first
}

// waiter is one request in line.
type waiter struct {
	bytes   int64
	granted chan struct{} // closed once the bytes are the waiter's, under the budget's lock
}

// NewBudget returns a budget of limit bytes, all of them free.
func NewBudget(limit int64) *Budget {
	if limit <= 0 {
		panic(fmt.Sprintf("buf: budget of %d bytes", limit))
	}
	return &Budget{limit: limit}
}

// Limit returns the bytes that may be in use at one time.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the bytes in use.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Acquire takes n bytes, waiting its turn, and ends in a Release of the same n. If the context ends first nothing is
// taken and its cause is returned.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	n = b.clamp(n)
	b.mu.Lock()
	if b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{bytes: n, granted: make(chan struct{})}
	place := b.waiters.PushBack(w)
	b.mu.Unlock()

	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.leave(place, w)
	return context.Cause(ctx)
}

// TryAcquire takes n bytes if that needs no waiting, and tells whether it did.
func (b *Budget) TryAcquire(n int64) bool {
	n = b.clamp(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(n) {
		return false
	}
	b.used += n
	return true
}

// Release gives back the n bytes of one Acquire or TryAcquire.
func (b *Budget) Release(n int64) {
	n = b.clamp(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.used {
		panic(fmt.Sprintf("buf: %d bytes given back to a budget of which %d are used", n, b.used))
	}
	b.used -= n
	b.serve()
}

// clamp makes a request larger than the limit one for all of it.
func (b *Budget) clamp(n int64) int64 {
	if n < 0 {
		panic(fmt.Sprintf("buf: budget request of %d bytes", n))
	}
	return min(n, b.limit)
}

// fits tells whether n bytes may be taken without overtaking anybody; b.mu must be held.
func (b *Budget) fits(n int64) bool {
	return b.waiters.Len() == 0 && b.used+n <= b.limit
}

// serve grants what is free to the first in line; b.mu must be held.
func (b *Budget) serve() {
	for place := b.waiters.Front(); place != nil; place = b.waiters.Front() {
		w := place.Value.(*waiter)
		if b.used+w.bytes > b.limit {
			return
		}
		b.used += w.bytes
		b.waiters.Remove(place)
		close(w.granted)
	}
}

// leave takes a waiter whose context ended out of the line. It may have been granted in the same moment: then the
// bytes go back. Either way those behind it may fit now.
func (b *Budget) leave(place *list.Element, w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted:
		b.used -= w.bytes
	default:
		b.waiters.Remove(place)
	}
	b.serve()
}
