package server

import (
	"context"
	"maps"
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

// route finds the bucket of each key. Keys of partitions that are not there have none; where they are to be inserted,
// these are made.
func (l *lookup) route(ctx context.Context, columns []arrow.Array) ([]keyRoute, error) {
	if columns[0].Len() == 0 {
		return nil, nil
	}
	for {
		table, err := l.service.coordinator.TableByID(l.table.ID)
		if err != nil {
			return nil, err
		}
		if !table.Partitioned() && table.Buckets == 1 {
			t, err := l.service.tablets.Tablet(quiver.BucketID{Table: table.ID})
			return []keyRoute{{t, nil}}, err
		}
		routes, missing, err := l.divide(table, columns)
		if err != nil || len(missing) == 0 || !l.command.InsertMissing {
			return routes, err
		}
		if _, err := l.service.makePartitions(ctx, table, missing); err != nil {
			return nil, err
		}
	}
}

// divide divides keys among buckets, and names the partitions that are not there.
func (l *lookup) divide(table *quiver.Table, columns []arrow.Array) (routes []keyRoute, missing []string, err error) {
	byBucket, absent := map[quiver.BucketID][]int32{}, map[string]bool{}
	for i := range columns[0].Len() {
		id, partition, err := bucketOfKey(table, columns, i)
		switch {
		case err != nil:
			return nil, nil, err
		case id.Partition == 0 && partition != "":
			absent[partition] = true
		default:
			byBucket[id] = append(byBucket[id], int32(i))
		}
	}
	routes = make([]keyRoute, 0, len(byBucket))
	for id, which := range byBucket {
		t, err := l.service.tablets.Tablet(id)
		if err != nil {
			return nil, nil, err
		}
		routes = append(routes, keyRoute{t, which})
	}
	return routes, slices.Sorted(maps.Keys(absent)), nil
}

// bucketOfKey gives the bucket of a whole key, whose columns are in the order of the primary key, and the name of its
// partition, if the table has any. The partition has no id where it is not there.
func bucketOfKey(table *quiver.Table, columns []arrow.Array, i int) (id quiver.BucketID, partition string, err error) {
	id = quiver.BucketID{Table: table.ID}
	value := func(column quiver.ColumnID) (arrow.DataType, any) {
		at := slices.Index(table.PrimaryKey, column)
		return columns[at].DataType(), valueAt(columns[at], i)
	}
	hashes := make([]uint32, len(table.BucketKey))
	for n, column := range table.BucketKey {
		dt, v := value(column)
		var ok bool
		if hashes[n], ok = quiver.HashValue(dt, v); !ok {
			return id, "", quiver.Errorf(quiver.Internal, "a key of %s has no bucket", dt)
		}
	}
	id.Bucket = quiver.BucketOf(hashes, table.Buckets)
	if !table.Partitioned() {
		return id, "", nil
	}
	values := make([]any, len(table.PartitionBy))
	for n, column := range table.PartitionBy {
		_, values[n] = value(column)
	}
	if partition, err = table.PartitionName(values); err != nil {
		return id, "", err
	}
	p, _ := table.Partition(partition)
	id.Partition = p.ID
	return id, partition, nil
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
