package tablet

import (
	"context"
	"errors"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/planted"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet/replica"
)

// Origin says whose batch a unit is, and what it is to follow.
type Origin = arrowlog.Origin

// Staged is a unit that has its offsets, and is not durable yet. Wait settles it.
type Staged struct {
	arrowlog.Staged
	tablet  *Tablet
	lead    *leadership
	through quiver.Offset // the answer may be given once the high watermark is here
	bytes   int           // of rows, what making the change took in memory, about

	inserted *kv.Change // of Rows.Missing: the rows that were absent, nil if none was
}

// Put stages a unit: the pieces of one put in this bucket, all or nothing. It does no I/O, but for the first use of a
// bucket. It takes over one reference on each batch, whatever becomes of them. A unit of an older schema of the table is
// stored in the newest one.
//
// A refusal is NotDone: LEADER_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, DISK_FULL, FENCED_WRITER, UNKNOWN_WRITER,
// OUT_OF_ORDER_SEQUENCE, SEQUENCE_REUSED, EXPECTED_OFFSET_MISMATCH, TABLE_NOT_FOUND, SERVER_DRAINING. What was staged
// must be waited for, also by a caller that has lost interest: nobody else is sure to sync it soon.
func (t *Tablet) Put(ctx context.Context, unit []*record.Batch, o Origin) (Staged, error) {
	l, err := t.admit(ctx, o)
	if err != nil {
		release(unit)
		return Staged{}, t.explain(err)
	}
	staged, err := t.stageAny(l, unit, o)
	if err != nil {
		return Staged{}, t.explain(err)
	}
	s := Staged{Staged: staged, tablet: t, lead: l, through: staged.Until}
	if staged.Duplicate {
		// What it repeats may itself not be durable yet, or not be known by range any more.
		s.through = l.log.End()
	}
	return s, nil
}

// admit is everything that can refuse a unit before its content is looked at.
func (t *Tablet) admit(ctx context.Context, o Origin) (*leadership, error) {
	l, err := t.leader(ctx)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	refused := t.replica.Admit()
	t.mu.Unlock()
	if refused != nil {
		return nil, refused
	}
	if err := t.server.disk.Writable(); err != nil {
		return nil, err
	}
	if o.Writer == quiver.NoWriter {
		return l, nil
	}
	return l, t.knowWriter(ctx, l, o.Writer)
}

// stage checks what may change at any time, and stages in the same breath. With ErrSchema the unit is still the caller's.
func (t *Tablet) stage(l *leadership, unit []*record.Batch, o Origin) (arrowlog.Staged, error) {
	w := &t.server.writers
	w.mu.RLock()
	defer w.mu.RUnlock()
	if refused := t.refuseLocked(o); refused != nil {
		release(unit)
		return arrowlog.Staged{}, refused
	}
	staged, err := l.log.Stage(unit, o)
	if err == nil && !staged.Duplicate {
		t.server.noteStaged(t)
	}
	return staged, err
}

// refuseLocked is why nothing of this origin may be taken now, or nil. Whoever takes it holds writers.mu, for reading,
// from here until it is taken.
func (t *Tablet) refuseLocked(o Origin) *quiver.Error {
	if gone := t.closed(); gone != nil || o.Writer == quiver.NoWriter {
		return gone
	}
	return t.server.writers.checkLocked(o.Writer, o.WriterEpoch)
}

func release(unit []*record.Batch) {
	for _, b := range unit {
		b.Release()
	}
}

// knowWriter refuses a writer that was neither issued or raised within its expiry, nor used in the table since.
// Almost always the grant settles it; a writer that lives on use alone is looked for in this bucket, then in the
// others, of all partitions.
func (t *Tablet) knowWriter(ctx context.Context, l *leadership, id quiver.WriterID) error {
	if t.server.writers.recent(id, t.server.options.Now(), t.Table().Options.WriterExpiry) {
		return nil
	}
	used, err := t.used(ctx, l, id)
	if err != nil || used {
		return err
	}
	return t.server.writers.unknownWriter(id)
}

// Wait returns once the unit is durable and may be shown, for a repeat as for a first put. An error tells what became
// of it: NotDone or Unknown. The end of the context ends the wait only, with Unknown.
func (t *Tablet) Wait(ctx context.Context, s Staged) error {
	err := t.settle(ctx, s.lead, s.through)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		err = unknown(err)
	}
	return t.explain(err)
}

// unknown is why a wait ended, of which the reason may say that nothing was done: that is about calls that were not begun.
func unknown(cause error) error {
	if e, ok := errors.AsType[*quiver.Error](cause); ok {
		return e.WithOutcome(quiver.Unknown)
	}
	return cause
}

// settle makes the log durable before an offset, and moves the high watermark.
func (t *Tablet) settle(ctx context.Context, l *leadership, until quiver.Offset) error {
	if planted.Is(planted.AnswerBeforeDurable) {
		return nil
	}
	if l.rows == nil && until <= l.log.HighWatermark() {
		return nil // as for all but the first row of a group commit
	}
	err := l.log.Sync(ctx, until)
	if err != nil {
		if l.log.Failed() != nil {
			t.step(l, replica.Fail{Epoch: l.epoch})
		}
		return err
	}
	t.advance(l)
	return nil
}

// explain names the table in an error of the log, which knows ids only. Of a table that is gone that is the reason,
// whatever the log answered.
func (t *Tablet) explain(err error) error {
	e, ok := errors.AsType[*quiver.Error](err)
	if !ok {
		return err
	}
	if gone := t.gone(); gone != nil && e.Reason != gone.Reason {
		return gone.WithOutcome(e.Outcome).Because(err)
	}
	return e.On(t.subject())
}
