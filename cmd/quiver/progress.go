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
	quit    func() // asks it to end; may be called again
	done    chan struct{}
}

const progressEvery = 200 * time.Millisecond

// progress starts showing.
func (c *call) progress() *progress {
	err := c.cmd.ErrOrStderr()
	quit := make(chan struct{})
	p := &progress{started: time.Now(), quit: sync.OnceFunc(func() { close(quit) }), done: make(chan struct{})}
	if c.quiet || !isTerminal(err) {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		last, lastAt := int64(0), p.started
		for {
			select {
			case <-quit:
				fmt.Fprint(err, "\r\x1b[K")
				return
			case now := <-ticker.C:
				rows := p.rows.Load()
				fmt.Fprintf(err, "\r\x1b[K%s  %s", tabular.CountRows(rows), rate(rows-last, now.Sub(lastAt)))
				last, lastAt = rows, now
			}
		}
	}()
	return p
}

// stop ends it and takes the line away. It may be called again.
func (p *progress) stop() {
	p.quit()
	<-p.done
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
