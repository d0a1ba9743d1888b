package server

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/tablet"
)

// keyRoute is the keys that belong to one bucket, by their places; nil: all.
type keyRoute struct {
	tablet *tablet.Tablet
	rows   []int32
}

// route finds the bucket of each key. Keys of partitions that are not there have none.
func (l *lookup) route(columns []arrow.Array) ([]keyRoute, error) {
	rows := columns[0].Len()
	if rows == 0 {
		return nil, nil
	}
	table, err := l.service.coordinator.TableByID(l.table.ID)
	if err != nil {
		return nil, err
	}
	if !table.Partitioned() && table.Buckets == 1 {
		t, err := l.service.tablets.Tablet(quiver.BucketID{Table: table.ID})
		return []keyRoute{{t, nil}}, err
	}
	byBucket := map[quiver.BucketID][]int32{}
	for i := range rows {
		id, ok, err := bucketOfKey(table, columns, i)
		if err != nil {
			return nil, err
		}
		if ok {
			byBucket[id] = append(byBucket[id], int32(i))
		}
	}
	routes := make([]keyRoute, 0, len(byBucket))
	for id, which := range byBucket {
		t, err := l.service.tablets.Tablet(id)
		if err != nil {
			return nil, err
		}
		routes = append(routes, keyRoute{t, which})
	}
	return routes, nil
}

// bucketOfKey gives the bucket of a whole key, whose columns are in the order of the primary key; ok is false where
// its partition is not there.
func bucketOfKey(table *quiver.Table, columns []arrow.Array, i int) (id quiver.BucketID, ok bool, err error) {
	id = quiver.BucketID{Table: table.ID}
	value := func(column quiver.ColumnID) (arrow.DataType, any) {
		at := slices.Index(table.PrimaryKey, column)
		return columns[at].DataType(), valueAt(columns[at], i)
	}
	hashes := make([]uint32, len(table.BucketKey))
	for n, column := range table.BucketKey {
		dt, v := value(column)
		if hashes[n], ok = quiver.HashValue(dt, v); !ok {
			return id, false, quiver.Errorf(quiver.Internal, "a key of %s has no bucket", dt)
		}
	}
	id.Bucket = quiver.BucketOf(hashes, table.Buckets)
	if !table.Partitioned() {
		return id, true, nil
	}
	values := make([]any, len(table.PartitionBy))
	for n, column := range table.PartitionBy {
		_, values[n] = value(column)
	}
	name, err := table.PartitionName(values)
	if err != nil {
		return id, false, err
	}
	p, ok := table.Partition(name)
	id.Partition = p.ID
	return id, ok, nil
}

// allTablets are those of all buckets of the table.
func (l *lookup) allTablets() ([]*tablet.Tablet, error) {
	table, err := l.service.coordinator.TableByID(l.table.ID)
	if err != nil {
		return nil, err
	}
	return l.service.tabletsOf(table, nil, nil)
}

// tabletsOf are the tablets of a table: of one partition or all, of one bucket or all.
func (s *Service) tabletsOf(table *quiver.Table, partition *quiver.Partition, bucket *int32) ([]*tablet.Tablet, error) {
	partitions := table.Partitions
	if !table.Partitioned() {
		partitions = []quiver.Partition{{}}
	}
	if partition != nil {
		partitions = []quiver.Partition{*partition}
	}
	var tablets []*tablet.Tablet
	for _, p := range partitions {
		for b := range table.Buckets {
			if bucket != nil && *bucket != b {
				continue
			}
			t, err := s.tablets.Tablet(quiver.BucketID{Table: table.ID, Partition: p.ID, Bucket: b})
			if partition == nil && quiver.ReasonOf(err) == quiver.PartitionNotFound {
				break // dropped since the table was heard of: it is none of all
			}
			if err != nil {
				return nil, err
			}
			tablets = append(tablets, t)
		}
	}
	return tablets, nil
}
