package quiver

import "fmt"

// TableID names a table for ever: it is never reused, also not for a new table of the same name.
type TableID uint64

// PartitionID names a partition of a table for ever. Unpartitioned tables have the one partition 0.
type PartitionID uint64

// WriterID names a producer for ever.
type WriterID uint64

// NoWriter stands for rows whose producer gave no identity.
const NoWriter = ^WriterID(0)

// ColumnID names a column, nested ones too, within its table for ever. It is the Iceberg field id.
type ColumnID int32

// SchemaID numbers the schemas of a table, from 1, rising with every change.
type SchemaID int32

// Offset counts the rows of one bucket, from 0, with no gap and no repeat. Ends are exclusive.
type Offset int64

// Epoch counts the leaderships of a bucket, or the lives of a writer. The higher one wins everywhere.
type Epoch int32

// Sequence counts the batches of one writer to one table, from 0.
type Sequence int64

// NoSequence stands for "none yet": no batch before this one, or a batch that carries no sequence.
const NoSequence = Sequence(-1)

// BucketID names one bucket: the unit of order, of storage and of leadership.
type BucketID struct {
	Table     TableID
	Partition PartitionID
	Bucket    int32
}

// String formats the id as table/partition/bucket, which is also the bucket's directory below data/log.
func (b BucketID) String() string {
	return fmt.Sprintf("%d/%d/%d", b.Table, b.Partition, b.Bucket)
}
