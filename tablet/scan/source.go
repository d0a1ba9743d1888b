package scan

import (
	"context"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Source is one bucket, as a scan reads it. It may be opened by the first call, so every call that could have to do
// so takes a context.
type Source interface {
	// Bucket is the bucket's number within its table.
	Bucket() int32
	// Offsets tells what can be read now: [Start, HighWatermark). A dropped table answers TABLE_NOT_FOUND.
	Offsets(ctx context.Context) (Offsets, error)
	// End is one past the last row that has an offset, readable or not: whatever comes later gets this offset or a
	// higher one, and is stamped with the time at which it is written.
	End(ctx context.Context) (quiver.Offset, error)
	// OffsetAt is the offset of the first row that is not older than the timestamp (Unix milliseconds), or the high
	// watermark if there is none.
	OffsetAt(ctx context.Context, timestamp int64) (quiver.Offset, error)
	// Read opens a reader over [from, until), which lies below the high watermark. columns are places in the table's
	// stored schema, in the order wanted; nil means all, an empty list none.
	Read(ctx context.Context, from, until quiver.Offset, columns []int) (Reader, error)
	// Subscribe lets the channel be sent to, without blocking, whenever Offsets may answer something new.
	Subscribe(ch chan<- struct{}) (cancel func())
}

// Offsets is what can be read of a bucket: rows in [Start, HighWatermark).
type Offsets struct {
	Start         quiver.Offset
	HighWatermark quiver.Offset
	Shown         time.Time // when the high watermark came to where it is; zero: before the log was opened
}

// Reader gives stored batches in offset order, each with its stored header and with one reference for the caller.
// The first and the last may stick out of the range that was asked for. Next ends with io.EOF.
type Reader interface {
	Next() (*record.Batch, error)
	Close()
}
