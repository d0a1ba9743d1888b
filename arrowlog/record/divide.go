package record

import "github.com/quiverlog/quiver"

// NoBucket stands for a row whose bucket is not decided by its content.
const NoBucket = int32(-1)

// Divider divides batches of a table by partition and bucket. It is made once for a schema and may be used by many
// goroutines.
type Divider struct {
	table *quiver.Table
}

// Share is the rows of a batch that fall into one bucket of one partition, in the order they had.
type Share struct {
	Partition string // canonical name; "" on unpartitioned tables
	Bucket    int32  // NoBucket on tables without bucket key
	Batch     *Batch // one reference is the caller's
}

// NewDivider makes the divider of a table. layout is that of its schema.
func NewDivider(table *quiver.Table, layout *Layout) (*Divider, error) {
	return &Divider{table: table}, nil
}

// Divide gives the shares of a batch, ordered by partition and bucket. Where all rows fall into one, its batch is the
// given one, retained. A row that cannot be placed (a partition value that is no name) is SCHEMA_MISMATCH.
func (d *Divider) Divide(b *Batch) ([]Share, error) {
	return []Share{{Bucket: NoBucket, Batch: b.Retain()}}, nil
}
