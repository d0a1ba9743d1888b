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
	raw      string
	docs     string
	binary   string
	profiles string
	tmpfs    string
	summary  bool
	resume   bool
	tries    int
	top      int

	restartGB      float64
	restartBuckets int
	idleBuckets    int
}

func parseFlags(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.jobs, "jobs", "", "jobs to run, as in J1,J3; all if empty")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds that count, after one to warm up")
	flags.BoolVar(&o.quick, "quick", false, "everything once with tiny sizes: a smoke test, whose figures mean nothing")
	flags.StringVar(&o.out, "out", "bench/out", "directory of data and scratch files")
	flags.StringVar(&o.raw, "raw", "docs/benchmarks", "directory of the raw results, a file a job, and of the plots that are made of them")
	flags.StringVar(&o.docs, "docs", "docs/benchmarks.md", "page whose tables are written; empty: none")
	flags.StringVar(&o.binary, "binary", "bin/quiver", "the server under test; without it this program serves")
	flags.StringVar(&o.profiles, "cpuprofile", "", "directory: this program serves, and a CPU profile of each server goes there")
	flags.StringVar(&o.tmpfs, "tmpfs", "/dev/shm", "directory in memory, for the jobs without a disk; empty: they are left out")
	flags.IntVar(&o.tries, "tries", 2, "how often a sample is taken again that other programs disturbed")
	flags.BoolVar(&o.summary, "summary", false, "run nothing: write tables and plots from the raw results that are there")
	flags.BoolVar(&o.resume, "resume", false, "leave out jobs whose raw result is of this commit already")
	flags.IntVar(&o.top, "top", 0, "with -cpuprofile: print so many functions of each server's profile, as Markdown")
	flags.Float64Var(&o.restartGB, "restart-gb", 8, "GB of J9's log; its goal is 50")
	flags.IntVar(&o.restartBuckets, "restart-buckets", 1000, "buckets of J9's log")
	flags.IntVar(&o.idleBuckets, "idle-buckets", 100_000, "buckets of J11")
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
	if o.summary {
		return writeSummary(o.docs, o.raw)
	}
	b, err := newBench(ctx, o, out)
	if err != nil {
		return err
	}
	defer b.close()
	var failed error // one job's failure does not take the others with it
	for i := range chosen {
		if err := b.runJob(ctx, &chosen[i], args); err != nil {
			b.logf("%v", err)
			failed = errors.Join(failed, err)
		}
		if ctx.Err() != nil {
			return failed
		}
	}
	if o.docs == "" || o.quick || o.profiles != "" {
		return failed // figures of a smoke test or of a profiled server are no results
	}
	return errors.Join(failed, writeSummary(o.docs, o.raw))
}

// job is one row of the goals.
type job struct {
	name   string
	title  string
	usual  time.Duration // that it takes on two quiet cores
	budget time.Duration // after which no new round begins, once there are enough; twice that is the end of the job
	run    func(ctx context.Context, b *bench, r *result) error
	judge  func(r *result)
}

// jobs are all jobs, in the order of the page.
var jobs []job

func init() {
	jobs = []job{
		{"J1", "Append, 64K-row batches, durable", 45 * time.Second, 3 * time.Minute, runPut, judgePut},
		{"J2", "One-row appends of many waiting producers, durable", time.Minute, 3 * time.Minute, runAcks, judgeAcks},
		{"J3", "Full scan", 45 * time.Second, 3 * time.Minute, runScan, judgeScan},
		{"J4", "Projected scan", time.Minute, 3 * time.Minute, runProject, judgeProject},
		{"J5", "Append to consumer at 10,000 rows/s, durable", 45 * time.Second, 2 * time.Minute, runTail, judgeTail},
		{"J6", "Upserts with full changelog, durable", 4 * time.Minute, 6 * time.Minute, runUpsert, judgeUpsert},
		{"J7", "Lookups", 2 * time.Minute, 4 * time.Minute, runLookup, judgeLookup},
		{"J9", "Restart after kill -9", 2 * time.Minute, 4 * time.Minute, runRestart, judgeRestart},
		{"J11", "100,000 idle buckets", 2 * time.Minute, 4 * time.Minute, runDensity, judgeDensity},
		{"J12", "Bytes of the hot log", 30 * time.Second, time.Minute, runBytes, judgeBytes},
		{"J14", "Footprint", 80 * time.Second, 2 * time.Minute, runFootprint, judgeFootprint},
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
	commit    string
	dir       string // scratch directory on the disk
	ram       string // scratch directory in memory, "" without one
	python    string // "" without pyarrow
	progress  io.Writer
	processes []*process // started, in order
	client    *pyarrow   // nil without pyarrow

	job    string // that runs now
	began  time.Time
	budget time.Duration
}

func newBench(ctx context.Context, o *options, progress io.Writer) (*bench, error) {
	b := &bench{options: o, warmups: 1, progress: progress, commit: commit(ctx)}
	if o.quick {
		b.rounds, b.warmups = 1, 0
		o.out = filepath.Join(o.out, "quick") // beside the data of real runs
		o.raw = o.out
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
	}
	return b, nil
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

// endJob ends the servers of a job and removes what they left.
func (b *bench) endJob() {
	for _, p := range slices.Backward(b.processes) {
		p.stop()
	}
	b.processes = nil
	for _, dir := range []string{b.dir, b.ram} {
		if dir == "" {
			continue
		}
		left, _ := os.ReadDir(dir) // what cannot be listed goes with close
		for _, entry := range left {
			_ = os.RemoveAll(filepath.Join(dir, entry.Name()))
		}
	}
}

func (b *bench) logf(text string, args ...any) { fmt.Fprintf(b.progress, text+"\n", args...) }

// runJob runs one job and keeps its result. A job that takes far too long is ended, with all its processes.
func (b *bench) runJob(ctx context.Context, j *job, args []string) (err error) {
	if b.resume {
		if r, err := loadResult(b.raw, j); err != nil || (r != nil && r.Commit == b.commit) {
			return err
		}
	}
	r := &result{
		Job: j.name, Title: j.title, Started: time.Now().UTC().Truncate(time.Second),
		Command: strings.Join(append([]string{"go run ./bench"}, args...), " "),
		Commit:  b.commit, Machine: describeMachine(ctx, b.python, b.dir),
	}
	b.job, b.began, b.budget = j.name, time.Now(), j.budget
	defer func(warmups, rounds int) { b.warmups, b.rounds = warmups, rounds }(b.warmups, b.rounds) // a job may want fewer
	b.logf("%s: %s, usually %v, at most %v", j.name, j.title, j.usual, j.budget)
	ctx, cancel := context.WithTimeoutCause(ctx, 2*j.budget, fmt.Errorf("%s took twice its %v", j.name, j.budget))
	defer cancel()
	defer b.endJob()
	if b.python != "" {
		if b.client == nil {
			if b.client, err = newPyarrow(b.python); err != nil {
				return err
			}
		}
		defer context.AfterFunc(ctx, b.client.kill)()
	}
	if err := j.run(ctx, b, r); err != nil {
		if b.client != nil { // it may be in the middle of something, or killed
			b.client.kill()
			b.client.close()
			b.client = nil
		}
		return errors.Join(fmt.Errorf("%s: %w", j.name, err), context.Cause(ctx))
	}
	if len(r.Arms) == 0 {
		return nil // it was left out
	}
	j.judge(r)
	r.Took = time.Since(b.began).Round(100 * time.Millisecond).Seconds()
	for _, g := range r.goals {
		if !b.quick {
			b.logf("%s", g.line())
		}
	}
	b.logf("%s took %v", j.name, time.Since(b.began).Round(time.Second))
	if b.profiles != "" {
		b.endJob() // the profiles are whole once their servers have ended
		return b.printProfiles(ctx)
	}
	return r.save(b.raw)
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
