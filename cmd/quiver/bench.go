package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
)

// newBench measures a running server, from here: client and network are in the figures.
func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench append|scan|tail|lookup|upsert",
		Short: "Measure a running server: rates, and how long each operation took",
		Long: `Measure a running server from this machine, so client and network are in the figures. A table of its own is made for it
and dropped at the end, also after ^C, which ends a run early and shows what it came to. With --table a table that is there
is measured: rows are made up for its columns, and stay in it; keys are some of those that it has.

Each caller waits for its operation before it starts the next one. With --rate operations begin at their times, as far as
there are callers, and one that had to wait for its turn took longer by that:

  append   a batch of rows, until it is durable
  upsert   the same into a table with a primary key, random ones of --keys
  lookup   a batch of random keys
  scan     the whole table, of --keys rows unless it was there
  tail     a batch of rows, until it is durable and a follower of the table has it`,
		Example: `  quiver bench append
  quiver bench append --callers 100 --batch-rows 1
  quiver bench append --rate 200 --callers 64 --batch-rows 100
  quiver bench scan --table shop.orders --columns id,price --duration 30s
  quiver bench append --table shop.orders --partition day=2026-11-22 -y
  quiver bench lookup --table shop.customers --callers 16
  quiver bench lookup -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for name, job := range benchJobs {
		cmd.AddCommand(newBenchJob(name, job))
	}
	return cmd
}

// benchJob is one kind of measurement.
type benchJob struct {
	short  string
	batch  int  // rows of an operation by default
	keyed  bool // its table has a primary key
	writes bool // what it puts stays in a table that was there before
	start  func(ctx context.Context, b *benching) (benchOp, func(), error)
}

// benchOp is one operation of one caller. It tells the rows and bytes that went by.
type benchOp func(ctx context.Context, caller int, random *rand.Rand) (rows, bytes int64, err error)

var benchJobs = map[string]benchJob{
	"append": {"Append batches, each until it is durable", 10_000, false, true, startAppend},
	"upsert": {"Upsert batches of random keys, each until it is durable", 1000, true, true, startAppend},
	"lookup": {"Look up batches of random keys", 100, true, false, startLookup},
	"scan":   {"Read a whole table", 0, false, false, startScan},
	"tail":   {"Append batches, each until a follower has it", 1, false, true, startTail},
}

// benching is one run.
type benching struct {
	*call
	name      string
	job       benchJob
	given     string   // --table: one that is there, "" for one of its own
	partition string   // --partition: rows go there, or are read from there
	columns   []string // --columns of a scan
	filter    string   // --where of a scan
	callers   int
	batch     int
	keys      int64
	buckets   int32
	count     int64
	rate      float64 // operations a second, begun at their time whatever became of those before; 0: one after the other
	duration  time.Duration
	warmup    time.Duration

	table  *benchTable
	missed atomic.Int64 // keys of lookups that were not found
	result benchResult
}

func newBenchJob(name string, job benchJob) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: job.short, Args: noArguments, Example: "  quiver bench " + name + "\n  quiver bench " + name + " --callers 8 --duration 30s -o json"}
	b := &benching{name: name, job: job}
	flags := cmd.Flags()
	flags.IntVar(&b.callers, "callers", 1, "how many operations are under way at one time")
	flags.Float64Var(&b.rate, "rate", 0, "begin so many operations a second, instead of one after the other; their times count from when they were to begin")
	flags.DurationVar(&b.duration, "duration", 10*time.Second, "how long it is measured")
	flags.DurationVar(&b.warmup, "warmup", time.Second, "how long it runs before that")
	flags.Int64Var(&b.count, "count", 0, "measure so many operations, instead of a time")
	flags.Int32Var(&b.buckets, "buckets", 1, "buckets of the table")
	flags.StringVar(&b.given, "table", "", "measure this table, instead of one made for it")
	flags.StringVar(&b.partition, "partition", "", "only in this partition, dt=2026-11-22; rows go to all there are in turn by default")
	if job.batch > 0 {
		flags.IntVar(&b.batch, "batch-rows", job.batch, "rows or keys of an operation")
	}
	if job.writes {
		yesFlag(cmd)
	}
	switch name {
	case "scan":
		flags.Int64Var(&b.keys, "keys", 100_000, "rows of the table that is made")
		flags.StringSliceVar(&b.columns, "columns", nil, "columns to read, a,b; by default all")
		flags.StringVar(&b.filter, "where", "", "read the rows with this condition only")
	case "lookup":
		flags.Int64Var(&b.keys, "keys", 100_000, "keys of the table; of one that is there, so many at most are drawn")
	case "upsert":
		flags.Int64Var(&b.keys, "keys", 100_000, "how many keys there are to draw from")
	}
	return verb(cmd, func(ctx context.Context, c *call, _ []string) error {
		b.call = c
		if err := b.check(); err != nil {
			return err
		}
		return b.run(ctx)
	})
}

// check names all faults of the flags at once.
func (b *benching) check() error {
	var errs []error
	atLeast := func(flag string, value, least int64) {
		if value < least {
			errs = append(errs, fmt.Errorf("--%s %d: it must be %d at least", flag, value, least))
		}
	}
	atLeast("callers", int64(b.callers), 1)
	if b.job.batch > 0 {
		atLeast("batch-rows", int64(b.batch), 1)
	}
	atLeast("buckets", int64(b.buckets), 1)
	atLeast("count", b.count, 0)
	if b.cmd.Flags().Lookup("keys") != nil {
		atLeast("keys", b.keys, 1)
	}
	if !(b.rate >= 0 && b.rate <= 1e6) {
		errs = append(errs, fmt.Errorf("--rate %v: it must be between 0 and 1000000", b.rate))
	}
	if b.duration <= 0 {
		errs = append(errs, fmt.Errorf("--duration %s: it must be longer than nothing", b.duration))
	}
	if b.given == "" && b.partition != "" {
		errs = append(errs, errors.New("--partition: the table that is made has none; name another with --table"))
	}
	if made := b.cmd.Flags(); b.given != "" && (made.Changed("buckets") || b.name == "scan" && made.Changed("keys")) {
		errs = append(errs, errors.New("--buckets and --keys are for the table that is made; leave them out with --table"))
	}
	if b.warmup < 0 {
		errs = append(errs, fmt.Errorf("--warmup %s: it cannot be negative", b.warmup))
	}
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	return nil
}

// run makes or finds the table, measures, shows the result and drops the table if it was made.
func (b *benching) run(ctx context.Context) (err error) {
	if b.given != "" {
		err = b.findTable(ctx)
	} else if err = b.makeTable(ctx); err == nil {
		defer func() { err = errors.Join(err, b.dropTable(ctx)) }()
	}
	if err != nil {
		return err
	}
	op, end, err := b.job.start(ctx, b)
	if err == nil {
		err = b.measure(ctx, op)
		end()
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		if b.result.ops == 0 {
			return ctx.Err()
		}
		b.sum("interrupted: this is what it came to")
		err = nil
	}
	if err != nil {
		return err
	}
	if n := b.missed.Load(); n > 0 {
		b.sum("%s found no row: it was deleted after they had been drawn", count(n, "key"))
	}
	return b.report()
}

// benchResult is what was measured.
type benchResult struct {
	ops, rows, bytes int64
	took             time.Duration
	times            *hdrhistogram.Histogram // nanoseconds
	course           []int64                 // rows of each benchSlot of the time that it took
}

// done counts an operation that ended so long after all of them began.
func (r *benchResult) done(at, took time.Duration, rows, bytes int64) {
	_ = r.times.RecordValue(int64(min(took, benchLongest))) // it is in range
	r.ops, r.rows, r.bytes = r.ops+1, r.rows+rows, r.bytes+bytes
	for len(r.course) <= int(at/benchSlot) {
		r.course = append(r.course, 0)
	}
	r.course[at/benchSlot] += rows
}

// add joins what another caller came to.
func (r *benchResult) add(other benchResult) {
	r.ops, r.rows, r.bytes = r.ops+other.ops, r.rows+other.rows, r.bytes+other.bytes
	r.times.Merge(other.times)
	for i, rows := range other.course {
		if i == len(r.course) {
			r.course = append(r.course, 0)
		}
		r.course[i] += rows
	}
}

// The longest operation that is told apart from longer ones, the digits that are, and the steps of the course.
const (
	benchLongest = time.Minute
	benchDigits  = 3
	benchSlot    = 100 * time.Millisecond // how finely the course of a run is kept
)

func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1000, int64(benchLongest), benchDigits)
}

// measure runs the callers: first to warm up, then for the figures.
func (b *benching) measure(ctx context.Context, op benchOp) error {
	if b.warmup > 0 {
		if _, err := b.callersFor(ctx, op, b.warmup, 0); err != nil {
			return err
		}
	}
	var err error
	b.result, err = b.callersFor(ctx, op, b.duration, b.count)
	return err
}

// callersFor runs all callers for a time, or, if count is not 0, until so many operations were begun. The result is
// what they came to, also with an error.
func (b *benching) callersFor(ctx context.Context, op benchOp, last time.Duration, count int64) (benchResult, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var begun atomic.Int64
	var mu sync.Mutex
	total := benchResult{times: newTimes()}
	var failed error
	shown := b.progress()
	started := time.Now()
	var callers sync.WaitGroup
	for n := range b.callers {
		callers.Go(func() {
			own, err := b.caller(running, op, n, shown, func() (due time.Time, more bool) {
				turn := begun.Add(1)
				if due = time.Now(); b.rate > 0 {
					due = started.Add(time.Duration(float64(turn-1) / b.rate * float64(time.Second)))
				}
				return due, count > 0 && turn <= count || count == 0 && due.Sub(started) < last
			})
			mu.Lock()
			defer mu.Unlock()
			total.add(own)
			if err != nil && failed == nil {
				failed = err
				stop(err)
			}
		})
	}
	callers.Wait()
	shown.stop()
	total.took = time.Since(started)
	return total, failed
}

// caller does one operation after the other, each when it is due. One that begins late because those before took long
// has waited: that counts.
func (b *benching) caller(ctx context.Context, op benchOp, n int, shown *progress, next func() (due time.Time, more bool)) (benchResult, error) {
	r := benchResult{times: newTimes()}
	random := rand.New(rand.NewPCG(rand.Uint64(), uint64(n)))
	for ctx.Err() == nil {
		began, more := next()
		if !more || !sleepUntil(ctx, began) {
			break
		}
		rows, bytes, err := op(ctx, n, random)
		if err != nil {
			if ctx.Err() != nil {
				return r, nil //nolint:nilerr // stopped in the middle: it does not count
			}
			return r, err
		}
		r.done(time.Since(shown.started), time.Since(began), rows, bytes)
		shown.rows.Add(rows)
	}
	return r, nil
}

// sleepUntil tells false if the context ended before.
func sleepUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
