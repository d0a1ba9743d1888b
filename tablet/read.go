package tablet

import (
	"context"
	"errors"
	"io"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/tablet/scan"
)

// Stats is what a bucket holds.
type Stats struct {
	Rows     int64 // that can be read; of a primary-key table the current ones
	Bytes    int64 // of the segment files
	Earliest quiver.Offset
	Latest   quiver.Offset // the high watermark, exclusive
	Segments int
}

var _ scan.Source = (*Tablet)(nil)

// Offsets tells what can be read: rows in [Start, HighWatermark).
func (t *Tablet) Offsets(ctx context.Context) (scan.Offsets, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return scan.Offsets{}, err
	}
	high, shown := l.log.Shown()
	return scan.Offsets{Start: l.log.Start(), HighWatermark: high, Shown: shown}, nil
}

// End is one past the last staged row. What lies at or above the high watermark is shown to nobody.
func (t *Tablet) End(ctx context.Context) (quiver.Offset, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return 0, err
	}
	return l.log.End(), nil
}

// OffsetAt is the first row that is not older than the timestamp (Unix milliseconds), or the high watermark.
func (t *Tablet) OffsetAt(ctx context.Context, timestamp int64) (quiver.Offset, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return 0, err
	}
	at, err := l.log.OffsetAt(timestamp)
	return min(at, l.log.HighWatermark()), t.explain(err)
}

// Read opens a reader over [from, until), cut down to the high watermark.
func (t *Tablet) Read(ctx context.Context, from, until quiver.Offset, spec scan.ReadSpec) (scan.Reader, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return nil, err
	}
	return &reader{t, l.log.Read(from, min(until, l.log.HighWatermark()), arrowlog.ReadSpec(spec))}, nil
}

// reader names the table in the log's errors, and ends when the table goes.
type reader struct {
	tablet *Tablet
	log    *arrowlog.Reader
}

func (r *reader) Step() (record.Header, *record.Batch, error) {
	if gone := r.tablet.gone(); gone != nil {
		return record.Header{}, nil, gone
	}
	h, b, err := r.log.Step()
	if err != nil && !errors.Is(err, io.EOF) {
		return h, nil, r.tablet.explain(err)
	}
	return h, b, err
}

func (r *reader) Close() { r.log.Close() }

// DeleteBefore makes the log start at the offset, which must not be above the high watermark.
func (t *Tablet) DeleteBefore(ctx context.Context, before quiver.Offset) error {
	l, err := t.leader(ctx)
	if err != nil {
		return err
	}
	if start, high := l.log.Start(), l.log.HighWatermark(); before > high {
		return scan.OutOfRange(t.Table(), t, before, scan.Offsets{Start: start, HighWatermark: high})
	}
	if l.rows != nil {
		if err := t.writeRows(l, before); err != nil {
			return err
		}
	}
	return t.explain(l.log.DeleteBefore(before))
}

// writeRows makes sure that the rows need no change before the offset from the log any more, whatever becomes of them.
func (t *Tablet) writeRows(l *leadership, before quiver.Offset) error {
	if err := l.applyRows(); err != nil {
		return t.rowsFailed(l, err)
	}
	store := t.server.rows
	defer store.saves.endLook()
	if at, err := store.saved(t.id); err == nil && at >= before {
		return nil
	}
	if err := store.checkpoint(); err != nil {
		return t.unavailable("no checkpoint of the rows could be made", err)
	}
	switch at, err := store.saved(t.id); {
	case err != nil:
		return t.unavailable("the checkpoint of the rows cannot be read", err)
	case at < before:
		return t.unavailable("the rows still need the log before the offset", nil)
	}
	return nil
}

// Stats tells what the bucket holds.
func (t *Tablet) Stats(ctx context.Context) (Stats, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return Stats{}, err
	}
	s, err := l.log.Stats()
	stats := Stats{
		Rows: int64(s.HighWatermark - s.Start), Bytes: s.Bytes,
		Earliest: s.Start, Latest: s.HighWatermark, Segments: s.Segments,
	}
	if l.rows != nil {
		stats.Rows = l.rows.tablet.Mark().Rows
	}
	return stats, t.explain(err)
}

// WriterSequence tells the highest sequence of a writer in the bucket, once it is durable; ok is false if the bucket does
// not know the writer (any more).
func (t *Tablet) WriterSequence(ctx context.Context, id quiver.WriterID) (last quiver.Sequence, ok bool, err error) {
	l, err := t.reader(ctx)
	if err != nil {
		return quiver.NoSequence, false, err
	}
	if l.log.Stages(id) && t.serves(l) {
		// It was admitted before anything that was told to the caller of this, and is going to be stored.
		if err := t.settle(ctx, l, l.log.End()); err != nil {
			return quiver.NoSequence, false, t.explain(err)
		}
	}
	state, ok := l.log.WriterState(id)
	return state.Sequence, ok, nil
}

// Subscribe lets the channel be sent to, without blocking, whenever the tablet has news: the high watermark moved,
// the start moved, the log failed or was opened anew, the table or the server goes away.
func (t *Tablet) Subscribe(ch chan<- struct{}) (cancel func()) {
	sub := &subscription{ch: ch}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers[sub] = struct{}{}
	if l := t.leading.Load(); l != nil {
		sub.follow(l)
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.readers, sub)
		sub.leave()
	}
}

// follow subscribes to the log of a leadership, and to no other one.
func (s *subscription) follow(l *leadership) {
	s.leave()
	s.cancel = l.log.Subscribe(s.ch)
}

func (s *subscription) leave() {
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
}

// wake lets every subscriber look again.
func (t *Tablet) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sub := range t.readers {
		select {
		case sub.ch <- struct{}{}:
		default:
		}
	}
}

// Size is what the batches that hold rows of [from, until) take in the log, in bytes.
func (t *Tablet) Size(ctx context.Context, from, until quiver.Offset) (int64, error) {
	l, err := t.reader(ctx)
	if err != nil {
		return 0, err
	}
	bytes, err := l.log.Size(from, until)
	return bytes, t.explain(err)
}
