package server

import (
	"context"
	"sync"
)

// calls counts the calls that run, so that a drain knows when the last one has ended.
type calls struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed once none runs; nil while nobody waits
}

func (c *calls) begin() {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait blocks until no call runs. The error is the context's cause.
func (c *calls) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.running == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
