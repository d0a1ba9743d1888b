package kv

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
)

// TestKnown checks that every key which was added is known, however large the filter grew, that few others are, and that it
// takes a few bits a key.
func TestKnown(t *testing.T) {
	var used atomic.Int64
	k := newKnown(&used, 1<<20)
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	for _, n := range []int{1, 40, 1000, 50_000} {
		for i := range n {
			if !k.add(key(2 * i)) {
				t.Fatalf("%d keys take more than %d bytes", n, used.Load())
			}
		}
		wrong := 0
		for i := range n {
			if !k.has(key(2 * i)) {
				t.Fatalf("key %d of %d is not known", i, n)
			}
			if k.has(key(2*i + 1)) {
				wrong++
			}
		}
		if n >= 1000 && wrong > n/10 {
			t.Errorf("beside %d keys %d are known that were not added", n, wrong)
		}
	}
	if n := used.Load(); n > 50_000*12*8/8 {
		t.Errorf("50,000 keys take %d bytes", n)
	}
	k.close()
	k.close()
	if n := used.Load(); n != 0 {
		t.Errorf("%d bytes are said to be used", n)
	}
}

// TestKnownIsGivenUp checks that a filter ends where all of the store's take too much, and gives back what it took.
func TestKnownIsGivenUp(t *testing.T) {
	var used atomic.Int64
	k := newKnown(&used, 4096)
	n := 0
	for k.add(binary.BigEndian.AppendUint64(nil, uint64(n))) {
		n++
	}
	if n < 400 || used.Load() > 4096 {
		t.Errorf("%d keys were taken, in %d bytes", n, used.Load())
	}
	k.close()
	if used.Load() != 0 {
		t.Errorf("%d bytes are said to be used", used.Load())
	}
}
