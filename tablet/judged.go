package tablet

import (
	"maps"
	"time"

	"github.com/quiverlog/quiver"
)

// judged remembers, of each writer, the highest sequence that left no row: the log does not tell of such a batch.
type judged struct {
	last map[quiver.WriterID]judgement
	room int // how many there may be before expired ones are looked for
}

type judgement struct {
	sequence quiver.Sequence
	at       time.Time
}

// of gives the sequence of a writer, if there is one.
func (j *judged) of(id quiver.WriterID) (quiver.Sequence, bool) {
	last, ok := j.last[id]
	return last.sequence, ok
}

// minJudged is how many writers are remembered in any case.
const minJudged = 1024

// add remembers a batch that left no row. Writers that were silent for their time are forgotten: they would be refused
// by now.
func (j *judged) add(o Origin, now time.Time, expiry time.Duration) {
	if o.Writer == quiver.NoWriter {
		return
	}
	if j.last == nil {
		j.last, j.room = map[quiver.WriterID]judgement{}, minJudged
	}
	j.last[o.Writer] = judgement{max(o.Sequence, j.last[o.Writer].sequence), now}
	if len(j.last) <= j.room {
		return
	}
	maps.DeleteFunc(j.last, func(_ quiver.WriterID, last judgement) bool { return now.Sub(last.at) > expiry })
	j.room = max(minJudged, 2*len(j.last))
}
