package node

import (
	"fmt"
	"path/filepath"

	"github.com/quiverlog/quiver"
)

// checkLogs refuses metadata that is older than the logs. A table is in the metadata before it has a directory, and its
// tombstone stays until the directory is gone; so logs of a table that the metadata does not know mean that a part of
// the metadata is lost: its write-ahead log was cut, or an old copy was put in its place. Going on would give the
// table's id to another table, which would then find these rows.
func (n *Node) checkLogs() error {
	logs, err := n.disk.Tables()
	if err != nil {
		return err
	}
	known := map[quiver.TableID]bool{}
	desired := n.coordinator.Desired()
	for _, table := range desired.Tables {
		known[table.ID] = true
	}
	for _, id := range desired.Dropped {
		known[id] = true
	}
	for _, id := range logs {
		if !known[id] {
			return fmt.Errorf("there are logs of table %d in %s, but the metadata in %s does not know it: the metadata is damaged or "+
				"older than the logs; restore it, or move that directory away to go on without the table",
				id, filepath.Join(n.options.Data, "log", fmt.Sprint(uint64(id))), filepath.Join(n.options.Data, "meta"))
		}
	}
	return nil
}
