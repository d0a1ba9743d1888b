package flight

import (
	"maps"

	"github.com/quiverlog/quiver"
)

// place is where a scan stands in each bucket. The zero value knows nothing.
type place struct {
	known      bool // positions stand here, so that a scan can go on from them
	buckets    BucketOffsets
	partitions map[string]PartitionOffsets
}

// start takes up where the stream began, as far as the server told.
func (p *place) start(from Position) {
	if from.Kind != AtOffsets {
		return
	}
	p.known = true
	p.buckets = maps.Clone(from.Offsets.Buckets)
	for name, part := range from.Offsets.Partitions {
		maps.Copy(p.partition(name, part.ID).Buckets, part.Buckets)
	}
}

// partition gives the offsets of a partition, for reading and writing.
func (p *place) partition(name string, id *quiver.PartitionID) PartitionOffsets {
	part, ok := p.partitions[name]
	if !ok {
		part = PartitionOffsets{ID: id, Buckets: BucketOffsets{}}
		if p.partitions == nil {
			p.partitions = make(map[string]PartitionOffsets)
		}
		p.partitions[name] = part
	}
	return part
}

// pass takes up a batch.
func (p *place) pass(info BatchInfo) {
	if info.Bucket == NoBucket {
		return
	}
	p.known = true
	if info.Partition != "" {
		p.partition(info.Partition, nil).Buckets[info.Bucket] = info.Until
		return
	}
	if p.buckets == nil {
		p.buckets = BucketOffsets{}
	}
	p.buckets[info.Bucket] = info.Until
}

// position is the place as a position, which later batches do not change.
func (p *place) position() Position {
	if len(p.partitions) == 0 {
		return AtOffsetsOf(Offsets{Buckets: maps.Clone(p.buckets)})
	}
	partitions := make(map[string]PartitionOffsets, len(p.partitions))
	for name, part := range p.partitions {
		partitions[name] = PartitionOffsets{ID: part.ID, Buckets: maps.Clone(part.Buckets)}
	}
	return AtOffsetsOf(Offsets{Partitions: partitions})
}
