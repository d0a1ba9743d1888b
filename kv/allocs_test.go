//go:build !race

// The race detector has pools forget what they hold, at random: what is counted here drifts with it.

package kv

import (
	"math/rand/v2"
	"testing"
)

// TestAllocations checks that a batch costs so many allocations, however many rows it has: the memory of rows is shared.
// Pebble's own are among them, and where none of a batch's memtables is full that is a few.
func TestAllocations(t *testing.T) {
	const rows, keys, most = 4096, 4096, 300
	_, tablet, c := benchTablet(t, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	end := fillBench(t, tablet, c, r, 2*rows, keys)
	batches := make([]*Rows, 8)
	for i := range batches {
		batches[i] = benchRows(c, r, rows, keys)
	}
	next := 0
	upsert := func(advance bool) func() {
		return func() {
			change, err := tablet.Prepare(batches[next%len(batches)], nil)
			if err != nil {
				t.Fatal(err)
			}
			columns, err := change.Piece(64 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for _, column := range columns {
				column.Release()
			}
			next++
			tablet.Stage(change, end)
			end = change.until
			if advance {
				if err := tablet.Advance(end, 1); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := testing.AllocsPerRun(8, upsert(true)); n > most {
		t.Errorf("a batch of %d updates takes %.0f allocations, at most %d were expected", rows, n, most)
	}
	if n := testing.AllocsPerRun(8, upsert(false)); n > most { // on top of what is staged
		t.Errorf("a batch of %d updates of staged rows takes %.0f allocations, at most %d were expected", rows, n, most)
	}
	asked := benchKeys(r, rows, keys)
	if n := testing.AllocsPerRun(8, func() {
		a, err := tablet.Get(t.Context(), asked, allPlaces(c.Schema))
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
	}); n > most {
		t.Errorf("a lookup of %d keys takes %.0f allocations, at most %d were expected", rows, n, most)
	}
}
