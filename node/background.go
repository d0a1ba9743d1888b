package node

import (
	"context"
	"time"
)

// healEvery is how often what could not be carried out is tried again.
const healEvery = 2 * time.Second

// heal brings the tablets to what the coordinator wants, where they did not follow at once, until the context ends.
func (n *Node) heal(ctx context.Context) error {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if n.coordinator.Unapplied() == nil {
				continue
			}
			if err := n.coordinator.Reconcile(ctx); err != nil {
				n.options.Logger.Warn("the tablets do not follow the coordinator, to be tried again", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// collectEvery is how often tombstones are looked at, and how old one is at least when it goes: long enough for a
// call that was under way when its table was dropped to have ended.
const collectEvery = time.Minute

// collect takes away the tombstones of tables whose data is gone, until the context ends.
func (n *Node) collect(ctx context.Context) error {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.purge(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// purge is one round of collect.
func (n *Node) purge(ctx context.Context) {
	n.purgePartitions(ctx)
	due := n.options.Now().Add(-collectEvery).UnixMilli()
	for _, tombstone := range n.coordinator.Tombstones() {
		if tombstone.Dropped > due || !n.tablets.Removed(tombstone.Table) {
			continue
		}
		if err := n.coordinator.PurgeTombstone(ctx, tombstone.Table); err != nil {
			n.options.Logger.Warn("a tombstone stays, to be tried again", "table", tombstone.Path, "err", err)
		}
	}
}

func (n *Node) purgePartitions(ctx context.Context) {
	due := n.options.Now().Add(-collectEvery).UnixMilli()
	for _, tombstone := range n.coordinator.PartitionTombstones() {
		if tombstone.Dropped > due || !n.tablets.PartitionRemoved(tombstone.PartitionRef) {
			continue
		}
		if err := n.coordinator.PurgePartition(ctx, tombstone.PartitionRef); err != nil {
			n.options.Logger.Warn("a tombstone stays, to be tried again", "partition", tombstone.Path, "err", err)
		}
	}
}

// autoEvery is how often the clock is looked at for partitions to make and to drop. They are made ahead, so it need
// not be exact.
const autoEvery = 10 * time.Second

// autoPartitions makes and drops partitions by the clock, until the context ends.
func (n *Node) autoPartitions(ctx context.Context) error {
	tick := time.NewTicker(autoEvery)
	defer tick.Stop()
	for {
		if err := n.coordinator.AutoPartitions(ctx, n.options.Now()); err != nil && ctx.Err() == nil {
			n.options.Logger.Warn("automatic partitions were not made, to be tried again", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
