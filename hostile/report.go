package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// report is what a run gives.
type report struct {
	Seed     uint64             `json:"seed"`
	Rounds   int                `json:"rounds"`
	Calls    map[string]calls   `json:"calls"`    // by kind
	Attacks  map[string]int64   `json:"attacks"`  // how often each was tried
	Memory   map[string]int64   `json:"memory"`   // bytes
	CPU      map[string]float64 `json:"cpu"`      // processors that were busy: the server's when calm and attacked, the attackers'
	Counters map[string]float64 `json:"counters"` // of the server
	took     map[string]map[string][]time.Duration
}

// calls are the latencies of one kind of call, in milliseconds.
type calls struct {
	Calm, Attack latencies
	Ratio        float64 `json:"p99_ratio"`
}

// latencies are those of one kind of call in one kind of phase.
type latencies struct {
	Calls int     `json:"calls"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

func latenciesOf(took []time.Duration) latencies {
	return latencies{len(took), percentile(took, 50).Seconds() * 1e3, percentile(took, 99).Seconds() * 1e3}
}

func newReport(o options) *report {
	return &report{Seed: o.seed, Rounds: o.rounds, Calls: map[string]calls{}, Attacks: map[string]int64{}, Memory: map[string]int64{}, CPU: map[string]float64{},
		took: map[string]map[string][]time.Duration{"calm": {}, "attack": {}}}
}

// phase runs the tenant for a while.
func (r *report) phase(ctx context.Context, s *server, t *tenant, name string, d time.Duration) error {
	before, err := measure.CPUTime(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	took, err := t.run(ctx, d)
	after, ended := measure.CPUTime(s.cmd.Process.Pid)
	r.busy(name, after-before, d)
	err = errors.Join(err, ended)
	for kind, all := range took {
		r.took[name][kind] = append(r.took[name][kind], all...)
	}
	return err
}

// busy adds the processor time of a phase of one of the rounds.
func (r *report) busy(name string, cpu, phase time.Duration) {
	r.CPU[name] += cpu.Seconds() / phase.Seconds() / float64(r.Rounds)
}

// count adds what the attackers say of their tries.
func (r *report) count(text string) {
	for line := range strings.Lines(text) {
		n, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		tries, _ := strconv.ParseInt(n, 10, 64)
		r.Attacks[name] += tries
	}
}

// judge compares the memory with what the server may take.
func (r *report) judge(s *server) (err error) {
	held, err := measure.ReadMemory(s.cmd.Process.Pid)
	if err == nil && held.Peak == 0 {
		err = errors.New("the kernel tells no peak of the process's memory")
	}
	if err != nil {
		return err
	}
	r.Memory["peak_rss"], r.Memory["rss"], r.Memory["allowed_rss"] = held.Peak, held.Resident, rssLimit
	if r.Counters, err = s.metrics(); err != nil {
		return err
	}
	for name := range r.Counters {
		if !strings.HasPrefix(name, "quiver_receive") && !strings.HasPrefix(name, "quiver_send") && !strings.HasPrefix(name, "quiver_calls") &&
			!strings.HasPrefix(name, "quiver_connections") && !strings.HasPrefix(name, "quiver_memory") && name != "quiver_panics_total" {
			delete(r.Counters, name)
		}
	}
	r.compare()
	if r.Counters["quiver_panics_total"] > 0 {
		return fmt.Errorf("%v calls panicked", r.Counters["quiver_panics_total"])
	}
	if peak := r.Memory["peak_rss"]; peak > rssLimit {
		return fmt.Errorf("the server took %d MiB, %d are allowed: %s", peak>>20, rssLimit>>20, r.table())
	}
	return nil
}

// compare sets the latencies under attack beside those without.
func (r *report) compare() {
	for kind := range rates {
		c := calls{Calm: latenciesOf(r.took["calm"][kind]), Attack: latenciesOf(r.took["attack"][kind])}
		if c.Calm.P99 > 0 {
			c.Ratio = c.Attack.P99 / c.Calm.P99
		}
		r.Calls[kind] = c
	}
}

// table is the report for people.
func (r *report) table() string {
	var b strings.Builder
	b.WriteString("| call | calm p50, p99 (ms) | under attack p50, p99 (ms) | p99 ratio |\n|---|---|---|---|\n")
	for _, kind := range []string{"put", "lookup", "read"} {
		c := r.Calls[kind]
		fmt.Fprintf(&b, "| %s | %.2f, %.2f | %.2f, %.2f | %.2f |\n", kind, c.Calm.P50, c.Calm.P99, c.Attack.P50, c.Attack.P99, c.Ratio)
	}
	fmt.Fprintf(&b, "\nProcessors: the server %.2f calm, %.2f attacked; the attackers %.2f.\n", r.CPU["calm"], r.CPU["attack"], r.CPU["attackers"])
	fmt.Fprintf(&b, "Peak RSS %d MiB of %d. Calls given up: %.0f, refused: %.0f; connections refused: %.0f.\n",
		r.Memory["peak_rss"]>>20, r.Memory["allowed_rss"]>>20, r.Counters["quiver_calls_given_up_total"], r.Counters["quiver_calls_refused_total"], r.Counters["quiver_connections_refused_total"])
	return b.String()
}

// write writes the report where it is wanted.
func (r *report) write(o options, out io.Writer) error {
	fmt.Fprintln(out, r.table())
	for _, a := range attacks {
		fmt.Fprintf(out, "%8d × %s\n", r.Attacks[a.name], a.name)
	}
	if o.out != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.docs == "" {
		return nil
	}
	const begin, end = "<!-- hostile run -->", "<!-- end of hostile run -->"
	page, err := os.ReadFile(o.docs)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(page), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no part between %s and %s", o.docs, begin, end)
	}
	return os.WriteFile(o.docs, []byte(head+begin+"\n"+r.table()+end+tail), 0o644)
}
