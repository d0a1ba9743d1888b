package arrowlog

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fault"
)

// Retention. What goes are whole segments, the oldest first, and never a row at or above the high watermark or a pin:
//
//	by time     a segment whose last row is older than the rule's time
//	by bytes    a segment without which the log still has as many bytes as the rule keeps
//
// By time the segment that is written to goes as well, so that a quiet log gets empty: a new segment is made behind it
// first, whose state file says what the log said. The log then starts where it ends, and writers, epochs and offsets go
// on from there.
//
// Many logs expire at once, as a rule; they share one write of the checkpoint:
//
//	each log    decide, secure what the first segment that stays must know, move the start
//	once        write the checkpoint
//	each log    delete the files
//
// A crash in between leaves files that lie before the start, which the next open of the log removes, or a start that is
// not on the disk, and then the rows expire again.

// The points of retention.
var (
	pointExpire      = fault.New("arrowlog.expire.before-start")
	pointExpireFiles = fault.New("arrowlog.expire.before-files")
)

// Retention says what a bucket may lose.
type Retention struct {
	// OlderThan lets rows go that were appended before it, milliseconds since 1970. 0: none.
	OlderThan int64
	// Bytes lets the oldest segments go while the others come to so many bytes. 0: none.
	Bytes int64
	// Limit keeps the rows from an offset on, whatever the rest says: somebody else still needs them. nil: nobody does.
	Limit *quiver.Offset
}

// Expiry asks for one bucket to lose what its rule lets go.
type Expiry struct {
	Bucket quiver.BucketID
	Config LogConfig // for a log that is not open
	Rule   Retention
}

// Expired is what became of an Expiry.
type Expired struct {
	Rows   int64 // deleted
	Bytes  int64 // of their segments
	Oldest int64 // when the last row of the oldest segment that stays was appended; 0: the log has no row
	Held   bool  // Retention.Limit keeps rows that would go without it
	Err    error
}

// Expire carries out retention in some buckets, and answers in their order. A log that is not open is opened for it and
// closed again, without taking a leadership; the time is that of the rules and of pins.
func (d *Disk) Expire(orders []Expiry, now time.Time) []Expired {
	d.expiring.Lock() // one at a time: it holds the slots of many buckets
	defer d.expiring.Unlock()
	out := make([]Expired, len(orders))
	visits := make([]visit, len(orders))
	changed := false
	for i, o := range orders {
		if out[i].Err = d.Fence(); out[i].Err == nil {
			visits[i], out[i].Err = d.enter(o)
		}
		if visits[i].log != nil {
			visits[i].gone, out[i] = visits[i].log.expire(o.Rule, now)
			changed = changed || len(visits[i].gone) > 0
		}
	}
	if changed {
		if err := d.checkpoint(); err != nil {
			for i := range visits {
				visits[i].keep(err, &out[i])
			}
		}
	}
	for i := range visits {
		visits[i].leave(d)
	}
	return out
}

// visit is one log that is looked at or expires. Its bucket's slot is held, so that nobody opens it meanwhile.
type visit struct {
	id     quiver.BucketID
	slot   *slot
	log    *Log // nil: the bucket has none
	opened bool // by the visit
	gone   []*segment
}

// enter opens the log of a bucket that has files.
func (d *Disk) enter(o Expiry) (visit, error) {
	s := d.lockSlot(o.Bucket)
	if s == nil {
		return visit{}, nil // dropped meanwhile
	}
	v := visit{id: o.Bucket, slot: s, log: s.log}
	if v.log != nil || s.removed {
		return v, nil
	}
	v.opened = true
	if _, err := d.fsys.Stat(d.bucketDir(o.Bucket)); isNotExist(err) {
		return v, nil
	}
	var err error
	v.log, err = openLog(d, o.Bucket, o.Config, d.mark(o.Bucket))
	return v, err
}

// WriterState tells how far a writer has come in a bucket, whose log is opened for it, if it is not open, and closed
// again.
func (d *Disk) WriterState(id quiver.BucketID, c LogConfig, writer quiver.WriterID) (info WriterInfo, ok bool, err error) {
	v, err := d.enter(Expiry{Bucket: id, Config: c})
	defer v.leave(d)
	if err != nil || v.log == nil {
		return WriterInfo{}, false, err
	}
	info, ok = v.log.WriterState(writer)
	return info, ok, nil
}

// keep notes that the new start could not be written: the files stay until the next start of the server.
func (v *visit) keep(err error, out *Expired) {
	if len(v.gone) > 0 {
		v.gone, out.Err = nil, fmt.Errorf("arrowlog: the new start of bucket %s could not be written: %w", v.log.id, err)
	}
}

// leave deletes the files of what expired and gives the slot back.
func (v *visit) leave(d *Disk) {
	if v.slot == nil {
		return
	}
	defer v.slot.mu.Unlock()
	if len(v.gone) > 0 && pointExpireFiles.Hit() == nil {
		for _, s := range v.gone {
			s.removed.Store(true)
			s.release()
		}
	}
	if !v.opened {
		return
	}
	if v.log != nil {
		v.log.close(true)
	}
	d.forgetSlot(v.id, v.slot)
}

// expire takes off the log what the rule lets go, and tells what of it is to be deleted once the start is durable.
func (l *Log) expire(rule Retention, now time.Time) (gone []*segment, out Expired) {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	if l.Failed() != nil {
		return nil, out
	}
	before := l.Start()
	p, err := l.retentionPoint(rule, now)
	if err == nil && p.segments > 0 {
		gone, err = l.expireBefore(p.before)
	}
	if err != nil {
		out.Err = err
		return gone, out
	}
	out.Rows, out.Held = int64(l.Start()-before), p.held
	for _, s := range gone {
		n, _ := s.fileSize()
		out.Bytes += n
	}
	l.disk.metrics.expiredRows.Add(float64(out.Rows))
	l.disk.metrics.expiredBytes.Add(float64(out.Bytes))
	out.Oldest, out.Err = l.oldest()
	return gone, out
}

// expireBefore moves the start to the end of a segment. The caller holds the role.
func (l *Log) expireBefore(point quiver.Offset) ([]*segment, error) {
	if err := pointExpire.Hit(); err != nil {
		return nil, err
	}
	if point == l.Durable() {
		if err := l.renew(); err != nil {
			return nil, fmt.Errorf("arrowlog: bucket %s: %w", l.id, err)
		}
	}
	return l.cutBefore(point)
}

// renew makes an empty segment at the end of the log. The caller holds the role.
func (l *Log) renew() error {
	if l.tail != nil && l.tail.empty() {
		return nil
	}
	if err := l.root(); err != nil {
		return err
	}
	if l.tail != nil {
		l.closeTail()
	}
	return l.openTail(locked(l, func() *quiver.Schema { return l.config.Schema }))
}

// RetentionPoint gives the offset before which a rule lets rows go, with pins as of now.
func (l *Log) RetentionPoint(rule Retention, now time.Time) (quiver.Offset, error) {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	p, err := l.retentionPoint(rule, now)
	return p.before, err
}

// point is how much of a log may go.
type point struct {
	before   quiver.Offset
	segments int
	held     bool // by Retention.Limit
}

// retentionPoint finds the point of a rule. The caller holds the role.
func (l *Log) retentionPoint(rule Retention, now time.Time) (p point, err error) {
	l.mu.Lock()
	segments := l.segments
	p.before = l.start
	limit := l.pinnedLocked(min(l.high, l.fold.unit), now)
	durable := l.durable
	l.mu.Unlock()
	total := int64(0)
	for _, s := range segments {
		n, err := l.sizeOf(s)
		if err != nil && !isNotExist(err) {
			return p, readError(l.id, err)
		}
		total += n
	}
	for i, s := range segments {
		until := durable
		if i+1 < len(segments) {
			until = segments[i+1].base
		}
		if until > limit || until == s.base {
			break
		}
		size, _ := l.sizeOf(s)
		over := rule.Bytes > 0 && i+1 < len(segments) && total-size >= rule.Bytes
		if !over && rule.OlderThan > 0 {
			last, err := l.lastTime(segments, i)
			if err != nil {
				return p, err
			}
			over = last < rule.OlderThan
		}
		if !over {
			break
		}
		if rule.Limit != nil && until > *rule.Limit {
			p.held = true
			break
		}
		total -= size
		p.before = max(p.before, until)
		p.segments++
	}
	return p, nil
}

// sizeOf is the size of a segment, without the zeros that are written ahead. The caller holds the role.
func (l *Log) sizeOf(s *segment) (int64, error) {
	if l.tail != nil && l.tail.seg == s {
		return l.tail.pos, nil
	}
	return s.fileSize()
}

// oldest is when the last row of the log's first segment was appended, 0 if it has none. The caller holds the role.
func (l *Log) oldest() (int64, error) {
	if len(l.segments) == 0 || l.segments[0].base == l.Durable() {
		return 0, nil
	}
	return l.lastTime(l.segments, 0)
}

// lastTime is when the last row of the i-th segment was appended. Of one whose rows are damaged it is a time that none
// of them is younger than. The caller holds the role.
func (l *Log) lastTime(segments []*segment, i int) (int64, error) {
	s := segments[i]
	if i == len(segments)-1 {
		return l.fold.time, nil
	}
	if t := s.last.Load(); t != 0 {
		return t, nil
	}
	x, err := s.loadIndex()
	if err != nil && quiver.ReasonOf(err) != quiver.CorruptRange {
		return 0, readError(l.id, err)
	}
	if err != nil || len(x.entries) == 0 || x.entries[len(x.entries)-1].until() < segments[i+1].base {
		next := recovery{log: l, segments: segments}
		f, err := next.foldBefore(segments[i+1])
		if err != nil {
			return 0, readError(l.id, err)
		}
		s.last.Store(f.time)
		return f.time, nil
	}
	t := x.entries[len(x.entries)-1].time
	s.last.Store(t)
	return t, nil
}

// Buckets lists the buckets of a partition that have files.
func (d *Disk) Buckets(table quiver.TableID, partition quiver.PartitionID) ([]int32, error) {
	names, err := d.fsys.List(d.fsys.PathJoin(d.dir, fmt.Sprint(uint64(table)), fmt.Sprint(uint64(partition))))
	if err != nil && !isNotExist(err) {
		return nil, fmt.Errorf("arrowlog: list the buckets of table %d, partition %d: %w", table, partition, err)
	}
	var buckets []int32
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 32); err == nil && n >= 0 {
			buckets = append(buckets, int32(n))
		}
	}
	slices.Sort(buckets)
	return buckets, nil
}

// Glance is what can be told of a log by a look at its files, without opening it.
type Glance struct {
	Rows   bool  // it seems to have some
	Oldest int64 // no row is older: milliseconds since 1970; 0: that is not known
	Bytes  int64 // of its segments
}

// Glance looks at the files of a bucket's log. What it tells is a hint: the log may be open, or be changed meanwhile.
func (d *Disk) Glance(id quiver.BucketID) (Glance, error) {
	l := newLog(d, id) // for paths; nothing of it is kept
	names, err := d.fsys.List(l.dir)
	if err != nil && !isNotExist(err) {
		return Glance{}, fmt.Errorf("arrowlog: list the files of bucket %s: %w", id, err)
	}
	var g Glance
	var first *segment
	for _, name := range names {
		base, suffix, ok := parseName(name)
		if !ok || suffix != segmentSuffix {
			continue
		}
		s := newSegment(l, base)
		if n, err := s.fileSize(); err == nil {
			g.Bytes += n
		}
		if first == nil || base < first.base {
			first = s
		}
	}
	if first == nil {
		return g, nil
	}
	g.Rows, g.Oldest = first.firstTime()
	d.files.forget(first.path(segmentSuffix)) // a sweep looks at very many
	g.Rows = g.Rows || len(names) > 3         // more than one segment
	return g, nil
}

// firstTime is when the first row of a segment was appended, as its file says. What cannot be read may be rows.
func (s *segment) firstTime() (rows bool, time int64) {
	message, err := s.readMessage()
	if err != nil || message == nil {
		return true, 0
	}
	id, err := record.ParseSegmentIdentity(message)
	if err != nil {
		return true, 0
	}
	f, err := s.log.disk.files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return true, 0
	}
	defer s.log.disk.files.release(f)
	block := make([]byte, prefixSize)
	if n, err := f.ReadAt(block, int64(len(message))); err != nil {
		return n > 0 || err != io.EOF, 0 //nolint:errorlint // as io.ReaderAt gives it
	}
	size, ok := record.PeekPrefix(block)
	if !ok || size > maxHead {
		return isBatch(block), 0
	}
	block = make([]byte, size)
	if err := readFull(f, block, int64(len(message))); err != nil {
		return true, 0
	}
	m, err := record.ParseHeader(block, id.Seed())
	if err != nil {
		return true, 0
	}
	return true, m.Timestamp
}

// isBatch tells a message's first bytes from the zeros behind the last one.
func isBatch(prefix []byte) bool {
	for _, b := range prefix {
		if b != 0 {
			return true
		}
	}
	return false
}
