package main

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// producer puts rows into a log table: groups of puts, each group flushed. A plain one cannot repeat what it knows
// nothing of. A sequenced one sends again, in order, what was not acknowledged, and now and then more.
type producer struct {
	*client
	sequenced bool
	shape     shape
	writer    uint64
	epoch     int32
	known     bool // writer and epoch
	next      int64
	pending   []int64 // puts that were sent, or are to be, and not acknowledged
	sizes     []int32 // of all puts
	recent    []int64 // acknowledged; as few as every bucket surely remembers
}

// recentPuts are that few.
const recentPuts = 4

// group makes the next puts.
func (p *producer) group() (puts []int64) {
	n, most := 1+p.random.IntN(8), 1
	switch x := p.random.IntN(20); {
	case x < 9:
	case x < 18:
		n, most = 1+p.random.IntN(4), 800
	default:
		n, most = 1, 30_000 // several pieces
	}
	for range n {
		rows := int32(1 + p.random.IntN(most))
		p.sizes = append(p.sizes, rows)
		puts = append(puts, p.next)
		p.next++
	}
	return puts
}

func (p *producer) session(ctx context.Context, c *conn) (done bool, err error) {
	if p.sequenced && !p.known {
		row, err := c.InitWriter(ctx, flight.WriterInit{})
		if err != nil {
			return false, err
		}
		p.writer, p.epoch, p.known = uint64(row.WriterID), int32(row.WriterEpoch), true
		p.count("writers", 1)
	}
	var again []int64
	if p.sequenced && p.random.IntN(3) == 0 {
		again = append(again, p.recent...)
	}
	command := putCommand{Put: p.table}
	if p.sequenced {
		first := p.next
		if rest := append(again[:len(again):len(again)], p.pending...); len(rest) > 0 {
			first = rest[0]
		}
		command.Writer, command.Epoch, command.Sequence = &p.writer, p.epoch, &first
	}
	stream, err := c.put(ctx, command, rowSchema)
	if err != nil {
		return false, err
	}
	defer stream.abandon()
	if len(again) > 0 {
		if err := p.send(stream, again); err != nil {
			return false, err
		}
		if stream.duplicates != int64(len(again)) {
			return false, broken("doubled: %d acknowledged puts were sent again, %d count as repeats", len(again), stream.duplicates)
		}
		p.count("repeats", int64(len(again)))
	}
	if len(p.pending) > 0 {
		if err := p.send(stream, p.pending); err != nil {
			return false, err
		}
	}
	for range 1 + p.random.IntN(8) {
		if p.ends() {
			return true, stream.close()
		}
		puts := p.group()
		if p.sequenced {
			p.pending = puts
		}
		if err := p.send(stream, puts); err != nil {
			return false, err
		}
	}
	return false, stream.close()
}

// idle is the session of a producer that puts when it is told to.
func (p *producer) idle(context.Context, *conn) (done bool, err error) {
	select {
	case <-p.ending:
	case <-p.ctx.Done():
	}
	return true, nil
}

// probeWithin is how long a probe may take.
const probeWithin = 10 * time.Second

// probe puts a row.
func (p *producer) probe() error {
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(p.ctx, probeWithin)
	defer cancel()
	stream, err := c.put(ctx, putCommand{Put: p.table}, rowSchema)
	if err != nil {
		return err
	}
	defer stream.abandon()
	p.sizes = append(p.sizes, 1)
	p.next++
	return p.send(stream, []int64{p.next - 1})
}

// send sends a group and notes what came of each put.
func (p *producer) send(stream *putStream, puts []int64) error {
	before, sent := stream.batches, 0
	ranges, err := func() ([]flight.Range, error) {
		for _, put := range puts {
			p.noteSent(put)
			sent++
			batch := makePut(p.number, put, p.sizes[put])
			err := stream.send(batch)
			batch.Release()
			if err != nil {
				return nil, err
			}
		}
		return stream.flush()
	}()
	if err != nil {
		durable := max(0, min(durableOf(err)-before, int64(sent)))
		p.acknowledge(puts[:durable], nil)
		outcome := isUnknown
		if surelyNot(err) {
			outcome = isRefused
		}
		for _, put := range puts[durable:sent] {
			p.write(note{Is: outcome, Put: put})
		}
		return err
	}
	if stream.batches-before != int64(len(puts)) {
		return broken("miscounted: %d puts were flushed, the answers count %d", len(puts), stream.batches-before)
	}
	p.acknowledge(puts, p.places(puts, ranges))
	return nil
}

func (p *producer) noteSent(put int64) {
	n := note{Is: isSent, Put: put, Rows: p.sizes[put]}
	if p.sequenced {
		n.Writer = &p.writer
	}
	p.write(n)
}

// acknowledge notes that puts are durable, and where, as far as that is known.
func (p *producer) acknowledge(puts []int64, where []*place) {
	for i, put := range puts {
		n := note{Is: isDone, Put: put}
		if where != nil && where[i] != nil {
			n.Bucket, n.Offset = &where[i].bucket, &where[i].offset
		}
		p.write(n)
		p.count("puts acknowledged", 1)
		p.count("rows acknowledged", int64(p.sizes[put]))
		if p.sequenced {
			if len(p.pending) > 0 && p.pending[0] == put {
				p.pending = p.pending[1:]
			}
			if len(p.recent) == 0 || p.recent[len(p.recent)-1] < put {
				p.recent = append(p.recent, put)
				p.recent = p.recent[max(0, len(p.recent)-recentPuts):]
			}
		}
	}
}

// places tells where each of several puts went, by the ranges that their answers told: those of one bucket are joined.
// nil where that cannot be known.
func (p *producer) places(puts []int64, ranges []flight.Range) []*place {
	out := make([]*place, len(puts))
	told := map[int32][]flight.Range{}
	for _, r := range ranges {
		at := placeOf(r.Partition, r.Bucket)
		told[at] = append(told[at], r)
	}
	if !p.sequenced && len(told) != 1 {
		return out
	}
	for i, put := range puts {
		bucket := p.shape.placeOfPut(p.writer, put)
		if !p.sequenced {
			bucket = placeOf(ranges[0].Partition, ranges[0].Bucket)
		}
		mine, rows := told[bucket], quiver.Offset(p.sizes[put])
		if len(mine) == 0 || mine[0].Until-mine[0].From < rows {
			return make([]*place, len(puts)) // a repeat whose range is not remembered any more
		}
		out[i] = &place{bucket, int64(mine[0].From)}
		if mine[0].From += rows; mine[0].From == mine[0].Until {
			told[bucket] = mine[1:]
		}
	}
	return out
}

// newAppender makes a named writer of the log table.
func newAppender(c *client) *named {
	var sizes []int32 // of all puts
	a := &named{client: c, most: 60, unacked: 256 << 10}
	a.make = func() { sizes = append(sizes, int32(1+a.random.IntN(pick(a.random, 1, 1, 500)))) }
	a.batch = func(put int64) arrow.RecordBatch { return makePut(a.number, put, sizes[put]) }
	a.sent = func(put int64, writer uint64) {
		a.write(note{Is: isSent, Put: put, Rows: sizes[put], Writer: &writer})
	}
	a.done = func(put int64) {
		a.write(note{Is: isDone, Put: put})
		a.count("puts acknowledged", 1)
		a.count("rows acknowledged", int64(sizes[put]))
	}
	return a
}
