package arrowlog

import (
	"fmt"
	"math"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// The points of making and closing segments.
var (
	pointMakeDirs      = fault.New("arrowlog.roll.before-dirs")
	pointWriteState    = fault.New("arrowlog.roll.before-state")
	pointCreateSegment = fault.New("arrowlog.roll.before-segment")
	pointSyncSegment   = fault.New("arrowlog.roll.before-segment-sync")
	pointRenameSegment = fault.New("arrowlog.roll.before-rename")
	pointSyncRename    = fault.New("arrowlog.roll.before-rename-sync")
	pointAfterRoll     = fault.New("arrowlog.roll.after")
	pointTrim          = fault.New("arrowlog.roll.before-trim")
	pointWriteIndex    = fault.New("arrowlog.index.before-write")
	pointReadIndex     = fault.New("arrowlog.index.before-read")
	pointRemoveSegment = fault.New("arrowlog.retention.before-remove")
)

// tail is the segment that is written to. It belongs to the holder of the log's role.
//
//	0        head        pos             zeroed                    size
//	| Schema | batches... | zeros, written | zeros of an allocation |
//
// Small groups overwrite zeros that were written before: their fdatasync then changes no metadata of the file, which
// makes it more than twice as fast. Large ones only have their blocks allocated ahead.
type tail struct {
	seg    *segment
	head   *segmentHead
	pos    int64 // where the next batch goes
	zeroed int64 // zeros were written up to here, or batches
	size   int64 // of the file
	ahead  int64 // how many zeros are written ahead next time
	least  int64 // how many the first time
	most   int64 // how many at most
	first  int64 // timestamp of the first batch, 0 while there is none
	wrote  int64 // when the last group was written, or the segment was opened, Unix milliseconds
	tended int64 // when Maintain will look at the log for the segment's sake at the latest
}

const (
	zeroAheadGrowth = 64       // from the first zeros ahead to the most
	largeGroup      = 1 << 20  // groups from here on do not write zeros ahead
	allocateStep    = 16 << 20 // what they allocate ahead, at least
)

// newTail goes on writing at pos of a segment whose file has so many bytes.
func newTail(s *segment, head *segmentHead, pos, size int64, o *Options) *tail {
	ahead := int64(o.ZeroAhead)
	return &tail{seg: s, head: head, pos: pos, zeroed: pos, size: size, ahead: ahead, least: ahead, most: zeroAheadGrowth * ahead,
		wrote: o.Now().UnixMilli(), tended: math.MaxInt64}
}

// idle tells whether the segment holds room ahead that nobody has needed for a while.
func (t *tail) idle(now int64, giveBack time.Duration) bool {
	return giveBack >= 0 && t.size > t.pos && now-t.wrote >= giveBack.Milliseconds()
}

// due is when the segment is to be looked at next, -1: never, unless something is written to it.
func (t *tail) due(age, giveBack time.Duration) int64 {
	due := int64(-1)
	if age >= 0 && t.first != 0 {
		due = t.first + age.Milliseconds() + 1
	}
	if idle := t.wrote + giveBack.Milliseconds(); giveBack >= 0 && t.size > t.pos && (due < 0 || idle < due) {
		due = idle
	}
	return due
}

// aged tells whether the segment's first batch is older than the age.
func (t *tail) aged(now int64, age time.Duration) bool {
	return age >= 0 && t.first != 0 && now-t.first > age.Milliseconds()
}

// empty tells whether the segment has no batch yet.
func (t *tail) empty() bool { return t.pos == t.head.size }

// zerosFor tells how many zeros are written behind a group of n bytes at pos.
func (t *tail) zerosFor(n int64) int64 {
	if n >= largeGroup || t.pos+n <= t.zeroed {
		return 0
	}
	// A page boundary, so that no later zero shares a page with a batch.
	end := (t.pos + n + t.ahead + pageSize - 1) &^ (pageSize - 1)
	t.ahead = min(2*t.ahead, t.most)
	return end - (t.pos + n)
}

const pageSize = 4096

// allocateFor makes room for a large group.
func (t *tail) allocateFor(f fs.File, n int64) error {
	if n < largeGroup || t.pos+n <= t.size {
		return nil
	}
	length := max(t.pos+n-t.size, allocateStep)
	if err := fs.Allocate(f, t.size, length); err != nil {
		return err
	}
	t.setSize(t.size + length)
	return nil
}

func (t *tail) setSize(n int64) {
	t.size = max(t.size, n)
	t.seg.bytes.Store(t.size)
}

// openTail makes the log's next segment, at its durable end, for batches of the schema. The caller holds the role and
// has closed the one before.
//
// The state file comes first and is durable before the segment's name appears: a segment is always found with its
// state, unless that was damaged later.
func (l *Log) openTail(schema *quiver.Schema) error {
	d := l.disk
	id := record.SegmentIdentity{Bucket: l.id, BaseOffset: l.fold.next, Schema: schema.ID(), Salt: d.options.Salt()}
	message, err := record.EncodeSegmentSchema(schema, id)
	if err != nil {
		return err
	}
	s := newSegment(l, id.BaseOffset)
	head, err := s.parseHead(message)
	if err != nil {
		return err
	}
	s.head.Store(head)
	if err := pointWriteState.Hit(); err != nil {
		return err
	}
	state := locked(l, func() []byte { return l.fold.encode(l.id, message) })
	if err := d.writeState(s, state); err != nil {
		return fmt.Errorf("write the state file: %w", err)
	}
	if err := s.create(message); err != nil {
		return fmt.Errorf("make a segment: %w", err)
	}
	n := int64(len(message))
	s.bytes.Store(n)
	l.tail = newTail(s, head, n, n, &d.options)
	l.mu.Lock()
	l.segments = append(l.segments[:len(l.segments):len(l.segments)], s)
	l.entries, l.open = nil, true
	l.mu.Unlock()
	d.metrics.rolls.Inc()
	return pointAfterRoll.Hit()
}

// root makes the directory of the log and has its name, and those of its files, on the disk before anything is
// acknowledged: they may be there from a process that was killed before it synced them. The caller holds the role.
func (l *Log) root() error {
	if l.rooted {
		return nil
	}
	if err := pointMakeDirs.Hit(); err != nil {
		return err
	}
	if err := l.disk.makeBucketDir(l.dir); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	l.rooted = true
	return nil
}

// writeState writes the state file of a new segment. That of the first one of a bucket says what an empty log says, and is made
// anew from the segment if a crash takes its name away; so its name may get to the disk with that of the segment.
func (d *Disk) writeState(s *segment, state []byte) error {
	if s.base > 0 {
		return d.writeFile(s.path(stateSuffix), state)
	}
	if err := d.Fence(); err != nil {
		return err
	}
	return d.failWrite(fs.Replace(d.fsys, s.path(stateSuffix), state))
}

// create writes a new segment under a temporary name and gives it its own once it is whole.
func (s *segment) create(message []byte) error {
	d := s.log.disk
	path := s.path(segmentSuffix)
	temp := path + fs.TempSuffix
	if err := pointCreateSegment.Hit(); err != nil {
		return err
	}
	f, err := d.fsys.Create(temp, fs.Unspecified)
	if err != nil {
		return d.failWrite(err)
	}
	if err := s.fill(f, message); err != nil {
		_ = f.Close()
		_ = d.fsys.Remove(temp)
		return err
	}
	if err := f.Close(); err != nil {
		return d.failWrite(err)
	}
	if err := pointRenameSegment.Hit(); err != nil {
		return err
	}
	if err := d.fsys.Rename(temp, path); err != nil {
		return d.failWrite(err)
	}
	if err := pointSyncRename.Hit(); err != nil {
		return err
	}
	return d.syncDir(s.log.dir)
}

// fill writes the Schema message, durably.
func (s *segment) fill(f fs.File, message []byte) error {
	d := s.log.disk
	if _, err := f.WriteAt(message, 0); err != nil {
		return d.failWrite(err)
	}
	if err := pointSyncSegment.Hit(); err != nil {
		return err
	}
	return d.failWrite(f.Sync())
}

// endTail makes room for another segment: it closes the one that is written to, or takes it off the log if it has no
// batch, since the next one begins at the same offset and takes over its name.
func (l *Log) endTail() {
	switch t := l.tail; {
	case t == nil:
	case !t.empty():
		l.closeTail()
	default:
		l.disk.files.forget(t.seg.path(segmentSuffix))
		l.tail = nil
		l.mu.Lock()
		l.segments = l.segments[:len(l.segments)-1]
		l.entries, l.open = nil, false
		l.mu.Unlock()
	}
}

// closeTail closes the segment that is written to. The next commit makes a new one.
func (l *Log) closeTail() {
	l.trim()
	t := l.tail
	if n := len(l.entries); n > 0 {
		t.seg.last.Store(l.entries[n-1].time)
	}
	x := &index{entries: l.entries, covered: t.pos}
	t.seg.idx.Store(x)
	l.disk.indexes.add(t.seg, x)
	l.unindexed = append(l.unindexed, t.seg)
	l.tail = nil
	l.mu.Lock()
	l.entries, l.open = nil, false
	l.mu.Unlock()
	l.disk.tend(l, 0)
}

// trim cuts off what stands behind the last batch: zeros, and blocks that were allocated ahead. A crash may bring them
// back; they are legal, so neither that nor a failure matters. What is written next begins with few zeros ahead again.
func (l *Log) trim() {
	t := l.tail
	if t.size == t.pos || pointTrim.Hit() != nil || l.disk.Fence() != nil {
		return
	}
	if err := l.disk.fsys.Truncate(t.seg.path(segmentSuffix), t.pos); err != nil {
		l.disk.logger.Warn("the zeros behind a segment's last batch could not be cut off",
			"bucket", l.id.String(), "segment", int64(t.seg.base), "err", err)
		return
	}
	l.disk.metrics.givenBack.Add(float64(t.size - t.pos))
	t.size, t.zeroed, t.ahead = t.pos, t.pos, t.least
	t.seg.bytes.Store(t.pos)
}
