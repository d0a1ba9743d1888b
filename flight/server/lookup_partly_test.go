package server

import (
	"errors"
	"testing"

	"github.com/quiverlog/quiver"
)

// TestPartlyInserted tells no lookup that inserted rows before it failed that nothing of it was done.
func TestPartlyInserted(t *testing.T) {
	full, other := quiver.Errorf(quiver.DiskFull, "no room"), errors.New("cut off")
	for _, c := range []struct {
		changed bool
		err     error
		want    quiver.Outcome
	}{
		{false, full, quiver.NotDone},
		{true, full, quiver.Unknown},
		{true, full.WithOutcome(quiver.Unknown), quiver.Unknown},
		{true, other, quiver.OutcomeOf(other)},
	} {
		l := &lookup{changed: c.changed}
		err := l.partly(c.err)
		if got := quiver.OutcomeOf(err); got != c.want || quiver.ReasonOf(err) != quiver.ReasonOf(c.err) {
			t.Errorf("inserted: %v, %v: %v with outcome %v, want %v", c.changed, c.err, err, got, c.want)
		}
	}
}
