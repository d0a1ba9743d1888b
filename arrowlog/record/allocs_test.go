//go:build !race

// The race detector has pools forget what they hold, at random: what is counted here drifts with it.

package record

import (
	"bytes"
	"testing"

	"github.com/quiverlog/quiver/internal/buf"
)

// TestDivideAllocations: a batch whose rows all fall into one bucket costs the list of shares, whatever its rows; one
// that falls apart costs what its shares take.
func TestDivideAllocations(t *testing.T) {
	d, batch := benchDivided(t, 16, []string{"auction"}, []string{"day"}, None)
	defer batch.Release()
	one, err := batch.Slice(0, 1)
	must(t, err)
	defer one.Release()
	for _, c := range []struct {
		b    *Batch
		most float64
	}{{one, 2}, {batch, 48*8 + 20}} {
		got := testing.AllocsPerRun(20, func() {
			shares, err := d.Divide(c.b)
			must(t, err)
			for _, s := range shares {
				s.Batch.Release()
			}
		})
		if got > c.most {
			t.Errorf("%d rows: %v allocations, at most %v are expected", c.b.Rows(), got, c.most)
		}
	}
}

// TestSelectAllocations: what a selection takes does not depend on its rows.
func TestSelectAllocations(t *testing.T) {
	_, b := benchmarkBatch(t, 4096)
	defer b.Release()
	for _, every := range []int{2, 16, 256} {
		var rows []int32
		for i := 0; i < b.Rows(); i += every {
			rows = append(rows, int32(i))
		}
		got := testing.AllocsPerRun(20, func() {
			out, err := b.Select(rows)
			must(t, err)
			out.Release()
		})
		if got > 8 {
			t.Errorf("%d rows: %v allocations", len(rows), got)
		}
	}
}

// TestStatsAllocations: statistics cost a few allocations a batch, none for a value.
func TestStatsAllocations(t *testing.T) {
	_, _, b := benchSummarized(t, "bid")
	defer b.Release()
	all := NewSummary(nil)
	if got := testing.AllocsPerRun(20, func() {
		b.summary = nil
		b.Summarize(all)
	}); got > 6 {
		t.Errorf("%v allocations", got)
	}
}

// TestLoadAllocations: reading a stored batch costs a few allocations, however many columns it has, and one of its
// columns costs no more for those beside it.
func TestLoadAllocations(t *testing.T) {
	for _, columns := range []int{10, 100} {
		_, l, b := benchBatch(t, columns, 1)
		b.Stamp(Stamp{}, 1)
		meta, parts := b.Stored()
		body := buf.Wrap(bytes.Join(parts, nil))
		var m Meta
		whole := testing.AllocsPerRun(100, func() {
			must(t, m.Parse(meta, 1))
			loaded, err := Load(l, &m, body)
			must(t, err)
			loaded.Release()
		})
		if whole > 3 {
			t.Errorf("%d columns: %v allocations for all of them", columns, whole)
		}
		cols := []int{2}
		regions, err := m.Regions(l, cols)
		must(t, err)
		region := []*buf.Buf{body.Slice(int(regions[0].From), int(regions[0].Until))}
		one := testing.AllocsPerRun(100, func() {
			must(t, m.Parse(meta, 1))
			loaded, err := LoadColumns(l, &m, cols, region)
			must(t, err)
			loaded.Release()
		})
		if one > 3 {
			t.Errorf("%d columns: %v allocations for one of them", columns, one)
		}
		region[0].Release()
		body.Release()
		b.Release()
	}
}
