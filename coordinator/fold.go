package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// Load gives the state that a store holds. A store that holds something this program does not understand is refused,
// with an error that names the key: INTERNAL, nothing was changed.
func Load(ctx context.Context, store metastore.Reader) (*State, error) {
	s := &State{}
	_, err := store.Range(ctx, "", func(e metastore.Entry) error {
		if e.Key == headKey {
			s.version = e.Version
		}
		if err := s.load(e.Key, e.Value); err != nil {
			return damaged(e.Key, err)
		}
		return nil
	})
	if err == nil {
		err = s.complete()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// damaged is the error of a key that cannot be understood.
func damaged(key string, err error) error {
	return quiver.Errorf(quiver.Internal, "%v", err).On("metadata key " + key).During("coordinator.load").Because(err).WithOutcome(quiver.NotDone).
		Advise("the metadata was damaged, or written by a newer program: start that one, or restore a copy of the directory")
}

// load takes one key that is loaded in the order of keys. What is derived from several keys is left to complete.
func (s *State) load(key string, value []byte) error {
	switch {
	case strings.HasPrefix(key, tablePrefix):
		t, err := parseTable(key, value)
		if err == nil {
			s.tables = append(s.tables, t)
		}
		return err
	case strings.HasPrefix(key, electPrefix):
		a, err := parseElect(key, value)
		if err == nil {
			s.elected = append(s.elected, a)
		}
		return err
	case strings.HasPrefix(key, partitionPrefix):
		p, err := parsePartition(key, value)
		if err == nil {
			s.loaded = append(s.loaded, p)
		}
		return err
	}
	return s.put(key, value)
}

// complete derives what follows from all keys together, and checks that they fit each other.
func (s *State) complete() error {
	s.paths = slices.Clone(s.tables)
	slices.SortStableFunc(s.paths, func(a, b *quiver.Table) int {
		if a.Database != b.Database {
			return strings.Compare(a.Database, b.Database)
		}
		return strings.Compare(a.Name, b.Name)
	})
	for i, t := range s.paths {
		if i > 0 && t.Path() == s.paths[i-1].Path() {
			return damaged(idKey(tablePrefix, t.ID), fmt.Errorf("it has the name of table %d, %s", s.paths[i-1].ID, t.Path()))
		}
		if t.ID >= s.NextTable {
			return damaged(idKey(tablePrefix, t.ID), fmt.Errorf("the next table is to be %d", s.NextTable))
		}
	}
	if err := s.completePartitions(); err != nil {
		return err
	}
	if err := s.checkCursors(); err != nil {
		return err
	}
	if n := len(s.writers); n > 0 && s.writers[n-1].ID >= s.NextWriter {
		return damaged(idKey(writerPrefix, s.writers[n-1].ID), fmt.Errorf("the next writer is to be %d", s.NextWriter))
	}
	s.stale = true
	s.settle()
	return nil
}

// settle derives what single keys left to be derived. It is done before a state is shown.
func (s *State) settle() {
	if s.stale {
		s.stale = false
		s.assign()
	}
}

// fold applies a transaction that was done, or is about to be, and that Apply made for this state. The state is to be
// settled afterwards.
func (s *State) fold(txn *metastore.Txn) error {
	for _, p := range txn.Puts {
		if err := s.put(p.Key, p.Value); err != nil {
			return damaged(p.Key, err)
		}
	}
	for _, key := range txn.Deletes {
		if err := s.remove(key); err != nil {
			return damaged(key, err)
		}
	}
	return nil
}

// put takes the new value of a key.
func (s *State) put(key string, value []byte) error {
	family, name, _ := strings.Cut(key, "/")
	switch family + "/" {
	case headKey + "/":
		return s.putHead(value)
	case databasePrefix:
		return s.putDatabase(name, value)
	case tablePrefix:
		return s.putTable(key, value)
	case droppedPrefix:
		return s.putDropped(key, value)
	case electPrefix:
		return s.putElect(key, value)
	case writerPrefix:
		return s.putWriter(key, value)
	case cursorPrefix:
		return s.putCursor(key, value)
	case counterPrefix:
		return s.putCounter(key, value)
	case partitionPrefix:
		return s.putPartition(key, value)
	case droppedPartitionPrefix:
		return s.putDroppedPartition(key, value)
	}
	return fmt.Errorf("it is of no known family")
}

// remove takes the deletion of a key.
func (s *State) remove(key string) error {
	switch family, name, _ := strings.Cut(key, "/"); family + "/" {
	case databasePrefix:
		return s.removeDatabase(name)
	case cursorPrefix:
		return s.removeCursor(key)
	case counterPrefix:
		return s.removeCounter(key)
	case tablePrefix:
		return s.removeTable(key)
	case droppedPrefix:
		return s.removeDropped(key)
	case electPrefix:
		return s.removeElect(key)
	case writerPrefix:
		return s.removeWriter(key)
	case partitionPrefix:
		return s.removePartition(key)
	case droppedPartitionPrefix:
		return s.removeDroppedPartition(key)
	}
	return fmt.Errorf("keys of its family are not deleted")
}

func (s *State) putHead(value []byte) error {
	h, err := parseRecord[head](value)
	switch {
	case err != nil:
		return err
	case h.Format < 1 || h.Format > format:
		return fmt.Errorf("its format is %d, this program knows 1 to %d", h.Format, format)
	case h.Format == 1 && h.NextPartition == 0:
		h.NextPartition = 1
	case h.NextPartition < 1:
		return fmt.Errorf("its counters are impossible: %s", value)
	}
	if h.Base < 1 || h.Base > h.Epoch || h.NextTable < 1 || h.NextWriter < 1 {
		return fmt.Errorf("its counters are impossible: %s", value)
	}
	if h.Base != s.Base {
		s.stale = true
	}
	s.head = h
	return nil
}

func (s *State) putDatabase(name string, value []byte) error {
	r, err := parseRecord[databaseRecord](value)
	if err != nil {
		return err
	}
	i, found := findDatabase(s.databases, name)
	s.databases = with(s.databases, i, found, Database{Name: name, Comment: r.Comment, Properties: r.Properties, Created: r.Created})
	return nil
}

func parseTable(key string, value []byte) (*quiver.Table, error) {
	id, err := parseIDKey[quiver.TableID](tablePrefix, key)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord[tableRecord](value)
	if err != nil {
		return nil, err
	}
	return r.table(id)
}

func (s *State) putTable(key string, value []byte) error {
	t, err := parseTable(key, value)
	if err != nil {
		return err
	}
	i, found := findTable(s.tables, t.ID)
	if found {
		t.Partitions = t.RenamePartitions(s.tables[i].Partitions)
	}
	s.setTable(i, found, t)
	if !found && i == len(s.tables)-1 && !t.Partitioned() {
		s.assignPartition(t, 0)
	} else if !found {
		s.stale = true
	}
	return nil
}

// setTable puts a table in its place among the tables.
func (s *State) setTable(i int, replace bool, t *quiver.Table) {
	s.tables = with(s.tables, i, replace, t)
	i, found := findPath(s.paths, t.Database, t.Name)
	s.paths = with(s.paths, i, found, t)
}

// assignPartition appends the buckets of a partition that is behind all others.
func (s *State) assignPartition(t *quiver.Table, id quiver.PartitionID) {
	s.assignments = slices.Grow(s.assignments, int(t.Buckets))
	elected, _ := findAssignment(s.elected, quiver.BucketID{Table: t.ID, Partition: id})
	for b := range t.Buckets {
		bucket := quiver.BucketID{Table: t.ID, Partition: id, Bucket: b}
		epoch := s.Base
		if elected < len(s.elected) && s.elected[elected].Bucket == bucket {
			epoch = max(epoch, s.elected[elected].Epoch)
			elected++
		}
		s.assignments = append(s.assignments, quiver.Assignment{Bucket: bucket, Epoch: epoch})
	}
}

// assign derives all assignments anew.
func (s *State) assign() {
	n := 0
	for _, t := range s.tables {
		n += bucketsOf(t)
	}
	s.assignments = make([]quiver.Assignment, 0, n)
	var ids []quiver.PartitionID
	for _, t := range s.tables {
		if !t.Partitioned() {
			s.assignPartition(t, 0)
			continue
		}
		ids = ids[:0]
		for _, p := range t.Partitions {
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
		for _, id := range ids {
			s.assignPartition(t, id)
		}
	}
}

// bucketsOf counts the buckets of a table over its partitions.
func bucketsOf(t *quiver.Table) int {
	if t.Partitioned() {
		return len(t.Partitions) * int(t.Buckets)
	}
	return int(t.Buckets)
}

func (s *State) removeTable(key string) error {
	id, err := parseIDKey[quiver.TableID](tablePrefix, key)
	if err != nil {
		return err
	}
	i, found := findTable(s.tables, id)
	if !found {
		return nil
	}
	t := s.tables[i]
	s.tables = without(s.tables, i, i+1)
	if i, found = findPath(s.paths, t.Database, t.Name); found {
		s.paths = without(s.paths, i, i+1)
	}
	s.stale = true
	return nil
}

func (s *State) putDropped(key string, value []byte) error {
	id, err := parseIDKey[quiver.TableID](droppedPrefix, key)
	if err != nil {
		return err
	}
	r, err := parseRecord[droppedRecord](value)
	if err != nil {
		return err
	}
	i, found := findTombstone(s.dropped, id)
	s.dropped = with(s.dropped, i, found, Tombstone{
		Table: id, Path: r.Database + "." + r.Name, Buckets: r.Buckets, Dropped: r.Dropped,
	})
	s.droppedIDs = with(s.droppedIDs, i, found, id)
	return nil
}

func (s *State) removeDropped(key string) error {
	id, err := parseIDKey[quiver.TableID](droppedPrefix, key)
	if i, found := findTombstone(s.dropped, id); err == nil && found {
		s.dropped = without(s.dropped, i, i+1)
		s.droppedIDs = without(s.droppedIDs, i, i+1)
	}
	return err
}

func parseElect(key string, value []byte) (quiver.Assignment, error) {
	b, err := parseElectKey(key)
	if err != nil {
		return quiver.Assignment{}, err
	}
	r, err := parseRecord[electRecord](value)
	return quiver.Assignment{Bucket: b, Epoch: r.Epoch}, err
}

func (s *State) putElect(key string, value []byte) error {
	a, err := parseElect(key, value)
	if err != nil {
		return err
	}
	i, found := findAssignment(s.elected, a.Bucket)
	s.elected = with(s.elected, i, found, a)
	s.reassign(a.Bucket)
	return nil
}

func (s *State) removeElect(key string) error {
	b, err := parseElectKey(key)
	if i, found := findAssignment(s.elected, b); err == nil && found {
		s.elected = without(s.elected, i, i+1)
		s.reassign(b)
	}
	return err
}

// reassign derives the assignment of one bucket anew.
func (s *State) reassign(b quiver.BucketID) {
	if s.stale {
		return
	}
	if i, found := findAssignment(s.assignments, b); found {
		s.assignments = with(s.assignments, i, true, quiver.Assignment{Bucket: b, Epoch: s.epoch(b)})
	}
}

func (s *State) putWriter(key string, value []byte) error {
	id, err := parseIDKey[quiver.WriterID](writerPrefix, key)
	if err != nil {
		return err
	}
	r, err := parseRecord[writerRecord](value)
	if err != nil {
		return err
	}
	grant := quiver.WriterGrant{ID: id, Epoch: r.Epoch, Raised: r.Raised}
	w := &writer{WriterGrant: grant, name: r.Name, principal: r.Principal}
	i, found := findWriter(s.writers, id)
	s.writers = with(s.writers, i, found, w)
	s.grants = with(s.grants, i, found, grant)
	if w.name != "" {
		i, found = findNamed(s.named, w.principal, w.name)
		s.named = with(s.named, i, found, w)
	}
	return nil
}

func (s *State) removeWriter(key string) error {
	id, err := parseIDKey[quiver.WriterID](writerPrefix, key)
	if i, found := findWriter(s.writers, id); err == nil && found {
		if s.writers[i].name != "" {
			return fmt.Errorf("writer %d has a name", id)
		}
		s.writers = without(s.writers, i, i+1)
		s.grants = without(s.grants, i, i+1)
	}
	return err
}
