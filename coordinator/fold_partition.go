package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quiverlog/quiver"
)

// loadedPartition is a partition on its way to its table.
type loadedPartition struct {
	quiver.PartitionRef
	partitionRecord
}

func parsePartition(key string, value []byte) (loadedPartition, error) {
	ref, err := parsePartitionKey(partitionPrefix, key)
	if err != nil {
		return loadedPartition{}, err
	}
	r, err := parseRecord[partitionRecord](value)
	return loadedPartition{ref, r}, err
}

// in makes the partition as its table has it.
func (p loadedPartition) in(t *quiver.Table) (quiver.Partition, error) {
	name := t.JoinPartition(p.Values)
	if canonical, _, err := t.ParsePartition(name); err != nil || canonical != name {
		return quiver.Partition{}, fmt.Errorf("%q is no partition of table %s", p.Values, t.Path())
	}
	return quiver.Partition{ID: p.Partition, Name: name, Created: p.Created}, nil
}

// completePartitions gives the partitions that were loaded to their tables.
func (s *State) completePartitions() error {
	loaded := s.loaded
	s.loaded = nil
	for len(loaded) > 0 {
		n := 0
		for n < len(loaded) && loaded[n].Table == loaded[0].Table {
			n++
		}
		if err := s.completeTable(loaded[:n]); err != nil {
			return err
		}
		loaded = loaded[n:]
	}
	return nil
}

// completeTable gives partitions of one table to it. Nobody has seen the table yet.
func (s *State) completeTable(loaded []loadedPartition) error {
	t := s.tableByID(loaded[0].Table)
	for _, l := range loaded {
		key := partitionKey(partitionPrefix, l.PartitionRef)
		if t == nil {
			return damaged(key, fmt.Errorf("there is no table %d", l.Table))
		}
		if l.Partition >= s.NextPartition {
			return damaged(key, fmt.Errorf("the next partition is to be %d", s.NextPartition))
		}
		p, err := l.in(t)
		if err != nil {
			return damaged(key, err)
		}
		t.Partitions = append(t.Partitions, p)
	}
	slices.SortFunc(t.Partitions, func(a, b quiver.Partition) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(t.Partitions); i++ {
		if t.Partitions[i].Name == t.Partitions[i-1].Name {
			ref := quiver.PartitionRef{Table: t.ID, Partition: t.Partitions[i].ID}
			return damaged(partitionKey(partitionPrefix, ref), fmt.Errorf("partition %d has its name", t.Partitions[i-1].ID))
		}
	}
	return nil
}

// withPartitions replaces the partitions of a table.
func (s *State) withPartitions(t *quiver.Table, partitions []quiver.Partition) {
	changed := *t
	if changed.Partitions = partitions; len(partitions) == 0 {
		changed.Partitions = nil
	}
	i, _ := findTable(s.tables, t.ID)
	s.setTable(i, true, &changed)
}

func (s *State) putPartition(key string, value []byte) error {
	l, err := parsePartition(key, value)
	if err != nil {
		return err
	}
	t := s.tableByID(l.Table)
	if t == nil {
		return fmt.Errorf("there is no table %d", l.Table)
	}
	p, err := l.in(t)
	if err != nil {
		return err
	}
	i, found := findPartition(t.Partitions, p.Name)
	if found {
		return fmt.Errorf("partition %s exists", p.Name)
	}
	last := len(s.tables) > 0 && s.tables[len(s.tables)-1] == t
	s.withPartitions(t, with(t.Partitions, i, false, p))
	if last && !s.stale && s.behindAll(l.PartitionRef) {
		s.assignPartition(t, p.ID)
	} else {
		s.stale = true
	}
	return nil
}

// behindAll says that the buckets of a partition come after those of all others.
func (s *State) behindAll(ref quiver.PartitionRef) bool {
	n := len(s.assignments)
	return n == 0 || compareBuckets(s.assignments[n-1].Bucket, quiver.BucketID{Table: ref.Table, Partition: ref.Partition}) < 0
}

func findPartition(partitions []quiver.Partition, name string) (int, bool) {
	return slices.BinarySearchFunc(partitions, name, func(p quiver.Partition, name string) int { return cmp.Compare(p.Name, name) })
}

func (s *State) removePartition(key string) error {
	ref, err := parsePartitionKey(partitionPrefix, key)
	if err != nil {
		return err
	}
	t := s.tableByID(ref.Table)
	if t == nil {
		return nil // its table went in the same transaction
	}
	i := slices.IndexFunc(t.Partitions, func(p quiver.Partition) bool { return p.ID == ref.Partition })
	if i >= 0 {
		s.withPartitions(t, without(t.Partitions, i, i+1))
		s.stale = true
	}
	return nil
}

func (s *State) putDroppedPartition(key string, value []byte) error {
	ref, err := parsePartitionKey(droppedPartitionPrefix, key)
	if err != nil {
		return err
	}
	r, err := parseRecord[droppedPartitionRecord](value)
	if err != nil {
		return err
	}
	i, found := findPartitionTombstone(s.droppedPartitions, ref)
	s.droppedPartitions = with(s.droppedPartitions, i, found, PartitionTombstone{
		PartitionRef: ref, Path: r.Name, Buckets: r.Buckets, Dropped: r.Dropped,
	})
	s.droppedRefs = with(s.droppedRefs, i, found, ref)
	return nil
}

func (s *State) removeDroppedPartition(key string) error {
	ref, err := parsePartitionKey(droppedPartitionPrefix, key)
	if i, found := findPartitionTombstone(s.droppedPartitions, ref); err == nil && found {
		s.droppedPartitions = without(s.droppedPartitions, i, i+1)
		s.droppedRefs = without(s.droppedRefs, i, i+1)
	}
	return err
}
