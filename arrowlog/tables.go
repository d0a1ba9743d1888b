package arrowlog

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/quiverlog/quiver"
)

// Tables lists the tables that have a directory on the disk, in order. A caller that knows fewer has lost something.
func (d *Disk) Tables() ([]quiver.TableID, error) {
	names, err := d.fsys.List(d.dir)
	if err != nil {
		return nil, fmt.Errorf("arrowlog: list the log directory: %w", err)
	}
	var ids []quiver.TableID
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && strconv.FormatUint(n, 10) == name {
			ids = append(ids, quiver.TableID(n))
		}
	}
	slices.Sort(ids)
	return ids, nil
}
