package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// arm is one of the things a job compares.
type arm struct {
	name string
	run  func(ctx context.Context) (metrics, error) // does the work once
}

// metrics are what one piece of work took, by name; see the metric constants.
type metrics map[string]float64

// The metrics. Each name says its unit.
const (
	seconds      = "seconds"         // of the work, as its client saw it
	rowsPerSec   = "rows/s"          //
	gbPerSec     = "GB/s"            // logical
	storedPerSec = "stored GB/s"     // bytes on the disk
	serverCPU    = "server CPU s/GB" // of logical bytes
	clientCPU    = "client CPU s/GB" //
	serverRow    = "server CPU µs/row"
	clientRow    = "client CPU µs/row"
	serverPeak   = "server peak MB"   // largest resident size during the work
	messageKB    = "message KB"       // mean size of a message
	groupMB      = "group MB"         // median size of a group commit
	acksPerSec   = "acks/s"           //
	keysPerSec   = "keys/s"           // looked up
	changeBytes  = "log B/row"        // bytes of the changelog on the disk, for each row put
	p50          = "p50 ms"           //
	p99          = "p99 ms"           //
	p999         = "p99.9 ms"         //
	worst        = "max ms"           //
	readyMS      = "ready ms"         // from the start of the process to the answer of /readyz
	firstReadMS  = "first read ms"    // from the start of the process to the last row read back
	foundMS      = "found ms"         // from the start of the process to the last key found
	keyFoundMS   = "keyed found ms"   // the same, of the keyed table alone
	createMS     = "create ms"        // of all buckets
	bytesPerRow  = "B/row"            // on the disk
	ofArrow      = "of raw Arrow"     // bytes on the disk, of an IPC file with the same batches
	descriptors  = "descriptors"      // open
	dataMB       = "data MB"          // of the data directory, zeros written ahead included
	idleMB       = "idle MB"          // resident
	idleCPU      = "idle CPU %"       // of one CPU
	binaryMB     = "binary MB"        //
	storedRatio  = "stored / batched" // bytes on the disk against the same rows in large batches
)

// sample is one turn of an arm.
type sample struct {
	Metrics metrics `json:"metrics"`
	Foreign float64 `json:"foreign_cpus"`     // CPUs that other programs took meanwhile
	Loaded  bool    `json:"loaded,omitempty"` // that was too much
	Again   int     `json:"again,omitempty"`  // how many disturbed samples were thrown away for this one
}

// Bounds on foreign load.
const (
	foreignLimit = 0.10 // CPUs; above it a sample is taken again
	foreignPause = 2 * time.Second
)

// takeTurns runs the arms in turns: one round to warm up, then the rounds that count. It prints as it goes.
func (b *bench) takeTurns(ctx context.Context, job string, arms []arm) ([]armResult, error) {
	results := make([]armResult, len(arms))
	for i, a := range arms {
		results[i].Name = a.name
	}
	for round := -b.warmups; round < b.rounds; round++ {
		if round >= leastQuiet && time.Since(b.began) > b.budget {
			b.logf("%s has had its %v: it ends after %d rounds", job, b.budget, round)
			break
		}
		for i, a := range arms {
			tries := b.tries
			if round < 0 || b.quick {
				tries = 0
			}
			s, err := takeSample(ctx, a, tries)
			if err != nil {
				return nil, fmt.Errorf("%s, arm %q: %w", job, a.name, err)
			}
			if round >= 0 {
				results[i].Samples = append(results[i].Samples, s)
			}
			b.logf("%s round %2d  %-44s %s", job, round+1, a.name, s.line())
		}
	}
	return results, nil
}

// takeSample runs an arm once, and again while other programs are in the way.
func takeSample(ctx context.Context, a arm, tries int) (s sample, err error) {
	for again := 0; ; again++ {
		runtime.GC() // the clients of other arms leave their garbage here
		before, err := readLoad()
		if err != nil {
			return s, err
		}
		if s.Metrics, err = a.run(ctx); err != nil {
			return s, err
		}
		after, err := readLoad()
		if err != nil {
			return s, err
		}
		s.Foreign = foreign(before, after)
		s.Loaded = s.Foreign > foreignLimit
		if s.Again = again; !s.Loaded || again >= tries {
			return s, nil
		}
		select {
		case <-time.After(foreignPause):
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}

// line is a sample in one line of progress.
func (s *sample) line() string {
	text := ""
	for _, name := range []string{seconds, gbPerSec, rowsPerSec, storedPerSec, serverCPU, clientCPU, serverRow, clientRow, acksPerSec, keysPerSec, p50, p99, p999, readyMS, firstReadMS, idleMB, idleCPU} {
		if v, ok := s.Metrics[name]; ok {
			text += fmt.Sprintf("  %s %s", measure.Figure(v), name)
		}
	}
	if s.Loaded {
		text += fmt.Sprintf("  (%.2f CPUs elsewhere)", s.Foreign)
	}
	return text
}
