package fs

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func openPebble(fsys FS) (*pebble.DB, error) {
	return pebble.Open("/db", &pebble.Options{
		FS:                 fsys,
		Logger:             quiet{},
		MemTableSize:       16 << 10, // flush and compact within the test
		FormatMajorVersion: pebble.FormatNewest,
	})
}

// TestPebbleSurvivesCrashes runs Pebble on a Mem, crashes it at random moments, and compares what it finds with what
// was synced: every synced write is there, unsynced ones are there in order up to some point.
func TestPebbleSurvivesCrashes(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	model := map[string]string{} // synced
	for round := range 12 {
		db, err := openPebble(m)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkPebble(t, db, model)
		for range 30 {
			key, value := fmt.Sprintf("key%03d", rng.IntN(200)), fmt.Sprintf("%d-%0*d", round, rng.IntN(800), 0)
			must(t, db.Set([]byte(key), []byte(value), pebble.Sync))
			model[key] = value
		}
		if rng.IntN(3) == 0 {
			must(t, db.Flush())
		}
		for range rng.IntN(30) { // may be there or not: under keys of their own, which the check skips
			must(t, db.Set(fmt.Appendf(nil, "unsynced%d", rng.IntN(100)), make([]byte, 700), pebble.NoSync))
		}
		var next *Mem
		switch rng.IntN(4) {
		case 0:
			next = m.CrashClone(total)
		case 1:
			next = m.Clone()
		default:
			next = m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 1 + rng.IntN(99), TearSectors: true})
		}
		must(t, db.Close())
		if open := m.OpenFiles(); len(open) > 0 {
			t.Fatalf("Pebble closed and left open %v", open)
		}
		m = next
	}
}

func checkPebble(t *testing.T, db *pebble.DB, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("key"), UpperBound: []byte("kez")})
	must(t, err)
	for iter.First(); iter.Valid(); iter.Next() {
		got[string(iter.Key())] = string(iter.Value())
	}
	must(t, iter.Close())
	if !maps.Equal(got, want) {
		t.Fatalf("%d keys are there, %d were synced, or their values differ", len(got), len(want))
	}
}

// TestPebbleSurvivesACrashAfterAnyStep crashes after every fourth change or sync of the disk in a short run.
func TestPebbleSurvivesACrashAfterAnyStep(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	var acked atomic.Int64 // keys that are durable
	var mu sync.Mutex      // Pebble's goroutines work on the disk too
	var crashes []*Mem
	var synced []int64 // acked just before each crash
	fsys := Record(m, func(op Op, _ string) {
		mu.Lock()
		defer mu.Unlock()
		if op.Changes() && rng.IntN(4) == 0 {
			synced = append(synced, acked.Load())
			crashes = append(crashes, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: rng.IntN(101), TearSectors: true}))
		}
	})
	db, err := openPebble(fsys)
	must(t, err)
	for i := range 60 {
		must(t, db.Set(fmt.Appendf(nil, "key%03d", i), make([]byte, 600), pebble.Sync))
		acked.Add(1)
	}
	must(t, db.Close())
	for i, crashed := range crashes {
		db, err := openPebble(crashed)
		if err != nil {
			t.Fatalf("crash %d of %d: %v", i, len(crashes), err)
		}
		for k := range synced[i] {
			_, closer, err := db.Get(fmt.Appendf(nil, "key%03d", k))
			if err != nil {
				t.Fatalf("crash %d: key %d of %d that were synced: %v", i, k, synced[i], err)
			}
			must(t, closer.Close())
		}
		must(t, db.Close())
	}
	t.Logf("%d crashes", len(crashes))
}
