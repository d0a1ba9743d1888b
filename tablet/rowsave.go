package tablet

import (
	"sync"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/kv"
)

// Checkpoints of the store of rows. Retention lets changes go that the newest checkpoint has: whatever becomes of the
// store, checkpoint and logs together give the rows. So one is made when retention would let changes go that the newest
// does not have, and a server whose primary-key tables lose nothing never makes any. It shares its files with the store;
// once it holds on to much that the store has replaced, a new one takes its place.

const (
	// checkpointEvery is how often retention and tidying make a checkpoint, at most.
	checkpointEvery = time.Minute
	// heldLeast is how much a checkpoint may hold on to, whatever its size; heldPart the part of its size it may.
	heldLeast = 64 << 20
	heldPart  = 4
	// marksMost bounds what is remembered of the newest checkpoint.
	marksMost = 4096
)

// saves is what is known about the checkpoints.
type saves struct {
	tried time.Time // of Maintain: when it tried to make a checkpoint
	asked time.Time // likewise: when it asked what the checkpoint holds

	mu     sync.Mutex
	newest string                            // the checkpoint that the rest is about
	open   *kv.Checkpoint                    // during a round of retention, if it was looked into
	marks  map[quiver.BucketID]quiver.Offset // some of those that were looked up
}

// endLook closes the checkpoint that was looked into.
func (s *saves) endLook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLookLocked()
}

func (s *saves) endLookLocked() {
	if s.open != nil {
		_ = s.open.Close() // nothing was written; what was read was checked
		s.open = nil
	}
}

// saved is the offset from which on a bucket needs the log should the rows be lost: what lies before the newest
// checkpoint has. It leaves that open; endLook closes it.
func (r *rowStore) saved(id quiver.BucketID) (quiver.Offset, error) {
	dir, err := r.directory()
	if err != nil {
		return 0, err
	}
	s := &r.saves
	s.mu.Lock()
	defer s.mu.Unlock()
	newest, err := dir.Newest()
	if err != nil {
		return 0, err
	}
	if newest != s.newest || len(s.marks) >= marksMost {
		s.endLookLocked()
		s.newest, s.marks = newest, nil
	}
	if newest == "" {
		return 0, nil
	}
	if at, ok := s.marks[id]; ok {
		return at, nil
	}
	if s.open == nil {
		if s.open, err = dir.Saved(); err != nil {
			return 0, err
		}
	}
	mark, err := s.open.Mark(id)
	if err != nil {
		return 0, err
	}
	if s.marks == nil {
		s.marks = map[quiver.BucketID]quiver.Offset{}
	}
	s.marks[id] = mark.Applied
	return mark.Applied, nil
}

// checkpoint makes a checkpoint of what has been applied.
func (r *rowStore) checkpoint() error {
	store, err := r.get()
	if err != nil {
		return err
	}
	dir, err := r.directory()
	if err != nil {
		return err
	}
	s := &r.saves
	s.mu.Lock() // nobody looks into the one that goes
	defer s.mu.Unlock()
	s.endLookLocked()
	begun := time.Now()
	if err := dir.Checkpoint(store); err != nil {
		r.metrics.checkpointFailures.Inc()
		return err
	}
	r.metrics.checkpointSeconds.Observe(time.Since(begun).Seconds())
	return nil
}

// checkpointAt makes a checkpoint, unless one was tried within a minute; done is false then, and if it failed.
func (r *rowStore) checkpointAt(now time.Time) (done bool) {
	s := &r.saves
	if now.Sub(s.tried).Abs() < checkpointEvery {
		return false
	}
	s.tried = now
	if err := r.checkpoint(); err != nil {
		r.logger.Error("no checkpoint of the rows could be made, to be tried again: retention keeps the logs of primary-key tables", "err", err)
		return false
	}
	return true
}

// tidy replaces a checkpoint that holds on to much which the store has replaced.
func (r *rowStore) tidy(now time.Time) {
	s := &r.saves
	if r.path == "" || now.Sub(s.asked).Abs() < checkpointEvery {
		return
	}
	s.asked = now
	r.mu.Lock()
	dir := r.dir
	r.mu.Unlock()
	if dir == nil {
		return // nothing changes in a store that is not open
	}
	held, total, err := dir.Held()
	if err != nil {
		r.logger.Warn("the checkpoint of the rows cannot be looked at", "err", err)
		return
	}
	r.metrics.checkpointHeld.Set(float64(held))
	if held > heldLeast && held > total/heldPart {
		r.checkpointAt(now)
	}
}

// dropSaved sees to it that the checkpoint has nothing of dropped tables and partitions.
func (r *rowStore) dropSaved(tables []quiver.TableID, partitions []quiver.PartitionRef) error {
	has, err := r.hasSaved(tables, partitions)
	if err != nil {
		r.logger.Warn("the checkpoint of the rows cannot be used, and is made anew", "err", err)
	}
	if err == nil && !has {
		return nil
	}
	return r.checkpoint()
}

func (r *rowStore) hasSaved(tables []quiver.TableID, partitions []quiver.PartitionRef) (bool, error) {
	dir, err := r.directory()
	if err != nil {
		return false, err
	}
	s := &r.saves
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLookLocked()
	saved, err := dir.Saved()
	if err != nil || saved == nil {
		return false, err
	}
	defer func() { _ = saved.Close() }()
	for _, id := range tables {
		if has, err := saved.HasTable(id); has || err != nil {
			return has, err
		}
	}
	for _, ref := range partitions {
		if has, err := saved.HasPartition(ref); has || err != nil {
			return has, err
		}
	}
	return false, nil
}
