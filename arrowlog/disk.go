package arrowlog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/agenda"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/planted"
)

// The points of the files that belong to no single log.
var (
	pointWriteCheckpoint = fault.New("arrowlog.checkpoint.write")
	pointAfterCheckpoint = fault.New("arrowlog.checkpoint.after-write")
	pointRemoveLog       = fault.New("arrowlog.remove.before-files")
)

// logDir is the directory below a data directory that holds the logs.
const logDir = "log"

// Disk is the logs of one data directory. It owns what they share: the fence, the room left, the open descriptors,
// the indexes in memory, and the checkpoint file. It starts no goroutine.
//
// Lock order: expiring, slot.mu, a log's role (see Log), checkpointMu, Log.mu, and the small ones last: mu, dirtyMu, dirsMu and
// those of the agenda and the caches, under which no other is taken.
type Disk struct {
	fsys    fs.FS
	dir     string // <data>/log
	options Options
	logger  *slog.Logger
	metrics *metrics
	files   *files
	layouts layouts
	indexes *indexCache
	space   space
	fence   atomic.Pointer[fenceError]

	mu      sync.Mutex
	slots   map[quiver.BucketID]*slot
	removed map[quiver.TableID]struct{}      // tables that were dropped: no call that comes late makes a log of theirs again
	cut     map[quiver.PartitionRef]struct{} // partitions that were dropped, likewise
	closed  bool

	// expiring is held while logs expire.
	expiring sync.Mutex

	// What Maintain has to look at: logs that wrote since the last checkpoint; and logs with something to be done, by the
	// time at which it is, Unix milliseconds. A log with nothing to be done is in neither.
	dirtyMu sync.Mutex
	dirty   []*Log
	tended  agenda.Agenda[*Log]

	// checkpointMu is held while the checkpoint is written.
	checkpointMu sync.Mutex
	marks        marks

	// dirsMu is held while directories of buckets are removed, and shared while some are made.
	dirsMu sync.RWMutex
	names  dirNames
}

// fenceError is why the disk takes no more writes.
type fenceError struct{ err error }

// OpenDisk opens the logs below the data directory dir. The caller has made sure that nobody else has them open.
// Options.Validate tells what is wrong with the options.
func OpenDisk(fsys fs.FS, dir string, o Options) (*Disk, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d := newDisk(fsys, dir, o)
	d.space = space{usage: d.usage, now: o.Now, setting: o.Reserve}
	d.metrics = newMetrics(o.Registerer, d)
	if err := fs.MakeDirs(fsys, d.dir); err != nil {
		return nil, fmt.Errorf("arrowlog: make the log directory: %w", err)
	}
	if err := d.loadMarks(); err != nil {
		return nil, err
	}
	// The checkpoint's name may be there only because the last process was killed before it synced it.
	if err := fs.SyncDir(fsys, d.dir); err != nil {
		return nil, fmt.Errorf("arrowlog: sync the log directory: %w", err)
	}
	return d, nil
}

// newDisk is the disk of a data directory that was not looked at yet.
func newDisk(fsys fs.FS, dir string, o Options) *Disk {
	return &Disk{
		fsys:    fsys,
		dir:     fsys.PathJoin(dir, logDir),
		options: o,
		logger:  o.Logger,
		files:   newFiles(fsys, o.OpenFiles),
		indexes: newIndexCache(o.IndexBytes),
		slots:   map[quiver.BucketID]*slot{},
		removed: map[quiver.TableID]struct{}{},
		cut:     map[quiver.PartitionRef]struct{}{},

		names: newDirNames(),
	}
}

func (d *Disk) usage() (free, total int64, err error) {
	u, err := d.fsys.GetDiskUsage(d.dir)
	return int64(min(u.AvailBytes, 1<<62)), int64(min(u.TotalBytes, 1<<62)), err
}

// loadMarks reads the checkpoint file. Without one, or with a damaged one, the logs find out by themselves.
func (d *Disk) loadMarks() error {
	path := d.fsys.PathJoin(d.dir, checkpointName)
	data, err := fs.ReadFile(d.fsys, path)
	switch {
	case isNotExist(err):
		d.marks = newMarks()
		return nil
	case err != nil:
		return fmt.Errorf("arrowlog: read the checkpoint: %w", err)
	}
	if d.marks, err = decodeMarks(data); err != nil {
		d.logger.Error("the checkpoint file cannot be used; every log is checked from its last segment on", "path", path, "err", err)
		d.marks = newMarks()
	}
	return nil
}

// since is how many seconds have passed, by the disk's clock.
func (d *Disk) since(began time.Time) float64 { return d.options.Now().Sub(began).Seconds() }

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }

// slot is a bucket's place among the open logs. Its lock is held while the log is opened, so that buckets recover side
// by side.
type slot struct {
	mu      sync.Mutex
	log     *Log // nil: not open
	removed bool // with its table or partition
	stale   bool // another slot may have taken its place
}

// Log gives the log of a bucket. The first call recovers it from what is on the disk; the directory is made by the
// first append. Later calls give the same Log and hand it the configuration, whose schema may only be newer. After a
// failure (Log.Failed) the call gives a fresh Log, recovered again; on a fenced disk it gives the failed one, which
// still reads.
func (d *Disk) Log(id quiver.BucketID, c LogConfig) (*Log, error) {
	if c.Schema == nil {
		return nil, errors.New("arrowlog: a log needs a schema")
	}
	s := d.lockSlot(id)
	if s == nil {
		return nil, d.errNoSlot(id)
	}
	defer s.mu.Unlock()
	if s.removed {
		return nil, errRemoved(id)
	}
	if s.log != nil && (s.log.Failed() == nil || d.Fence() != nil) {
		return s.log, s.log.Configure(c)
	}
	m := d.mark(id)
	if s.log != nil { // what it knew is newer than the checkpoint; but a start that was not written may be taken back
		old, _ := s.log.marks()
		m.high, m.recovery = max(m.high, old.high), max(m.recovery, old.recovery)
	}
	began := d.options.Now()
	l, err := openLog(d, id, c, m)
	if err != nil {
		return nil, err
	}
	d.metrics.recovery.Observe(d.since(began))
	if s.log != nil {
		s.log.abandon()
	}
	s.log = l
	return l, nil
}

// lockSlot gives the bucket's slot, locked, or nil as slot does.
func (d *Disk) lockSlot(id quiver.BucketID) *slot {
	for {
		s := d.slot(id)
		if s == nil {
			return nil
		}
		s.mu.Lock()
		if !s.stale {
			return s
		}
		s.mu.Unlock()
	}
}

// forgetSlot takes the slot of a bucket whose log is not open off the list, so that it takes no memory. The caller
// holds the slot.
func (d *Disk) forgetSlot(id quiver.BucketID, s *slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.removed || d.slots[id] != s {
		return // whoever removes it holds on to it
	}
	s.stale = true
	delete(d.slots, id)
}

// slot gives the bucket's slot, nil once the disk is closed or the table or partition was removed.
func (d *Disk) slot(id quiver.BucketID) *slot {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, removed := d.removed[id.Table]
	_, cut := d.cut[quiver.PartitionRef{Table: id.Table, Partition: id.Partition}]
	if removed || cut || d.closed {
		return nil
	}
	s := d.slots[id]
	if s == nil {
		s = &slot{}
		d.slots[id] = s
	}
	return s
}

// errNoSlot is why a bucket has no slot.
func (d *Disk) errNoSlot(id quiver.BucketID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed(id)
	}
	return errRemoved(id)
}

// Remove deletes a bucket's log for ever. Reads that are under way may fail.
func (d *Disk) Remove(id quiver.BucketID) error {
	s := d.lockSlot(id)
	if s == nil {
		return d.errNoSlot(id)
	}
	defer s.mu.Unlock()
	if s.log != nil {
		s.log.shut(errRemoved(id))
		s.log = nil
	}
	d.layouts.drop(id.Table) // other buckets of the table ask for them again
	if err := pointRemoveLog.Hit(); err != nil {
		return err
	}
	if err := d.removeDir(id); err != nil {
		return fmt.Errorf("arrowlog: remove the log of bucket %s: %w", id, err)
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	if _, ok := d.marks.byID[id]; !ok {
		return nil
	}
	d.marks.remove(id)
	return d.writeMarks()
}

// removeDir removes the directory of a bucket, and those above it that it leaves empty.
func (d *Disk) removeDir(id quiver.BucketID) error {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	dir := d.bucketDir(id)
	if _, err := d.fsys.Stat(dir); isNotExist(err) {
		return nil
	}
	if err := d.fsys.RemoveAll(dir); err != nil {
		return err
	}
	d.files.forgetBelow(dir)
	partition := d.fsys.PathDir(dir)
	table := d.fsys.PathDir(partition)
	d.names.forget(partition, table)
	if err := d.syncDir(partition); err != nil {
		return err
	}
	if d.fsys.Remove(partition) == nil { // it fails while there is another bucket
		_ = d.fsys.Remove(table)
	}
	return nil
}

// bucketDir is the directory of a bucket's log.
func (d *Disk) bucketDir(id quiver.BucketID) string {
	return d.fsys.PathJoin(d.dir, fmt.Sprint(uint64(id.Table)), fmt.Sprint(uint64(id.Partition)), fmt.Sprint(id.Bucket))
}

// Fence is nil, or why the disk takes no more writes: an fsync failed, so nobody knows what is on it. Only a new
// process, which reads back what there is, may write to it again.
func (d *Disk) Fence() error {
	f := d.fence.Load()
	if f == nil {
		return nil
	}
	e := quiver.Errorf(quiver.LeaderNotAvailable, "the server's disk failed and takes no more writes").
		Advise("restart the server when the disk is sound")
	e.Err = f.err
	return e
}

// setFence refuses all writes from now on.
func (d *Disk) setFence(err error) {
	if !d.fence.CompareAndSwap(nil, &fenceError{err}) {
		return
	}
	d.logger.Error("a write or sync failed: this disk takes no more writes; reads go on", "dir", d.dir, "err", err)
}

// Writable is nil, or why puts are refused: the disk is fenced, or its free space is below the reserve (DISK_FULL).
func (d *Disk) Writable() error {
	if err := d.Fence(); err != nil {
		return err
	}
	return d.space.take(0)
}

// failWrite judges the error of a write or sync that was to change the disk. Lack of room and of descriptors passes;
// anything else fences the disk, since nobody knows what it still keeps.
func (d *Disk) failWrite(err error) error {
	if err != nil && (!isNoSpace(err) || planted.Is(planted.FullFences)) && !isNoFile(err) {
		d.setFence(err)
	}
	return err
}

// writeFile replaces a small file, durably.
func (d *Disk) writeFile(path string, data []byte) error {
	if err := d.Fence(); err != nil {
		return err
	}
	return d.failWrite(fs.WriteFile(d.fsys, path, data))
}

func (d *Disk) syncDir(dir string) error { return d.failWrite(fs.SyncDir(d.fsys, dir)) }

// markDirty has the log's marks written with the next checkpoint.
func (d *Disk) markDirty(l *Log) {
	if l.dirty.Swap(true) {
		return
	}
	d.dirtyMu.Lock()
	d.dirty = append(d.dirty, l)
	d.dirtyMu.Unlock()
}

// tend has Maintain look at the log at a time, Unix milliseconds; 0 is its next round.
func (d *Disk) tend(l *Log, at int64) { d.tended.Add(l, at) }

// visitsPerRound bounds the logs that one round of maintenance looks at, so that the checkpoint does not wait while very
// many become idle at one time: giving back what one of them holds ahead may take a millisecond.
const visitsPerRound = 512

// Maintain does what is due: it closes segments by age, gives back the room that idle ones hold ahead, writes indexes of
// closed ones, commits what is staged and nobody waits for, closes files that nobody uses, and writes the checkpoint. It
// looks at those logs only of which something is due, and at a bounded number of them. The owner calls it about once a
// second: a checkpoint that is a second old costs a restart the reading of what was written in that second.
func (d *Disk) Maintain(now time.Time) error {
	var errs []error
	for _, l := range d.tended.Take(now.UnixMilli(), visitsPerRound) {
		d.metrics.visits.Inc()
		if err := l.maintain(now); err != nil {
			errs = append(errs, err)
		}
	}
	d.files.closeIdle(now)
	return errors.Join(append(errs, d.checkpoint())...)
}

// checkpoint writes the checkpoint file if anything changed.
func (d *Disk) checkpoint() error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	d.dirtyMu.Lock()
	dirty := d.dirty
	d.dirty = nil
	d.dirtyMu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	written := make(map[quiver.BucketID]mark, len(dirty))
	for _, l := range dirty {
		l.dirty.Store(false) // before the marks are read: a later change makes it dirty again
		if m, ok := l.marks(); ok {
			written[l.id] = d.marks.byID[l.id]
			d.marks.set(l.id, m)
		}
	}
	err := d.writeMarks()
	if err != nil {
		// Opening a log removes what lies before its start, which therefore must never be ahead of the file.
		for id, m := range written {
			d.marks.set(id, m)
		}
		for _, l := range dirty {
			d.markDirty(l)
		}
	}
	return err
}

// writeMarks writes the checkpoint file. The caller holds checkpointMu.
func (d *Disk) writeMarks() error {
	if err := pointWriteCheckpoint.Hit(); err != nil {
		return err
	}
	began := d.options.Now()
	if err := d.writeFile(d.fsys.PathJoin(d.dir, checkpointName), d.marks.encode()); err != nil {
		return fmt.Errorf("arrowlog: write the checkpoint: %w", err)
	}
	d.metrics.checkpoint.Observe(d.since(began))
	return pointAfterCheckpoint.Hit()
}

// mark gives the bucket's mark of the last checkpoint.
func (d *Disk) mark(id quiver.BucketID) mark {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return d.marks.byID[id]
}

// giveBackWithin is for how long a disk that is closed gives back what its segments hold ahead. Where very many were
// written to a moment ago, the others keep it until they are opened and idle: nobody waits for a stop that long.
const giveBackWithin = 5 * time.Second

// Close commits what is staged, writes the last checkpoint and closes all files. Waiting Syncs end; reads fail. It
// reports files that somebody still reads from.
func (d *Disk) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	slots := d.slots
	d.slots = nil
	d.mu.Unlock()
	began := d.options.Now()
	for _, s := range slots {
		s.mu.Lock()
		if s.log != nil {
			s.log.close(d.options.Now().Sub(began) < giveBackWithin)
		}
		s.mu.Unlock()
	}
	var err error
	if d.Fence() == nil {
		err = d.checkpoint()
	}
	return errors.Join(err, d.files.close())
}
