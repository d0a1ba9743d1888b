//go:build fault

package arrowlog

import (
	"slices"
	"syscall"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestReplacedLog shows that a log which failed has no say in the checkpoint once a fresh one took its place, and that
// the fresh one knows what the failed one knew.
func TestReplacedLog(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.config.SegmentBytes = 2600
	old := w.lead()
	for n := range int64(6) {
		w.put(old, n)
	}
	disarm := fault.Arm("arrowlog.commit.before-write", func() error { return syscall.EIO })
	s, err := old.Stage([]*record.Batch{w.batch(9)}, anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Sync(t.Context(), s.Until); err == nil {
		t.Fatal("synced")
	}
	disarm()
	l, err := w.disk.Log(bucket, w.config)
	if err != nil || l == old {
		t.Fatal(err)
	}
	if l.HighWatermark() != 6 {
		t.Errorf("the high watermark fell to %d", l.HighWatermark())
	}
	if err := l.Lead(2); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteBefore(5); err != nil {
		t.Fatal(err)
	}
	old.Roll() // it must not cut what the fresh one writes
	if _, err := numbersIn(old, 0, 1, nil); quiver.ReasonOf(err) != quiver.LeaderNotAvailable {
		t.Errorf("a read of rows that another log deleted: %v", err)
	}
	w.disk.markDirty(old)
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.put(l, 10)
	_ = w.disk.Close()
	l = w.open()
	if got, err := numbersIn(l, 5, 7, nil); err != nil || l.Start() != 5 || !slices.Equal(got, []int64{5, 10}) {
		t.Errorf("start %d, %v %v", l.Start(), got, err)
	}
	w.close()
}

// TestRemoveInterrupted shows that a removal that did not come to its end can be done again.
func TestRemoveInterrupted(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.put(w.lead(), 1)
	disarm := fault.Arm("arrowlog.remove.before-files", func() error { return syscall.EIO })
	if err := w.disk.Remove(bucket); err == nil {
		t.Error("removed")
	}
	disarm()
	if err := w.disk.Remove(bucket); err != nil {
		t.Fatal(err)
	}
	w.close()
	if names, err := mem.List("data/log"); err != nil || slices.Contains(names, "7") {
		t.Error(names, err)
	}
}

// TestLeadCuts visits the points of cutting an unfinished unit: before each of them the machine stops, and another
// leader does it again.
func TestLeadCuts(t *testing.T) {
	for _, point := range []string{"arrowlog.lead.before-cut", "arrowlog.lead.before-sync"} {
		mem := fs.NewMem()
		w := newWorld(t, mem)
		l := w.lead()
		w.put(l, 1, 2)
		var left *fs.Mem
		disarm := fault.Arm("arrowlog.commit.before-sync", func() error { left = mem.Clone(); return nil })
		s, err := l.Stage([]*record.Batch{w.batch(3), w.batch(4), w.batch(5)}, anonymous(3))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(t.Context(), s.Until); err != nil {
			t.Fatal(err)
		}
		last := l.entries[len(l.entries)-1]
		path := l.segments[0].path(segmentSuffix)
		disarm()
		_ = w.disk.Close()
		flip(t, left, path, last.pos+3, 0)

		w.fsys = left
		l = w.open()
		if l.Durable() != 4 || l.HighWatermark() != 2 {
			t.Fatalf("durable %d, high %d", l.Durable(), l.HighWatermark())
		}
		var clones []*fs.Mem
		disarm = fault.Arm(point, func() error {
			clones = append(clones, left.Clone(), left.CrashClone(fs.CrashConfig{}))
			return nil
		})
		if err := l.Lead(2); err != nil {
			t.Fatal(err)
		}
		disarm()
		_ = w.disk.Close()
		if len(clones) == 0 {
			t.Fatalf("%s was not reached", point)
		}
		for _, c := range append(clones, left) {
			w.fsys, w.epoch = c, 2
			l := w.lead()
			w.put(l, 6)
			if got, err := numbersIn(l, 0, 3, nil); err != nil || !slices.Equal(got, []int64{1, 2, 6}) || l.End() != 3 {
				t.Errorf("%s: %v %v", point, got, err)
			}
			w.close()
		}
	}
}
