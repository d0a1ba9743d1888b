package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	jobs    string
	rounds  int
	tries   int
	limit   time.Duration
	quick   bool
	summary bool
	binary  string
	work    string
	raw     string
	page    string
	source  string
}

func parseFlags(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.StringVar(&o.jobs, "jobs", "", "jobs to run, as in scan,tail; all if empty")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds that count, after one to warm up")
	flags.IntVar(&o.tries, "tries", 1, "how often a sample is taken again that other programs disturbed")
	flags.DurationVar(&o.limit, "limit", 3*time.Minute, "a job begins no further round after this time; two rounds count at least")
	flags.BoolVar(&o.quick, "quick", false, "everything once with tiny sizes: a smoke test, whose figures mean nothing and are not kept")
	flags.BoolVar(&o.summary, "summary", false, "run nothing: write the page from the raw files")
	flags.StringVar(&o.binary, "binary", "bin/quiver", "the server under test")
	flags.StringVar(&o.work, "work", ".build/peers", "directory of packages, data and scratch files")
	flags.StringVar(&o.raw, "raw", "docs/benchmarks/peers", "directory of raw results and plots")
	flags.StringVar(&o.page, "page", "docs/peers.md", "page whose tables are written")
	flags.StringVar(&o.source, "source", "bench/peers", "directory of this program's source, with its Java and Python")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if o.rounds < 1 {
		return nil, fmt.Errorf("-rounds is %d, it must be 1 at least", o.rounds)
	}
	return o, nil
}

// run runs the jobs and writes what came of them.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	chosen, err := choose(o.jobs)
	if err != nil {
		return err
	}
	if !o.summary {
		if err := runJobs(ctx, o, chosen, args, out); err != nil || o.quick {
			return err
		}
	}
	return writePage(o.page, o.raw)
}

// runJobs gets the packages, runs the jobs and stops everything again.
func runJobs(ctx context.Context, o *options, chosen []job, args []string, out io.Writer) (err error) {
	p, err := newPeers(ctx, o, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, j := range chosen {
		if err := p.runJob(ctx, j, args); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", j.name, err), context.Cause(ctx))
		}
	}
	return nil
}

// job is one thing that is compared.
type job struct {
	name  string
	title string
	run   func(ctx context.Context, p *peers, r *result) error
}

// jobs are all jobs, in the order of the page. "start" comes first: it wants the machine for itself.
var jobs []job

func init() {
	jobs = []job{
		{"start", "Start and idle memory", runStart},
		{"append-batches", "Append by Arrow batches of 65,536 rows", runAppendBatches},
		{"append-rows", "Append row by row", runAppendRows},
		{"one-row", "One row, acknowledged before the next", runOneRow},
		{"scan", "Full scan", runScan},
		{"columns-64k", "1, 5 and 20 of 20 columns, written in batches of 65,536 rows", runColumnsLarge},
		{"columns-1k", "1, 5 and 20 of 20 columns, written in batches of 1,000 rows", runColumnsSmall},
		{"tail", "From append to read at 1,000 rows/s", runTail},
		{"upsert", "Upserts", runUpsert},
		{"lookup", "Lookups by primary key", runLookup},
	}
}

// choose finds jobs by name.
func choose(names string) ([]job, error) {
	if names == "" {
		return jobs, nil
	}
	var chosen []job
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(jobs, func(j job) bool { return j.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("there is no job %q; there are %s", name, strings.Join(jobNames(), ", "))
		}
		chosen = append(chosen, jobs[i])
	}
	return chosen, nil
}

func jobNames() []string {
	names := make([]string, 0, len(jobs))
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// peers is one run of this program.
type peers struct {
	*options
	*packages
	warmups  int
	dir      string // scratch directory
	lock     *os.File
	progress io.Writer
	launcher *launcher
	quiver   *quiverSystem // nil until a job needs it
	fluss    *flussSystem
	kafka    *kafkaSystem
	tables   int // made so far: each has a name of its own
}

func newPeers(ctx context.Context, o *options, progress io.Writer) (*peers, error) {
	p := &peers{options: o, warmups: 1, progress: progress}
	if o.quick {
		p.rounds, p.warmups = 1, 0
	}
	for _, path := range []*string{&o.work, &o.binary, &o.source} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, err
		}
		*path = absolute
	}
	if _, err := os.Stat(o.binary); err != nil {
		return nil, fmt.Errorf("no server at %q, `make build` makes it: %w", o.binary, err)
	}
	var err error
	if p.lock, err = lockDir(o.work); err != nil {
		return nil, err
	}
	if p.packages, err = getPackages(ctx, o.source, o.work, p.logf); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp(o.work, "run-"); err != nil {
		return nil, err
	}
	p.launcher = newLauncher()
	return p, nil
}

// close ends what is running and removes the scratch directory.
func (p *peers) close() error {
	if p.quiver != nil {
		p.quiver.close()
	}
	if p.fluss != nil {
		p.fluss.close()
	}
	if p.kafka != nil {
		p.kafka.close()
	}
	p.launcher.close()
	return errors.Join(os.RemoveAll(p.dir), p.lock.Close())
}

// lockDir takes a directory for this run: another one would compile into it, and measure this one's load.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another run works in %s: %w", dir, err), lock.Close())
	}
	return lock, nil
}

func (p *peers) logf(text string, args ...any) { fmt.Fprintf(p.progress, text+"\n", args...) }

// size chooses between the size of a real run and that of a smoke test.
func (p *peers) size(full, tiny int) int {
	if p.quick {
		return tiny
	}
	return full
}

// table gives a name that no table had before.
func (p *peers) table(prefix string) string {
	p.tables++
	return fmt.Sprintf("%s_%d", strings.ReplaceAll(prefix, "-", "_"), p.tables)
}

// runJob runs one job and keeps its result.
func (p *peers) runJob(ctx context.Context, j job, args []string) error {
	r := &result{
		Job: j.name, Title: j.title, Started: time.Now().UTC().Truncate(time.Second),
		Command: strings.Join(append([]string{"go run ./bench/peers"}, args...), " "),
		Commit:  measure.Commit(ctx), Machine: measure.DescribeMachine(ctx, p.python, p.dir),
		Versions: p.versions, ForeignLimit: foreignLimit,
	}
	if err := j.run(ctx, p, r); err != nil {
		return err
	}
	for i := range r.Pairs {
		p.logf("  %s", r.pairLine(&r.Pairs[i]))
	}
	if p.quick {
		return nil
	}
	return r.save(p.raw)
}
