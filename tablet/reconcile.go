package tablet

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/quiverlog/quiver"
)

// Reconcile makes the server converge to the desired state, which is complete: what it does not name is not served.
// Repeating it changes nothing, one older than the newest is ignored, and so is every epoch that is lower than one
// already heard of.
//
// When it returns, no batch of a writer's older epoch can be staged anywhere, nor any batch in a table or partition
// that is gone, and their waiting readers and writers have been woken to learn so. It opens no log and asks nothing of
// the coordinator. The data of dropped tables and partitions is removed before it returns, or, where that fails, by
// Run.
//
// It looks at every table and assignment, and does no more for those that are as they were: it is called for every
// change of the metadata, and there may be 100,000 of them.
func (s *Server) Reconcile(ctx context.Context, d quiver.Desired) error {
	s.reconciling.Lock()
	defer s.reconciling.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	stale, first := d.Version < s.version, s.version < 0
	s.mu.RUnlock()
	if stale {
		return nil
	}
	s.writers.replace(d.Writers, d.NextWriter)
	changes := s.changes(d)
	s.bury(d, changes)
	s.learn(d, changes)
	err := s.configure(changes)
	if first {
		s.retention.again()
	}
	s.removeDropped()
	return err
}

// change is a table that is not as it was: new, or altered, or with other partitions.
type change struct {
	meta    *quiver.Table
	table   *table // nil: it is new
	altered bool   // its schema or its options
	added   []quiver.Partition
	removed []quiver.Partition
}

// changes compares the tables with those that are served. Only Reconcile changes them, so what it finds stays true.
func (s *Server) changes(d quiver.Desired) (changes []change) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, meta := range d.Tables {
		if _, dropped := s.dropped[meta.ID]; dropped {
			continue
		}
		t := s.tables[meta.ID]
		if t == nil {
			changes = append(changes, change{meta: meta})
			continue
		}
		if old := t.meta.Load(); old != meta {
			c := change{meta: meta, table: t}
			c.altered = old.Schema != meta.Schema || !maps.Equal(old.Options.Map(), meta.Options.Map())
			c.added, c.removed = differ(old.Partitions, meta.Partitions)
			changes = append(changes, c)
		}
	}
	return changes
}

// learn takes over tables, partitions and assignments.
func (s *Server) learn(d quiver.Desired, changes []change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = d.Version
	for _, c := range changes {
		if c.table == nil {
			s.tables[c.meta.ID] = newTable(c.meta)
			continue
		}
		c.table.meta.Store(c.meta)
		if c.altered {
			c.table.rename(c.meta.Partitions)
		}
		for _, p := range c.added {
			c.table.add(p)
		}
		if len(c.added)+len(c.removed) > 0 {
			s.tellLocked(c.meta.ID)
		}
	}
	s.assignLocked(d.Assignments)
}

// configure tells the open logs of tables that were altered.
func (s *Server) configure(changes []change) error {
	var errs []error
	for _, c := range changes {
		if !c.altered {
			continue
		}
		s.retention.again()
		config := logConfig(c.meta)
		for _, t := range s.tabletsOf(c.table) {
			if l := t.leading.Load(); l != nil {
				errs = append(errs, l.log.Configure(config))
				s.due.Add(t, 0)
			}
		}
	}
	return errors.Join(errs...)
}

// tabletsOf are the table's tablets that were ever asked for.
func (s *Server) tabletsOf(t *table) (tablets []*Tablet) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range t.partitions {
		for _, tablet := range p.tablets {
			tablets = append(tablets, tablet)
		}
	}
	return tablets
}

// assignLocked takes over assignments, those of one partition at a time. The caller holds mu.
func (s *Server) assignLocked(assignments []quiver.Assignment) {
	for len(assignments) > 0 {
		first, n := assignments[0].Bucket, 1
		for n < len(assignments) && assignments[n].Bucket.Table == first.Table && assignments[n].Bucket.Partition == first.Partition {
			n++
		}
		if _, p, _ := s.findLocked(first); p != nil {
			p.assign(assignments[:n])
		}
		assignments = assignments[n:]
	}
}

// buried is what is not served any more, with the reason.
type buried struct {
	tables     map[*table]*quiver.Error
	partitions map[*partition]*quiver.Error
}

// bury ends the service of tables and partitions that are dropped, or absent.
func (s *Server) bury(d quiver.Desired, changes []change) {
	b := buried{tables: make(map[*table]*quiver.Error), partitions: make(map[*partition]*quiver.Error)}
	s.mu.Lock()
	s.buryTablesLocked(d, b)
	s.buryPartitionsLocked(d, changes, b)
	s.mu.Unlock()
	if len(b.tables)+len(b.partitions) == 0 {
		return
	}
	s.writers.mu.Lock() // whoever is staging has staged; the next one sees that the bucket is gone
	for t, why := range b.tables {
		t.gone.Store(why)
	}
	for p, why := range b.partitions {
		p.gone.Store(why)
	}
	s.writers.mu.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for t := range b.tables {
		t.wake()
		s.tellLocked(t.meta.Load().ID)
	}
	for p := range b.partitions {
		p.wake()
	}
}

func (s *Server) buryTablesLocked(d quiver.Desired, b buried) {
	present := make(map[quiver.TableID]struct{}, len(d.Tables))
	for _, meta := range d.Tables {
		present[meta.ID] = struct{}{}
	}
	for _, id := range d.Dropped {
		if _, known := s.dropped[id]; !known {
			s.dropped[id] = false
		}
		if t := s.tables[id]; t != nil {
			b.tables[t] = quiver.Errorf(quiver.TableNotFound, "the table was dropped").On("table " + t.meta.Load().Path())
		}
		delete(s.tables, id)
	}
	for id, t := range s.tables {
		if _, ok := present[id]; !ok {
			b.tables[t] = quiver.Errorf(quiver.LeaderNotAvailable, "the table is not served here any more").
				On("table " + t.meta.Load().Path()).Advise("send it again")
			delete(s.tables, id)
		}
	}
}

func (s *Server) buryPartitionsLocked(d quiver.Desired, changes []change, b buried) {
	for _, ref := range d.DroppedPartitions {
		if _, known := s.cut[ref]; !known {
			s.cut[ref] = false
		}
	}
	for _, c := range changes {
		for _, removed := range c.removed {
			p := c.table.partitions[removed.ID]
			delete(c.table.partitions, removed.ID)
			if _, dropped := s.cut[quiver.PartitionRef{Table: c.meta.ID, Partition: removed.ID}]; dropped {
				b.partitions[p] = quiver.Errorf(quiver.PartitionNotFound, "the partition was dropped").On(p.subject())
			} else {
				b.partitions[p] = quiver.Errorf(quiver.LeaderNotAvailable, "the partition is not served here any more").
					On(p.subject()).Advise("send it again")
			}
		}
	}
}

// removeDropped removes the data of dropped tables and partitions that is still there.
func (s *Server) removeDropped() {
	s.mu.RLock()
	var tables []quiver.TableID
	for id, removed := range s.dropped {
		if !removed {
			tables = append(tables, id)
		}
	}
	var partitions []quiver.PartitionRef
	for ref, removed := range s.cut {
		if !removed {
			partitions = append(partitions, ref)
		}
	}
	s.mu.RUnlock()
	tables = slices.DeleteFunc(tables, func(id quiver.TableID) bool {
		err := s.disk.RemoveTable(id)
		if err != nil {
			s.options.Logger.Error("remove a dropped table, to be tried again", "table", id, "err", err)
		}
		return err != nil
	})
	if len(partitions) > 0 {
		removed, err := s.disk.RemovePartitions(partitions)
		if err != nil {
			s.options.Logger.Error("remove dropped partitions, to be tried again", "partitions", len(partitions)-len(removed), "err", err)
		}
		partitions = removed
	}
	if len(tables)+len(partitions) == 0 {
		return
	}
	if err := s.rows.drop(tables, partitions); err != nil {
		s.options.Logger.Error("remove the rows of what was dropped, to be tried again", "tables", len(tables), "partitions", len(partitions), "err", err)
		return
	}
	s.mu.Lock()
	for _, id := range tables {
		s.dropped[id] = true
	}
	for _, ref := range partitions {
		s.cut[ref] = true
	}
	s.mu.Unlock()
	s.forgetRemoved()
}

// forgetRemoved takes the tablets whose data was removed off the lists of those with an open log.
func (s *Server) forgetRemoved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.opened {
		if s.dropped[t.id.Table] || s.cut[quiver.PartitionRef{Table: t.id.Table, Partition: t.id.Partition}] {
			delete(s.opened, t)
			s.due.Remove(t)
		}
	}
}

// removeAgain is for a log that was opened while its table or partition was dropped: the removal may not have seen it.
func (s *Server) removeAgain(id quiver.BucketID) {
	ref := quiver.PartitionRef{Table: id.Table, Partition: id.Partition}
	s.mu.Lock()
	_, dropped := s.dropped[id.Table]
	if dropped {
		s.dropped[id.Table] = false
	}
	_, cut := s.cut[ref]
	if cut {
		s.cut[ref] = false
	}
	s.mu.Unlock()
	if dropped || cut {
		s.removeDropped()
	}
}

// Removed tells whether a dropped table's data is gone here, so that its tombstone may go.
func (s *Server) Removed(id quiver.TableID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dropped[id]
}

// PartitionRemoved tells whether a dropped partition's data is gone here, so that its tombstone may go.
func (s *Server) PartitionRemoved(ref quiver.PartitionRef) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cut[ref]
}
