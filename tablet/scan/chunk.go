package scan

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Chunk is one batch to be sent: the rows [From, Until) of one bucket, in the columns of the scan.
type Chunk struct {
	Bucket        int32
	From          quiver.Offset
	Until         quiver.Offset // where to take up
	Timestamp     int64         // of the last row, Unix milliseconds; of an idle chunk that of the bucket's last chunk, 0 before it
	HighWatermark quiver.Offset // of the bucket, when the chunk was made
	Batch         *record.Batch // one reference is the caller's; an idle chunk's has no rows
	Idle          bool          // a sign of life of a following scan: nothing came
}

// Rows is the number of rows.
func (c *Chunk) Rows() int64 { return int64(c.Until - c.From) }
