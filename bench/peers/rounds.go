package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// metrics are what one piece of work took, by name.
type metrics map[string]float64

// The metrics. Each name says its unit.
const (
	rowsPerSec = "rows/s"
	megabytes  = "MB/s" // logical: uncompressed Arrow bytes
	perScan    = "ms"   // of one pass
	lookups    = "keys/s"
	p50        = "p50 ms"
	p99        = "p99 ms"
	p999       = "p99.9 ms"
	worst      = "max ms"
	requests   = "requests" // that were timed
	diskRow    = "disk B/row"
	serverCPU  = "server CPU µs/row"
	clientCPU  = "client CPU µs/row"
	readySec   = "ready s"
	idleMB     = "idle MB"
	idleCPU    = "idle CPU %" // of one CPU
)

// Words of what an acknowledgement means.
const (
	synced    = "fsync before ack"
	pageCache = "page cache"
	readOnly  = "read"
)

// arm is one of the things a job compares.
type arm struct {
	System  string `json:"system"`  // Quiver, Fluss or Kafka
	Client  string `json:"client"`  // what its user programs with
	Setting string `json:"setting"` // "defaults", or what was set
	Durable string `json:"durable"` // what an acknowledgement means

	run func(ctx context.Context) (metrics, error)
}

// name tells the arm from others of its job.
func (a *arm) name() string { return a.System + ", " + a.Client + ", " + a.Setting }

// sample is one turn of an arm.
type sample struct {
	Metrics metrics `json:"metrics"`
	Foreign float64 `json:"foreign_cpus"`     // CPUs that other programs took meanwhile
	Loaded  bool    `json:"loaded,omitempty"` // that was too much: the sample is thrown out
}

// Bounds on foreign load.
const (
	foreignLimit = 0.10 // CPUs
	foreignPause = 2 * time.Second
)

// leastRounds count even if the job has used its time up.
const leastRounds = 2

// takeTurns runs the arms in turns: one round to warm up, then the rounds that count.
func (p *peers) takeTurns(ctx context.Context, r *result, rounds int, arms []arm) error {
	r.Arms = make([]armResult, len(arms))
	for i, a := range arms {
		r.Arms[i].arm = a
	}
	began := time.Now()
	for round := -p.warmups; round < rounds; round++ {
		if round >= leastRounds && time.Since(began) > p.limit {
			p.logf("%s: %d of %d rounds in %v, no more", r.Job, round, rounds, p.limit)
			return nil
		}
		for i := range arms {
			tries := p.tries
			if round < 0 || p.quick {
				tries = 0
			}
			s, err := takeSample(ctx, &arms[i], tries)
			if err != nil {
				return fmt.Errorf("arm %q: %w", arms[i].name(), err)
			}
			if round >= 0 {
				r.Arms[i].Samples = append(r.Arms[i].Samples, s)
			}
			p.logf("%s %2d  %-64s %s", r.Job, round+1, arms[i].name(), s.line())
		}
	}
	return nil
}

// takeSample runs an arm once, and again while other programs are in the way.
func takeSample(ctx context.Context, a *arm, tries int) (s sample, err error) {
	for {
		runtime.GC() // what the turn before left is not this one's
		before, err := measure.ReadLoad()
		if err != nil {
			return s, err
		}
		if s.Metrics, err = a.run(ctx); err != nil {
			return s, err
		}
		after, err := measure.ReadLoad()
		if err != nil {
			return s, err
		}
		s.Foreign = measure.Foreign(before, after)
		s.Loaded = s.Foreign > foreignLimit
		if !s.Loaded || tries == 0 {
			return s, nil
		}
		tries--
		if err := sleep(ctx, foreignPause); err != nil {
			return s, err
		}
	}
}

// line is a sample in one line of progress.
func (s *sample) line() string {
	text := ""
	for _, name := range columnsInOrder {
		if v, ok := s.Metrics[name]; ok {
			text += fmt.Sprintf("  %s %s", measure.Figure(v), name)
		}
	}
	if s.Loaded {
		text += fmt.Sprintf("  (%.2f CPUs elsewhere)", s.Foreign)
	}
	return text
}

// cpuOf adds up the CPU time of processes.
func cpuOf(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		t, err := measure.CPUTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// metered does work of a client against a server and gives the usual metrics of it, with bytes that one row has.
func metered(server []int, client int, rowBytes float64, passes int, do func() (answer, error)) (metrics, answer, error) {
	serverBefore, err := cpuOf(server)
	if err != nil {
		return nil, answer{}, err
	}
	clientBefore, err := measure.CPUTime(client)
	if err != nil {
		return nil, answer{}, err
	}
	a, err := do()
	if err != nil {
		return nil, a, err
	}
	clientAfter, err := measure.CPUTime(client)
	if err != nil {
		return nil, a, err
	}
	serverAfter, err := cpuOf(server)
	if err != nil {
		return nil, a, err
	}
	rows := float64(a.Rows * int64(max(passes, 1)))
	m := metrics{
		rowsPerSec: float64(a.Rows) / a.Seconds,
		serverCPU:  (serverAfter - serverBefore).Seconds() * 1e6 / rows,
		clientCPU:  (clientAfter - clientBefore).Seconds() * 1e6 / rows,
	}
	if rowBytes > 0 {
		m[megabytes] = m[rowsPerSec] * rowBytes / 1e6
	}
	if passes > 0 {
		m[perScan] = a.Seconds * 1e3
	}
	return m, a, nil
}

// ordered is metered work of a client that takes orders.
func ordered(ctx context.Context, server []int, c *client, rowBytes float64, passes int, o order) (metrics, answer, error) {
	return metered(server, c.pid(), rowBytes, passes, func() (answer, error) { return c.do(ctx, o) })
}

// inHere is metered work of this program: the Go client.
func inHere(server []int, rowBytes float64, passes int, do func() (answer, error)) (metrics, answer, error) {
	return metered(server, os.Getpid(), rowBytes, passes, do)
}

// timed takes the time of work of this program.
func timed(rows int64, do func() error) (answer, error) {
	began := time.Now()
	err := do()
	return answer{Seconds: time.Since(began).Seconds(), Rows: rows}, err
}

// allocated is what the files below a directory take on the disk.
func allocated(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		const block = 512 // the unit of st_blocks, whatever the file system's is
		total += info.Sys().(*syscall.Stat_t).Blocks * block
		return nil
	})
	return total, err
}
