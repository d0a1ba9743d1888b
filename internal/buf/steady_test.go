//go:build !race

package buf

import "testing"

// The race detector makes sync.Pool drop buffers at random, so this holds only without it.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	checkLive(t)
	b := Get(1 << 20)
	b.Bytes()[12345] = 99
	b.Release()
	allocs := testing.AllocsPerRun(1000, func() {
		b := Get(1<<20 - 100)
		part := b.Slice(64, 128)
		part.Release()
		b.Release()
	})
	if allocs >= 1 { // a garbage collection in between may empty the pool once
		t.Errorf("%.2f allocations for each Get, Slice and Release", allocs)
	}
}
