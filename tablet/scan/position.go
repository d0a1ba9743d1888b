package scan

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/quiverlog/quiver"
)

// Place says what kind of place a Position is.
type Place int8

// The places a position may name.
const (
	Unset       Place = iota // as a start: Earliest; as an end: the high watermark, or none for a follower
	Earliest                 // the first row there is
	Latest                   // the high watermark at the time of asking
	AtOffset                 // one offset, where one bucket is read
	AtOffsets                // an offset for each bucket
	AtTimestamp              // the first row not older than a time
)

// Position is a place in each bucket of a table, as a client names it.
type Position struct {
	Place      Place
	Offset     quiver.Offset               // AtOffset
	Offsets    map[int32]quiver.Offset     // AtOffsets of an unpartitioned table, by bucket
	Partitions map[string]PartitionOffsets // AtOffsets of a partitioned table, by the partition's canonical name
	Timestamp  int64                       // AtTimestamp, Unix milliseconds
}

// PartitionOffsets are the offsets of the buckets of one partition.
type PartitionOffsets struct {
	ID      *quiver.PartitionID // nil: whichever bears the name
	Offsets map[int32]quiver.Offset
}

// Named gives the offset that a vector has for a bucket. One of another partition that bore the same name is none.
func (p *Position) Named(src Source) (quiver.Offset, bool) {
	id := src.ID()
	if id.Partition == 0 {
		at, ok := p.Offsets[id.Bucket]
		return at, ok
	}
	in := p.Partitions[src.PartitionName()]
	if in.ID != nil && *in.ID != id.Partition {
		return 0, false
	}
	at, ok := in.Offsets[id.Bucket]
	return at, ok
}

// NoEnd is the end of a range that has none.
const NoEnd = quiver.Offset(math.MaxInt64)

// Range is what is to be read of one bucket: [From, Until).
type Range struct {
	ID        quiver.BucketID
	Partition string // "" on unpartitioned tables
	From      quiver.Offset
	Until     quiver.Offset // NoEnd: for ever
	// UntilTime ends a range without an end at the first row not older than it (Unix milliseconds), once there is
	// one. 0: nothing does.
	UntilTime int64
}

// Newcomers is the range of buckets that join a following scan after its positions were resolved, but for their start: a
// scan whose end is a place in each bucket, or a time that has come, ends without them.
func Newcomers(until Position, now int64) Range {
	switch {
	case until.Place == Unset:
		return Range{Until: NoEnd}
	case until.Place == AtTimestamp && until.Timestamp > now:
		return Range{Until: NoEnd, UntilTime: until.Timestamp}
	}
	return Range{}
}

// Resolve turns positions into one range for each source, in the order of the sources. What "now" is, is decided
// here, once for each bucket.
//
// A bucket that a vector does not name starts at its earliest row, and ends where it starts. An end below its start
// leaves the range empty. An end beyond now is now, unless it is to be waited for (follow). A start below the
// earliest row or above the high watermark is OFFSET_OUT_OF_RANGE.
func Resolve(ctx context.Context, table *quiver.Table, sources []Source, from, until Position, follow bool) ([]Range, error) {
	for _, given := range []struct {
		word string
		Position
	}{{"from", from}, {"until", until}} {
		word, p := given.word, given.Position
		if p.Place == AtOffset && len(sources) != 1 {
			return nil, quiver.Errorf(quiver.BadCommand, "%s names one offset, but %d buckets are read", word, len(sources)).
				On("table " + table.Path()).Advise(`name a bucket, or give {"offsets": {"0": n, "1": m}}`)
		}
		if err := CheckPosition(word, p, table); err != nil {
			return nil, err
		}
	}
	ranges := make([]Range, len(sources))
	for i, src := range sources {
		now, err := src.Offsets(ctx)
		if err != nil {
			return nil, err
		}
		r := Range{ID: src.ID(), Partition: src.PartitionName()}
		if r.From, err = start(ctx, table, src, now, from); err != nil {
			return nil, err
		}
		if err = r.end(ctx, src, now, until, follow); err != nil {
			return nil, err
		}
		ranges[i] = r
	}
	return ranges, nil
}

// CheckPosition refuses a vector that names buckets or partitions that are not there. word says where it was given.
func CheckPosition(word string, p Position, table *quiver.Table) error {
	switch {
	case p.Place != AtOffsets:
		return nil
	case table.Partitioned():
		return checkPartitions(word, p, table)
	}
	return checkBuckets(word, p.Offsets, table)
}

func checkBuckets(word string, offsets map[int32]quiver.Offset, table *quiver.Table) error {
	for b := range offsets {
		if b < 0 || b >= table.Buckets {
			return quiver.Errorf(quiver.BucketNotFound, "%s names bucket %d, the table has %d", word, b, table.Buckets).
				On("table " + table.Path()).Advise("buckets are counted from 0")
		}
	}
	return nil
}

// checkPartitions refuses partitions that are not there, unless the vector tells by an id that they were.
func checkPartitions(word string, p Position, table *quiver.Table) error {
	for name, in := range p.Partitions {
		if _, there := table.Partition(name); !there && in.ID == nil {
			return quiver.Errorf(quiver.PartitionNotFound, "%s names partition %q, which the table does not have", word, name).
				On("table " + table.Path()).Advise("see partition.list")
		}
		if err := checkBuckets(word, in.Offsets, table); err != nil {
			return err
		}
	}
	return nil
}

// start is where a bucket is read from.
func start(ctx context.Context, table *quiver.Table, src Source, now Offsets, p Position) (quiver.Offset, error) {
	var at quiver.Offset
	switch p.Place {
	case Latest:
		return now.HighWatermark, nil
	case AtTimestamp:
		return src.OffsetAt(ctx, p.Timestamp)
	case AtOffset:
		at = p.Offset
	case AtOffsets:
		named, ok := p.Named(src)
		if !ok {
			return now.Start, nil
		}
		at = named
	default:
		return now.Start, nil
	}
	if at < now.Start || at > now.HighWatermark {
		return 0, OutOfRange(table, src, at, now)
	}
	return at, nil
}

// end decides where the range ends.
func (r *Range) end(ctx context.Context, src Source, now Offsets, p Position, follow bool) error {
	var at quiver.Offset
	switch p.Place {
	case Earliest:
		at = now.Start
	case AtOffset:
		at = p.Offset
	case AtOffsets:
		named, ok := p.Named(src)
		if !ok {
			named = r.From
		}
		at = named
	case AtTimestamp:
		found, err := src.OffsetAt(ctx, p.Timestamp)
		if err != nil {
			return err
		}
		at = found
		if follow && found >= now.HighWatermark {
			at, r.UntilTime = NoEnd, p.Timestamp
		}
	case Latest:
		at = now.HighWatermark
	default:
		at = now.HighWatermark
		if follow {
			at = NoEnd
		}
	}
	if !follow {
		at = min(at, now.HighWatermark)
	}
	r.Until = max(at, r.From)
	return nil
}

// OutOfRange says that an offset is not there, and which ones are.
func OutOfRange(table *quiver.Table, src Source, at quiver.Offset, now Offsets) error {
	what := "below the earliest"
	hint := `read from "earliest"`
	if at > now.HighWatermark {
		what = "above the latest"
		hint = `read from "latest"; if the offset was read here before, the table may be another one of the same name`
	}
	return quiver.Errorf(quiver.OffsetOutOfRange, "offset %d is %s: earliest %d, latest %d", at, what, now.Start, now.HighWatermark).
		On(subject(table, src)).
		Note("earliest", strconv.FormatInt(int64(now.Start), 10)).
		Note("latest", strconv.FormatInt(int64(now.HighWatermark), 10)).
		Advise(hint)
}

// subject names a bucket in errors.
func subject(table *quiver.Table, src Source) string {
	text := "table " + table.Path()
	if name := src.PartitionName(); name != "" {
		text += ", partition " + name
	}
	return fmt.Sprintf("%s, bucket %d", text, src.ID().Bucket)
}
