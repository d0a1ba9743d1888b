package tablet

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/tablet/scan"
)

// Sources are buckets of a table as scan reads them, by partition and number: those of one partition, or of all (nil),
// and of each the bucket with the number, or all (nil). A partition that was dropped since the caller heard of the table
// is none of all. The error is TABLE_NOT_FOUND, PARTITION_NOT_FOUND or BUCKET_NOT_FOUND.
func (s *Server) Sources(t *quiver.Table, partition *quiver.Partition, bucket *int32) ([]scan.Source, error) {
	partitions := t.Partitions
	switch {
	case partition != nil:
		partitions = []quiver.Partition{*partition}
	case !t.Partitioned():
		partitions = []quiver.Partition{{}}
	}
	first, end := int32(0), t.Buckets
	if bucket != nil {
		first, end = *bucket, *bucket+1
	}
	sources := make([]scan.Source, 0, len(partitions)*int(end-first))
	for _, p := range partitions {
		for b := first; b < end; b++ {
			tablet, err := s.Tablet(quiver.BucketID{Table: t.ID, Partition: p.ID, Bucket: b})
			if partition == nil && quiver.ReasonOf(err) == quiver.PartitionNotFound {
				break
			}
			if err != nil {
				return nil, err
			}
			sources = append(sources, tablet)
		}
	}
	return sources, nil
}

// Buckets tells a following scan which buckets a table has: all, or the one with a number of each partition.
func (s *Server) Buckets(id quiver.TableID, bucket *int32) scan.Buckets {
	return buckets{s, id, bucket}
}

type buckets struct {
	server *Server
	table  quiver.TableID
	bucket *int32 // nil: all
}

func (b buckets) Table() (*quiver.Table, error) { return b.server.Table(b.table) }

func (b buckets) Sources(t *quiver.Table, p quiver.Partition) ([]scan.Source, error) {
	return b.server.Sources(t, &p, b.bucket)
}

func (b buckets) Watch(ch chan<- struct{}) (cancel func()) { return b.server.Watch(b.table, ch) }
