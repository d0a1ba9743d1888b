package kv

import (
	"math/rand/v2"
	"testing"
)

// TestCache checks that memtables leave the cache room for blocks: what was found once is not read from the disk again,
// however much was written before.
func TestCache(t *testing.T) {
	const size, rows = 1 << 20, 1 << 14
	store, tablet, c := benchTablet(t, Options{CacheBytes: size, MemtableBytes: size, HeldBytes: 1})
	fillBench(t, tablet, c, rand.New(rand.NewPCG(1, 2)), rows, rows)
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	tries, keys := 0, benchKeys(rand.New(rand.NewPCG(3, 4)), 30, rows)
	misses := func() int64 {
		before := store.engine.db.Metrics().BlockCache.Misses
		a, err := tablet.Get(t.Context(), keys, allPlaces(c.Schema))
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
		return store.engine.db.Metrics().BlockCache.Misses - before
	}
	first := misses()
	for again := first; again > first/10; again = misses() { // compactions that are under way make new blocks
		if tries++; tries > 1000 {
			t.Fatalf("%d blocks were read at first, and %d again and again", first, again)
		}
	}
}
