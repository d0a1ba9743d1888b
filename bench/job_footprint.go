package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// runFootprint is J14: what a server costs that does nothing.
func runFootprint(ctx context.Context, b *bench, r *result) error {
	if b.binary == "" {
		b.logf("J14 needs the binary: left out")
		return nil
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	settle, watch := 2*time.Second, 10*time.Second
	if b.quick {
		settle, watch = 100*time.Millisecond, 500*time.Millisecond
	}
	number := 0
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{{"Quiver", func(ctx context.Context) (metrics, error) {
		number++
		m, err := b.idle(ctx, filepath.Join(b.dir, fmt.Sprintf("idle%d", number)), settle, watch)
		if err == nil {
			m[binaryMB] = float64(info.Size()) / 1e6
		}
		return m, err
	}}})
	if err != nil {
		return err
	}
	r.Notes = []string{fmt.Sprintf("`quiver dev` on an empty directory: from the start of the process until /readyz answers 200; memory after %v; CPU over the %v that follow.", settle, watch)}
	return nil
}

// judgeFootprint judges J14.
func judgeFootprint(r *result) {
	r.about("footprint")
	r.atMost(200, r.series("Quiver", readyMS), "ready, ms")
	r.atMost(60, r.series("Quiver", idleMB), "idle memory, MB")
	r.atMost(1, r.series("Quiver", idleCPU), "idle CPU, % of one CPU")
	r.atMost(60, r.series("Quiver", binaryMB), "binary, MB")
}

// idle starts a server on an empty directory and watches it do nothing.
func (b *bench) idle(ctx context.Context, data string, settle, watch time.Duration) (metrics, error) {
	began := time.Now()
	p, err := b.startBinary(ctx, "idle", data)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := waitReady(ctx, p.http); err != nil {
		return nil, err
	}
	m := metrics{readyMS: since(began)}
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	held, err := readMemory(p.pid())
	if err != nil {
		return nil, err
	}
	m[idleMB] = float64(held.Resident) / 1e6
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		return nil, err
	}
	m[descriptors] = float64(len(open))
	before, err := cpuTime(p.pid())
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, watch); err != nil {
		return nil, err
	}
	after, err := cpuTime(p.pid())
	m[idleCPU] = 100 * float64(after-before) / float64(watch)
	return m, err
}

// sleep waits, or ends with the context.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
