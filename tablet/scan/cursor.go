package scan

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// cursor is where a scan stands in one bucket. It reads ahead by at most one stored batch.
type cursor struct {
	table   *quiver.Table
	src     Source
	columns []int // what is read of the stored batches
	options *Options

	next      quiver.Offset // the first row not given yet
	until     quiver.Offset
	untilTime int64         // see Range
	lastOlder quiver.Offset // rows from here on are not older than untilTime; NoEnd before it is past
	stamp     int64         // the timestamp of the last row given, 0 before it

	reader  Reader        // over [.., readEnd); nil: none is open
	at      quiver.Offset // the first row not read yet
	readEnd quiver.Offset
	held    *piece // read, but not given yet
	failed  error  // what reading met behind the rows that were still given
	again   bool   // a reader was lost since the last row; the next loss is an error
}

func newCursor(spec *Spec, i int, columns []int, o *Options) *cursor {
	r := spec.Ranges[i]
	return &cursor{
		table: spec.Table, src: spec.Sources[i], columns: columns, options: o,
		next: r.From, until: r.Until, untilTime: r.UntilTime, lastOlder: NoEnd,
	}
}

// done says that the cursor has given all that it ever will.
func (c *cursor) done() bool { return c.next >= c.until }

// gather takes the pieces of the next chunk: one, or several small ones to be merged. None: there is nothing to read
// now. The caller owns the pieces.
func (c *cursor) gather(ctx context.Context, b bounds) (pieces []piece, err error) {
	var rows, bytes int
	for {
		p, ok, err := c.read(ctx)
		if err != nil {
			if len(pieces) > 0 {
				c.failed, err = err, nil
			}
			return c.give(pieces), err
		}
		if !ok {
			return c.give(pieces), nil
		}
		size := b.size(&p)
		switch {
		case len(pieces) > 0 && (!b.small(&p) || rows+p.rows > b.merge || bytes+size > b.bytes):
			c.hold(p)
			return c.give(pieces), nil
		case !b.fits(&p):
			head, err := b.head(&p)
			c.hold(p)
			if err != nil {
				return nil, err
			}
			return c.give([]piece{head}), nil
		}
		if err := p.whole(); err != nil {
			p.release()
			release(pieces)
			return nil, err
		}
		pieces = append(pieces, p)
		rows, bytes = rows+p.rows, bytes+size
		if !b.small(&p) {
			return c.give(pieces), nil
		}
	}
}

// hold keeps a piece, or what is left of one, for the next chunk.
func (c *cursor) hold(p piece) { c.held = &p }

// give moves the cursor past the pieces.
func (c *cursor) give(pieces []piece) []piece {
	if n := len(pieces); n > 0 {
		c.next, c.stamp, c.again = pieces[n-1].until(), pieces[n-1].timestamp, false
	}
	return pieces
}

// read takes the next piece in offset order: what was held back, else what the reader has. ok is false at the end of
// what can be read now.
func (c *cursor) read(ctx context.Context) (p piece, ok bool, err error) {
	if c.held != nil {
		p, c.held = *c.held, nil
		return p, true, nil
	}
	if c.failed != nil {
		return piece{}, false, c.failed
	}
	for {
		if c.reader == nil {
			if open, err := c.open(ctx); !open || err != nil {
				return piece{}, false, err
			}
		}
		batch, err := c.reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.close()
			return piece{}, false, c.short()
		case err != nil:
			if err := c.lost(err); err != nil {
				return piece{}, false, err
			}
			if c.at > c.next {
				return piece{}, false, nil // give first what was read
			}
			continue
		}
		c.options.Metrics.BatchesRead.Inc()
		if err := c.check(batch.Header()); err != nil {
			batch.Release()
			return piece{}, false, err
		}
		if p, ok := newPiece(batch, c.at, c.readEnd); ok {
			c.at = p.until()
			return p, true, nil
		}
	}
}

// check refuses a batch that does not go on where the one before ended, or is not in the schema of the scan.
func (c *cursor) check(h record.Header) error {
	switch mine := c.table.Schema.ID(); {
	case h.BaseOffset > c.at:
		return quiver.Errorf(quiver.CorruptRange, "rows [%d, %d) are missing", c.at, h.BaseOffset).
			On(subject(c.table, c.src.Bucket())).Advise(fmt.Sprintf("read on from offset %d", h.BaseOffset))
	case h.Schema != mine:
		return quiver.Errorf(quiver.SchemaChanged, "from offset %d on the rows have schema %d, the read began with %d", c.at, h.Schema, mine).
			On(subject(c.table, c.src.Bucket())).Advise("read on from there with a new call")
	default:
		return nil
	}
}

// open opens a reader over what can be read now. It opens none where that is nothing.
func (c *cursor) open(ctx context.Context) (bool, error) {
	if c.done() {
		return false, nil
	}
	now, err := c.src.Offsets(ctx)
	if err != nil {
		return false, err
	}
	if c.next < now.Start || c.next > now.HighWatermark {
		return false, OutOfRange(c.table, c.src.Bucket(), c.next, now)
	}
	if err := c.endByTime(ctx, now); err != nil {
		return false, err
	}
	end := min(c.until, now.HighWatermark)
	if c.next >= end {
		return false, nil
	}
	reader, err := c.src.Read(ctx, c.next, end, c.columns)
	if err != nil {
		return false, err
	}
	c.reader, c.at, c.readEnd = reader, c.next, end
	return true, nil
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
		c.until, c.untilTime = max(at, c.next), 0
	}
	return nil
}

// short is the error of a reader that ended before the end it was asked for.
func (c *cursor) short() error {
	if c.at >= c.readEnd {
		return nil
	}
	return quiver.Errorf(quiver.CorruptRange, "rows [%d, %d) are missing", c.at, c.readEnd).
		On(subject(c.table, c.src.Bucket()))
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
	c.options.Logger.Info("a reader was lost, and is opened again", "bucket", subject(c.table, c.src.Bucket()), "offset", int64(c.next), "err", err)
	return nil
}

// rest lets go of what was read ahead: it is read again at the cursor's next turn.
func (c *cursor) rest() {
	if c.held != nil {
		c.held.release()
		c.held = nil
	}
	c.close()
}

// close closes the reader.
func (c *cursor) close() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
	}
}

// release gives all pieces back.
func release(pieces []piece) {
	for i := range pieces {
		pieces[i].release()
	}
}
