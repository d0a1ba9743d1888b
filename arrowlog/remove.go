package arrowlog

import (
	"errors"
	"fmt"
	"maps"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
)

// The points of a removal. A crash at any of them leaves files or marks that nobody serves; the tombstone has the next
// start remove them again.
var (
	pointRemovePartition = fault.New("arrowlog.remove.before-partition")
	pointForgetMarks     = fault.New("arrowlog.remove.before-marks")
)

// RemoveTable deletes the logs of all buckets of a table for ever, also of those that were never opened: whatever
// lies in the table's directory. Reads that are under way may fail. The caller sees to it that none of them is opened
// again, or removes once more.
func (d *Disk) RemoveTable(id quiver.TableID) error {
	inTable := func(b quiver.BucketID) bool { return b.Table == id }
	slots, err := d.bury(inTable, func() { d.removed[id] = struct{}{} })
	if err != nil {
		return err
	}
	if err := pointRemoveLog.Hit(); err != nil {
		return err
	}
	if err := d.removeTableDir(id); err != nil {
		return fmt.Errorf("arrowlog: remove the logs of table %d: %w", id, err)
	}
	d.dropSlots(slots)
	return d.forgetMarks(inTable)
}

// RemovePartitions does to partitions what RemoveTable does to a table, and gives those that are gone. What went wrong
// with one does not keep the others.
func (d *Disk) RemovePartitions(refs []quiver.PartitionRef) (removed []quiver.PartitionRef, err error) {
	due := make(map[quiver.PartitionRef]struct{}, len(refs))
	for _, ref := range refs {
		due[ref] = struct{}{}
	}
	slots, err := d.bury(within(due), func() {
		for ref := range due {
			d.cut[ref] = struct{}{}
		}
	})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ref := range refs {
		if err := d.removePartitionDir(ref); err != nil {
			errs = append(errs, fmt.Errorf("arrowlog: remove the logs of table %d, partition %d: %w", ref.Table, ref.Partition, err))
			delete(due, ref)
			continue
		}
		removed = append(removed, ref)
	}
	gone := within(due)
	maps.DeleteFunc(slots, func(b quiver.BucketID, _ *slot) bool { return !gone(b) })
	d.dropSlots(slots)
	if err := d.forgetMarks(gone); err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	return removed, errors.Join(errs...)
}

// within tells the buckets of some partitions.
func within(refs map[quiver.PartitionRef]struct{}) func(quiver.BucketID) bool {
	return func(b quiver.BucketID) bool {
		_, ok := refs[quiver.PartitionRef{Table: b.Table, Partition: b.Partition}]
		return ok
	}
}

// dropSlots takes the buckets off the disk's list.
func (d *Disk) dropSlots(slots map[quiver.BucketID]*slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for bucket := range slots {
		delete(d.slots, bucket)
	}
}

// bury shuts the logs of some buckets and gives their slots, and lets no new one come, which note sees to: a log that a
// late call opened would lose its files while it writes them, which is no different from a disk that fails. The slots
// stay until the files are gone, so that another removal waits for the logs as well.
func (d *Disk) bury(of func(quiver.BucketID) bool, note func()) (map[quiver.BucketID]*slot, error) {
	slots := map[quiver.BucketID]*slot{}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errors.New("arrowlog: the disk is closed")
	}
	note()
	for bucket, s := range d.slots {
		if of(bucket) {
			slots[bucket] = s
		}
	}
	d.mu.Unlock()
	for bucket, s := range slots {
		s.mu.Lock()
		if s.log != nil {
			s.log.shut(errRemoved(bucket))
			s.log = nil
		}
		s.removed = true // for those who hold the slot already
		s.mu.Unlock()
	}
	return slots, nil
}

func (d *Disk) removeTableDir(id quiver.TableID) error {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	dir := d.fsys.PathJoin(d.dir, fmt.Sprint(uint64(id)))
	if _, err := d.fsys.Stat(dir); isNotExist(err) {
		return nil
	}
	if err := d.fsys.RemoveAll(dir); err != nil {
		return err
	}
	d.files.forgetBelow(dir)
	return d.syncDir(d.dir)
}

// removePartitionDir removes the directory of a partition. That of its table stays, since others may be made in it.
func (d *Disk) removePartitionDir(ref quiver.PartitionRef) error {
	if err := pointRemovePartition.Hit(); err != nil {
		return err
	}
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	table := d.fsys.PathJoin(d.dir, fmt.Sprint(uint64(ref.Table)))
	dir := d.fsys.PathJoin(table, fmt.Sprint(uint64(ref.Partition)))
	if _, err := d.fsys.Stat(dir); isNotExist(err) {
		return nil
	}
	if err := d.fsys.RemoveAll(dir); err != nil {
		return err
	}
	d.files.forgetBelow(dir)
	d.names.forget(dir)
	return d.syncDir(table)
}

// forgetMarks removes buckets from the checkpoint.
func (d *Disk) forgetMarks(of func(quiver.BucketID) bool) error {
	if err := pointForgetMarks.Hit(); err != nil {
		return err
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	found := false
	for bucket := range d.marks.byID {
		if of(bucket) {
			d.marks.remove(bucket)
			found = true
		}
	}
	if !found {
		return nil
	}
	return d.writeMarks()
}
