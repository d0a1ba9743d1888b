//go:build fault

package tablet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// history is a random run of one server against a model: what each writer's sequence put, in which order its puts were
// acknowledged, and which are in doubt.
type history struct {
	*env
	rng     *rand.Rand
	writers []*historyWriter
	steps   []string
}

// historyWriter sends batches 0, 1, 2 ... of its ids, each until it is acknowledged, to one bucket.
type historyWriter struct {
	id     quiver.WriterID
	epoch  quiver.Epoch
	bucket int32
	next   quiver.Sequence // the first one not acknowledged
	acked  []Staged        // by sequence
}

// rows are the ids of one of its batches: 1 to 3 of them, each telling writer and sequence.
func (w *historyWriter) rows(sequence quiver.Sequence) []int64 {
	base := int64(w.id)*1_000_000 + int64(sequence)*10
	return []int64{base, base + 1, base + 2}[:1+int(sequence)%3]
}

var commitPoints = []string{
	"arrowlog.commit.before-write", "arrowlog.commit.before-prefix", "arrowlog.commit.before-sync", "arrowlog.commit.after-sync",
}

// TestRandomHistory runs random puts, repeats, failures, kills, restarts and maintenance. After each step every
// acknowledged batch is there, once, at the offsets it was acknowledged with, and each writer's batches are in order.
func TestRandomHistory(t *testing.T) {
	rng := seeded(t)
	for range 15 {
		h := &history{env: newEnv(t, 2), rng: rng}
		for i := range 4 {
			w := &historyWriter{id: quiver.WriterID(i + 1), bucket: int32(i % 2)}
			h.writers = append(h.writers, w)
			h.grant(w.id, 0)
		}
		for range 60 {
			h.step()
			if h.check(); t.Failed() {
				t.Fatalf("after\n%v", h.steps)
			}
		}
		h.stop()
		h.start()
		h.check()
		if t.Failed() {
			t.Fatalf("after %v and a restart", h.steps)
		}
	}
}

func (h *history) note(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

func (h *history) step() {
	w := h.writers[h.rng.IntN(len(h.writers))]
	switch h.rng.IntN(10) {
	case 0:
		point := commitPoints[h.rng.IntN(len(commitPoints))]
		h.note("writer %d fails at %s", w.id, point)
		disarm := fault.Arm(point, func() error { return errors.New("injected") })
		h.send(w, 1)
		disarm()
	case 1:
		h.note("kill -9")
		h.restart(h.mem.Clone())
	case 2:
		h.note("power cut")
		h.restart(h.mem.CrashClone(fs.CrashConfig{Rand: h.rng, KeepUnsynced: h.rng.IntN(101), TearSectors: true}))
	case 3:
		h.advance(time.Minute)
		h.server.Maintain(context.Background())
		h.note("maintenance")
	case 4:
		w.epoch++
		h.grant(w.id, w.epoch)
		h.note("writer %d has epoch %d", w.id, w.epoch)
	case 5:
		if w.next > 0 {
			h.repeat(w, w.next-1-quiver.Sequence(h.rng.IntN(min(int(w.next), 5))))
		}
	default:
		n := 1 + h.rng.IntN(6)
		h.note("writer %d sends %d from %d on", w.id, n, w.next)
		h.send(w, n)
	}
}

// restart ends the process and starts another one on what is left of the disk.
func (h *history) restart(left *fs.Mem) {
	h.stop()
	h.mem, h.fsys = left, left
	h.start()
}

// send puts the writer's next batches, pipelined. What is not acknowledged is sent again some time.
func (h *history) send(w *historyWriter, n int) {
	ctx := context.Background()
	var staged []Staged
	for i := range n {
		sequence := w.next + quiver.Sequence(i)
		rows := w.rows(sequence)
		o := by(w.id, w.epoch, sequence, len(rows))
		o.Previous, o.PreviousAcked = sequence-1, i == 0
		s, err := h.tablet(w.bucket).Put(ctx, h.unit(rows...), o)
		if err != nil {
			h.note("  %d: %v", sequence, err)
			break
		}
		staged = append(staged, s)
	}
	failed := false
	for _, s := range staged {
		err := s.tablet.Wait(ctx, s)
		if err != nil {
			h.note("  %v: %v (%v)", s.Staged, err, quiver.OutcomeOf(err))
			failed = true
			continue
		}
		if failed {
			h.t.Errorf("writer %d: %v was acknowledged behind one that was not", w.id, s.Staged)
		}
		if !s.Known {
			h.t.Errorf("writer %d: the range of sequence %d is not known", w.id, w.next)
		}
		w.acked = append(w.acked, s)
		w.next++
	}
}

// repeat sends an acknowledged batch again.
func (h *history) repeat(w *historyWriter, sequence quiver.Sequence) {
	rows := w.rows(sequence)
	s, err := h.put(h.tablet(w.bucket), by(w.id, w.epoch, sequence, len(rows)), rows...)
	h.note("writer %d repeats %d: %+v, %v", w.id, sequence, s.Staged, err)
	if err != nil || !s.Duplicate {
		h.t.Errorf("writer %d, repeat of %d: %+v, %v", w.id, sequence, s.Staged, err)
		return
	}
	if first := w.acked[sequence]; s.From != first.From || s.Until != first.Until {
		h.t.Errorf("writer %d, repeat of %d: %+v, first %+v", w.id, sequence, s.Staged, first.Staged)
	}
}

// check compares all rows with the model.
func (h *history) check() {
	h.t.Helper()
	all := h.rows(7)
	for _, w := range h.writers {
		rows := all[w.bucket]
		for sequence, s := range w.acked {
			want := w.rows(quiver.Sequence(sequence))
			if int(s.Until) > len(rows) || !slices.Equal(rows[s.From:s.Until], want) {
				h.t.Errorf("writer %d, sequence %d: not at [%d, %d) of %d rows", w.id, sequence, s.From, s.Until, len(rows))
			}
		}
		h.checkOrder(w, rows)
	}
}

// checkOrder looks at all batches of a writer, also those it does not know of: each whole, once, in order.
func (h *history) checkOrder(w *historyWriter, rows []int64) {
	h.t.Helper()
	var own []int64
	for _, id := range rows {
		if id/1_000_000 == int64(w.id) {
			own = append(own, id)
		}
	}
	var want []int64
	for sequence := quiver.Sequence(0); len(want) < len(own); sequence++ {
		want = append(want, w.rows(sequence)...)
	}
	if !slices.Equal(own, want) {
		h.t.Errorf("writer %d: rows %v", w.id, own)
	}
}
