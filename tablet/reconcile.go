package tablet

import (
	"context"

	"github.com/quiverlog/quiver"
)

// Reconcile makes the server converge to the desired state, which is complete: what it does not name is not served.
// Repeating it changes nothing, one older than the newest is ignored, and so is every epoch that is lower than one
// already heard of.
//
// When it returns, no batch of a writer's older epoch can be staged anywhere, nor any batch in a table that is gone,
// and their waiting readers and writers have been woken to learn so. It opens no log and asks nothing of the
// coordinator. The data of dropped tables is removed before it returns, or, where that fails, by Run.
func (s *Server) Reconcile(ctx context.Context, d quiver.Desired) error {
	s.reconciling.Lock()
	defer s.reconciling.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	stale := d.Version < s.version
	s.mu.RUnlock()
	if stale {
		return nil
	}
	s.writers.replace(d.Writers, d.NextWriter)
	s.bury(d)
	s.learn(d)
	s.removeDropped()
	return nil
}

// learn takes over tables and assignments.
func (s *Server) learn(d quiver.Desired) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = d.Version
	for _, meta := range d.Tables {
		if _, dropped := s.dropped[meta.ID]; dropped {
			continue
		}
		if t := s.tables[meta.ID]; t != nil {
			t.meta.Store(meta)
		} else {
			s.tables[meta.ID] = newTable(meta)
		}
	}
	for _, a := range d.Assignments {
		t := s.tables[a.Bucket.Table]
		if t == nil || a.Bucket.Partition != 0 || a.Bucket.Bucket < 0 || int(a.Bucket.Bucket) >= len(t.epochs) {
			continue
		}
		raise(&t.epochs[a.Bucket.Bucket], a.Epoch)
	}
}

// bury ends the service of tables that are dropped, or absent.
func (s *Server) bury(d quiver.Desired) {
	present := make(map[quiver.TableID]bool, len(d.Tables))
	for _, meta := range d.Tables {
		present[meta.ID] = true
	}
	buried := make(map[*table]*quiver.Error)
	s.mu.Lock()
	for _, id := range d.Dropped {
		if _, known := s.dropped[id]; !known {
			s.dropped[id] = false
		}
		if t := s.tables[id]; t != nil {
			buried[t] = quiver.Errorf(quiver.TableNotFound, "the table was dropped").On("table " + t.meta.Load().Path())
		}
		delete(s.tables, id)
	}
	for id, t := range s.tables {
		if !present[id] {
			buried[t] = quiver.Errorf(quiver.LeaderNotAvailable, "the table is not served here any more").
				On("table " + t.meta.Load().Path()).Advise("send it again")
			delete(s.tables, id)
		}
	}
	s.mu.Unlock()
	if len(buried) == 0 {
		return
	}
	s.writers.mu.Lock() // whoever is staging has staged; the next one sees that the table is gone
	for t, why := range buried {
		t.gone.Store(why)
	}
	s.writers.mu.Unlock()
	for t := range buried {
		t.wake()
	}
}

// removeDropped removes the data of dropped tables that is still there.
func (s *Server) removeDropped() {
	s.mu.RLock()
	var due []quiver.TableID
	for id, removed := range s.dropped {
		if !removed {
			due = append(due, id)
		}
	}
	s.mu.RUnlock()
	for _, id := range due {
		if err := s.disk.RemoveTable(id); err != nil {
			s.options.Logger.Error("remove a dropped table, to be tried again", "table", id, "err", err)
			continue
		}
		s.mu.Lock()
		s.dropped[id] = true
		for t := range s.opened {
			if t.id.Table == id {
				delete(s.opened, t)
			}
		}
		s.mu.Unlock()
	}
}

// removeAgain is for a log that was opened while its table was dropped: the removal may not have seen it.
func (s *Server) removeAgain(id quiver.TableID) {
	s.mu.Lock()
	_, dropped := s.dropped[id]
	if dropped {
		s.dropped[id] = false
	}
	s.mu.Unlock()
	if dropped {
		s.removeDropped()
	}
}

// Removed tells whether a dropped table's data is gone here, so that its tombstone may go.
func (s *Server) Removed(id quiver.TableID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dropped[id]
}
