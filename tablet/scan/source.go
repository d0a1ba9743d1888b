package scan

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Source is one bucket, as a scan reads it. It may be opened by the first call, so every call that could have to do
// so takes a context.
type Source interface {
	// ID is the bucket.
	ID() quiver.BucketID
	// PartitionName is the canonical name of the bucket's partition, "" on unpartitioned tables.
	PartitionName() string
	// Offsets tells what can be read now: [Start, HighWatermark). A dropped table answers TABLE_NOT_FOUND, a dropped
	// partition PARTITION_NOT_FOUND.
	Offsets(ctx context.Context) (Offsets, error)
	// End is one past the last row that has an offset, readable or not: whatever comes later gets this offset or a
	// higher one, and is stamped with the time at which it is written.
	End(ctx context.Context) (quiver.Offset, error)
	// OffsetAt is the offset of the first row that is not older than the timestamp (Unix milliseconds), or the high
	// watermark if there is none.
	OffsetAt(ctx context.Context, timestamp int64) (quiver.Offset, error)
	// Read opens a reader over [from, until), which lies below the high watermark.
	Read(ctx context.Context, from, until quiver.Offset, spec ReadSpec) (Reader, error)
	// Subscribe lets the channel be sent to, without blocking, whenever Offsets may answer something new.
	Subscribe(ch chan<- struct{}) (cancel func())
}

// Pinner is a source whose rows expire. What a scan with an end is on its way to is kept from that, within limits: a
// scan of many buckets may come to the last one long after it began.
type Pinner interface {
	// Pin keeps the rows from an offset on; nil if there is nothing to keep.
	Pin(from quiver.Offset) Pin
}

// Pin keeps rows until it is released. Move lets go of those before an offset.
type Pin interface {
	Move(to quiver.Offset)
	Release()
}

// Offsets is what can be read of a bucket: rows in [Start, HighWatermark).
type Offsets struct {
	Start         quiver.Offset
	HighWatermark quiver.Offset
	Shown         time.Time // when the high watermark came to where it is; zero: before the log was opened
}

// ReadSpec says what a reader is to give.
type ReadSpec struct {
	// Columns are top-level columns by id, ascending; empty: none. One that was not stored with a batch is left out of
	// it: the batch's layout tells what it has.
	Columns []quiver.ColumnID
	// Skip says of a batch, by its metadata and the layout of all that was stored, that none of its rows are wanted.
	// nil: they are.
	Skip func(*record.Meta, *record.Layout) bool
}

// Reader gives stored batches in offset order. The first and the last may stick out of the range that was asked for.
type Reader interface {
	// Step gives the header of the next batch and the batch, with one reference for the caller; nil for a batch that is
	// skipped. It ends with io.EOF.
	Step() (record.Header, *record.Batch, error)
	Close()
}

// Buckets tells which buckets a table has, as partitions come and go.
type Buckets interface {
	// Table is the table as it is now. It is another pointer whenever something about the table has changed. A dropped
	// table answers TABLE_NOT_FOUND.
	Table() (*quiver.Table, error)
	// Sources are the buckets of one of its partitions that the scan is to read. A partition that was dropped meanwhile
	// answers PARTITION_NOT_FOUND.
	Sources(*quiver.Table, quiver.Partition) ([]Source, error)
	// Watch lets the channel be sent to, without blocking, whenever Table may answer something new.
	Watch(ch chan<- struct{}) (cancel func())
}

// Filter picks rows by a condition. It is package filter's, bound to the schema of the scan.
type Filter interface {
	// Columns are the top-level columns that the condition needs, System the system columns, by name.
	Columns() []quiver.ColumnID
	System() []string
	// Rows gives the places of the rows that match, ascending; nil if all do. The record has the needed columns, first
	// Columns, then System, by name.
	Rows(ctx context.Context, rec arrow.RecordBatch) ([]int32, error)
	// MayMatch is false only if none of so many rows, of whose columns something is known, can match.
	MayMatch(rows int64, column func(quiver.ColumnID) (quiver.ColumnStats, bool), system func(name string) (quiver.ColumnStats, bool)) bool
}
