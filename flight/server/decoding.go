package server

import (
	"context"
	"runtime/debug"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// A few bytes of a client may stand for a gigabyte: compressed bodies, dictionaries, runs. The budget for bodies as they
// arrive does not see that, so what becomes of them has a bound of its own, over all streams.
const (
	decodePlaces  = 32        // messages at a time that become something small, at most
	decodeSmall   = 16 << 20  // bytes that a small one may become, at most
	decodeFew     = 2         // messages at a time, however little memory there is
	decodeHuge    = 256 << 20 // from here on the memory goes back to the system at once
	dictionaries  = 256 << 20 // bytes of dictionaries, over all streams, at most
	dictionaryOwn = 1 << 20   // bytes of dictionaries that a stream may have in any case
)

// decoding bounds what messages become on their way in. A small one takes one of the places; one that grows beyond
// that keeps its place and waits until no other such message is under way. Whoever has both waits for nothing else
// here, so nobody waits in a circle.
type decoding struct {
	small  int64 // bytes that a message with a place may become
	places *buf.Budget
	large  *buf.Budget
	held   *buf.Budget // what streams keep of their dictionaries beyond dictionaryOwn
}

// newDecoding gives the bounds that go with the budget of messages on their way in: together they take about as much
// again.
func newDecoding(memory int64) *decoding {
	return &decoding{
		small:  min(memory/decodeFew, decodeSmall),
		places: buf.NewBudget(min(max(memory/decodeSmall, decodeFew), decodePlaces)),
		large:  buf.NewBudget(1),
		held:   buf.NewBudget(min(memory/2, dictionaries)),
	}
}

// grant is what a stream holds of it: for the message at hand, and for its dictionaries.
type grant struct {
	bytes int64 // what the message has become so far
	place bool
	large bool
	held  int64
}

// admit asks for memory for the message at hand, and waits for it.
func (d *decoding) admit(ctx context.Context, g *grant, bytes int64) error {
	g.bytes += bytes
	if !g.place {
		if err := d.places.Acquire(ctx, 1); err != nil {
			return err
		}
		g.place = true
	}
	if g.bytes > d.small && !g.large {
		if err := d.large.Acquire(ctx, 1); err != nil {
			return err
		}
		g.large = true
	}
	return nil
}

// done gives back what the message at hand held. The collector would let several huge messages pile up before it
// looks at them, each gone before the next one came: they are collected one by one.
func (d *decoding) done(g *grant) {
	if g.bytes >= decodeHuge {
		debug.FreeOSMemory()
	}
	if g.large {
		d.large.Release(1)
	}
	if g.place {
		d.places.Release(1)
	}
	*g = grant{held: g.held}
}

// keep charges the stream for its dictionaries, which take so many bytes now. It does not wait: streams that wait
// while they hold some would wait for each other.
func (d *decoding) keep(g *grant, bytes int64) error {
	bytes = max(bytes-dictionaryOwn, 0)
	if bytes > g.held && !d.held.TryAcquire(bytes-g.held) {
		return quiver.Errorf(quiver.Overloaded, "the dictionaries of all put streams together take too much memory").
			Advise("try again later, or send these columns plainly")
	}
	if bytes < g.held {
		d.held.Release(g.held - bytes)
	}
	g.held = bytes
	return nil
}
