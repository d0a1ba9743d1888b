//go:build fault

package kv

import (
	"strings"
	"testing"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestUnitsAreAppliedWhole: a change that came in pieces goes into the rows in one Pebble batch, however large it is, and
// only once the high watermark is behind all of it: no reader sees a part of it.
func TestUnitsAreAppliedWhole(t *testing.T) {
	p := newPlain(t, fs.NewMem())
	large := strings.Repeat("x", applyBytes)
	p.stage(p.inserts(0, true, large, 1), p.inserts(1, true, large, 2), p.inserts(2, false, large, 3), p.inserts(3, false, large, 4))
	applied := 0
	defer fault.Arm("kv.advance.before-apply", func() error { applied++; return nil })()
	if err := p.tablet.Advance(3, 1); err != nil {
		t.Fatal(err)
	}
	if m := p.tablet.Mark(); applied != 1 || m.Applied != 3 || m.Rows != 3 {
		t.Errorf("a change in three pieces was applied in %d batches, to the mark %+v", applied, m)
	}
	p.stage(p.inserts(4, false, "a", 5, 6))
	if err := p.tablet.Advance(5, 1); err != nil { // in the middle of the last change
		t.Fatal(err)
	}
	if m := p.tablet.Mark(); m.Applied != 4 {
		t.Errorf("with a high watermark of 5 the change [4, 6) was applied: %+v", m)
	}
}
