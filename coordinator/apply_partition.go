package coordinator

import (
	"fmt"
	"math"
	"time"

	"github.com/quiverlog/quiver"
)

// maxCreated bounds the partitions that one command makes.
const maxCreated = 10_000

func (c CreatePartitions) apply(s *State) (*change, error) {
	t, err := s.partitioned(c.Table)
	if err != nil {
		return nil, err
	}
	if len(c.Names) > maxCreated {
		return nil, quiver.Errorf(quiver.BadCommand, "%d partitions are to be made at once, at most %d can be", len(c.Names), maxCreated).
			On("table " + t.Path())
	}
	ch := s.newChange()
	made := map[string]quiver.Partition{}
	for _, name := range c.Names {
		canonical, values, err := t.ParsePartition(name)
		if err != nil {
			return nil, err
		}
		p, found := t.Partition(canonical)
		if !found && t.Expired(values, time.UnixMilli(c.Now)) {
			return nil, quiver.Errorf(quiver.PartitionNotFound, "it is older than partition.retain keeps, and would be dropped at once").
				On(fmt.Sprintf("table %s, partition %s", t.Path(), canonical)).
				Advise("raise the option partition.retain with table.alter, or leave such rows out")
		}
		if !found {
			p, found = made[canonical]
		}
		if found && !c.IfNotExists {
			return nil, quiver.Errorf(quiver.BadCommand, "it exists").On(fmt.Sprintf("table %s, partition %s", t.Path(), canonical)).
				Advise("set if_not_exists where that is no fault")
		}
		if !found {
			if p, err = ch.createPartition(t, canonical, len(made), c.Now); err != nil {
				return nil, err
			}
			made[canonical] = p
		}
		ch.result.Partitions = append(ch.result.Partitions, p)
	}
	ch.result.Changed = len(made) > 0
	return ch, nil
}

// createPartition makes one more partition of a table, whose canonical name is new; the change has made some already.
func (c *change) createPartition(t *quiver.Table, name string, made int, now int64) (quiver.Partition, error) {
	n := len(t.Partitions) + made + 1
	switch {
	case n > quiver.MaxPartitions:
		return quiver.Partition{}, quiver.Errorf(quiver.QuotaExceeded, "a table has at most %d partitions", quiver.MaxPartitions).
			On("table " + t.Path()).Advise("drop old ones, or partition by what has fewer values")
	case n*int(t.Buckets) > quiver.MaxPartitionBuckets:
		return quiver.Partition{}, quiver.Errorf(quiver.QuotaExceeded, "the partitions of a table have at most %d buckets together", quiver.MaxPartitionBuckets).
			On("table " + t.Path()).Advise("drop old ones, or take fewer buckets")
	case c.head.NextPartition == math.MaxUint64:
		return quiver.Partition{}, quiver.Errorf(quiver.Internal, "partition ids are used up").WithOutcome(quiver.NotDone)
	}
	p := quiver.Partition{ID: c.head.NextPartition, Name: name, Created: now}
	c.head.NextPartition++
	c.create(partitionKey(partitionPrefix, quiver.PartitionRef{Table: t.ID, Partition: p.ID}),
		partitionRecord{Values: quiver.SplitPartition(name), Created: now})
	return p, nil
}

func (c AutoPartitions) apply(s *State) (*change, error) {
	ch := s.newChange()
	left := maxCreated
	for _, t := range s.tables {
		left -= ch.autoPartitions(s, t, c.Now, left)
	}
	ch.result.Changed = left < maxCreated
	return ch, nil
}

// autoPartitions makes and drops the partitions of one table that the clock asks for, at most as many as limit, and
// counts them. Those that the limits of a table do not allow are left: whoever writes into them is told.
func (c *change) autoPartitions(s *State, t *quiver.Table, now int64, limit int) int {
	if t.Options.Auto.Unit == "" || limit <= 0 {
		return 0
	}
	create, drop := t.AutoPartitions(time.UnixMilli(now), limit)
	for _, p := range drop {
		c.dropPartition(s, t, p, now)
	}
	made := 0
	for _, name := range create {
		if _, err := c.createPartition(t, name, made, now); err != nil {
			break
		}
		made++
	}
	return made + len(drop)
}

func (c DropPartition) apply(s *State) (*change, error) {
	t, err := s.partitioned(c.Table)
	if err != nil {
		return nil, err
	}
	canonical, _, err := t.ParsePartition(c.Name)
	if err != nil {
		return nil, err
	}
	ch := s.newChange()
	p, found := t.Partition(canonical)
	switch {
	case !found && c.IfExists:
		return ch, nil
	case !found:
		return nil, noPartition(t, canonical)
	}
	ch.dropPartition(s, t, p, c.Now)
	ch.result = Result{Table: t, Changed: true, Partitions: []quiver.Partition{p}}
	return ch, nil
}

// dropPartition removes a partition with its elections and leaves a tombstone.
func (c *change) dropPartition(s *State, t *quiver.Table, p quiver.Partition, now int64) {
	ref := quiver.PartitionRef{Table: t.ID, Partition: p.ID}
	c.remove(partitionKey(partitionPrefix, ref))
	c.create(partitionKey(droppedPartitionPrefix, ref), droppedPartitionRecord{
		Name: t.Path() + " " + p.Name, Buckets: t.Buckets, Dropped: now,
	})
	i, _ := findAssignment(s.elected, quiver.BucketID{Table: t.ID, Partition: p.ID})
	for ; i < len(s.elected) && s.elected[i].Bucket.Table == t.ID && s.elected[i].Bucket.Partition == p.ID; i++ {
		c.remove(electKey(s.elected[i].Bucket))
	}
}

func (c PurgePartition) apply(s *State) (*change, error) {
	ch := s.newChange()
	if _, found := findPartitionTombstone(s.droppedPartitions, c.PartitionRef); found {
		ch.remove(partitionKey(droppedPartitionPrefix, c.PartitionRef))
		ch.result.Changed = true
	}
	return ch, nil
}

// partitioned gives a table by id. That it has no partitions is told where a partition's name is parsed.
func (s *State) partitioned(id quiver.TableID) (*quiver.Table, error) {
	if t := s.tableByID(id); t != nil {
		return t, nil
	}
	return nil, quiver.Errorf(quiver.TableNotFound, "it does not exist").On(fmt.Sprintf("table %d", id))
}

// noPartition is the error for a partition that does not exist.
func noPartition(t *quiver.Table, name string) error {
	err := quiver.Errorf(quiver.PartitionNotFound, "it does not exist").On(fmt.Sprintf("table %s, partition %s", t.Path(), name))
	if len(t.Partitions) <= maxSuggested {
		known := make([]string, len(t.Partitions))
		for i, p := range t.Partitions {
			known[i] = p.Name
		}
		if near := quiver.Nearest(name, known); near != "" {
			return err.Advise("there is " + near)
		}
	}
	return err.Advise("partition.list names those that exist")
}
