package scan

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// cursor is where a scan stands in one bucket. It reads ahead by at most one stored batch, or, with a filter, by one
// group of small ones and what is left of one that was filtered.
//
//	next          passed        at           readEnd     until
//	 | what the    | held, and   | the reader |           |
//	 | next chunk  | what the    | goes on    |           |
//	 | covers      | filter has  | here       |           |
type cursor struct {
	table   *quiver.Table
	src     Source
	reading *reading
	home    *home // nil: there is no filter
	barren  bool  // no row of the bucket matches, whatever comes
	options *Options
	cancel  func() // ends the subscription; nil: there is none
	pin     Pin    // keeps the rows from next on; nil: nothing does

	next      quiver.Offset // the first row that no chunk has covered
	passed    quiver.Offset // the first row that was not looked at for the next chunk
	until     quiver.Offset
	untilTime int64         // see Range
	lastOlder quiver.Offset // rows from here on are not older than untilTime; NoEnd before it is past
	stamp     int64         // the timestamp of the last row passed, 0 before it
	told      int64         // that of the last row covered by a chunk

	reader  Reader        // over [.., readEnd); nil: none is open
	at      quiver.Offset // the first row not read yet
	readEnd quiver.Offset
	again   bool // a reader was lost since the last row; the next loss is an error

	stored feed // pieces as they were stored
	sifted feed // pieces as the filter leaves them
}

// feed is where pieces come from, and what was taken from it too early.
type feed struct {
	held   *piece
	failed error // what was met behind the pieces that were still given
}

// reading is what all cursors of a scan have in common.
type reading struct {
	views   views
	columns []quiver.ColumnID // ascending
	sieve   *sieve            // nil: there is no filter
}

func newCursor(table *quiver.Table, src Source, r Range, reading *reading, o *Options) *cursor {
	c := &cursor{
		table: table, src: src, reading: reading, options: o,
		next: r.From, passed: r.From, at: r.From, until: r.Until, untilTime: r.UntilTime, lastOlder: NoEnd,
	}
	if reading.sieve != nil {
		c.home = newHome(table, src)
		c.barren = !reading.sieve.may(c.home)
	}
	return c
}

// done says that chunks have covered all that they ever will.
func (c *cursor) done() bool { return c.next >= c.until }

// pending says that rows were looked at that no chunk has covered.
func (c *cursor) pending() bool { return c.passed > c.next }

// maxCost is how many bytes are looked at, about, for one chunk. A filter that matches little shows how far it came,
// and lets other buckets have their turn.
const maxCost = 32 << 20

// gather takes the pieces of the next chunk: one, or several small ones to be merged; none if there are no rows, but
// still the cursor may have passed some that the filter dropped. more says that it stopped for having looked at enough.
// The caller owns the pieces.
func (c *cursor) gather(ctx context.Context, b bounds) (pieces []piece, more bool, err error) {
	if c.reading.sieve == nil {
		return c.collect(ctx, &c.stored, c.read, b)
	}
	return c.collect(ctx, &c.sifted, c.sift, b)
}

// collect gathers pieces of a feed.
func (c *cursor) collect(ctx context.Context, f *feed, pull func(context.Context) (piece, bool, error), b bounds) (pieces []piece, more bool, err error) {
	var rows, bytes, cost int
	for {
		p, ok, err := f.take(ctx, pull)
		if err != nil {
			return pieces, false, c.postpone(ctx, f, len(pieces) > 0 || f == &c.sifted && c.pending(), err)
		}
		if !ok {
			return pieces, false, nil
		}
		if cost += p.cost; p.batch == nil {
			if f == &c.stored {
				return c.emptied(f, pieces, p)
			}
			if c.pass(&p); cost >= maxCost {
				return pieces, true, nil
			}
			continue
		}
		size := b.size(&p)
		switch {
		case len(pieces) > 0 && (!b.small(&p) || rows+p.rows > b.merge || bytes+size > b.bytes):
			f.hold(p)
			return pieces, false, nil
		case !b.fits(&p):
			head, err := b.head(&p)
			f.hold(p)
			if err != nil {
				return nil, false, err
			}
			c.give(f, &head)
			return []piece{head}, false, nil
		}
		if err := p.whole(); err != nil {
			p.release()
			release(pieces)
			return nil, false, err
		}
		c.give(f, &p)
		pieces = append(pieces, p)
		rows, bytes = rows+p.rows, bytes+size
		if !b.small(&p) || cost >= maxCost {
			return pieces, cost >= maxCost, nil
		}
	}
}

// emptied is what collect gives when it meets a piece without a batch among those that are to be filtered together.
func (c *cursor) emptied(f *feed, pieces []piece, p piece) ([]piece, bool, error) {
	if len(pieces) > 0 {
		f.hold(p)
		return pieces, false, nil
	}
	return []piece{p}, false, nil
}

// hold keeps a piece, or what is left of one, for the next chunk.
func (f *feed) hold(p piece) { f.held = &p }

// take gives what was held back, else the next piece.
func (f *feed) take(ctx context.Context, pull func(context.Context) (piece, bool, error)) (p piece, ok bool, err error) {
	if f.held != nil {
		p, f.held = *f.held, nil
		return p, true, nil
	}
	if f.failed != nil {
		return piece{}, false, f.failed
	}
	return pull(ctx)
}

// give moves the cursor past a piece that is part of the next chunk. Those that are to be filtered first are not.
func (c *cursor) give(f *feed, p *piece) {
	if f == &c.sifted || c.reading.sieve == nil {
		c.pass(p)
	}
}

func (c *cursor) pass(p *piece) { c.passed, c.stamp = p.end, p.time }

// postpone keeps an error until what was read before it has been given. That the context ended is told at once, or
// found anew.
func (c *cursor) postpone(ctx context.Context, f *feed, something bool, err error) error {
	if !something || ctx.Err() != nil {
		return err
	}
	f.failed = err
	return nil
}

// cover notes that a chunk covers all that was passed.
func (c *cursor) cover() {
	if c.next, c.told = c.passed, c.stamp; c.pin != nil {
		c.pin.Move(c.next)
	}
}

// unfiltered is how much is filtered at a time: a stored batch, or many small ones together. Only one of very many rows,
// for each of which the system columns of the filter have to be made, is cut.
var unfiltered = bounds{merge: DefaultBatchRows, cut: 1 << 18, bytes: DefaultMaxBytes, wide: true}

// sift takes the next piece and leaves of it what matches.
func (c *cursor) sift(ctx context.Context) (p piece, ok bool, err error) {
	if ctx.Err() != nil {
		return piece{}, false, context.Cause(ctx)
	}
	pieces, _, err := c.collect(ctx, &c.stored, c.read, unfiltered)
	if err != nil || len(pieces) == 0 {
		return piece{}, false, err
	}
	if pieces[0].batch == nil {
		return pieces[0], true, nil
	}
	if p, err = joined(pieces); err != nil {
		return piece{}, false, err
	}
	from := p.from
	if p, err = c.reading.sieve.apply(ctx, p, c.src); err != nil {
		c.rewind(from)
	}
	return p, err == nil, err
}

// joined makes one piece of neighbours, which it takes over.
func joined(pieces []piece) (piece, error) {
	p := pieces[0]
	if len(pieces) == 1 {
		return p, nil
	}
	batch, err := merged(pieces)
	if err != nil {
		return piece{}, err
	}
	p.batch, p.skip, p.rows, p.cost = batch, 0, batch.Rows(), 0
	p.stamps = make([]stamp, 0, len(pieces))
	for i := range pieces {
		next := &pieces[i]
		p.end, p.time = next.end, next.time
		p.cost += next.cost
		if n := len(p.stamps); n > 0 && p.stamps[n-1].timestamp == next.time {
			p.stamps[n-1].until = next.end
			continue
		}
		p.stamps = append(p.stamps, stamp{next.end, next.time})
	}
	return p, nil
}

// read takes the next stored piece in offset order, brought to the schema of the scan. ok is false at the end of what
// can be read now.
func (c *cursor) read(ctx context.Context) (p piece, ok bool, err error) {
	for {
		if c.reader == nil {
			open, err := c.open(ctx)
			if !open || err != nil {
				return piece{}, false, err
			}
			if c.barren {
				return c.passOver(), true, nil
			}
		}
		h, batch, err := c.reader.Step()
		switch {
		case errors.Is(err, io.EOF):
			c.close()
			return piece{}, false, c.short()
		case err != nil:
			if err := c.lost(err); err != nil {
				return piece{}, false, err
			}
			continue
		}
		if p, ok, err = c.storedPiece(h, batch); ok || err != nil {
			return p, ok, err
		}
	}
}

// storedPiece makes a piece of a batch that was read; there is none if nothing of it lies in the range.
func (c *cursor) storedPiece(h record.Header, batch *record.Batch) (p piece, ok bool, err error) {
	if err := c.check(h); err != nil {
		if batch != nil {
			batch.Release()
		}
		return piece{}, false, err
	}
	if batch != nil {
		c.options.Metrics.BatchesRead.Inc()
	}
	if p, ok = newPiece(h, batch, c.at, c.readEnd); !ok {
		return piece{}, false, nil
	}
	if batch != nil {
		var converted bool
		if p.batch, converted, err = c.reading.views.bring(batch); err != nil {
			return piece{}, false, c.changed(err, p.from)
		}
		if converted {
			c.options.Metrics.BatchesConverted.Inc()
		}
	}
	c.at, c.again = p.end, false
	return p, true, nil
}

// passOver is the piece of a range that nothing is read of.
func (c *cursor) passOver() piece {
	p := piece{from: c.at, end: c.readEnd, time: c.stamp, cost: skipCost}
	c.at = c.readEnd
	return p
}

// check refuses a batch that does not go on where the one before ended.
func (c *cursor) check(h record.Header) error {
	if h.BaseOffset <= c.at {
		return nil
	}
	return quiver.Errorf(quiver.CorruptRange, "rows [%d, %d) are missing", c.at, h.BaseOffset).
		On(subject(c.table, c.src)).Advise(fmt.Sprintf("read on from offset %d", h.BaseOffset))
}

// changed names the row from which on rows cannot be read in the schema that the scan began with.
func (c *cursor) changed(err error, from quiver.Offset) error {
	if reason := quiver.ReasonOf(err); reason != quiver.SchemaChanged && reason != quiver.SchemaMismatch {
		return err
	}
	return quiver.Errorf(quiver.SchemaChanged, "from offset %d on the rows do not fit schema %d, with which the read began: %s",
		from, c.table.Schema.ID(), detail(err)).
		Note("offset", fmt.Sprint(from)).
		On(subject(c.table, c.src)).Advise("read on from there with a new call")
}

// detail is the text of an error without reason and hint.
func detail(err error) string {
	var e *quiver.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// open finds what can be read now, and opens a reader over it unless nothing there can match. It tells whether there is
// anything.
func (c *cursor) open(ctx context.Context) (bool, error) {
	if c.at >= c.until {
		return false, nil
	}
	now, err := c.src.Offsets(ctx)
	if err != nil {
		return false, err
	}
	if c.at < now.Start || c.at > now.HighWatermark {
		return false, OutOfRange(c.table, c.src, c.at, now)
	}
	if err := c.endByTime(ctx, now); err != nil {
		return false, err
	}
	end := min(c.until, now.HighWatermark)
	if c.at >= end {
		return false, nil
	}
	if c.readEnd = end; c.barren {
		return true, nil
	}
	spec := ReadSpec{Columns: c.reading.columns}
	if sieve := c.reading.sieve; sieve != nil {
		spec.Skip = func(m *record.Meta, l *record.Layout) bool { return sieve.skip(m, l, c.home) }
	}
	c.reader, err = c.src.Read(ctx, c.at, end, spec)
	return err == nil, err
}

// endByTime finds the end of a range that ends at a time: the first row that is not older, or, if the bucket is silent,
// the high watermark once the time is past. What was staged before that may still be stamped with an older time; only
// when all of it can be read is there nothing left to wait for. A silent scan looks with each idle chunk.
func (c *cursor) endByTime(ctx context.Context, now Offsets) (err error) {
	if c.untilTime == 0 {
		return nil
	}
	if c.lastOlder == NoEnd && c.options.Now().UnixMilli() >= c.untilTime {
		if c.lastOlder, err = c.src.End(ctx); err != nil {
			return err
		}
	}
	at, err := c.src.OffsetAt(ctx, c.untilTime)
	if err != nil {
		return err
	}
	if at < now.HighWatermark || now.HighWatermark >= c.lastOlder {
		c.until, c.untilTime = max(at, c.at), 0
	}
	return nil
}

// short is the error of a reader that ended before the end it was asked for.
func (c *cursor) short() error {
	if c.at >= c.readEnd {
		return nil
	}
	return quiver.Errorf(quiver.CorruptRange, "rows [%d, %d) are missing", c.at, c.readEnd).
		On(subject(c.table, c.src))
}

// lost decides on a reader's error. A bucket that is opened anew, after its log failed, takes its readers along:
// they are opened again where they stood, once for each row that they get on.
func (c *cursor) lost(err error) error {
	c.close()
	if quiver.ReasonOf(err) != quiver.LeaderNotAvailable || c.again {
		return err
	}
	c.again = true
	c.options.Metrics.ReadersLost.Inc()
	c.options.Logger.Info("a reader was lost, and is opened again", "bucket", subject(c.table, c.src), "offset", int64(c.at), "err", err)
	return nil
}

// rest lets go of what was read ahead: it is read again at the cursor's next turn.
func (c *cursor) rest() {
	for _, f := range []*feed{&c.stored, &c.sifted} {
		if f.held != nil {
			f.held.release()
			c.at = min(c.at, f.held.from)
			f.held = nil
		}
	}
	c.close()
}

// rewind has the rows from an offset on read again.
func (c *cursor) rewind(to quiver.Offset) {
	c.rest()
	c.at, c.passed = min(c.at, to), min(c.passed, to)
}

// end lets go of everything.
func (c *cursor) end() {
	if c.rest(); c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if c.pin != nil {
		c.pin.Release()
		c.pin = nil
	}
}

// close closes the reader.
func (c *cursor) close() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
	}
}
