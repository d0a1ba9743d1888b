package kv

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestInKeyOrder compares the order of keys, of which many are prefixes of others or the same, with a plain stable sort.
func TestInKeyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		const skip = 3
		keys := make([][]byte, r.IntN(40))
		for i := range keys {
			keys[i] = []byte("pre")
			for range r.IntN(11) {
				keys[i] = append(keys[i], "\x00\x00\x01\xff"[r.IntN(4)])
			}
		}
		var which []int32
		if r.IntN(2) == 0 {
			which = []int32{}
			for i := range keys {
				if r.IntN(3) > 0 {
					which = append(which, int32(i))
				}
			}
		}
		want := slices.Clone(which)
		if which == nil {
			for i := range keys {
				want = append(want, int32(i))
			}
		}
		slices.SortStableFunc(want, func(a, b int32) int { return bytes.Compare(keys[a], keys[b]) })
		if got := inKeyOrder(keys, skip, which); !slices.Equal(got, want) {
			t.Fatalf("the order of %q is %d, want %d", keys, got, want)
		}
	}
}

// TestSlab checks that what a slab keeps is what it was given, also after what came later.
func TestSlab(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := slab{pieces: 300}
	var kept, want [][]byte
	for range 300 {
		b := make([]byte, r.IntN(2000))
		if r.IntN(50) == 0 {
			b = make([]byte, r.IntN(2*slabBytes))
		}
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		s.pieces--
		want = append(want, bytes.Clone(b))
		kept = append(kept, s.keep(b))
		_ = append(kept[len(kept)-1], 1) // goes elsewhere
		clear(b)
	}
	for i := range want {
		if !bytes.Equal(kept[i], want[i]) {
			t.Fatalf("piece %d changed", i)
		}
	}
	if s.keep(nil) != nil {
		t.Error("nothing became something")
	}
}
