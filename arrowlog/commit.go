package arrowlog

import (
	"context"
	"errors"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/planted"
)

// Group commit. Stage puts units into a queue; the first producer that waits for its own takes the log's role and
// commits what is queued, for everybody; while it writes and syncs, the next group gathers.
//
//	take      as many units as one group may hold, all of one schema, all fitting into the segment; or roll first
//	merge     neighbours that are small become one batch, outside of any lock
//	stamp     offset, epoch, timestamp, high watermark, and the chain to the batch before
//	write     all but the first 8 bytes of the group, then those: a reader of the growing file never sees half a batch
//	sync      fdatasync; a failure fences the disk
//	publish   durable end, index entries, writer state; then the waiting producers are woken
//
// A failure before the first 8 bytes are written leaves nothing that counts as a batch: the group is surely not done.
// After that its outcome is unknown. Either way everything staged behind it is not done, and the log has failed.

// The points of a group commit.
var (
	pointBeforeWrite  = fault.New("arrowlog.commit.before-write")
	pointBeforePrefix = fault.New("arrowlog.commit.before-prefix")
	pointBeforeSync   = fault.New("arrowlog.commit.before-sync")
	pointAfterSync    = fault.New("arrowlog.commit.after-sync")
)

// Sync waits until every row before the offset until is durable on this disk. It may do the writing itself, for all
// that is staged; then it finishes that even if ctx ends, since others depend on it.
//
// The error tells the outcome of the rows that were staged up to until: NotDone, or Unknown where they may be on the
// disk. When ctx ends the answer is its cause, and the outcome is open: the rows may still become durable.
func (l *Log) Sync(ctx context.Context, until quiver.Offset) error {
	for {
		done, err := l.settled(until)
		if done == nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		case l.role <- struct{}{}:
			for l.outstanding(until) {
				l.commit()
			}
			<-l.role
		}
	}
}

// settled gives the outcome of the rows before until, or a channel that is closed when they have one.
func (l *Log) settled(until quiver.Offset) (done <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case until <= l.durable:
		return nil, nil
	case l.failed != nil:
		return nil, l.outcomeLocked(until)
	case until > l.end:
		return nil, errors.New("arrowlog: sync beyond the log end")
	}
	for _, units := range [][]*unit{l.flying, l.queue} {
		if n := len(units); n > 0 && until <= units[n-1].until {
			return units[findUnit(units, until)].wait(), nil
		}
	}
	panic("arrowlog: rows are staged in no unit")
}

// findUnit gives the unit that holds the row before until.
func findUnit(units []*unit, until quiver.Offset) int {
	from, to := 0, len(units)-1
	for from < to {
		if mid := (from + to) / 2; units[mid].until < until {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return from
}

// outstanding tells whether there is still something to commit before until.
func (l *Log) outstanding(until quiver.Offset) bool {
	return locked(l, func() bool { return l.failed == nil && until > l.durable && len(l.queue) > 0 })
}

// group is what one commit writes.
type group struct {
	units   []*unit
	batches []*record.Batch // as they are stored; references of the group's own
	size    int64           // of what is written
	from    quiver.Offset
	until   quiver.Offset
	epoch   quiver.Epoch
	high    quiver.Offset
	schema  *quiver.Schema
	layout  *record.Layout
	codec   *record.Compression // nil: merged batches stay as they are
	summary *record.Summary
}

func (g *group) release() { release(g.batches) }

// commit writes one group. The caller holds the role.
func (l *Log) commit() {
	g, roll := l.take()
	err := l.write(g, roll)
	if err == nil {
		return
	}
	unknown := l.durable // only the role's holder changes it
	var w *writtenError
	if errors.As(err, &w) && !planted.Is(planted.UnknownToldRefused) {
		unknown = g.until
	}
	l.disk.metrics.failed.Inc()
	l.disk.logger.Error("a group commit failed; the bucket's leadership ends",
		"bucket", l.id.String(), "from", int64(g.from), "until", int64(g.until), "err", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(commitError(l.id, err), unknown)
}

// writtenError is a failure after which the group may be on the disk.
type writtenError struct{ err error }

func (e *writtenError) Error() string { return e.err.Error() }
func (e *writtenError) Unwrap() error { return e.err }

// commitError is what producers are told.
func commitError(id quiver.BucketID, err error) error {
	if isNoSpace(err) {
		return noSpace(err).On(subject(id))
	}
	e := quiver.Errorf(quiver.LeaderNotAvailable, "the server could not write to its disk").On(subject(id)).Advise("send it again")
	e.Err = err
	return e
}

// take takes the next group off the queue; roll tells that it needs a new segment.
func (l *Log) take() (g *group, roll bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.queue[0]
	g = &group{from: first.from, epoch: l.epoch, high: l.high, schema: first.table, layout: first.layout,
		codec: l.config.Compression, summary: l.summary.Load()}
	limit := int64(l.disk.options.GroupBytes)
	t := l.tail
	switch {
	case t == nil:
		roll = true
	case t.empty():
		roll = t.head.schema != first.schema
	default:
		roll = t.head.schema != first.schema || t.pos+int64(first.size) > l.config.SegmentBytes ||
			t.aged(l.now(), l.config.SegmentAge)
	}
	room := l.config.SegmentBytes
	if !roll {
		room -= t.pos
	}
	n, size := 0, int64(0)
	for _, u := range l.queue {
		if n > 0 && (size+int64(u.size) > min(limit, room) || u.schema != first.schema) {
			break
		}
		size += int64(u.size)
		n++
	}
	g.units = l.queue[:n:n]
	g.until = g.units[n-1].until
	l.flying = g.units
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return g, roll
}

// write puts the group on the disk and publishes it.
func (l *Log) write(g *group, roll bool) error {
	if err := l.disk.Fence(); err != nil {
		return err
	}
	if err := l.root(); err != nil {
		return err
	}
	if roll {
		l.endTail()
		if err := l.openTail(g.schema); err != nil {
			return err
		}
	}
	if err := l.merge(g); err != nil {
		g.release()
		return err
	}
	defer g.release()
	l.stamp(g)
	if err := l.store(g); err != nil {
		return err
	}
	l.publish(g)
	return nil
}

// merge collects the group's batches; runs of small ones that are units of their own become one batch each.
func (l *Log) merge(g *group) error {
	o := &l.disk.options
	var run []*record.Batch
	size := 0
	flush := func() error {
		defer func() { run, size = run[:0], 0 }()
		if len(run) < 2 {
			g.batches = append(g.batches, run...)
			return nil
		}
		l.disk.metrics.merged.Add(float64(len(run)))
		b, err := record.MergeStored(g.layout, run, g.codec, g.summary)
		release(run)
		if err == nil {
			g.batches = append(g.batches, b)
		}
		return err
	}
	for _, u := range g.units {
		small := len(u.batches) == 1 && u.size < o.MergeBelow
		if !small || size+u.size > o.MergeInto {
			if err := flush(); err != nil {
				return err
			}
		}
		if small {
			run = append(run, u.batches[0].Retain())
			size += u.size
			continue
		}
		for _, b := range u.batches {
			g.batches = append(g.batches, b.Retain())
		}
	}
	return flush()
}

// stamp fills in what only the leader knows, in order.
func (l *Log) stamp(g *group) {
	s := record.Stamp{
		BaseOffset:    g.from,
		Epoch:         g.epoch,
		Timestamp:     max(l.now(), l.fold.time),
		HighWatermark: g.high,
		Previous:      l.fold.chain,
	}
	ends := g.units
	for _, b := range g.batches {
		until := s.BaseOffset + quiver.Offset(b.Rows())
		for len(ends) > 0 && ends[0].until < until {
			ends = ends[1:]
		}
		s.Flags = 0
		if ends[0].until != until {
			s.Flags = record.Continued
		}
		s.Previous = b.Stamp(s, l.tail.head.seed)
		s.BaseOffset = until
		g.size += int64(b.Size())
	}
}

// store writes the group and syncs it.
func (l *Log) store(g *group) error {
	d, t := l.disk, l.tail
	if err := pointBeforeWrite.Hit(); err != nil {
		return err
	}
	f, err := d.files.acquire(t.seg.path(segmentSuffix), true)
	if err != nil {
		return err
	}
	defer d.files.release(f)
	began := d.options.Now()
	if err := l.writeBody(f, g); err != nil {
		l.takeBack(f)
		return d.failWrite(err)
	}
	if err := pointBeforePrefix.Hit(); err != nil {
		return err
	}
	meta, _ := g.batches[0].Stored()
	if _, err := f.WriteAt(meta[:prefixSize], t.pos); err != nil {
		return &writtenError{d.failWrite(err)}
	}
	if err := pointBeforeSync.Hit(); err != nil {
		return &writtenError{err}
	}
	if err := l.sync(f, g, began); err != nil {
		return &writtenError{err}
	}
	if err := pointAfterSync.Hit(); err != nil {
		return &writtenError{err}
	}
	return nil
}

// slowSync is how long a sync may take before an operator is told: puts wait for it.
const slowSync = time.Second

// sync makes the group durable, whose writing began at the time given.
func (l *Log) sync(f *file, g *group, began time.Time) error {
	d := l.disk
	wrote := d.options.Now()
	if planted.Is(planted.AckBeforeSync) {
		return nil
	}
	err := f.SyncData()
	if planted.Is(planted.SyncRetried) {
		err = f.SyncData()
	}
	if err != nil && !planted.Is(planted.SyncBelieved) {
		d.setFence(err)
		return err
	}
	took := d.options.Now().Sub(wrote)
	d.metrics.writeSeconds.Observe(wrote.Sub(began).Seconds())
	d.metrics.syncSeconds.Observe(took.Seconds())
	if took > slowSync {
		d.logger.Warn("a sync of the disk was slow; puts waited for it", "bucket", l.id.String(), "took", took.String(), "bytes", g.size)
	}
	return nil
}

// prefixSize is the continuation marker and the length that every message starts with.
const prefixSize = 8

// writeBody writes everything but the group's first 8 bytes, and zeros behind it.
func (l *Log) writeBody(f *file, g *group) error {
	t := l.tail
	if err := t.allocateFor(f.File, g.size); err != nil {
		return err
	}
	parts := make([][]byte, 0, 4*len(g.batches))
	for _, b := range g.batches {
		meta, body := b.Stored()
		parts = append(parts, meta)
		parts = append(parts, body...)
	}
	if planted.Is(planted.PrefixFirst) {
		_, _ = f.WriteAt(parts[0][:prefixSize], t.pos)
	}
	parts[0] = parts[0][prefixSize:]
	zeros := t.zerosFor(g.size)
	for left := zeros; left > 0; {
		n := min(left, int64(len(zeroBlock)))
		parts = append(parts, zeroBlock[:n])
		left -= n
	}
	if err := fs.WriteVector(f.File, parts, t.pos+prefixSize); err != nil {
		return err
	}
	end := t.pos + g.size + zeros
	t.zeroed = max(t.zeroed, end)
	t.setSize(end)
	return nil
}

// takeBack frees what a failed write took. It matters for the space only: without its first 8 bytes the group is
// nothing, and the next start clears what is left.
func (l *Log) takeBack(f *file) {
	if l.disk.Fence() != nil {
		return
	}
	if err := l.disk.fsys.Truncate(f.path, l.tail.pos); err == nil {
		_ = l.disk.failWrite(f.SyncData())
	}
}

// publish makes the group durable for everybody to see and wakes those who wait for it.
func (l *Log) publish(g *group) {
	t := l.tail
	added := make([]entry, 0, len(g.batches))
	pos := t.pos
	for _, b := range g.batches {
		h := b.Header()
		meta, _ := b.Stored()
		e := entry{pos: pos, base: h.BaseOffset, time: h.Timestamp, body: b.BodySize(), meta: int32(len(meta)), rows: int32(b.Rows())}
		added = append(added, e)
		pos = e.end()
	}
	if t.first == 0 {
		t.first = added[0].time
	}
	t.pos, t.wrote = pos, l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, added...)
	for _, b := range g.batches {
		h := b.Header()
		l.fold.apply(&h, b.Producers())
	}
	l.durable, l.recovery = g.until, g.until
	l.flying = nil
	l.tendTail(l.config.SegmentAge)
	for _, u := range g.units {
		if u.writer != quiver.NoWriter {
			l.unstageWriterLocked(u)
		}
		u.settle(nil)
	}
	l.disk.markDirty(l)
	l.disk.metrics.committed(g)
}
