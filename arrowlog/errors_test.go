//go:build fault

package arrowlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// breakage makes the n-th of the operations fail, and the ones behind it too if it is sticky.
type breakage struct {
	at     int
	err    error
	sticky bool
	off    bool
	seen   int
	fired  string
}

func (b *breakage) fail(op fs.Op, name string) error {
	if b.off || !op.Changes() && op != fs.OpRead && op != fs.OpOpen {
		return nil
	}
	b.seen++
	if b.seen == b.at || (b.sticky && b.seen > b.at) {
		if b.fired == "" {
			b.fired = fmt.Sprintf("%v of %s", op, name)
		}
		return b.err
	}
	return nil
}

// run runs a trace over what breaks, then restarts and checks it against what its producers were told. crash makes of
// the files what the restart finds.
func (b *breakage) run(mem *fs.Mem, tr *trace, steps int, crash func() *fs.Mem) error {
	err := tr.begin()
	for i := 0; i < steps && err == nil && !tr.broken; i++ {
		err = tr.step()
	}
	b.off = true
	if err != nil && b.fired == "" && !tr.broken {
		return fmt.Errorf("without a failure: %w", err)
	}
	if tr.disk != nil {
		_ = tr.disk.Close() // of a disk that may be fenced
	}
	if !tr.broken {
		tr.highest = tr.model.end()
	}
	tr.broken = true
	// The process starts again, with the page cache as it is or without.
	left, final := crash(), tr.model.clone()
	tr.fsys = left
	if err := tr.begin(); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	// What it now shows must survive the machine. What it cut off may come back, and is cut off again.
	final.acked, final.start = tr.model.acked, tr.model.start
	return survive(left.CrashClone(fs.CrashConfig{}), final, tr, tr.r)
}

// TestErrorAtEveryOperation makes each operation of a trace fail in turn, once or from then on, for lack of space or
// otherwise.
func TestErrorAtEveryOperation(t *testing.T) {
	seeded(t, 4, func(t *testing.T, r *rand.Rand) {
		seed := r.Uint64()
		kinds := map[string]int{}
		for at := 1; ; at += 1 + r.IntN(3) {
			b := &breakage{at: at, err: []error{syscall.EIO, syscall.ENOSPC}[r.IntN(2)], sticky: r.IntN(2) == 0}
			mem := fs.NewMem()
			same := rand.New(rand.NewPCG(seed, 3))
			tr := newTrace(t, fs.WithErrors(mem, b.fail), same)
			err := b.run(mem, tr, 12, func() *fs.Mem {
				if r.IntN(2) == 0 {
					return mem.Clone()
				}
				return mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: r.IntN(100), TearSectors: true})
			})
			if tr.disk != nil {
				_ = tr.disk.Close()
			}
			if err != nil {
				t.Fatalf("%v at operation %d, %s (sticky %v): %v", b.err, at, b.fired, b.sticky, err)
			}
			if b.fired == "" {
				t.Logf("%d operations; failed: %v", at, kinds)
				return
			}
			kinds[strings.Fields(b.fired)[0]]++
		}
	})
}

// points lists the fault points of this package.
func points() []string {
	return slices.DeleteFunc(fault.Names(), func(n string) bool { return !strings.HasPrefix(n, "arrowlog.") })
}

// TestEveryFaultPoint visits each fault point: the process is killed there, loses power there, or the step fails.
func TestEveryFaultPoint(t *testing.T) {
	visited := map[string]bool{}
	seeded(t, 3, func(t *testing.T, r *rand.Rand) {
		for _, name := range points() {
			for hits, tries := 0, 0; hits < 3 && tries < 12; tries++ { // leaderships rarely find an unfinished unit
				if visitPoint(t, name, r) {
					visited[name] = true
					hits++
				}
			}
		}
	})
	for _, name := range points() {
		if !visited[name] && !strings.HasPrefix(name, "arrowlog.lead.") && !strings.HasPrefix(name, "arrowlog.remove.") {
			t.Errorf("the traces never came to %s", name)
		}
	}
}

func visitPoint(t *testing.T, name string, r *rand.Rand) (hit bool) {
	tr, mem := leftover(t, r)
	n := int64(1 + r.IntN(3))
	if strings.HasPrefix(name, "arrowlog.recover.") || strings.HasPrefix(name, "arrowlog.lead.") {
		n = 1
	}
	var failure error
	disarm := fault.Arm(name, fault.At(n, func() error {
		hit = true
		for _, c := range []*fs.Mem{
			mem.Clone(),
			mem.CrashClone(fs.CrashConfig{}),
			mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: r.IntN(100), TearSectors: true}),
		} {
			if failure = survive(c, tr.model.clone(), tr, rand.New(rand.NewPCG(r.Uint64(), 5))); failure != nil {
				break
			}
		}
		return syscall.EIO
	}))
	defer disarm()
	b := &breakage{fired: name}
	err := b.run(mem, tr, 25, func() *fs.Mem { disarm(); return mem.Clone() })
	if tr.disk != nil {
		_ = tr.disk.Close()
	}
	if failure != nil {
		t.Fatalf("killed at %s, hit %d: %v", name, n, failure)
	}
	if err != nil {
		t.Fatalf("an error at %s, hit %d: %v", name, n, err)
	}
	return hit
}

// leftover gives what is left of a machine that lost power during a commit, and a trace that goes on from there.
func leftover(t *testing.T, r *rand.Rand) (*trace, *fs.Mem) {
	mem := fs.NewMem()
	tr := newTrace(t, mem, rand.New(rand.NewPCG(r.Uint64(), 4)))
	var left *fs.Mem
	var m model
	disarm := fault.Arm("arrowlog.commit.before-sync", fault.At(int64(1+r.IntN(12)), func() error {
		left = mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: 30 + r.IntN(70), TearSectors: r.IntN(2) == 0})
		m = tr.model.clone()
		return nil
	}))
	defer disarm()
	if err := tr.begin(); err != nil {
		t.Fatal(err)
	}
	for left == nil {
		if err := tr.step(); err != nil {
			t.Fatal(err)
		}
	}
	tr.close()
	tr.fsys, tr.model, tr.disk = left, m, nil
	return tr, left
}
