package tablet

import (
	"maps"
	"testing"
	"time"

	"github.com/quiverlog/quiver/internal/fs"
)

// TestRetentionKeepsWhatRowsNeed lets the changelog of rows expire under upserts, cuts the power, and expects all rows
// that were acknowledged, whatever the changelog still has.
func TestRetentionKeepsWhatRowsNeed(t *testing.T) {
	r := seeded(t)
	e := newKeyedEnv(t, 1, map[string]string{"retention.time": "10s"})
	want := emptyRows(1)
	for round := range 6 {
		for range 20 {
			e.churn(r, want, 2)
			e.pass(time.Duration(r.IntN(8)) * time.Second)
		}
		left := e.mem.CrashClone(fs.CrashConfig{Rand: r})
		e.stop()
		e.mem, e.fsys = left, left
		e.start()
		if got := e.current(0); !maps.Equal(got, want[0]) {
			t.Fatalf("round %d: the rows are %v, want %v", round, got, want[0])
		}
	}
	o, err := e.tabletOf(keyedID, 0).Offsets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Start == 0 {
		t.Error("nothing expired")
	}
}
