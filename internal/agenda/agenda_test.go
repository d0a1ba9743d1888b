package agenda

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAgenda compares an agenda with a map that is searched through.
func TestAgenda(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var a Agenda[int]
	plain := map[int]int64{}
	for now := range int64(2000) {
		for range r.IntN(4) {
			key, at := r.IntN(50), now+r.Int64N(40)-5
			a.Add(key, at)
			if old, ok := plain[key]; !ok || at < old {
				plain[key] = at
			}
		}
		if r.IntN(5) == 0 {
			key := r.IntN(50)
			a.Remove(key)
			delete(plain, key)
		}
		if r.IntN(3) == 0 {
			continue
		}
		most := 1 + r.IntN(20)
		got := a.Take(now, most)
		times := make([]int64, len(got))
		for i, key := range got {
			times[i] = plain[key]
			if at, ok := plain[key]; !ok || at > now {
				t.Fatalf("at %d: %d came up, which is due at %d (%v)", now, key, at, ok)
			}
			delete(plain, key)
		}
		if !slices.IsSorted(times) {
			t.Fatalf("at %d they came up in the order %v", now, times)
		}
		for key, at := range plain {
			if at <= now && (len(got) < most || at < times[most-1]) {
				t.Fatalf("at %d: %d did not come up, which was due at %d", now, key, at)
			}
		}
		if a.Len() != len(plain) {
			t.Fatalf("at %d it holds %d, want %d", now, a.Len(), len(plain))
		}
	}
}
