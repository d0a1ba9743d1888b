package quiver

// Desired is what the coordinator wants of a server, complete and idempotent: the server converges to it, however
// far behind it was. Of two, the one with the higher Version is the newer; a server ignores an older one.
//
// What is absent from it is not served. It is never deleted for that: absence in metadata is no permission.
type Desired struct {
	Version     int64
	Tables      []*Table
	Assignments []Assignment
	Writers     []WriterGrant
	NextWriter  WriterID  // writer ids below it were issued, the others were not
	Dropped     []TableID // tombstones: the data of these tables is to be removed, and of no others
	// DroppedPartitions are tombstones of partitions, likewise.
	DroppedPartitions []PartitionRef
}

// PartitionRef names one partition of one table.
type PartitionRef struct {
	Table     TableID
	Partition PartitionID
}

// Assignment makes a server the leader of a bucket for one epoch.
type Assignment struct {
	Bucket BucketID
	Epoch  Epoch
}

// WriterGrant is the newest life of a producer. Batches of its older epochs are refused.
type WriterGrant struct {
	ID     WriterID
	Epoch  Epoch
	Raised int64 // when the epoch was granted, Unix milliseconds; it counts as use for writer.expiry
}
