package record

import "github.com/quiverlog/quiver"

// Stats is what a stored batch's header tells of the values in its columns, for skipping. nil: nothing.
type Stats struct{}

// Column gives what is known of a top-level column; ok is false where that is nothing.
func (s *Stats) Column(id quiver.ColumnID) (c quiver.ColumnStats, ok bool) {
	return quiver.ColumnStats{}, false
}
