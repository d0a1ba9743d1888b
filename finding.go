package quiver

import (
	"fmt"
	"strings"
)

// Finding is one thing that an offline check of a data directory found wrong. What a crash may leave, and a start makes
// good without a word, is none.
type Finding struct {
	Kind    FindingKind
	File    string     // the damaged file, or the directory where something is missing
	Bucket  *BucketID  // nil: it is about no bucket
	Bytes   ByteRange  // of the file
	Offsets OffsetSpan // the rows that it costs, or is about
	Problem string     // what is wrong
	Effect  string     // what that means, and what becomes of it
}

// Note is what an offline check tells besides: something that a crash may leave, and what the next start does about it;
// or what an earlier start did. Nothing of it is wrong.
type Note = Finding

// FindingKind says what is damaged.
type FindingKind string

// The kinds of findings.
const (
	FindingSegment    FindingKind = "segment"    // rows of a log, or their order
	FindingState      FindingKind = "state"      // what a segment's state file says of writers, epochs and the chain
	FindingIndex      FindingKind = "index"      // an index file
	FindingCheckpoint FindingKind = "checkpoint" // the marks of all logs
	FindingRows       FindingKind = "rows"       // current rows of a primary-key table
	FindingMetadata   FindingKind = "metadata"   // tables, partitions, epochs, writers
	FindingUnread     FindingKind = "unread"     // a file that could not be read: nothing is known of it
)

// ByteRange is the bytes [From, Until) of a file. Of an empty one nothing is known.
type ByteRange struct{ From, Until int64 }

// OffsetSpan is the rows [From, Until) of a bucket. An empty one is none.
type OffsetSpan struct{ From, Until Offset }

// String tells the finding in one line: where, what, and what it means.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Bytes.Until > f.Bytes.From {
		fmt.Fprintf(&b, ", bytes [%d, %d)", f.Bytes.From, f.Bytes.Until)
	}
	if f.Bucket != nil {
		fmt.Fprintf(&b, ", bucket %s", *f.Bucket)
	}
	if f.Offsets.Until > f.Offsets.From {
		fmt.Fprintf(&b, ", offsets [%d, %d)", f.Offsets.From, f.Offsets.Until)
	}
	fmt.Fprintf(&b, ": %s", f.Problem)
	if f.Effect != "" {
		fmt.Fprintf(&b, " (%s)", f.Effect)
	}
	return b.String()
}
