package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver/internal/fs"
)

// life is what one run of a node left behind at a chosen moment: a clone of its file system as a power cut would leave
// it, and how many rows had been acknowledged by then.
type life struct {
	mu    sync.Mutex
	acked int64 // rows that put returned from
	step  int   // changing operations so far
	at    int   // the operation after which the clone is taken
	clone *fs.Mem
	known int64 // acked, when the clone was taken
}

// watch counts an operation, and takes the clone when it is time.
func (l *life) watch(mem *fs.Mem, cfg fs.CrashConfig, op fs.Op) {
	if !op.Changes() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step++
	if l.step == l.at {
		l.known = l.acked
		l.clone = mem.CrashClone(cfg)
	}
}

func (l *life) ack(rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = rows
}

// work starts a node on the file system and puts batches, until all of them are in or something fails.
func (l *life) work(fsys fs.FS) error {
	r, err := tryStart(fsys)
	if err != nil {
		return err
	}
	defer func() { _ = r.stop() }()
	ctx := context.Background()
	have, err := r.get(ctx, `{"table":"events"}`)
	if err != nil {
		have = nil // not created yet
	}
	next := int64(len(have))
	for _, size := range []int64{1, 100, 1, 1, 3000, 7} {
		if _, err := r.put(ctx, map[string]any{"put": "events"}, rows(next, next+size)); err != nil {
			return err
		}
		next += size
		l.ack(next)
	}
	return nil
}

// TestPowerCuts cuts the power of the whole node after operations all over its life, as far as possible each with
// sectors torn, and checks that a node started on what is left has every acknowledged row, and no other than those
// that were put.
func TestPowerCuts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	steps := countSteps(t)
	cuts := 60
	if testing.Short() {
		cuts = 12
	}
	for range cuts {
		at := 1 + rng.IntN(steps)
		cfg := fs.CrashConfig{Rand: rand.New(rand.NewPCG(seed, uint64(at))), KeepUnsynced: rng.IntN(101), TearSectors: rng.IntN(2) == 0}
		cutAt(t, at, cfg)
	}
}

// countSteps runs a life without a cut.
func countSteps(t *testing.T) int {
	mem, l := fs.NewMem(), &life{}
	if err := l.work(fs.Record(mem, func(op fs.Op, _ string) { l.watch(mem, fs.CrashConfig{}, op) })); err != nil {
		t.Fatal(err)
	}
	return l.step
}

func cutAt(t *testing.T, at int, cfg fs.CrashConfig) {
	t.Helper()
	mem, l := fs.NewMem(), &life{at: at}
	if err := l.work(fs.Record(mem, func(op fs.Op, _ string) { l.watch(mem, cfg, op) })); err != nil {
		t.Fatal(err)
	}
	if l.clone == nil {
		return // this life had fewer operations
	}
	sound(t, l.clone)
	r := start(t, l.clone)
	got, err := r.get(t.Context(), `{"table":"events"}`)
	if err != nil && l.known > 0 {
		t.Fatalf("cut after operation %d: %v", at, err)
	}
	if n := int64(len(got)); n < l.known || !slices.Equal(got, sequence(0, n)) {
		t.Fatalf("cut after operation %d: %d rows were acknowledged, found are %d", at, l.known, n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := &life{}
	if err := again.work(l.clone); err != nil {
		t.Fatalf("cut after operation %d: the node does not go on: %v", at, err)
	}
}

// TestFailingOperations lets one changing operation of a node's life fail, wherever it is: the node may refuse to
// start or to take rows, and what it had acknowledged is there when it is started again.
func TestFailingOperations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	steps := countSteps(t)
	failures := 60
	if testing.Short() {
		failures = 12
	}
	for range failures {
		at := 1 + rng.IntN(steps)
		mem, l := fs.NewMem(), &life{}
		failing := fs.WithErrors(mem, func(op fs.Op, _ string) error {
			l.watch(mem, fs.CrashConfig{}, op)
			l.mu.Lock()
			defer l.mu.Unlock()
			if op.Changes() && l.step == at {
				return errBroken
			}
			return nil
		})
		_ = l.work(failing) // whether it fails depends on which operation it was
		sound(t, mem)
		r := start(t, mem)
		got, err := r.get(t.Context(), `{"table":"events"}`)
		if err != nil && l.acked > 0 {
			t.Fatalf("operation %d failed: %v", at, err)
		}
		if n := int64(len(got)); n < l.acked || !slices.Equal(got, sequence(0, n)) {
			t.Fatalf("operation %d failed: %d rows were acknowledged, found are %d", at, l.acked, n)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

var errBroken = errors.New("broken disk")
