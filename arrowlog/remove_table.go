package arrowlog

import (
	"fmt"

	"github.com/quiverlog/quiver"
)

// RemoveTable deletes the logs of all buckets of a table for ever, also of those that were never opened: whatever
// lies in the table's directory. Reads that are under way may fail. The caller sees to it that none of them is opened
// again, or removes once more.
func (d *Disk) RemoveTable(id quiver.TableID) error {
	slots, err := d.takeSlots(id)
	if err != nil {
		return err
	}
	for bucket, s := range slots {
		s.mu.Lock()
		if s.log != nil {
			s.log.shut(errRemoved(bucket))
			s.log = nil
		}
		s.mu.Unlock()
	}
	if err := pointRemoveLog.Hit(); err != nil {
		return err
	}
	if err := d.removeTableDir(id); err != nil {
		return fmt.Errorf("arrowlog: remove the logs of table %d: %w", id, err)
	}
	return d.forgetMarks(id)
}

// takeSlots takes the table's buckets off the disk's list.
func (d *Disk) takeSlots(id quiver.TableID) (map[quiver.BucketID]*slot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed(quiver.BucketID{Table: id})
	}
	slots := map[quiver.BucketID]*slot{}
	for bucket, s := range d.slots {
		if bucket.Table == id {
			slots[bucket] = s
			delete(d.slots, bucket)
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
