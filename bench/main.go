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
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == childWord {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	jobs     string
	rounds   int
	quick    bool
	out      string
	docs     string
	binary   string
	profiles string
	tmpfs    string
	summary  bool
	tries    int
}

func parseFlags(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.jobs, "jobs", "", "jobs to run, as in J1,J3; all if empty")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds that count, after one to warm up")
	flags.BoolVar(&o.quick, "quick", false, "everything once with tiny sizes: a smoke test, whose figures mean nothing")
	flags.StringVar(&o.out, "out", "bench/out", "directory of results, data and scratch files")
	flags.StringVar(&o.docs, "docs", "docs/benchmarks.md", "page whose tables are written; empty: none")
	flags.StringVar(&o.binary, "binary", "bin/quiver", "the server under test; without it this program serves")
	flags.StringVar(&o.profiles, "cpuprofile", "", "directory: this program serves, and a CPU profile of each server goes there")
	flags.StringVar(&o.tmpfs, "tmpfs", "/dev/shm", "directory in memory, for the jobs without a disk; empty: they are left out")
	flags.IntVar(&o.tries, "tries", 2, "how often a sample is taken again that other programs disturbed")
	flags.BoolVar(&o.summary, "summary", false, "run nothing: write the tables from the results that are there")
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
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	chosen, err := choose(o.jobs)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o, out)
	if err != nil {
		return err
	}
	defer b.close()
	if !o.summary {
		for _, j := range chosen {
			if err := b.runJob(ctx, j, args); err != nil {
				return err
			}
		}
	}
	if o.docs == "" || o.quick || o.profiles != "" {
		return nil // figures of a smoke test or of a profiled server are no results
	}
	return writeSummary(o.docs, o.out)
}

// job is one row of the goals.
type job struct {
	name  string
	title string
	run   func(ctx context.Context, b *bench, r *result) error
}

// jobs are all jobs, in the order of the page.
var jobs []job

func init() {
	jobs = []job{
		{"J1", "Append, 64K-row batches, durable", runPut},
		{"J2", "One-row appends of many waiting producers, durable", runAcks},
		{"J3", "Full scan", runScan},
		{"J4", "Projected scan of wide100", runProject},
		{"J5", "Append to consumer at 10,000 rows/s, durable", runTail},
		{"J6", "Upserts with full changelog, durable", runUpsert},
		{"J7", "Lookups", runLookup},
		{"J9", "Restart after kill -9", runRestart},
		{"J14", "Footprint", runFootprint},
	}
}

// choose finds jobs by name.
func choose(names string) ([]job, error) {
	if names == "" {
		return jobs, nil
	}
	var chosen []job
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(jobs, func(j job) bool { return strings.EqualFold(j.name, strings.TrimSpace(name)) })
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

// bench is one run of this program.
type bench struct {
	*options
	warmups   int
	dir       string // scratch directory on the disk
	ram       string // scratch directory in memory, "" without one
	python    string // "" without pyarrow
	progress  io.Writer
	processes []*process // started, in order
	client    *pyarrow   // nil without pyarrow
	job       string     // that runs now
}

func newBench(ctx context.Context, o *options, progress io.Writer) (*bench, error) {
	b := &bench{options: o, warmups: 1, progress: progress}
	if o.quick {
		b.rounds, b.warmups = 1, 0
		o.out = filepath.Join(o.out, "quick") // beside the results of real runs
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if b.dir, err = os.MkdirTemp(o.out, "run-"); err != nil {
		return nil, err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return nil, err
	}
	if o.tmpfs != "" {
		if b.ram, err = os.MkdirTemp(o.tmpfs, "quiver-bench-"); err != nil {
			b.logf("no directory in memory (%v): jobs without a disk are left out", err)
		}
	}
	if _, err := os.Stat(o.binary); err != nil {
		b.binary = ""
		b.logf("no binary at %q: this program serves (make build makes it)", o.binary)
	}
	if b.python = findPython(ctx); b.python == "" {
		b.logf("no pyarrow in $QUIVER_PYTHON or .venv: its arms are left out")
		return b, nil
	}
	b.client, err = newPyarrow(b.python)
	return b, err
}

// close ends what is still running and removes the scratch directories.
func (b *bench) close() {
	b.endJob()
	if b.client != nil {
		b.client.close()
	}
	_ = os.RemoveAll(b.dir)
	if b.ram != "" {
		_ = os.RemoveAll(b.ram)
	}
}

// endJob ends the servers of a job.
func (b *bench) endJob() {
	for _, p := range slices.Backward(b.processes) {
		p.stop()
	}
	b.processes = nil
}

func (b *bench) logf(text string, args ...any) { fmt.Fprintf(b.progress, text+"\n", args...) }

// runJob runs one job and keeps its result.
func (b *bench) runJob(ctx context.Context, j job, args []string) error {
	r := &result{
		Job: j.name, Title: j.title, Started: time.Now().UTC().Truncate(time.Second),
		Command: strings.Join(append([]string{"go run ./bench"}, args...), " "),
		Commit:  commit(ctx), Machine: describeMachine(ctx, b.python, b.dir),
	}
	b.job = j.name
	defer b.endJob()
	if err := j.run(ctx, b, r); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", j.name, err), context.Cause(ctx))
	}
	for _, g := range r.Goals {
		if !b.quick {
			b.logf("%s", g.line())
		}
	}
	return r.save(b.out)
}

// line is a goal in one line.
func (g *goal) line() string {
	verdict, relation := "missed", "≥"
	if g.Met {
		verdict = "met"
	}
	if g.Less {
		relation = "≤"
	}
	return fmt.Sprintf("  %-6s %s: %s (%s to %s), wanted %s %s", verdict, g.Text, format(g.Value), format(g.Low), format(g.High), relation, format(g.Need))
}

// size chooses between the size of a real run and that of a smoke test.
func (b *bench) size(full, tiny int) int {
	if b.quick {
		return tiny
	}
	return full
}

// data writes a dataset, or finds it written by an earlier run.
func (b *bench) data(d *dataset) (*datafile, error) {
	dir, err := filepath.Abs(filepath.Join(b.out, "data"))
	if err != nil {
		return nil, err
	}
	return d.write(dir)
}
