package kv

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
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

// TestRecencyPowerCuts cuts the power after every operation of writing memtables out early: the rows are those of some
// moment of the log, which goes on from there, and what was durable before the cut is there.
func TestRecencyPowerCuts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSaved(t, r)
	for range 4 {
		s.put()
	}
	s.advance()
	s.close()
	s.high = s.end // what follows is in the log alone
	before := s.disk
	for steps, at := 1, 1; at <= steps; at++ {
		c := &cutter{mem: before.Clone(), r: rand.New(rand.NewPCG(seed, uint64(at))), at: at} // from any goroutine
		least := s.flushEarly(fs.Record(c.mem, c.watch), c.cut)
		if steps = c.step; c.clone == nil {
			continue // fewer operations than the last time
		}
		if found := s.found(c.clone); len(found) > 0 {
			t.Fatalf("the power was cut after operation %d of %d: found %v", at, steps, found)
		}
		s.open(c.clone.Clone(), s.model.config)
		if mark := s.tablet.Mark(); mark.Applied < least {
			t.Fatalf("the power was cut after operation %d of %d: the rows are those at %d, durable were those at %d", at, steps, mark.Applied, least)
		}
		s.close()
		if !s.revive(c.clone) {
			t.Fatalf("the power was cut after operation %d of %d: the rows are lost", at, steps)
		}
		s.close()
	}
}

// flushEarly brings the rows up to the log and looks for keys until that has the memtables written out. It gives how far the
// rows were durable when cut last said no.
func (s *saved) flushEarly(fsys fs.FS, cut func() bool) (least quiver.Offset) {
	s.t.Helper()
	d, err := OpenDir(fsys, "/data/kv", Options{MemtableBytes: 64 << 10, CacheBytes: 1 << 20, HeldBytes: 1, Checkpoints: "/data/kv-checkpoint"})
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := d.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	tablet, err := store.Tablet(testBucket, s.model.config)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, piece := range s.log {
		if err := tablet.Fold(piece, 2); err != nil {
			s.t.Fatal(err)
		}
	}
	store.engine.recent.written.Store(flushFrom) // as if there were so many rows
	store.engine.recent.sought.Store(flushAfter * flushFrom)
	for durable := (Mark{}); durable != tablet.Mark(); runtime.Gosched() {
		columns := batchOf(s.t, s.model.config.Schema, []fields{randomRow(s.r)}, []string{"k1", "k2"})
		a, err := tablet.Get(s.t.Context(), []arrow.Array{columns[0], columns[2]}, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		a.Release()
		if durable, err = store.Durable(testBucket); err != nil {
			s.t.Fatal(err)
		}
		if !cut() {
			least = durable.Applied
		}
	}
	if err := errors.Join(store.Close(), d.Close()); err != nil {
		s.t.Fatal(err)
	}
	return least
}

// cut says that the power was cut.
func (c *cutter) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clone != nil
}
