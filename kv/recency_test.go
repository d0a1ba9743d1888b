package kv

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestRecency checks that rows which are looked for again and again are written out, and those that are written as often
// as they are looked for are not.
func TestRecency(t *testing.T) {
	const keys = 3 * flushFrom
	store, tablet, c := benchTablet(t, Options{HeldBytes: 1}) // every lookup is a search
	r := rand.New(rand.NewPCG(1, 2))
	end := fillBench(t, tablet, c, r, keys, keys)
	if err := store.Flush(); err != nil { // memtables begin small: the next one has room for all that follows
		t.Fatal(err)
	}
	for range 2 * flushFrom / 4096 {
		end = upsertBench(t, tablet, benchRows(c, r, 4096, keys), end)
	}
	durable := func() bool {
		m, err := store.Durable(testBucket)
		if err != nil {
			t.Fatal(err)
		}
		return m == tablet.Mark()
	}
	asked := benchKeys(r, keys, keys)
	get := func() {
		a, err := tablet.Get(t.Context(), asked, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Release()
	}
	written := store.engine.recent.written.Load()
	if written < flushFrom || durable() {
		t.Fatalf("memtables have %d rows", written)
	}
	for store.engine.recent.sought.Load()+keys < flushAfter*written {
		get()
		if n := store.engine.recent.written.Load(); n != written {
			t.Fatalf("memtables with %d rows are written out before it pays", written)
		}
	}
	get()
	for !durable() {
		runtime.Gosched()
	}
	if rows := store.engine.recent.written.Load(); rows != 0 {
		t.Errorf("%d rows are said to be in memtables", rows)
	}
	get() // and they are all there
}
