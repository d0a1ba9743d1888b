package scan

import (
	"context"
	"io"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Scanner gives the chunks of one scan. It is used by one goroutine.
type Scanner struct {
	spec    Spec
	options Options
	shape   *shape // of the output
	reading *reading
	cursors []*cursor
	bounds  bounds
	naming  bool  // the output names the partition of each row
	left    int64 // rows that the limit still allows

	turn   int           // the cursor to look at first
	given  int           // chunks that it gave since it came to its turn
	news   chan struct{} // following: some source has something new, or there are other buckets
	known  *quiver.Table // following: the table whose buckets are read
	cancel []func()      // ends what watches the table
	silent int           // idle chunks since the last one with rows
	seen   bool          // a chunk was given, or there was none to give,
	last   int           // of so many bytes
	report bool          // silent: cursors tell what they have passed
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
	s := &Scanner{spec: spec, options: o.withDefaults(), shape: shape, left: math.MaxInt64, bounds: newBounds(spec), known: spec.Table}
	if s.reading, err = newReading(&spec, shape, s.options.Metrics); err != nil {
		return nil, err
	}
	s.naming = slices.Contains(spec.Columns, Column{System: PartitionColumn})
	if spec.Limit != nil {
		s.left = *spec.Limit
	}
	if spec.Follow {
		s.news = make(chan struct{}, 1)
		if spec.Buckets != nil {
			s.cancel = append(s.cancel, spec.Buckets.Watch(s.news))
		}
	}
	for i, src := range spec.Sources {
		s.join(src, spec.Ranges[i])
	}
	return s, nil
}

// newReading decides what is read of stored batches: what the output has, and what the filter needs.
func newReading(spec *Spec, shape *shape, m *Metrics) (*reading, error) {
	table := spec.Table.Schema
	r := &reading{views: views{table: table, columns: shape.read}}
	if spec.Filter != nil {
		r.views.columns = inOrder(table, slices.Concat(shape.read, spec.Filter.Columns(), changeTypeOf(spec.Table.Schema, spec.Filter)))
		var err error
		if r.sieve, err = newSieve(spec.Table, spec.Filter, r.views.columns, shape.read, m); err != nil {
			return nil, err
		}
	}
	r.columns = slices.Sorted(slices.Values(r.views.columns))
	if r.columns == nil {
		r.columns = []quiver.ColumnID{}
	}
	return r, nil
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

// join adds a bucket.
func (s *Scanner) join(src Source, r Range) {
	c := newCursor(s.spec.Table, src, r, s.reading, &s.options)
	if s.spec.Follow {
		c.cancel = src.Subscribe(s.news)
	} else if p, ok := src.(Pinner); ok && r.From < r.Until {
		c.pin = p.Pin(r.From)
	}
	s.cursors = append(s.cursors, c)
}

// leave takes a bucket out that is not there any more.
func (s *Scanner) leave(i int) {
	s.cursors[i].end()
	s.cursors = slices.Delete(s.cursors, i, i+1)
	if i < s.turn {
		s.turn--
	} else if i == s.turn {
		s.given = 0
	}
	if s.turn >= len(s.cursors) {
		s.turn = 0
	}
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
		if err := s.look(ctx); err != nil {
			return Chunk{}, err
		}
		if err := s.takeRoom(); err != nil {
			return Chunk{}, err
		}
		chunk, ok, err := s.ready(ctx)
		s.seen = true
		if ok {
			s.silent, s.last = 0, chunk.Batch.Size()
			return chunk, nil
		}
		s.leaveRoom()
		switch {
		case err != nil:
			return Chunk{}, err
		case s.done():
			return Chunk{}, io.EOF
		case s.report:
			if chunk, ok, err := s.passed(ctx); ok || err != nil {
				return chunk, err
			}
			s.report = false
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
	for range len(s.cursors) {
		if len(s.cursors) == 0 {
			break
		}
		c := s.cursors[s.turn]
		pieces, more, err := c.gather(ctx, s.limited(c))
		if s.gone(err) {
			s.leave(s.turn)
			continue
		}
		if err != nil {
			return Chunk{}, false, err
		}
		if len(pieces) > 0 || c.pending() && (more || c.passed >= c.until || c.sifted.failed != nil) {
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

// passed gives a chunk of what a cursor has passed without a row to show.
func (s *Scanner) passed(ctx context.Context) (Chunk, bool, error) {
	for _, c := range s.cursors {
		if c.pending() {
			s.silent++
			chunk, err := s.chunk(ctx, c, nil)
			return chunk, err == nil, err
		}
	}
	return Chunk{}, false, nil
}

// pass gives the turn to the next cursor.
func (s *Scanner) pass() {
	s.cursors[s.turn].rest()
	s.turn, s.given = (s.turn+1)%len(s.cursors), 0
}

// limited is the bounds of the next chunk of a cursor as the limit leaves them.
func (s *Scanner) limited(c *cursor) bounds {
	b := s.bounds
	if s.naming {
		b.perRow += len(c.src.PartitionName())
	}
	if s.left < int64(b.cut) {
		b.cut = int(s.left)
		b.merge = min(b.merge, b.cut)
	}
	return b
}

// vanished is the error of a bounded scan whose end is no longer there: the high watermark has gone back.
func (s *Scanner) vanished(c *cursor) error {
	return quiver.Errorf(quiver.OffsetTruncated, "rows [%d, %d) are no longer there", c.at, c.until).
		On(subject(s.spec.Table, c.src)).Advise(`read again from "earliest", or from an older position`)
}

// chunk makes one chunk of what the cursor has passed, and of the pieces, which it takes over.
func (s *Scanner) chunk(ctx context.Context, c *cursor, pieces []piece) (Chunk, error) {
	now, err := c.src.Offsets(ctx)
	if err != nil {
		release(pieces)
		c.rewind(c.next)
		return Chunk{}, err
	}
	batch, err := s.batch(c, pieces)
	if err != nil {
		return Chunk{}, err
	}
	chunk := Chunk{
		Bucket:        c.src.ID().Bucket,
		Partition:     c.src.PartitionName(),
		From:          c.next,
		Until:         c.passed,
		Timestamp:     c.stamp,
		HighWatermark: now.HighWatermark,
		Batch:         batch,
	}
	c.cover()
	s.left -= chunk.Rows()
	s.count(&chunk, len(pieces), now)
	return chunk, nil
}

func (s *Scanner) batch(c *cursor, pieces []piece) (*record.Batch, error) {
	if len(pieces) == 0 {
		return s.shape.nothing()
	}
	return s.shape.batch(pieces, c.src)
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

// idle makes a chunk without rows: of what was passed without a row to show, else for the buckets in turn.
func (s *Scanner) idle(ctx context.Context) (Chunk, error) {
	if chunk, ok, err := s.passed(ctx); ok || err != nil {
		s.report = true // what the others have passed comes next
		return chunk, err
	}
	batch, err := s.shape.nothing()
	if err != nil {
		return Chunk{}, err
	}
	chunk := Chunk{Bucket: NoBucket, Batch: batch, Idle: true}
	if len(s.cursors) > 0 {
		c := s.cursors[s.silent%len(s.cursors)]
		now, err := c.src.Offsets(ctx)
		if err != nil && !s.gone(err) { // one that is gone leaves at its next turn
			batch.Release()
			return Chunk{}, err
		}
		chunk.Bucket, chunk.Partition = c.src.ID().Bucket, c.src.PartitionName()
		chunk.From, chunk.Until, chunk.Timestamp = c.next, c.next, c.told
		chunk.HighWatermark = max(now.HighWatermark, c.next)
	}
	s.silent++
	return chunk, nil
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
	return !s.spec.Follow || !s.joins()
}

// Close ends the scan: nothing is held, and nobody is subscribed.
func (s *Scanner) Close() {
	s.leaveRoom()
	for _, cancel := range s.cancel {
		cancel()
	}
	for _, c := range s.cursors {
		c.end()
	}
	s.cancel, s.cursors = nil, nil
	s.shape.release()
	s.err = io.ErrClosedPipe
}
