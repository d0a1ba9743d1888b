package arrowlog

import (
	"math/rand/v2"
	"testing"

	"github.com/quiverlog/quiver"

	"github.com/quiverlog/quiver/internal/fs"
)

// survive opens what a crash left, compares it with the model and goes on with it for a while.
func survive(mem *fs.Mem, m model, tr *trace, r *rand.Rand) error {
	if err := sound(mem); err != nil {
		return err
	}
	c := *tr.world
	clock := *tr.clock
	c.clock, c.fsys = &clock, mem
	c.opts.Now = clock.Now
	after := &trace{world: &c, r: r, model: m, next: tr.next, writers: make([]quiver.Sequence, len(tr.writers))}
	defer func() {
		if after.disk != nil {
			_ = after.disk.Close()
		}
	}()
	if err := after.begin(); err != nil {
		return err
	}
	for range r.IntN(3) {
		if err := after.step(); err != nil {
			return err
		}
	}
	return after.model.check(after.log)
}

// TestCrashAfterEveryChange runs long random traces; after each operation that changes the disk it looks at what a
// lost machine and a killed process would leave, opens that, and compares it with what was acknowledged.
func TestCrashAfterEveryChange(t *testing.T) {
	const steps = 20
	seeded(t, 4, func(t *testing.T, r *rand.Rand) {
		mem := fs.NewMem()
		var tr *trace
		crashes := 0
		var failure error
		recorded := fs.Record(mem, func(op fs.Op, name string) {
			if !op.Changes() || tr == nil || failure != nil {
				return
			}
			after := rand.New(rand.NewPCG(r.Uint64(), 2))
			clones := []*fs.Mem{
				mem.CrashClone(fs.CrashConfig{}),
				mem.CrashClone(fs.CrashConfig{Rand: after, KeepUnsynced: after.IntN(100), TearSectors: true}),
			}
			if after.IntN(4) == 0 {
				clones = append(clones, mem.Clone(), mem.CrashClone(fs.CrashConfig{Rand: after, KeepUnsynced: after.IntN(100)}))
			}
			for _, c := range clones {
				crashes++
				if err := survive(c, tr.model.clone(), tr, after); err != nil {
					t.Errorf("crash %d, after %v of %s: %v", crashes, op, name, err)
					failure = err
					return
				}
			}
		})
		tr = newTrace(t, recorded, r)
		if err := tr.begin(); err != nil {
			t.Fatal(err)
		}
		for i := range steps {
			if err := tr.step(); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if failure != nil {
				t.FailNow()
			}
		}
		tr.close()
		t.Logf("%d crashes, %d rows", crashes, tr.model.end())
	})
}
