package scan

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Scanner gives the chunks of one scan. It is used by one goroutine.
type Scanner struct {
	spec    Spec
	options Options
	shape   *shape // of the output
	cursors []*cursor
	bounds  bounds
	left    int64 // rows that the limit still allows

	turn   int           // the cursor to look at first
	given  int           // chunks that it gave since it came to its turn
	news   chan struct{} // following: some source has something new
	cancel []func()      // ends the subscriptions
	silent int           // idle chunks since the last one with rows
	err    error         // what ended the scan
}

// chunksPerTurn is how many chunks a following scan takes from one bucket while others wait.
const chunksPerTurn = 8

// Open prepares a scan. The ranges are read from and up to where Resolve put them. Close ends it.
func Open(spec Spec, o Options) (*Scanner, error) {
	shape, err := newShape(spec.Table.Schema, spec.Columns)
	if err != nil {
		return nil, err
	}
	s := &Scanner{spec: spec, options: o.withDefaults(), shape: shape, left: math.MaxInt64, bounds: newBounds(spec)}
	if spec.Limit != nil {
		s.left = *spec.Limit
	}
	for i := range spec.Sources {
		s.cursors = append(s.cursors, newCursor(&s.spec, i, shape.read, &s.options))
	}
	if spec.Follow {
		s.news = make(chan struct{}, 1)
		for _, src := range spec.Sources {
			s.cancel = append(s.cancel, src.Subscribe(s.news))
		}
	}
	return s, nil
}

func newBounds(spec Spec) bounds {
	b := bounds{merge: DefaultBatchRows, cut: math.MaxInt, bytes: DefaultMaxBytes}
	if spec.BatchRows > 0 {
		b.merge, b.cut = spec.BatchRows, spec.BatchRows
	}
	if spec.MaxBytes > 0 {
		b.bytes = spec.MaxBytes
	}
	for _, c := range spec.Columns {
		b.perRow += systemBytes[c.System]
	}
	return b
}

// Schema is what the chunks' batches look like to the reader.
func (s *Scanner) Schema() *arrow.Schema { return s.shape.schema }

// Next gives the next chunk, whose batch is the caller's to release. A bounded scan ends with io.EOF, and so does
// one that has reached its limit, or the ends it was to follow up to. Any error but the context's is final.
func (s *Scanner) Next(ctx context.Context) (Chunk, error) {
	if s.err != nil {
		return Chunk{}, s.err
	}
	chunk, err := s.next(ctx)
	if err != nil && ctx.Err() == nil {
		s.err = err
	}
	return chunk, err
}

func (s *Scanner) next(ctx context.Context) (Chunk, error) {
	if s.left <= 0 {
		return Chunk{}, io.EOF
	}
	var fired <-chan time.Time
	for {
		chunk, ok, err := s.ready(ctx)
		switch {
		case err != nil:
			return Chunk{}, err
		case ok:
			s.silent = 0
			return chunk, nil
		case s.done():
			return Chunk{}, io.EOF
		}
		if fired == nil {
			var stop func()
			fired, stop = s.options.Timer(s.silence())
			defer stop()
		}
		timeout, err := wait(ctx, s.news, fired)
		if err != nil {
			return Chunk{}, err
		}
		if timeout {
			return s.idle(ctx)
		}
	}
}

// ready gives a chunk that can be had without waiting. The cursor whose turn it is goes on as long as it has
// something; where others may wait for their turn, only for so many chunks.
func (s *Scanner) ready(ctx context.Context) (Chunk, bool, error) {
	if s.spec.Follow && s.given >= chunksPerTurn {
		s.pass()
	}
	for range s.cursors {
		c := s.cursors[s.turn]
		pieces, err := c.gather(ctx, s.limited())
		if err != nil {
			return Chunk{}, false, err
		}
		if len(pieces) > 0 {
			s.given++
			chunk, err := s.chunk(ctx, c, pieces)
			return chunk, err == nil, err
		}
		if !s.spec.Follow && !c.done() {
			return Chunk{}, false, s.vanished(c)
		}
		s.pass()
	}
	return Chunk{}, false, nil
}

// pass gives the turn to the next cursor.
func (s *Scanner) pass() {
	s.cursors[s.turn].rest()
	s.turn, s.given = (s.turn+1)%len(s.cursors), 0
}

// limited is the bounds of the next chunk as the limit leaves them.
func (s *Scanner) limited() bounds {
	b := s.bounds
	if s.left < int64(b.cut) {
		b.cut = int(s.left)
		b.merge = min(b.merge, b.cut)
	}
	return b
}

// vanished is the error of a bounded scan whose end is no longer there: the high watermark has gone back.
func (s *Scanner) vanished(c *cursor) error {
	return quiver.Errorf(quiver.OffsetTruncated, "rows [%d, %d) are no longer there", c.next, c.until).
		On(subject(s.spec.Table, c.src.Bucket())).Advise(`read again from "earliest", or from an older position`)
}

// chunk makes one chunk of the pieces, which it takes over.
func (s *Scanner) chunk(ctx context.Context, c *cursor, pieces []piece) (Chunk, error) {
	first, last := pieces[0], pieces[len(pieces)-1]
	now, err := c.src.Offsets(ctx)
	if err != nil {
		release(pieces)
		return Chunk{}, err
	}
	batch, err := s.shape.batch(pieces, c.src.Bucket())
	if err != nil {
		return Chunk{}, err
	}
	chunk := Chunk{
		Bucket:        c.src.Bucket(),
		From:          first.from,
		Until:         last.until(),
		Timestamp:     last.timestamp,
		HighWatermark: now.HighWatermark,
		Batch:         batch,
	}
	s.left -= chunk.Rows()
	s.count(&chunk, len(pieces), now)
	return chunk, nil
}

// count tells the metrics of a chunk that was made of so many stored batches.
func (s *Scanner) count(chunk *Chunk, batches int, now Offsets) {
	m := s.options.Metrics
	if batches > 1 {
		m.BatchesMerged.Add(float64(batches))
	}
	if !s.spec.Follow {
		return
	}
	m.FollowLag.Observe(float64(now.HighWatermark - chunk.Until))
	if chunk.Until == now.HighWatermark && !now.Shown.IsZero() {
		m.FollowDelay.Observe(s.options.Now().Sub(now.Shown).Seconds())
	}
}

// idle makes a chunk without rows, for the buckets in turn.
func (s *Scanner) idle(ctx context.Context) (Chunk, error) {
	c := s.cursors[s.silent%len(s.cursors)]
	now, err := c.src.Offsets(ctx)
	if err != nil {
		return Chunk{}, err
	}
	batch, err := s.shape.nothing()
	if err != nil {
		return Chunk{}, err
	}
	s.silent++
	return Chunk{
		Bucket:        c.src.Bucket(),
		From:          c.next,
		Until:         c.next,
		Timestamp:     c.stamp,
		HighWatermark: now.HighWatermark,
		Batch:         batch,
		Idle:          true,
	}, nil
}

// silence is how long to wait for rows before an idle chunk.
func (s *Scanner) silence() time.Duration {
	if s.silent == 0 {
		return firstSilence
	}
	return laterSilence
}

// done says that no chunk will come any more.
func (s *Scanner) done() bool {
	for _, c := range s.cursors {
		if !c.done() {
			return false
		}
	}
	return true
}

// Close ends the scan: nothing is held, and nobody is subscribed.
func (s *Scanner) Close() {
	for _, cancel := range s.cancel {
		cancel()
	}
	for _, c := range s.cursors {
		c.rest()
	}
	s.cancel, s.cursors = nil, nil
	s.shape.release()
	s.err = io.ErrClosedPipe
}
