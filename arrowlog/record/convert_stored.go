package record

import "github.com/quiverlog/quiver"

// Convert gives the same rows in another schema of their table: columns are kept, left out, moved, cast or filled as
// the mapping says. to is the layout of the mapping's columns. Bytes that need no change are shared, not copied.
func (b *Batch) Convert(m *quiver.Mapping, to *Layout) (*Batch, error) {
	return nil, quiver.Errorf(quiver.Internal, "record: Convert is not built")
}
