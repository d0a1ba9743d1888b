package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are what the program is told.
type options struct {
	duration time.Duration
	round    time.Duration
	kills    int64
	seed     uint64
	binary   string
	python   string
	job      string
	out      string
	faults   string
	planted  string
	keep     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// parse reads the arguments.
func parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", 10*time.Minute, "how long")
	flags.DurationVar(&o.round, "round", 40*time.Second, "how long one set of tables and clients lives under faults")
	flags.Int64Var(&o.kills, "kills", 0, "end after so many kills; 0: by the time alone")
	flags.Uint64Var(&o.seed, "seed", 0, "what everything is drawn from; 0: a new one")
	flags.StringVar(&o.binary, "binary", "bin/quiver-fault", "the server, built with fault points")
	flags.StringVar(&o.python, "python", "", "a Python with pyarrow, for producers; empty: none")
	flags.StringVar(&o.job, "job", "examples/sales_per_minute.py", "the streaming job that the Python runs; empty: none")
	flags.StringVar(&o.out, "out", ".build/torture", "folder of data, notes and report; what is in it is removed")
	flags.StringVar(&o.faults, "faults", strings.Join(allFaults, ","), "what may happen")
	flags.StringVar(&o.planted, "planted", "", "a bug that the server was built with and is to have")
	flags.BoolVar(&o.keep, "keep", false, "keep the notes of rounds that went well")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("what is %q?", flags.Arg(0))
	}
	for _, f := range strings.Split(o.faults, ",") {
		if !slices.Contains(allFaults, f) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", f, strings.Join(allFaults, ", "))
		}
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1 << 53) // JSON keeps it exactly
	}
	return o, nil
}

// harness is one run.
type harness struct {
	*world
	options *options
	seed    uint64
	nemesis *nemesis
	out     io.Writer
	began   time.Time
	told    time.Time // when progress was told last
}

// run tortures for as long as it is told, and writes the report. The error tells that something was found.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	h, err := newHarness(ctx, o, out)
	if err != nil {
		return err
	}
	defer h.world.stop()
	fmt.Fprintf(out, "seed %d, %v, server %s\n", o.seed, o.duration, o.binary)
	err = h.play()
	h.nemesis.server.kill()
	report := h.report()
	if err := report.write(filepath.Join(o.out, "run.json")); err != nil {
		return err
	}
	fmt.Fprint(out, report.table())
	if err != nil {
		return err
	}
	if len(report.Violations) > 0 {
		return fmt.Errorf("%d contradictions; run again with -seed %d; data and notes are in %s", len(report.Violations), o.seed, o.out)
	}
	return nil
}

func newHarness(ctx context.Context, o *options, out io.Writer) (*harness, error) {
	if err := os.RemoveAll(o.out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	s, err := newServer(o.binary, o.out, dice(o.seed, "address"))
	if err != nil {
		return nil, err
	}
	if o.planted != "" {
		s.env = append(s.env, "QUIVER_PLANTED="+o.planted)
	}
	points, err := s.points()
	if err != nil {
		return nil, err
	}
	w := newWorld(ctx, s.flight)
	w.abort = s.abort
	n := &nemesis{world: w, server: s, random: dice(o.seed, "nemesis"), points: points, faults: map[string]bool{},
		flipped: flips{paths: map[string]bool{}}, settle: settleWithin}
	for _, f := range strings.Split(o.faults, ",") {
		n.faults[f] = true
	}
	return &harness{world: w, options: o, seed: o.seed, nemesis: n, out: out, began: time.Now()}, nil
}

// play has one round after the other.
func (h *harness) play() error {
	end := h.began.Add(h.options.duration)
	for number := 0; ; number++ {
		left := time.Until(end)
		if left <= 0 || h.over() || h.enough() {
			return nil
		}
		if err := h.round(number, min(left, h.options.round)); err != nil && !h.over() {
			return err
		}
	}
}

// enough tells that as many kills were had as are wanted.
func (h *harness) enough() bool {
	return h.options.kills > 0 && h.counted()["kills"] >= h.options.kills
}

// progressEvery is how often a line tells how the run goes.
const progressEvery = 10 * time.Second

// progress tells how the run goes.
func (h *harness) progress(round int) {
	if time.Since(h.told) < progressEvery {
		return
	}
	h.told = time.Now()
	c := h.counted()
	fmt.Fprintf(h.out, "%8s  round %d: %d kills (%d at points), %d stops, %d puts and %d rows acknowledged, %d rows read, %d upserts, %d increments, %d lookups, %d ids\n",
		time.Since(h.began).Round(time.Second), round, c["kills"], c["kills at a fault point"], c["stops"], c["puts acknowledged"], c["rows acknowledged"],
		c["rows read"], c["upserts acknowledged"], c["increments"], c["lookups"], c["ids given"])
}
