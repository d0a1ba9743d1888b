//go:build !race

// The race detector has pools forget what they hold, at random: what is counted here drifts with it.

package record

import "testing"

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
