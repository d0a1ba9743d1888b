package arrowlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/planted"
)

// Recovery. Opening a log reads its last segment only; what lies before it was synced before that was made.
//
//	            safe = max(recovery point, high watermark)         end of the file
//	 batches      |       batches             |  torn group, zeros ...  |
//	 headers read | bodies verified as well   ^ cut
//
// Safe is the highest of the checkpoint's marks and of the high watermarks in all valid headers, also those behind a
// bad batch. What lies below it was durable and may have been acknowledged:
//
//	a bad batch below safe     damage. Its rows stay lost but keep their offsets: reading them is CORRUPT_RANGE, all
//	                           others stay readable, and appending goes on behind, in a new segment
//	valid batches beyond safe  kept, but written again: after a failed sync they may be in the page cache only
//	a bad batch beyond safe    was never acknowledged. It and everything behind it is overwritten with zeros
//
// Both writes are synced before anything is appended or shown. Doing it twice, or half and then again, comes to the
// same. A unit whose last piece is missing is kept, below the durable end but above the recovery point, until a leader
// cuts it off (Lead).
//
// Where a damaged group is the last one, nobody can tell whether it was acknowledged in the second before the crash
// that the checkpoint may be behind: with one replica that is undecidable.

// openLog opens a bucket's log as it is on the disk, of which the mark is known; a bucket without a directory has an
// empty one.
func openLog(d *Disk, id quiver.BucketID, c LogConfig, m mark) (*Log, error) {
	l := newLog(d, id)
	if err := l.Configure(c); err != nil {
		return nil, err
	}
	if err := l.recover(m); err != nil {
		return nil, fmt.Errorf("arrowlog: open the log of bucket %s: %w", id, err)
	}
	return l, nil
}

// recover sets everything up from the files and the checkpoint's mark. The caller holds the role, or nobody else
// knows the log yet.
func (l *Log) recover(m mark) error {
	segments, err := l.listSegments(m.start)
	if err != nil {
		return err
	}
	r := recovery{log: l, mark: m, segments: segments, safe: max(m.high, m.recovery)}
	if err := r.run(); err != nil {
		return err
	}
	l.adopt(&r)
	return nil
}

// listSegments finds the segments and removes what crashes left: files being written, state and index files without
// a segment, and segments that were deleted but for their files.
func (l *Log) listSegments(start quiver.Offset) ([]*segment, error) {
	d := l.disk
	names, err := d.fsys.List(l.dir)
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	var bases []quiver.Offset
	for _, name := range names {
		if base, suffix, ok := parseName(name); ok && suffix == segmentSuffix {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	first := 0
	for first+1 < len(bases) && bases[first+1] <= start {
		first++
	}
	segments := make([]*segment, 0, len(bases)-first)
	for _, base := range bases[first:] {
		segments = append(segments, newSegment(l, base))
	}
	for _, name := range names {
		base, suffix, ok := parseName(name)
		_, kept := slices.BinarySearch(bases[first:], base)
		if ok && (strings.HasSuffix(suffix, fs.TempSuffix) || !kept && !strings.HasSuffix(suffix, asideSuffix)) {
			if err := d.fsys.Remove(d.fsys.PathJoin(l.dir, name)); err != nil && !isNotExist(err) && d.Fence() == nil {
				return nil, err
			}
		}
	}
	return segments, nil
}

// recovery is the work of opening one log.
type recovery struct {
	log      *Log
	mark     mark
	segments []*segment
	safe     quiver.Offset // rows before it were durable

	head    *segmentHead  // of the last segment; nil: there is none, or nothing of it can be read
	fold    *fold         // of everything that is kept
	met     []sighting    // batches of the last segment that reach beyond the recovery point
	entries []entry       // of the last segment, those that are kept
	pos     int64         // behind the last batch kept
	cut     bool          // everything behind pos is to be zeros
	damaged bool          // rows below safe are lost in the last segment
	sound   quiver.Offset // where the first of them is
	end     quiver.Offset
	high    quiver.Offset
	size    int64 // of the last segment's file
}

// sighting is what recovery keeps in mind of a batch that it met.
type sighting struct {
	entry
	high  quiver.Offset // high watermark in its header
	sound bool
}

func (r *recovery) run() error {
	if len(r.segments) == 0 {
		r.nothing()
		return nil
	}
	last := r.segments[len(r.segments)-1]
	head, err := last.loadHead()
	if quiver.ReasonOf(err) == quiver.CorruptRange {
		return r.setAside(last, err)
	}
	if err != nil {
		return err
	}
	r.head = head
	if r.fold, err = r.foldBefore(last); err != nil {
		return err
	}
	f, err := r.log.disk.files.acquire(last.path(segmentSuffix), false)
	if err != nil {
		return err
	}
	defer r.log.disk.files.release(f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.size = info.Size()
	last.bytes.Store(r.size)
	if err := r.read(f, last.base); err != nil {
		return err
	}
	return r.repair(f, last)
}

// nothing is a log without segments: new, or lost. Offsets that were given out are not given out again.
func (r *recovery) nothing() {
	r.end = max(r.mark.start, r.safe)
	r.high = r.end
	r.fold = newFold(r.mark.start, r.log.expiry())
	if r.end > r.mark.start {
		r.fold.skip(r.end)
		r.log.disk.metrics.damaged.Inc()
		r.log.disk.logger.Error("all segments of a log are gone; its rows are lost", "bucket", r.log.id.String(),
			"from", int64(r.mark.start), "until", int64(r.end))
	}
}

// setAside handles a last segment of which nothing can be read, neither its head nor the copy: it is kept, but not as
// part of the log unless rows below safe are in it.
func (r *recovery) setAside(s *segment, why error) error {
	d := r.log.disk
	d.metrics.damaged.Inc()
	d.logger.Error("the head of the last segment and its copy are damaged; its rows are lost", "bucket", r.log.id.String(),
		"segment", int64(s.base), "err", why)
	var err error
	if r.fold, err = r.foldBefore(s); err != nil {
		return err
	}
	r.end = max(s.base, r.safe)
	r.high = max(r.mark.high, min(r.safe, r.end))
	r.fold.skip(r.end)
	r.damage(s.base)
	if r.end > s.base {
		return nil
	}
	if err := d.Fence(); err != nil {
		return err
	}
	d.files.forget(s.path(segmentSuffix))
	if err := d.fsys.Rename(s.path(segmentSuffix), s.path(segmentSuffix+asideSuffix)); err != nil {
		return d.failWrite(err)
	}
	d.metrics.quarantined.Inc()
	r.segments = r.segments[:len(r.segments)-1]
	return d.syncDir(r.log.dir)
}

// foldBefore gives what the log says before a segment: by its state file, or else by reading the log from the newest
// segment whose state file is good, or from its start. A missing state file is written again.
func (r *recovery) foldBefore(s *segment) (*fold, error) {
	at := slices.Index(r.segments, s)
	from := at
	var f *fold
	for ; from >= 0; from-- {
		state, _, err := r.segments[from].readState()
		if err == nil {
			f = state
			break
		}
		if isReadError(err) {
			return nil, err
		}
		if isNotExist(err) && r.segments[from].base == 0 {
			continue // a crash may leave it so, see writeState
		}
		r.log.disk.logger.Error("a state file cannot be used; writer state is read from the log instead",
			"bucket", r.log.id.String(), "segment", int64(r.segments[from].base), "err", err)
	}
	if from == at {
		return f, nil
	}
	if f == nil {
		from = 0
		f = newFold(r.segments[0].base, r.log.expiry())
	}
	for i := from; i < at; i++ {
		if err := r.segments[i].foldInto(f); err != nil {
			return nil, err
		}
		if next := r.segments[i+1].base; f.next != next {
			f.skip(next)
		}
	}
	r.healState(s, f)
	return f, nil
}

// healState writes a segment's state file again. Nothing is lost if that fails.
func (r *recovery) healState(s *segment, f *fold) {
	message, err := s.readMessage()
	if err != nil || r.log.disk.Fence() != nil {
		return
	}
	if _, err := s.parseHead(message); err != nil {
		return // without its message the file would be no copy of it
	}
	if err := r.log.disk.writeFile(s.path(stateSuffix), f.encode(r.log.id, message)); err != nil {
		r.log.disk.logger.Warn("a state file could not be written again", "bucket", r.log.id.String(), "segment", int64(s.base), "err", err)
	}
}

// foldInto reads the headers of a closed segment.
func (s *segment) foldInto(f *fold) error {
	head, err := s.loadHead()
	if quiver.ReasonOf(err) == quiver.CorruptRange {
		return nil // its rows are lost, so are their writers
	}
	if err != nil {
		return err
	}
	d := s.log.disk
	file, err := d.files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return err
	}
	defer d.files.release(file)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	w := newWalker(file, info.Size(), head)
	defer w.free()
	w.visit = func(b *met) error { return f.applyMet(b) }
	_, err = w.walk(head.size, s.base, nil)
	return err
}

func (f *fold) applyMet(b *met) error {
	producers, err := b.meta.Producers()
	if err != nil {
		return err
	}
	if planted.Is(planted.WritersForgotten) {
		producers = nil
	}
	f.apply(&b.meta.Header, producers)
	return nil
}

// read goes over the last segment and decides what is kept.
func (r *recovery) read(f fs.File, base quiver.Offset) error {
	w := newWalker(f, r.size, r.head)
	defer w.free()
	w.verifyBeyond(r.mark.recovery)
	streaming := true
	w.visit = func(b *met) error {
		r.safe = max(r.safe, b.meta.HighWatermark)
		r.high = max(r.high, b.meta.HighWatermark)
		if streaming = streaming && b.until() <= r.mark.recovery && b.sound; streaming {
			r.keep(b.entry)
			return r.fold.applyMet(b)
		}
		r.met = append(r.met, sighting{b.entry, b.meta.HighWatermark, b.sound})
		return nil
	}
	r.pos, r.end = r.head.size, base
	chain := &r.fold.chain
	if r.fold.chain == 0 {
		chain = nil // nothing before it, or nothing that is known
	}
	stop, err := w.walk(r.pos, base, chain)
	if err != nil {
		return err
	}
	r.high = max(r.high, r.mark.high)
	return r.decide(w, stop)
}

// damage notes that rows are lost, the first of them at the offset.
func (r *recovery) damage(at quiver.Offset) {
	if !r.damaged {
		r.damaged, r.sound = true, at
	}
}

// keep takes a batch over.
func (r *recovery) keep(e entry) {
	if e.base > r.end {
		r.damage(r.end)
	}
	r.entries = append(r.entries, e)
	r.pos, r.end = e.end(), e.until()
}

// decide goes over the batches beyond the recovery point, knowing now how far everything was durable.
func (r *recovery) decide(w *walker, stop stop) error {
	kept := 0
	for _, b := range r.met {
		bad := !b.sound && !planted.Is(planted.TornTailKept)
		if b.base > r.end || b.pos > r.pos {
			bad = true // something before it is missing
		}
		if bad && r.end >= r.safe {
			r.cut = true
			break
		}
		if bad {
			r.damage(r.end)
		}
		r.keep(b.entry)
		kept++
	}
	switch {
	case r.cut:
	case !stop.clean && r.end >= r.safe:
		r.cut = true
	case !stop.clean:
		r.damage(r.end)
	}
	if err := r.foldKept(w, r.met[:kept]); err != nil {
		return err
	}
	if r.end < r.safe { // the rows from here on were durable once
		r.damage(r.end)
		r.end = r.safe
		r.fold.skip(r.end)
	}
	return nil
}

// foldKept reads the headers of what was kept once more, for their producers.
func (r *recovery) foldKept(w *walker, kept []sighting) error {
	for _, s := range kept {
		b, err := w.read(s.pos)
		if err != nil {
			return err
		}
		if b == nil {
			return fmt.Errorf("%w: the batch at offset %d changed while it was read", errFrame, s.base)
		}
		if err := r.fold.applyMet(b); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes the log what recovery found.
func (l *Log) adopt(r *recovery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = r.segments
	l.fold = r.fold
	l.start = max(r.mark.start, 0)
	if len(r.segments) > 0 {
		l.start = max(l.start, r.segments[0].base)
	}
	l.durable, l.end = r.end, r.end
	l.recovery = r.fold.unit
	if r.damaged { // until there is a new segment, every start is to find the damage again
		l.recovery = min(l.recovery, r.sound)
	}
	l.raiseLocked(max(l.high, min(r.high, r.fold.unit)))
	l.entries, l.open, l.tail, l.unindexed = nil, false, nil, nil
	if n := len(r.segments); n > 0 && r.head != nil {
		l.adoptLast(r, r.segments[n-1])
	}
	for _, s := range r.segments[:max(0, len(r.segments)-1)] {
		if _, err := l.disk.fsys.Stat(s.path(indexSuffix)); isNotExist(err) {
			l.unindexed = append(l.unindexed, s)
		}
	}
	switch {
	case len(l.unindexed) > 0:
		l.disk.tend(l, 0)
	case l.tail != nil:
		l.tendTail(l.config.SegmentAge)
	}
	if m := r.mark; l.high != m.high || l.recovery != m.recovery || l.start != m.start {
		l.disk.markDirty(l)
	}
}

// adoptLast goes on with the last segment, or closes it if it is damaged.
func (l *Log) adoptLast(r *recovery, s *segment) {
	if r.damaged {
		x := &index{entries: r.entries, covered: r.pos}
		s.idx.Store(x)
		l.disk.indexes.add(s, x)
		for _, g := range gaps(r.entries, s.base, r.end) {
			l.disk.metrics.damaged.Inc()
			l.disk.logger.Error("rows are damaged and cannot be read; all others can", "bucket", l.id.String(),
				"from", int64(g.From), "until", int64(g.Until))
		}
		return
	}
	l.entries, l.open = r.entries, true
	l.tail = newTail(s, r.head, r.pos, r.size, &l.disk.options)
	if len(r.entries) > 0 {
		l.tail.first = r.entries[0].time
	}
}

// isReadError tells a failure of the disk from a file that is not there or not right.
func isReadError(err error) bool {
	return err != nil && !isNotExist(err) && !errors.Is(err, errFrame) && quiver.ReasonOf(err) != quiver.CorruptRange
}
