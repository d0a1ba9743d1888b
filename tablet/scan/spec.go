package scan

import (
	"context"
	"log/slog"
	"time"

	"github.com/quiverlog/quiver"
)

// Spec is what to read.
type Spec struct {
	Table   *quiver.Table
	Sources []Source // the buckets, in the order in which a bounded scan gives them
	Ranges  []Range  // what of each source, as Resolve gives them
	Columns []Column // the output's columns, as Select gives them; none is legal: batches with a row count only
	Follow  bool     // wait for rows that are not there yet
	Filter  Filter   // bound to the table's schema; nil: all rows
	Limit   *int64   // rows of the whole scan, after the filter; nil: all

	// Buckets lets a following scan take in the partitions that come and go; nil: it reads the sources, and no others.
	Buckets   Buckets
	Newcomers Range // what is read of the buckets that join, but for its start; see the function

	// BatchRows is the most rows of a chunk. 0: batches are merged up to DefaultBatchRows, and one that was stored
	// with more rows is still sent as it lies.
	BatchRows int
	// MaxBytes is about the most bytes of a chunk, one row that is larger aside. 0: DefaultMaxBytes.
	MaxBytes int
}

// What a scan takes for a Spec that does not say.
const (
	DefaultBatchRows = 65536
	DefaultMaxBytes  = 3 << 20
)

// Options are the ports of the read pipeline.
type Options struct {
	// Now is the clock that rows are stamped with. nil: the clock of the machine.
	Now func() time.Time
	// Timer fires once after d; stop frees it. nil: the clock of the machine.
	Timer func(d time.Duration) (fired <-chan time.Time, stop func())
	// Logger hears of readers that were lost and opened again. nil: nobody does.
	Logger *slog.Logger
	// Room is asked for memory before rows are read. nil: there is enough.
	Room Room
	// Metrics are those of the instance. nil: nobody sees them.
	Metrics *Metrics
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timer == nil {
		o.Timer = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return o
}

// How long a following scan is silent before it shows that it lives. The wire promises a second and five.
const (
	firstSilence = 900 * time.Millisecond
	laterSilence = 5 * time.Second
)

// wait blocks until one of the channels has something, or the context ends.
func wait(ctx context.Context, news <-chan struct{}, fired <-chan time.Time) (timeout bool, err error) {
	select {
	case <-news:
		return false, nil
	case <-fired:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
