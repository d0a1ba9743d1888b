package server

import (
	"fmt"
	"strconv"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet/scan"
)

// position translates a position of the wire to one in the table. word is the key it was given under, for errors.
func (s *Service) position(table *quiver.Table, word string, p flight.Position) (scan.Position, error) {
	at := scan.Position{Offset: p.Offset, Timestamp: p.Timestamp}
	switch p.Kind {
	case flight.Earliest:
		at.Place = scan.Earliest
	case flight.Latest:
		at.Place = scan.Latest
	case flight.AtOffset:
		at.Place = scan.AtOffset
	case flight.AtTimestamp:
		at.Place = scan.AtTimestamp
	case flight.AtOffsets:
		return vectorPosition(table, word, p.Offsets)
	case flight.AtCursor:
		offsets, err := s.cursorOffsets(table, p.Cursor)
		if err != nil {
			return at, err
		}
		return vectorPosition(table, word, offsets)
	}
	return at, nil
}

// vectorPosition is the position that an offset vector stands for.
func vectorPosition(table *quiver.Table, word string, o flight.Offsets) (scan.Position, error) {
	at := scan.Position{Place: scan.AtOffsets}
	switch {
	case !table.Partitioned() && len(o.Partitions) > 0:
		for name := range o.Partitions {
			return at, notPartitioned(table, name)
		}
	case !table.Partitioned():
		at.Offsets = o.Buckets
		return at, nil
	case len(o.Buckets) > 0:
		return at, quiver.Errorf(quiver.BadCommand, "%s names buckets, but the table is partitioned", word).On("table " + table.Path()).
			Advise(`name them within their partition: {"offsets": {"dt=2026-11-22": {"0": n}}}`)
	}
	at.Partitions = make(map[string]scan.PartitionOffsets, len(o.Partitions))
	var byID map[quiver.PartitionID]string
	for name, in := range o.Partitions {
		offsets := scan.PartitionOffsets{ID: in.ID, Offsets: in.Buckets}
		if in.ID == nil {
			canonical, _, err := table.ParsePartition(name)
			if err != nil {
				return at, err
			}
			at.Partitions[canonical] = offsets
			continue
		}
		// The id tells which one is meant, whatever its columns are called by now. One that is gone is skipped.
		if byID == nil {
			byID = partitionNames(table)
		}
		if now, there := byID[*in.ID]; there {
			at.Partitions[now] = offsets
		}
	}
	return at, nil
}

func partitionNames(table *quiver.Table) map[quiver.PartitionID]string {
	names := make(map[quiver.PartitionID]string, len(table.Partitions))
	for _, p := range table.Partitions {
		names[p.ID] = p.Name
	}
	return names
}

// findPartition finds a partition by any form of its name.
func findPartition(table *quiver.Table, name string) (quiver.Partition, error) {
	if !table.Partitioned() {
		return quiver.Partition{}, notPartitioned(table, name)
	}
	canonical, _, err := table.ParsePartition(name)
	if err != nil {
		return quiver.Partition{}, err
	}
	if p, there := table.Partition(canonical); there {
		return p, nil
	}
	err = quiver.Errorf(quiver.PartitionNotFound, "there is no partition %s", strconv.Quote(canonical)).On("table " + table.Path())
	return quiver.Partition{}, err.(*quiver.Error).Advise(nearestPartition(table, canonical)) //nolint:errorlint // it was just made
}

func nearestPartition(table *quiver.Table, name string) string {
	names := make([]string, 0, len(table.Partitions))
	for _, p := range table.Partitions {
		names = append(names, p.Name)
	}
	if near := quiver.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s? partition.list names them all", strconv.Quote(near))
	}
	return "partition.list names them all"
}

func notPartitioned(table *quiver.Table, partition string) error {
	if len(partition) > 100 {
		partition = partition[:100]
	}
	return quiver.Errorf(quiver.PartitionNotFound, "the table is not partitioned, there is no partition %q", partition).
		On("table " + table.Path()).Advise("leave the partition out")
}

// cursorOffsets tells where a committed cursor stands.
func (s *Service) cursorOffsets(table *quiver.Table, name string) (flight.Offsets, error) {
	cursor, err := s.coordinator.Cursor(table.ID, name)
	if err != nil {
		return flight.Offsets{}, err
	}
	return cursorVector(table, cursor), nil
}

// vectors gives the starts and the ends of ranges as offset vectors.
func vectors(table *quiver.Table, ranges []scan.Range) (from, until flight.Position) {
	return vector(table, ranges, func(r scan.Range) quiver.Offset { return r.From }),
		vector(table, ranges, func(r scan.Range) quiver.Offset { return r.Until })
}

func vector(table *quiver.Table, ranges []scan.Range, end func(scan.Range) quiver.Offset) flight.Position {
	var o flight.Offsets
	if !table.Partitioned() {
		o.Buckets = make(flight.BucketOffsets, len(ranges))
		for _, r := range ranges {
			o.Buckets[r.ID.Bucket] = end(r)
		}
		return flight.AtOffsetsOf(o)
	}
	o.Partitions = make(map[string]flight.PartitionOffsets)
	for _, r := range ranges {
		in, ok := o.Partitions[r.Partition]
		if !ok {
			in = flight.PartitionOffsets{ID: &r.ID.Partition, Buckets: flight.BucketOffsets{}}
			o.Partitions[r.Partition] = in
		}
		in.Buckets[r.ID.Bucket] = end(r)
	}
	return flight.AtOffsetsOf(o)
}
