package main

import (
	"os"
	"time"
)

// work is what one piece of work came to, as its client saw it.
type work struct {
	seconds float64
	rows    int64
	cpu     float64 // seconds of the client; negative: the client is this program
	times   int     // how often it was done in a row; the other fields are of one time
}

// metered does work against a server (nil: none) and gives the usual metrics of it; gb is its logical size.
func metered(server *process, gb float64, do func() (work, error)) (metrics, error) {
	var before time.Duration
	var err error
	if server != nil {
		resetPeak(server.pid())
		if before, err = cpuTime(server.pid()); err != nil {
			return nil, err
		}
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	w, err := do()
	if err != nil {
		return nil, err
	}
	times := float64(max(w.times, 1))
	if w.cpu < 0 {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			return nil, err
		}
		w.cpu = (after - own).Seconds() / times
	}
	m := metrics{seconds: w.seconds, gbPerSec: gb / w.seconds, clientCPU: w.cpu / gb}
	if w.rows > 0 {
		m[rowsPerSec] = float64(w.rows) / w.seconds
	}
	if server != nil {
		after, err := cpuTime(server.pid())
		if err != nil {
			return nil, err
		}
		held, err := readMemory(server.pid())
		if err != nil {
			return nil, err
		}
		m[serverCPU] = (after - before).Seconds() / times / gb
		m[serverPeak] = float64(held.Peak) / 1e6
	}
	return m, nil
}

// perRow turns the CPU time of work that was metered as 1 GB into one for each row: bytes mean little where rows go one by one.
func (m metrics) perRow(rows int64) {
	m[serverRow] = m[serverCPU] * 1e6 / float64(rows)
	m[clientRow] = m[clientCPU] * 1e6 / float64(rows)
	for _, name := range []string{serverCPU, clientCPU, gbPerSec} {
		delete(m, name)
	}
}

// timed is work of this program.
func timed(rows int64, do func() error) (work, error) {
	began := time.Now()
	err := do()
	return work{seconds: time.Since(began).Seconds(), rows: rows, cpu: -1}, err
}

// timedOften is short work of this program, done several times in a row.
func timedOften(times int, rows int64, do func() error) (work, error) {
	began := time.Now()
	for range times {
		if err := do(); err != nil {
			return work{}, err
		}
	}
	return work{seconds: time.Since(began).Seconds() / float64(times), rows: rows, cpu: -1, times: times}, nil
}

// byPyarrow is work of the pyarrow client.
func (b *bench) byPyarrow(command map[string]any) (work, error) {
	took, err := b.client.do(command)
	times, _ := command["times"].(int)
	return work{seconds: took.Seconds, rows: took.Rows, cpu: took.CPU, times: times}, err
}
