package arrowlog

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/planted"
)

// Log is the log of one bucket: rows numbered from 0, kept in segments.
//
//	start         recovery      high watermark      durable             end
//	  |  segments    |                |                |                  |
//	  v  ......      v  ............  v  ............  v  staged units    v
//	  [ deleted before it             ]  shown to no   ]  not written yet ]
//	                                     reader
//
// Invariants, all but the first under mu:
//
//   - Only the holder of the role does I/O that changes the log: the committing producer, a maintainer, the closer.
//   - start <= high <= durable <= end, and start <= recovery <= durable. high and recovery lie at the ends of units.
//   - fold says what the log says in [its start, durable); staged adds what lies in [durable, end).
//   - flying and queue hold the units in [durable, end), in order and without a gap.
//   - Once failed is set nothing of these changes any more, and nothing is staged.
type Log struct {
	disk *Disk
	id   quiver.BucketID
	dir  string

	// role is held by whoever changes what is on the disk: a channel of one place, so that waiters can wait for it, for
	// their own rows and for their context at once.
	role chan struct{}

	// Owned by the holder of the role.
	tail      *tail      // the segment being written to; nil: the next commit makes one
	unindexed []*segment // closed segments without an index file
	rooted    bool       // the directory and the names in it are durable

	dirty atomic.Bool // its marks changed since the checkpoint

	// What each put asks for, read without mu, and changed with it held.
	summary  atomic.Pointer[record.Summary] // which columns have statistics
	broken   atomic.Bool                    // failed is set
	shownEnd atomic.Int64                   // high

	mu       sync.Mutex
	config   LogConfig
	layout   *record.Layout
	segments []*segment // by base; the slice is replaced, never changed
	entries  []entry    // of the last segment, while it is written to
	open     bool       // the last segment is written to
	start    quiver.Offset
	recovery quiver.Offset
	high     quiver.Offset
	highAt   time.Time // when the high watermark came there; zero: before the log was opened
	durable  quiver.Offset
	end      quiver.Offset
	fold     *fold // changed by the holder of the role under mu, so the holder may read it without
	epoch    quiver.Epoch
	leading  bool
	queue    []*unit // staged, not yet taken by a committer
	flying   []*unit // being written
	staged   map[quiver.WriterID]*stagedWriter
	failed   error
	gone     bool          // removed, or replaced by a fresh one
	unknown  quiver.Offset // rows before it may be on the disk although their commit failed
	noted    bool          // Maintain will see what is staged
	watchers []chan<- struct{}
	pins     map[*Pin]struct{}
}

// unit is one put: the pieces of it lie next to each other, and no high watermark between them.
type unit struct {
	batches     []*record.Batch
	from, until quiver.Offset
	size        int
	schema      quiver.SchemaID
	table       *quiver.Schema  // the log's when it was staged: the table may be altered before it is written
	layout      *record.Layout  // of that
	writer      quiver.WriterID // NoWriter: unsequenced
	done        chan struct{}   // made by the first who waits, closed when it is settled
	err         error           // set before done is closed

	oneMemory [1]*record.Batch // of batches, where there is one: nearly always
}

// hold keeps batches in memory of the unit's own.
func (u *unit) hold(batches []*record.Batch) {
	u.batches = append(u.oneMemory[:0], batches...)
}

// wait gives the channel that is closed once the unit is settled.
func (u *unit) wait() chan struct{} {
	if u.done == nil {
		u.done = make(chan struct{})
	}
	return u.done
}

// settle tells the unit's outcome and gives its batches back.
func (u *unit) settle(err error) {
	u.err = err
	for _, b := range u.batches {
		b.Release()
	}
	u.batches = nil
	if u.done != nil {
		close(u.done)
	}
}

func newLog(d *Disk, id quiver.BucketID) *Log {
	return &Log{disk: d, id: id, dir: d.bucketDir(id), role: make(chan struct{}, 1), epoch: noEpoch}
}

// Configure takes over the configuration of a table that was altered. A configuration of an older schema than the log's
// changes nothing.
func (l *Log) Configure(c LogConfig) error {
	c = c.withDefaults()
	layout, err := l.disk.layouts.of(l.id.Table, c.Schema)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.config.Schema != nil && c.Schema.ID() < l.config.Schema.ID() {
		return nil // somebody was slow; a log's schema never goes back
	}
	if l.open && c.SegmentAge != l.config.SegmentAge {
		l.disk.tend(l, 0)
	}
	l.config, l.layout = c, layout
	l.summary.Store(record.NewSummary(c.Statistics))
	if l.fold != nil {
		l.fold.expiry = c.expiry()
	}
	return nil
}

// Layout is the layout of the log's schema, which what is staged must have.
func (l *Log) Layout() *record.Layout { return locked(l, func() *record.Layout { return l.layout }) }

func (l *Log) expiry() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.config.expiry()
}

// ID is the bucket that the log belongs to.
func (l *Log) ID() quiver.BucketID { return l.id }

// Start is the first offset that can be read.
func (l *Log) Start() quiver.Offset { return locked(l, func() quiver.Offset { return l.start }) }

// End is one past the last offset given out, durable or not. The next staged row gets it.
func (l *Log) End() quiver.Offset { return locked(l, func() quiver.Offset { return l.end }) }

// Durable is one past the last row that is on this disk for certain.
func (l *Log) Durable() quiver.Offset { return locked(l, func() quiver.Offset { return l.durable }) }

// HighWatermark is one past the last row that may be shown. It takes no lock.
func (l *Log) HighWatermark() quiver.Offset { return quiver.Offset(l.shownEnd.Load()) }

// raiseLocked moves the high watermark. What is below it is durable to whoever reads it without the lock.
func (l *Log) raiseLocked(to quiver.Offset) {
	l.high = to
	l.shownEnd.Store(int64(to))
}

// Shown gives the high watermark, and when it came to where it is; a zero time: before the log was opened.
func (l *Log) Shown() (high quiver.Offset, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high, l.highAt
}

// Failed is nil, or why the log takes no more rows. Rows below the high watermark stay readable. The owner asks
// Disk.Log for a fresh one and leads it with a new epoch.
func (l *Log) Failed() error {
	if !l.broken.Load() {
		return nil
	}
	return locked(l, func() error { return l.failed })
}

func locked[T any](l *Log, get func() T) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return get()
}

// SetHighWatermark moves the high watermark up to the end of a unit that is durable here. It never moves back.
func (l *Log) SetHighWatermark(to quiver.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to = min(to, l.durable)
	if to <= l.high || l.failed != nil {
		return
	}
	l.raiseLocked(to)
	l.highAt = l.disk.options.Now()
	l.disk.markDirty(l)
	l.notifyLocked()
}

// Subscribe has a value sent to ch, without waiting, whenever the high watermark or the start moves, and when the log
// fails or is closed. A channel of one place misses nothing. cancel ends it.
func (l *Log) Subscribe(ch chan<- struct{}) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, ch)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.watchers, ch); i >= 0 {
			l.watchers = slices.Delete(l.watchers, i, i+1)
		}
	}
}

func (l *Log) notifyLocked() {
	for _, ch := range l.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Lead starts a leadership of the epoch, which is higher than every one before. What an earlier leader left of a unit
// that it did not finish is cut off. Until then nothing can be staged.
func (l *Log) Lead(epoch quiver.Epoch) error {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	for l.staleQueue() { // staged in the epoch before
		l.commit()
	}
	l.mu.Lock()
	failed, again := l.failed, l.leading && epoch == l.epoch
	last, cut := max(l.epoch, l.fold.epochs.last()), l.fold.unit < l.fold.next
	l.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case again:
		return nil
	case epoch <= last:
		return quiver.Errorf(quiver.LeaderNotAvailable, "epoch %d is over, the log knows of %d", epoch, last).On(subject(l.id))
	}
	if cut && !planted.Is(planted.UnitHalfShown) {
		if err := l.cutUnit(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.epoch, l.leading = epoch, true
	l.mu.Unlock()
	return nil
}

// Epoch is that of the leadership, or of the one before while none leads. No batch has a higher one.
func (l *Log) Epoch() quiver.Epoch { return locked(l, func() quiver.Epoch { return l.epoch }) }

// Epochs lists the leader epochs that wrote to the log with their first offsets.
func (l *Log) Epochs() []EpochStart {
	return locked(l, func() []EpochStart { return slices.Clone(l.fold.epochs) })
}

// EpochEnd tells where the durable rows of all epochs up to the given one end.
func (l *Log) EpochEnd(epoch quiver.Epoch) quiver.Offset {
	return locked(l, func() quiver.Offset { return l.fold.epochs.end(epoch, l.durable) })
}

// WriterState tells how far a writer has come, by what is durable; ok is false if the log does not know it (any more).
func (l *Log) WriterState(id quiver.WriterID) (info WriterInfo, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.fold.writer(id)
	if w == nil {
		return WriterInfo{}, false
	}
	return WriterInfo{id, w.epoch, w.last, w.time}, true
}

// Stages tells whether something of the writer is staged and not durable yet.
func (l *Log) Stages(id quiver.WriterID) bool {
	return locked(l, func() bool { return l.staged[id] != nil })
}

// Writers lists the writers that the log knows, by what is durable.
func (l *Log) Writers() []WriterInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	infos := make([]WriterInfo, 0, len(l.fold.writers.byID))
	for _, id := range l.fold.writers.ids() {
		if w := l.fold.writer(id); w != nil {
			infos = append(infos, WriterInfo{id, w.epoch, w.last, w.time})
		}
	}
	return infos
}

// Stats is what the log holds.
type Stats struct {
	Start, HighWatermark, Durable, End quiver.Offset

	Segments int
	Bytes    int64 // of all segments, without the zeros behind the last batch
	Writers  int
}

// Stats counts what the log holds. The first call after a start asks for the size of each file.
func (l *Log) Stats() (Stats, error) {
	l.mu.Lock()
	s := Stats{Start: l.start, HighWatermark: l.high, Durable: l.durable, End: l.end, Segments: len(l.segments)}
	s.Writers = len(l.fold.writers.byID)
	segments := l.segments
	if n := len(l.segments); n > 0 && l.open { // without the zeros ahead
		if m := len(l.entries); m > 0 {
			s.Bytes = l.entries[m-1].end()
		}
		segments = segments[:n-1]
	}
	l.mu.Unlock()
	for _, seg := range segments {
		n, err := seg.fileSize()
		if err != nil && !isNotExist(err) { // it may just have been deleted
			return s, fmt.Errorf("arrowlog: size of bucket %s: %w", l.id, err)
		}
		s.Bytes += n
	}
	return s, nil
}

// marks gives what the checkpoint is to hold; ok is false if the log has no say in it any more.
func (l *Log) marks() (m mark, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return mark{start: l.start, high: l.high, recovery: l.recovery}, !l.gone
}

// now is the clock in milliseconds.
func (l *Log) now() int64 { return l.disk.options.Now().UnixMilli() }

// maintain does what is due for the log, and has Maintain look at it again when something will be next.
func (l *Log) maintain(now time.Time) error {
	ms := now.UnixMilli()
	soon := ms + 1 // the next round
	l.mu.Lock()
	l.noted = false
	l.mu.Unlock()
	select {
	case l.role <- struct{}{}:
	default:
		l.disk.tend(l, soon) // somebody is committing, and rolls by itself
		return nil
	}
	defer func() { <-l.role }()
	if l.Failed() != nil {
		return nil
	}
	for l.staleQueue() {
		l.commit()
	}
	if l.tail != nil && l.tail.aged(ms, l.segmentAge()) {
		l.closeTail()
	}
	if l.tail != nil && l.tail.idle(ms, l.disk.options.GiveBack) {
		l.trim()
	}
	for len(l.unindexed) > 0 && l.disk.Fence() == nil {
		s := l.unindexed[0]
		if err := s.writeIndex(); err != nil && !isNotExist(err) {
			l.disk.tend(l, soon)
			return fmt.Errorf("arrowlog: index of bucket %s, segment %d: %w", l.id, s.base, err)
		}
		l.unindexed = l.unindexed[1:]
	}
	if l.tail != nil && l.Failed() == nil && l.disk.Fence() == nil {
		l.tail.tended = math.MaxInt64
		l.tendTail(l.segmentAge())
	}
	return nil
}

// tendTail has Maintain look at the log when something of its last segment is due, unless it will look earlier. The
// caller holds the role.
func (l *Log) tendTail(age time.Duration) {
	t := l.tail
	if due := t.due(age, l.disk.options.GiveBack); due >= 0 && due < t.tended {
		t.tended = due
		l.disk.tend(l, due)
	}
}

// staleQueue tells whether something is staged. Whoever holds the role then commits it: those who staged it may all
// have gone.
func (l *Log) staleQueue() bool {
	return locked(l, func() bool { return l.failed == nil && len(l.queue) > 0 })
}

func (l *Log) segmentAge() time.Duration {
	return locked(l, func() time.Duration { return l.config.SegmentAge })
}

// Roll closes the segment that is written to, if it has a batch; the next commit makes a new one.
func (l *Log) Roll() {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	if l.tail != nil && !l.tail.empty() && l.Failed() == nil { // the file of a failed log may be another one's by now
		l.closeTail()
	}
}

// close commits what is staged and ends the log, and gives back what its last segment holds ahead if it is to.
func (l *Log) close(giveBack bool) {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	for l.staleQueue() {
		l.commit()
	}
	if l.tail != nil && l.Failed() == nil && giveBack {
		l.trim()
	}
	l.finish(errClosed(l.id))
}

// shut ends a log that is to be removed, without another write.
func (l *Log) shut(why error) {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	l.finish(why)
	l.abandon()
}

// finish refuses everything from now on. The caller holds the role.
func (l *Log) finish(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(why, l.durable)
	l.failed = why
	for _, s := range l.segments {
		l.disk.indexes.drop(s)
	}
}

// abandon forgets a log that another one took the place of, or that was removed: it tells the checkpoint no more.
func (l *Log) abandon() {
	l.mu.Lock()
	segments := l.segments
	l.gone = true
	l.mu.Unlock()
	for _, s := range segments {
		l.disk.indexes.drop(s)
	}
}

// failLocked ends the leadership: rows before unknown may be on the disk, the others that are not durable are not.
func (l *Log) failLocked(why error, unknown quiver.Offset) {
	if l.failed != nil {
		return
	}
	l.failed, l.unknown, l.leading = why, unknown, false
	l.broken.Store(true)
	l.disk.tended.Remove(l) // it may be due in days only, and would be kept until then
	l.disk.metrics.staged.Add(-int64(len(l.flying) + len(l.queue)))
	for _, u := range l.flying {
		u.settle(l.outcomeLocked(u.until))
	}
	for _, u := range l.queue {
		u.settle(l.outcomeLocked(u.until))
	}
	l.flying, l.queue, l.staged = nil, nil, nil
	l.notifyLocked()
}

// outcomeLocked is the error for a row before until that did not become durable.
func (l *Log) outcomeLocked(until quiver.Offset) error {
	var e *quiver.Error
	if !asError(l.failed, &e) {
		e = &quiver.Error{Reason: quiver.LeaderNotAvailable, Err: l.failed}
	}
	c := *e
	c.Op, c.Outcome = "arrowlog.sync", quiver.NotDone
	if until <= l.unknown {
		c.Outcome = quiver.Unknown
	}
	if c.Subject == "" {
		c.Subject = subject(l.id)
	}
	return &c
}

// subject names the bucket in errors. Table names are not known here; callers that know better replace it.
func subject(id quiver.BucketID) string {
	s := "table " + strconv.FormatUint(uint64(id.Table), 10)
	if id.Partition != 0 {
		s += ", partition " + strconv.FormatUint(uint64(id.Partition), 10)
	}
	return s + ", bucket " + strconv.Itoa(int(id.Bucket))
}

func errClosed(id quiver.BucketID) error {
	return quiver.Errorf(quiver.LeaderNotAvailable, "the server is shutting down").On(subject(id)).Advise("send it again")
}

func errRemoved(id quiver.BucketID) error {
	if id.Partition != 0 {
		return quiver.Errorf(quiver.PartitionNotFound, "the partition was dropped, or its table").On(subject(id))
	}
	return quiver.Errorf(quiver.TableNotFound, "the table was dropped").On(subject(id))
}
