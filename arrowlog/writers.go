package arrowlog

import (
	"cmp"
	"slices"

	"github.com/quiverlog/quiver"
)

// What the log knows of its writers: per writer the epoch of its newest batch and the last few batches it put. It is
// a pure function of the log, so every replica and every restart comes to the same answer:
//
//   - A sequence is taken with the last piece of its unit; its range is the whole unit's.
//   - The last `remembered` batches of a writer are known by sequence, rows and range. Once an older one had to be
//     forgotten, every lower sequence counts as taken, at a range that nobody knows any more.
//   - A higher writer epoch does not restart the sequences.
//   - A writer is forgotten when the log's newest timestamp is more than the expiry past the writer's own.

// remembered is how many batches of each writer the log knows. The wire contract promises five at least.
const remembered = 16

// taken is one batch that a writer put: its rows lie at [from, from+rows).
type taken struct {
	sequence quiver.Sequence
	from     quiver.Offset
	rows     int64
}

func (t taken) until() quiver.Offset { return t.from + quiver.Offset(t.rows) }

// takenList is batches of one writer, sequences rising.
type takenList []taken

func (l takenList) find(s quiver.Sequence) (taken, bool) {
	i, ok := slices.BinarySearchFunc(l, s, func(t taken, s quiver.Sequence) int { return cmp.Compare(t.sequence, s) })
	if !ok {
		return taken{}, false
	}
	return l[i], true
}

// writer is what the log knows of one writer.
type writer struct {
	epoch  quiver.Epoch
	time   int64 // timestamp of its newest batch
	forgot bool  // there were batches before those in recent
	last   quiver.Sequence
	recent takenList
}

func (w *writer) take(epoch quiver.Epoch, t taken, time int64) {
	w.epoch = max(w.epoch, epoch)
	w.time = time
	if len(w.recent) > 0 && t.sequence <= w.last {
		return // a leader never writes one; a damaged log must not break the order
	}
	w.last = t.sequence
	if len(w.recent) == remembered {
		copy(w.recent, w.recent[1:])
		w.recent[remembered-1] = t
		w.forgot = true
		return
	}
	w.recent = append(w.recent, t)
}

// writerTable is every writer that the log knows.
type writerTable struct {
	byID  map[quiver.WriterID]*writer
	purge int // the size at which expired writers are swept out next
}

func newWriterTable() writerTable {
	return writerTable{byID: map[quiver.WriterID]*writer{}, purge: minPurge}
}

// minPurge is how many writers a table may have before it is worth looking for expired ones.
const minPurge = 64

// take notes that the log's row range of t was put by the writer, in a batch stamped with time.
func (t *writerTable) take(id quiver.WriterID, epoch quiver.Epoch, batch taken, time, expiry int64) {
	w := t.byID[id]
	if w == nil || expired(w, time, expiry) {
		w = &writer{last: quiver.NoSequence}
		t.byID[id] = w
		if len(t.byID) >= t.purge {
			t.sweep(time, expiry)
		}
	}
	w.take(epoch, batch, time)
}

// get gives what is known of a writer as of the log's newest timestamp, nil for an unknown or expired one.
func (t *writerTable) get(id quiver.WriterID, time, expiry int64) *writer {
	w := t.byID[id]
	if w == nil || expired(w, time, expiry) {
		return nil
	}
	return w
}

// sweep frees the memory of expired writers. It changes no answer: get does not show them.
func (t *writerTable) sweep(time, expiry int64) {
	for id, w := range t.byID {
		if len(w.recent) > 0 && expired(w, time, expiry) {
			delete(t.byID, id)
		}
	}
	t.purge = max(minPurge, 2*len(t.byID))
}

// expired tells whether the writer is forgotten once the log's newest timestamp is time. No expiry is for ever.
func expired(w *writer, time, expiry int64) bool {
	return expiry > 0 && len(w.recent) > 0 && time-w.time > expiry
}

// ids lists the writers in order.
func (t *writerTable) ids() []quiver.WriterID {
	ids := make([]quiver.WriterID, 0, len(t.byID))
	for id := range t.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// WriterInfo tells how far a writer has come in the bucket.
type WriterInfo struct {
	ID       quiver.WriterID
	Epoch    quiver.Epoch    // of its newest batch
	Sequence quiver.Sequence // of its newest batch
	Time     int64           // when that was appended, milliseconds since 1970
}

// stagedWriter is what a writer has staged that is not durable yet.
type stagedWriter struct {
	epoch  quiver.Epoch
	recent takenList
}

// writerView is one writer as the next batch meets it: what is durable and what is staged behind it.
type writerView struct {
	durable *writer       // may be nil
	staged  *stagedWriter // may be nil
}

// known tells whether the log has any batch of the writer.
func (v writerView) known() bool { return v.durable != nil || v.staged != nil }

// epoch is the writer's newest epoch in the log.
func (v writerView) epoch() quiver.Epoch {
	e := noEpoch
	if v.durable != nil {
		e = v.durable.epoch
	}
	if v.staged != nil {
		e = max(e, v.staged.epoch)
	}
	return e
}

// last is the writer's newest sequence.
func (v writerView) last() quiver.Sequence {
	switch {
	case v.staged != nil && len(v.staged.recent) > 0:
		return v.staged.recent[len(v.staged.recent)-1].sequence
	case v.durable != nil:
		return v.durable.last
	}
	return quiver.NoSequence
}

// find looks for a sequence among those remembered.
func (v writerView) find(s quiver.Sequence) (taken, bool) {
	if v.staged != nil {
		if t, ok := v.staged.recent.find(s); ok {
			return t, true
		}
	}
	if v.durable != nil {
		return v.durable.recent.find(s)
	}
	return taken{}, false
}

// forgotten tells whether the sequence lies below all that is remembered, while something was forgotten.
func (v writerView) forgotten(s quiver.Sequence) bool {
	return v.durable != nil && v.durable.forgot && len(v.durable.recent) > 0 && s < v.durable.recent[0].sequence
}

// took tells whether the sequence is in the log, as far as anybody can tell.
func (v writerView) took(s quiver.Sequence) bool {
	if _, ok := v.find(s); ok {
		return true
	}
	return v.forgotten(s)
}
