package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// started is a server that was started for itself.
type started interface {
	pids() []int
	stop()
}

// runStart starts each system on an empty directory, alone, and watches it do nothing.
func runStart(ctx context.Context, p *peers, r *result) error {
	settle, watch := 2*time.Second, 4*time.Second
	if p.quick {
		settle, watch = 100*time.Millisecond, 500*time.Millisecond
	}
	number := 0
	starting := func(start func(dir string) (started, error)) func(context.Context) (metrics, error) {
		return func(ctx context.Context) (metrics, error) {
			number++
			dir := filepath.Join(p.dir, fmt.Sprintf("start%d", number))
			began := time.Now()
			s, err := start(dir)
			if err != nil {
				return nil, err
			}
			defer s.stop()
			m := metrics{readySec: time.Since(began).Seconds()}
			return m, watchIdle(ctx, m, s.pids(), settle, watch)
		}
	}
	arms := []arm{
		{quiverName, "quiver dev", defaults, synced, starting(func(dir string) (started, error) { return p.startQuiver(ctx, dir) })},
		{flussName, "ZooKeeper, coordinator, one tablet server", defaults, pageCache, starting(func(dir string) (started, error) { return p.startFluss(ctx, dir) })},
		{kafkaName, "KRaft, one node", defaults, pageCache, starting(func(dir string) (started, error) { return p.startKafka(ctx, dir) })},
	}
	r.Notes = []string{
		fmt.Sprintf("From the start of the first process on an empty directory until the server says that it is ready, files in the page cache, nothing else running; Kafka's time includes formatting its storage. Resident memory of all processes after %v, CPU over the %v that follow.", settle, watch),
		"Fluss's processes start one after the other, each when the one before listens; heaps are limited to 3 GB, 512 MB and 256 MB, Kafka's to 2 GB.",
	}
	for _, other := range []int{1, 2} {
		for _, metric := range []string{readySec, idleMB, idleCPU} {
			r.pair(metric, &arms[0], &arms[other])
		}
	}
	return p.takeTurns(ctx, r, min(p.rounds, 3), arms)
}

// watchIdle adds what processes hold and take while they do nothing.
func watchIdle(ctx context.Context, m metrics, pids []int, settle, watch time.Duration) error {
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	for _, pid := range pids {
		held, err := measure.ReadMemory(pid)
		if err != nil {
			return err
		}
		m[idleMB] += float64(held.Resident) / 1e6
	}
	before, err := cpuOf(pids)
	if err != nil {
		return err
	}
	if err := sleep(ctx, watch); err != nil {
		return err
	}
	after, err := cpuOf(pids)
	m[idleCPU] = 100 * float64(after-before) / float64(watch)
	return err
}
