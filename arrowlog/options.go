package arrowlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Options are the settings of one disk. The zero value of a field means its default.
type Options struct {
	// Now is the clock; batches are stamped with it, never backwards. Default: time.Now.
	Now func() time.Time
	// Salt draws the random salt of a segment. Default: crypto/rand.
	Salt func() uint64
	// Logger gets what an operator should know. Default: slog.Default.
	Logger *slog.Logger
	// Registerer takes the disk's metrics. Default: nobody sees them.
	Registerer prometheus.Registerer

	// OpenFiles is how many files are kept open for all buckets together. Default: 1024.
	OpenFiles int
	// IndexBytes bounds the memory of the indexes of closed segments that were read. Default: 32 MiB.
	IndexBytes int64
	// Reserve is how many free bytes the disk keeps: below it puts are refused with DISK_FULL, while deletes and
	// checkpoints still have room to work. Default: 2 % of the disk, at most 2 GiB. Negative: none.
	Reserve int64

	// GroupBytes is how much one group commit writes at most, unless one unit alone is larger. Default: 16 MiB.
	GroupBytes int
	// MergeBelow is the stored size below which waiting batches are merged. Default: 64 KiB. Negative: never.
	MergeBelow int
	// MergeInto is the size that merged batches reach at most. Default: 1 MiB.
	MergeInto int
	// ZeroAhead is how many zeros are written behind the first small group of a segment; every later time it is twice as
	// many, up to 64 times. Default: 64 KiB.
	ZeroAhead int
	// GiveBack is how long after its last group a segment gives back what it has ahead: the zeros, and the blocks that were
	// allocated. Default: half a minute. Negative: when it is closed.
	GiveBack time.Duration
	// ReadBytes is how much one read of adjacent batches takes in, unless one batch alone is larger. Default: 1 MiB.
	ReadBytes int
	// ProjectFrom is the stored size from which a batch is not read whole when only some columns are asked for.
	// Default: 64 KiB.
	ProjectFrom int
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Salt == nil {
		o.Salt = randomSalt
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.OpenFiles, 1024)
	setDefault(&o.IndexBytes, 32<<20)
	setDefault(&o.GroupBytes, 16<<20)
	setDefault(&o.MergeBelow, 64<<10)
	setDefault(&o.MergeInto, 1<<20)
	setDefault(&o.ZeroAhead, 64<<10)
	setDefault(&o.GiveBack, 30*time.Second)
	setDefault(&o.ReadBytes, 1<<20)
	setDefault(&o.ProjectFrom, 64<<10)
	return o
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate names all faults of the options at once.
func (o Options) Validate() error {
	var errs []error
	atLeast := func(name string, value, least int64) {
		if value != 0 && value < least {
			errs = append(errs, fmt.Errorf("arrowlog: option %s is %d, it must be %d at least", name, value, least))
		}
	}
	atLeast("OpenFiles", int64(o.OpenFiles), 1)
	atLeast("IndexBytes", o.IndexBytes, 1)
	atLeast("GroupBytes", int64(o.GroupBytes), 1)
	atLeast("MergeInto", int64(o.MergeInto), 1)
	atLeast("ZeroAhead", int64(o.ZeroAhead), 1)
	atLeast("ReadBytes", int64(o.ReadBytes), 1)
	atLeast("ProjectFrom", int64(o.ProjectFrom), 1)
	return errors.Join(errs...)
}

func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:])
}

// LogConfig is what a table says about its buckets' logs.
type LogConfig struct {
	// Schema is the table's current schema: what is staged has it. It is required.
	Schema *quiver.Schema
	// SegmentBytes is the size at which a segment is closed. Default: 256 MiB.
	SegmentBytes int64
	// SegmentAge is the age of its first batch at which a segment is closed. Default: an hour. Negative: none.
	SegmentAge time.Duration
	// WriterExpiry is how long a silent writer is remembered, in log time. Default: 7 days. Negative: for ever.
	WriterExpiry time.Duration
	// Compression is what merged batches are compressed with; nil: as the batches that are merged.
	Compression *record.Compression
	// Statistics are the columns that have statistics in the batch header; nil: all of them, empty: none.
	Statistics []quiver.ColumnID
}

func (c LogConfig) withDefaults() LogConfig {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 256 << 20
	}
	if c.SegmentAge == 0 {
		c.SegmentAge = time.Hour
	}
	if c.WriterExpiry == 0 {
		c.WriterExpiry = 7 * 24 * time.Hour
	}
	return c
}

// expiry is the writer expiry in milliseconds, 0 for none.
func (c LogConfig) expiry() int64 { return max(0, c.WriterExpiry.Milliseconds()) }
