package arrowlog

import (
	"fmt"

	"github.com/quiverlog/quiver"
)

// RemoveTable deletes the logs of all buckets of a table for ever, also of those that were never opened: whatever
// lies in the table's directory. Reads that are under way may fail. The caller sees to it that none of them is opened
// again, or removes once more.
func (d *Disk) RemoveTable(id quiver.TableID) error {
	slots, err := d.bury(id)
	if err != nil {
		return err
	}
	for bucket, s := range slots {
		s.mu.Lock()
		if s.log != nil {
			s.log.shut(errRemoved(bucket))
			s.log = nil
		}
		s.removed = true // for those who hold the slot already
		s.mu.Unlock()
	}
	if err := pointRemoveLog.Hit(); err != nil {
		return err
	}
	if err := d.removeTableDir(id); err != nil {
		return fmt.Errorf("arrowlog: remove the logs of table %d: %w", id, err)
	}
	d.dropSlots(slots)
	return d.forgetMarks(id)
}

// dropSlots takes the buckets off the disk's list.
func (d *Disk) dropSlots(slots map[quiver.BucketID]*slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for bucket := range slots {
		delete(d.slots, bucket)
	}
}

// bury gives the table's slots, and lets no new one come: a log that a late call opened would lose its files while it
// writes them, which is no different from a disk that fails. The slots stay until the files are gone, so that another
// call of RemoveTable waits for the logs as well.
func (d *Disk) bury(id quiver.TableID) (map[quiver.BucketID]*slot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed(quiver.BucketID{Table: id})
	}
	d.removed[id] = struct{}{}
	slots := map[quiver.BucketID]*slot{}
	for bucket, s := range d.slots {
		if bucket.Table == id {
			slots[bucket] = s
		}
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

// forgetMarks removes the table's buckets from the checkpoint.
func (d *Disk) forgetMarks(id quiver.TableID) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	found := false
	for bucket := range d.marks.byID {
		if bucket.Table == id {
			d.marks.remove(bucket)
			found = true
		}
	}
	if !found {
		return nil
	}
	return d.writeMarks()
}
