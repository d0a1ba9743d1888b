package tablet

import (
	"testing"
	"time"

	"github.com/quiverlog/quiver"
)

// TestJudgedIsBounded has many writers send batches that leave no row: those that were silent for their time are
// forgotten, the others are not.
func TestJudgedIsBounded(t *testing.T) {
	var j judged
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for i := range 100 * minJudged {
		now = now.Add(time.Second)
		j.add(Origin{Writer: quiver.WriterID(i + 1), Sequence: 3}, now, minJudged*time.Second)
		if len(j.last) > 3*minJudged {
			t.Fatalf("%d writers are remembered", len(j.last))
		}
	}
	for i := range 100 * minJudged {
		if s, ok := j.of(quiver.WriterID(i + 1)); i >= 99*minJudged && (!ok || s != 3) {
			t.Fatalf("writer %d of %d is forgotten", i, 100*minJudged)
		}
	}
	j.add(Origin{Writer: 7, Sequence: 9}, now, time.Hour)
	j.add(Origin{Writer: 7, Sequence: 8}, now, time.Hour)
	if s, _ := j.of(7); s != 9 {
		t.Errorf("the highest sequence is %d", s)
	}
	if _, ok := j.of(quiver.NoWriter); ok {
		t.Error("nobody is a writer")
	}
}
