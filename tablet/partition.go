package tablet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
)

// table is one table's partitions here.
type table struct {
	meta atomic.Pointer[quiver.Table] // the newest
	gone atomic.Pointer[quiver.Error] // why it is not served any more; set once, under writers.mu

	mappings mappings

	strangersMu sync.Mutex
	strangers   map[quiver.WriterID]time.Time // writers that no bucket knew, and when that was found

	// Guarded by Server.mu.
	partitions map[quiver.PartitionID]*partition
}

func newTable(meta *quiver.Table) *table {
	t := &table{partitions: make(map[quiver.PartitionID]*partition, max(1, len(meta.Partitions)))}
	t.meta.Store(meta)
	if !meta.Partitioned() {
		t.add(quiver.Partition{})
	}
	for _, p := range meta.Partitions {
		t.add(p)
	}
	return t
}

func (t *table) add(p quiver.Partition) {
	made := &partition{table: t, id: p.ID, base: noEpoch}
	made.name.Store(&p.Name)
	t.partitions[p.ID] = made
}

// wake lets everyone who waits for news of the table look again.
func (t *table) wake() {
	for _, p := range t.partitions {
		p.wake()
	}
}

// noEpoch is the epoch of a bucket that nobody was told to lead.
const noEpoch = quiver.Epoch(-1)

// partition is the buckets of one partition here. One that nobody asked for takes no memory, however many there are:
// its epoch is the one that all of them have, but for those that were elected since.
type partition struct {
	table *table
	id    quiver.PartitionID
	name  atomic.Pointer[string]       // canonical; "" on unpartitioned tables. It follows the names of the columns
	gone  atomic.Pointer[quiver.Error] // as of its table

	// Guarded by Server.mu.
	base    quiver.Epoch           // of every bucket but those in raised
	raised  map[int32]quiver.Epoch // above base
	tablets map[int32]*Tablet      // those that were ever asked for
}

// epoch is the assigned epoch of a bucket.
func (p *partition) epoch(bucket int32) quiver.Epoch {
	if raised, ok := p.raised[bucket]; ok {
		return raised
	}
	return p.base
}

// assign takes over what the coordinator says of the partition's buckets, or of some of them. A lower epoch than the
// one heard of has no effect.
func (p *partition) assign(assignments []quiver.Assignment) {
	buckets := p.table.meta.Load().Buckets
	least, whole := assignments[0].Epoch, len(assignments) == int(buckets)
	for i, a := range assignments {
		least = min(least, a.Epoch)
		whole = whole && a.Bucket.Bucket == int32(i)
	}
	changed := whole && least > p.base
	if changed {
		p.lift(least)
	}
	for _, a := range assignments {
		b := a.Bucket.Bucket
		if a.Epoch <= p.base || b < 0 || b >= buckets || a.Epoch <= p.epoch(b) {
			continue
		}
		if p.raised == nil {
			p.raised = make(map[int32]quiver.Epoch)
		}
		p.raised[b] = a.Epoch
		changed = true
	}
	if !changed {
		return
	}
	for b, t := range p.tablets {
		t.raise(p.epoch(b))
	}
}

// lift raises the epoch of all buckets.
func (p *partition) lift(base quiver.Epoch) {
	p.base = base
	for b, epoch := range p.raised {
		if epoch <= base {
			delete(p.raised, b)
		}
	}
}

// wake lets everyone who waits for news of the partition's buckets look again.
func (p *partition) wake() {
	for _, t := range p.tablets {
		t.wake()
	}
}

// subject names the partition in errors.
func (p *partition) subject() string {
	subject := "table " + p.table.meta.Load().Path()
	if name := *p.name.Load(); name != "" {
		subject += ", partition " + name
	}
	return subject
}

// rename takes over the names of partitions: they follow those of the columns.
func (t *table) rename(partitions []quiver.Partition) {
	for i := range partitions {
		if p := t.partitions[partitions[i].ID]; p != nil && *p.name.Load() != partitions[i].Name {
			p.name.Store(&partitions[i].Name)
		}
	}
}

// differ compares the partitions of two versions of a table, by id: names may have changed. What both begin and end
// with costs no more than a look, however many there are.
func differ(old, now []quiver.Partition) (added, removed []quiver.Partition) {
	for len(old) > 0 && len(now) > 0 && old[0].ID == now[0].ID {
		old, now = old[1:], now[1:]
	}
	for len(old) > 0 && len(now) > 0 && old[len(old)-1].ID == now[len(now)-1].ID {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	return without(now, old), without(old, now)
}

// without gives the partitions of which no other has the id.
func without(some, others []quiver.Partition) (left []quiver.Partition) {
	ids := make(map[quiver.PartitionID]struct{}, len(others))
	for _, p := range others {
		ids[p.ID] = struct{}{}
	}
	for _, p := range some {
		if _, both := ids[p.ID]; !both {
			left = append(left, p)
		}
	}
	return left
}
