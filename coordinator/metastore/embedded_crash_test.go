package metastore

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver/internal/fs"
)

// crash is a copy of the disk as it may be found after a crash, with what the store had promised by then.
type crash struct {
	disk     *fs.Mem
	promised []string // dumps of the model that may be found: the last answered one, and the one under way
}

// TestCrashes crashes after every change to the disk, as a kill of the process and as a loss of the machine with any
// mixture of what was not synced, and opens what is left: it is what was answered last, or that and the transaction
// under way, and the transaction settles.
func TestCrashes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, c := range recordCrashes(t, r) {
		s := openEmbedded(t, c.disk, "/data/meta")
		got := dump(t, s, "")
		if !contains(c.promised, got) {
			t.Fatalf("after a crash:\n%s\nwant one of:\n%s", got, strings.Join(c.promised, "\n"))
		}
		commit(t, s, put("after"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// recordCrashes runs a workload and copies the disk after every change to it.
func recordCrashes(t *testing.T, r *rand.Rand) (crashes []crash) {
	var mu sync.Mutex // operations come from Pebble's goroutines too
	promised := []string{"version 0"}
	mem := fs.NewMem()
	disk := fs.Record(mem, func(op fs.Op, _ string) {
		if !op.Changes() || op == fs.OpLock {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		crashes = append(crashes,
			crash{mem.Clone(), promised},
			crash{mem.CrashClone(fs.CrashConfig{}), promised},
			crash{mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: 50, TearSectors: true}), promised})
	})
	s := openEmbedded(t, disk, "/data/meta")
	model := NewMemory()
	for i, txn := range bulky() {
		before := dump(t, model, "")
		if _, err := model.Commit(context.Background(), txn); err != nil {
			t.Fatal(err)
		}
		after := dump(t, model, "")
		mu.Lock()
		promised = []string{before, after}
		mu.Unlock()
		commit(t, s, txn)
		mu.Lock()
		promised = []string{after}
		mu.Unlock()
		if i%4 == 3 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openEmbedded(t, disk, "/data/meta")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return crashes
}
