package tablet

import (
	"context"
	"errors"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/planted"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet/scan"
)

// Lookup reads the current rows of a primary-key bucket: all that was acknowledged before the call is in them.
type Lookup struct {
	tablet *Tablet
	lead   *leadership
	Rows   *kv.Tablet
	Schema *quiver.Schema // that its places are about, at the latest
}

// Lookup begins to read. With an offset above 0 it waits until the changes before it are in the rows.
func (t *Tablet) Lookup(ctx context.Context, atLeast quiver.Offset) (*Lookup, error) {
	l, err := t.rowsAt(ctx, atLeast)
	if err != nil {
		return nil, t.explain(err)
	}
	l.rows.mu.Lock()
	defer l.rows.mu.Unlock()
	if err := l.rows.configure(t.Table()); err != nil {
		return nil, t.explain(t.rowsFailed(l, err))
	}
	return &Lookup{tablet: t, lead: l, Rows: l.rows.tablet, Schema: l.rows.schema}, nil
}

// Find looks for some of the keys of a lookup in the bucket; see kv.Lookup.
func (k *Lookup) Find(ctx context.Context, keys *kv.Lookup, which []int32, source int32) error {
	err := keys.Find(ctx, k.Rows, which, source)
	if err != nil {
		return k.tablet.explain(k.tablet.rowsFailed(k.lead, err))
	}
	return nil
}

// Inserted finds those of the keys that a put of missing ones inserted, as it left them. It is settled by now.
func (k *Lookup) Inserted(s Staged, keys *kv.Lookup, which []int32, source int32) error {
	if s.inserted == nil {
		return nil
	}
	err := keys.Changed(k.Rows, s.inserted, which, source)
	if err != nil {
		return k.tablet.explain(k.tablet.rowsFailed(k.lead, err))
	}
	return nil
}

// rowsAt gives a leadership whose rows have all changes below the high watermark, and those before the offset.
func (t *Tablet) rowsAt(ctx context.Context, atLeast quiver.Offset) (*leadership, error) {
	for {
		l, err := t.tryRowsAt(ctx, atLeast)
		if !errors.Is(err, kv.ErrRetired) { // else led anew meanwhile
			return l, err
		}
	}
}

func (t *Tablet) tryRowsAt(ctx context.Context, atLeast quiver.Offset) (*leadership, error) {
	l, err := t.leader(ctx)
	if err != nil {
		return nil, err
	}
	if l.rows == nil {
		return nil, quiver.Errorf(quiver.BadCommand, "a lookup needs a primary-key table, and this is a log table")
	}
	if end := l.log.End(); atLeast > end {
		return nil, scan.OutOfRange(t.Table(), t, atLeast, scan.Offsets{Start: l.log.Start(), HighWatermark: end})
	}
	if atLeast > l.log.HighWatermark() {
		if err := t.settle(ctx, l, atLeast); err != nil {
			return nil, err
		}
	}
	if planted.Is(planted.LookupStale) {
		return l, nil
	}
	if err := l.applyRows(); err != nil {
		return nil, t.rowsFailed(l, err)
	}
	return l, nil
}

// TableView is the rows of one bucket at one moment.
type TableView struct {
	tablet *Tablet
	lead   *leadership
	Rows   *kv.Tablet
	Mark   kv.Mark
}

// Store gives the store of the bucket's rows once all that was acknowledged is in them, for a snapshot of several
// buckets at once.
func (t *Tablet) Store(ctx context.Context) (*kv.Store, error) {
	l, err := t.rowsAt(ctx, 0)
	if err != nil {
		return nil, t.explain(err)
	}
	return l.rows.store, nil
}

// View is the bucket within a snapshot.
func (t *Tablet) View(ctx context.Context, s *kv.Snapshot) (*TableView, error) {
	l, err := t.leader(ctx)
	if err != nil {
		return nil, t.explain(err)
	}
	mark, err := s.Mark(t.id)
	if err != nil {
		return nil, t.explain(t.rowsFailed(l, err))
	}
	return &TableView{tablet: t, lead: l, Rows: l.rows.tablet, Mark: mark}, nil
}
