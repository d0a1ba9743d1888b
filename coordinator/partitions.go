package coordinator

import (
	"context"
	"time"

	"github.com/quiverlog/quiver"
)

// CreatePartition makes a partition of a table and returns when its servers have it, with the table that has it. The
// name may be in any form that quiver.Table.ParsePartition takes. With ifNotExists it gives the one that exists, and
// then it costs no more than a look.
func (c *Coordinator) CreatePartition(ctx context.Context, id quiver.TableID, name string, ifNotExists bool) (quiver.Partition, *quiver.Table, error) {
	made, t, err := c.CreatePartitions(ctx, id, []string{name}, ifNotExists)
	if err != nil {
		return quiver.Partition{}, nil, err
	}
	return made[0], t, nil
}

// CreatePartitions makes several partitions of a table at once, all or none of them, and gives them in the order of
// their names. It costs one round, however many there are.
func (c *Coordinator) CreatePartitions(ctx context.Context, id quiver.TableID, names []string, ifNotExists bool) ([]quiver.Partition, *quiver.Table, error) {
	if ifNotExists {
		if found, t := c.findPartitions(id, names); t != nil {
			return found, t, nil
		}
	}
	r, err := c.do(ctx, CreatePartitions{Table: id, Names: names, IfNotExists: ifNotExists, Now: c.now()})
	if err != nil {
		return nil, nil, err
	}
	t, err := c.TableByID(id)
	return r.Partitions, t, err
}

// findPartitions gives partitions if all of them exist.
func (c *Coordinator) findPartitions(id quiver.TableID, names []string) ([]quiver.Partition, *quiver.Table) {
	t := c.shown.Load().tableByID(id)
	if t == nil {
		return nil, nil
	}
	found := make([]quiver.Partition, 0, len(names))
	for _, name := range names {
		canonical, _, err := t.ParsePartition(name)
		if err != nil {
			return nil, nil
		}
		p, ok := t.Partition(canonical)
		if !ok {
			return nil, nil
		}
		found = append(found, p)
	}
	return found, t
}

// AutoPartitions makes and drops the partitions that the clock, which says now, asks for, and returns when the servers
// have them. It writes nothing if there are none.
func (c *Coordinator) AutoPartitions(ctx context.Context, now time.Time) error {
	for {
		due := false
		for _, t := range c.shown.Load().tables {
			if t.Options.Auto.Unit != "" {
				create, drop := t.AutoPartitions(now, 1)
				due = due || len(create)+len(drop) > 0
			}
		}
		if !due {
			return nil
		}
		if r, err := c.do(ctx, AutoPartitions{Now: now.UnixMilli()}); err != nil || !r.Changed {
			return err
		}
	}
}

// DropPartition removes a partition and says whether there was one. Its data is deleted later.
func (c *Coordinator) DropPartition(ctx context.Context, id quiver.TableID, name string, ifExists bool) (bool, error) {
	r, err := c.do(ctx, DropPartition{Table: id, Name: name, IfExists: ifExists, Now: c.now()})
	return r.Changed, err
}

// PartitionTombstones gives the dropped partitions whose data is not known to be deleted yet.
func (c *Coordinator) PartitionTombstones() []PartitionTombstone {
	return c.shown.Load().droppedPartitions
}

// PurgePartition forgets a dropped partition whose data has been deleted.
func (c *Coordinator) PurgePartition(ctx context.Context, ref quiver.PartitionRef) error {
	_, err := c.do(ctx, PurgePartition{PartitionRef: ref})
	return err
}
