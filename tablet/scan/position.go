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
	Place     Place
	Offset    quiver.Offset           // AtOffset
	Offsets   map[int32]quiver.Offset // AtOffsets, by bucket
	Timestamp int64                   // AtTimestamp, Unix milliseconds
}

// NoEnd is the end of a range that has none.
const NoEnd = quiver.Offset(math.MaxInt64)

// Range is what is to be read of one bucket: [From, Until).
type Range struct {
	Bucket int32
	From   quiver.Offset
	Until  quiver.Offset // NoEnd: for ever
	// UntilTime ends a range without an end at the first row not older than it (Unix milliseconds), once there is
	// one. 0: nothing does.
	UntilTime int64
}

// Empty says that nothing is, or ever will be, in the range.
func (r Range) Empty() bool { return r.From >= r.Until }

// Resolve turns positions into one range for each source, in the order of the sources. What "now" is, is decided
// here, once for each bucket.
//
// A bucket that a vector does not name starts at its earliest row, and ends where it starts. An end below its start
// leaves the range empty. An end beyond now is now, unless it is to be waited for (follow). A start below the
// earliest row or above the high watermark is OFFSET_OUT_OF_RANGE.
func Resolve(ctx context.Context, table *quiver.Table, sources []Source, from, until Position, follow bool) ([]Range, error) {
	if err := checkPosition("from", from, sources, table); err != nil {
		return nil, err
	}
	if err := checkPosition("until", until, sources, table); err != nil {
		return nil, err
	}
	ranges := make([]Range, len(sources))
	for i, src := range sources {
		now, err := src.Offsets(ctx)
		if err != nil {
			return nil, err
		}
		r := Range{Bucket: src.Bucket()}
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

// checkPosition refuses what cannot be meant: one offset for several buckets, a vector with buckets that are not.
func checkPosition(word string, p Position, sources []Source, table *quiver.Table) error {
	switch p.Place {
	case AtOffset:
		if len(sources) != 1 {
			return quiver.Errorf(quiver.BadCommand, "%s names one offset, but %d buckets are read", word, len(sources)).
				On("table " + table.Path()).Advise(`name a bucket, or give {"offsets": {"0": n, "1": m}}`)
		}
	case AtOffsets:
		for b := range p.Offsets {
			if b < 0 || b >= table.Buckets {
				return quiver.Errorf(quiver.BucketNotFound, "%s names bucket %d, the table has %d", word, b, table.Buckets).
					On("table " + table.Path()).Advise("buckets are counted from 0")
			}
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
		named, ok := p.Offsets[src.Bucket()]
		if !ok {
			return now.Start, nil
		}
		at = named
	default:
		return now.Start, nil
	}
	if at < now.Start || at > now.HighWatermark {
		return 0, OutOfRange(table, src.Bucket(), at, now)
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
		named, ok := p.Offsets[r.Bucket]
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
func OutOfRange(table *quiver.Table, bucket int32, at quiver.Offset, now Offsets) error {
	what := "below the earliest"
	hint := `read from "earliest"`
	if at > now.HighWatermark {
		what = "above the latest"
		hint = `read from "latest"; if the offset was read here before, the table may be another one of the same name`
	}
	return quiver.Errorf(quiver.OffsetOutOfRange, "offset %d is %s: earliest %d, latest %d", at, what, now.Start, now.HighWatermark).
		On(subject(table, bucket)).
		Note("earliest", strconv.FormatInt(int64(now.Start), 10)).
		Note("latest", strconv.FormatInt(int64(now.HighWatermark), 10)).
		Advise(hint)
}

// subject names a bucket in errors.
func subject(table *quiver.Table, bucket int32) string {
	return fmt.Sprintf("table %s, bucket %d", table.Path(), bucket)
}
