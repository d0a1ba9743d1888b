package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// world is what clients and nemesis share.
type world struct {
	addr string // of the server, in all of its lives
	ctx  context.Context
	stop context.CancelFunc // ends everything at once: there is nothing more to be learnt
	// abort has the server write what its goroutines do into its log, and end.
	abort func()

	mu         sync.Mutex // guards what follows
	violations []string
	counts     map[string]int64
	damaged    bool // bits are flipped in what is stored: reads may be refused
}

func newWorld(ctx context.Context, addr string) *world {
	w := &world{addr: addr, counts: map[string]int64{}}
	w.ctx, w.stop = context.WithCancel(ctx)
	return w
}

// violate notes a contradiction and ends the run.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() == nil || len(w.violations) == 0 {
		w.violations = append(w.violations, fmt.Sprintf(format, args...))
	}
	w.stop()
}

// bad tells that the run has failed.
func (w *world) bad() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

// over tells that nothing more is to be learnt.
func (w *world) over() bool { return w.ctx.Err() != nil }

// count adds to a figure of the report.
func (w *world) count(what string, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what] += n
}

// counted is a copy of the figures.
func (w *world) counted() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// setDamaged says whether bits are flipped from now on.
func (w *world) setDamaged(damaged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.damaged = damaged
}

// passing tells whether an error is one that faults make: the client comes again.
func (w *world) passing(err error) bool {
	reason := quiver.ReasonOf(err)
	if errors.Is(err, context.DeadlineExceeded) || reason == "" && isTransport(err) || reason == quiver.Unreachable {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch reason {
	case quiver.DiskFull:
		return true
	case quiver.Internal: // what a fault point fails with where no better word is known
		return strings.Contains(err.Error(), "injected fault")
	case quiver.CorruptRange:
		return w.damaged
	}
	class, ok := flight.ClassOf(err)
	return ok && class.Retriable()
}

// contradiction is an error by which a client says that the server broke a promise.
type contradiction struct{ what string }

func (c contradiction) Error() string { return c.what }

func broken(format string, args ...any) error { return contradiction{fmt.Sprintf(format, args...)} }

// isTransport tells an error of the connection from one of the harness.
func isTransport(err error) bool {
	var c contradiction
	return err != nil && !errors.As(err, &c) && strings.Contains(err.Error(), "rpc error")
}

// client is one user of the server.
type client struct {
	*world
	number int32
	name   string
	table  string
	notes  *history
	random *rand.Rand
	ending chan struct{} // closed: come to an end
	over   chan struct{} // closed: it has
	// session works over one connection until it is done, or something breaks.
	session func(ctx context.Context, c *conn) (done bool, err error)
	// settled is called with the connection that the last session ended with; nil: nothing is to be done then.
	endOnce sync.Once
}

// retryAfter is how long a client waits before it comes again.
const retryAfter = 15 * time.Millisecond

// run has session after session until one is done.
func (c *client) run() {
	defer close(c.over)
	for c.ctx.Err() == nil {
		done, err := c.one()
		if done || c.ctx.Err() != nil {
			return
		}
		if err != nil && !c.passing(err) {
			c.violate("%s: %v", c.name, err)
			return
		}
		if err != nil {
			c.count("client retries", 1)
			c.pause(retryAfter)
		}
	}
}

func (c *client) one() (done bool, err error) {
	conn, err := dial(c.addr)
	if err != nil {
		return false, err
	}
	defer conn.close()
	return c.session(c.ctx, conn)
}

// pause waits for a while, or for the end of the run.
func (c *client) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// ends tells that the client is to come to its end.
func (c *client) ends() bool {
	select {
	case <-c.ending:
		return true
	case <-c.ctx.Done():
		return true
	default:
		return false
	}
}

// end asks the client to come to its end.
func (c *client) end() { c.endOnce.Do(func() { close(c.ending) }) }

// patience is how long a client may take to end on a server that is well.
const patience = 2 * time.Minute

// finish asks it to end and waits for that: that it does is a promise too.
func (c *client) finish() {
	c.end()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c.over:
	case <-c.ctx.Done():
		<-c.over
	case <-t.C:
		c.stuck()
		c.violate("stuck: %s does not come to its end on a server that is well", c.name)
		<-c.over
	}
}

// stuck writes down what all goroutines of harness and server do.
func (c *client) stuck() {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	_ = os.WriteFile(c.notes.path+".stacks", stacks, 0o644) // it is for people, after all else
	c.abort()
}

// write notes something; that it cannot is the end of the run.
func (c *client) write(n note) {
	n.Client = c.number
	if err := c.notes.note(n); err != nil {
		c.violate("the harness itself: %v", err)
	}
}

// dice makes a stream of random numbers for one purpose of a run.
func dice(seed uint64, purpose string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, b := range []byte(purpose) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// pick gives one of several.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
