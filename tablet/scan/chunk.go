package scan

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// NoBucket stands for the bucket of an idle chunk of a table that has none.
const NoBucket = int32(-1)

// Chunk is one batch to be sent: the rows of [From, Until) of one bucket that match the filter, in the columns of the
// scan.
type Chunk struct {
	Bucket        int32  // NoBucket: none
	Partition     string // "" on unpartitioned tables
	From          quiver.Offset
	Until         quiver.Offset // where to take up
	Timestamp     int64         // of the last row read, Unix milliseconds; of an idle chunk that of the bucket's last chunk, 0 before it
	HighWatermark quiver.Offset // of the bucket, when the chunk was made
	Batch         *record.Batch // one reference is the caller's; that of an idle chunk or of a range without a match has no rows
	Idle          bool          // a sign of life of a following scan: nothing was read
}

// Rows is the number of rows.
func (c *Chunk) Rows() int64 { return int64(c.Batch.Rows()) }
