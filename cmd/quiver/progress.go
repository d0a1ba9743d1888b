package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver/internal/tabular"
)

// progress shows on a terminal how many rows went by, and how fast. Elsewhere it shows nothing.
type progress struct {
	rows    atomic.Int64
	started time.Time
	stop    func() // takes the line away; may be called again
}

const progressEvery = 200 * time.Millisecond

// progress starts showing.
func (c *call) progress() *progress {
	p := &progress{started: time.Now()}
	last := int64(0)
	p.stop = c.show(func(took time.Duration) string {
		rows := p.rows.Load()
		defer func() { last = rows }()
		return tabular.CountRows(rows) + "  " + rate(rows-last, took)
	})
	return p
}

// show writes a line over and over on a terminal, until stop, which may be called again, takes it away. line is told how long ago it was asked last.
func (c *call) show(line func(took time.Duration) string) (stop func()) {
	err := c.cmd.ErrOrStderr()
	if c.quiet || !isTerminal(err) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-quit:
				fmt.Fprint(err, "\r\x1b[K")
				return
			case now := <-ticker.C:
				fmt.Fprint(err, "\r\x1b[K"+line(now.Sub(last)))
				last = now
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

// rate writes rows per second.
func rate(rows int64, took time.Duration) string {
	if took <= 0 {
		return "0 rows/s"
	}
	return tabular.FormatCount(int64(float64(rows)/took.Seconds())) + " rows/s"
}

// since writes how long something took, in digits that matter.
func since(started time.Time) string {
	took := time.Since(started)
	if took < time.Second {
		return took.Round(time.Millisecond).String()
	}
	return took.Round(10 * time.Millisecond).String()
}
