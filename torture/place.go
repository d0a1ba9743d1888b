package main

import (
	"strconv"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// Places are buckets of a table by one number: that of the bucket, and on a partitioned table, whose partitions are
// named as "part=2", that of the partition before it. So notes and judges need not know of partitions.
const placesOfPart = 16

func placeOf(partition string, bucket int32) int32 {
	_, value, _ := strings.Cut(partition, "=")
	part, _ := strconv.ParseInt(value, 10, 32) // "" on tables without partitions
	return int32(part)*placesOfPart + bucket
}

// shape is how a table is divided.
type shape struct {
	buckets int32
	column  string // by which it is partitioned; "": it is not
	parts   int64
}

// places lists all that there may be.
func (s shape) places() (out []int32) {
	for part := range max(1, s.parts) {
		for b := range s.buckets {
			out = append(out, int32(part)*placesOfPart+b)
		}
	}
	return out
}

// placeOfPut is where a put of a sequenced producer belongs.
func (s shape) placeOfPut(writer uint64, put int64) int32 {
	bucket := int32((writer + uint64(put)) % uint64(s.buckets))
	if s.column == "" {
		return bucket
	}
	return int32(partOf(put))*placesOfPart + bucket
}

// split is the partition and the bucket of a place.
func (s shape) split(place int32) (partition string, bucket int32) {
	if s.column == "" {
		return "", place
	}
	return s.column + "=" + strconv.Itoa(int(place/placesOfPart)), place % placesOfPart
}

// offsets makes the vector of the offsets of some places. Those where nothing was met yet may not be there.
func (s shape) offsets(at map[int32]int64) flight.Offsets {
	o := flight.Offsets{Buckets: flight.BucketOffsets{}}
	if s.column != "" {
		o = flight.Offsets{Partitions: map[string]flight.PartitionOffsets{}}
	}
	for place, offset := range at {
		partition, bucket := s.split(place)
		if s.column == "" {
			o.Buckets[bucket] = quiver.Offset(offset)
			continue
		}
		if offset == 0 {
			continue
		}
		p := o.Partitions[partition]
		if p.Buckets == nil {
			p.Buckets = flight.BucketOffsets{}
		}
		p.Buckets[bucket] = quiver.Offset(offset)
		o.Partitions[partition] = p
	}
	return o
}

// at is the offset that a vector tells of a place.
func (s shape) at(o flight.Offsets, place int32) int64 {
	partition, bucket := s.split(place)
	if s.column == "" {
		return int64(o.Buckets[bucket])
	}
	return int64(o.Partitions[partition].Buckets[bucket])
}
