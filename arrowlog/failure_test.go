package arrowlog

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

// outcome gives the reason and the outcome of an error.
func outcome(err error) (quiver.Reason, quiver.Outcome) {
	var e *quiver.Error
	if !errors.As(err, &e) {
		return "", quiver.Unknown
	}
	return e.Reason, e.Outcome
}

// TestFailedSync shows that the group whose sync failed is unknown and what was staged behind it is not done, that the
// disk takes no more writes and no more syncs, and that reads go on.
func TestFailedSync(t *testing.T) {
	held := buf.Live()
	mem := fs.NewMem()
	fail, syncs := false, 0
	w := newWorld(t, fs.WithErrors(mem, func(op fs.Op, name string) error {
		if fail && (op == fs.OpSync || op == fs.OpSyncDir) {
			syncs++
			return syscall.EIO
		}
		return nil
	}))
	w.opts.GroupBytes = 1 // one unit a group
	l := w.lead()
	w.put(l, 1, 2)
	other, err := w.disk.Log(quiver.BucketID{Table: 8}, w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Lead(1); err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	defer l.Subscribe(changed)()
	fail = true
	for n := range int64(3) {
		if _, err := l.Stage([]*record.Batch{w.batch(3 + n)}, anonymous(1)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []quiver.Outcome{quiver.Unknown, quiver.NotDone, quiver.NotDone} {
		err := l.Sync(t.Context(), quiver.Offset(3+i))
		if r, o := outcome(err); r != quiver.LeaderNotAvailable || o != want {
			t.Errorf("row %d: %v, %s", 2+i, err, o)
		}
	}
	<-changed
	if syncs != 1 {
		t.Errorf("%d syncs after the first failed", syncs)
	}
	fail = false
	if l.Failed() == nil || w.disk.Fence() == nil || w.disk.Writable() == nil {
		t.Error("the disk is not fenced")
	}
	for _, log := range []*Log{l, other} {
		_, err := log.Stage([]*record.Batch{w.batch(9)}, anonymous(1))
		if r, o := outcome(err); r != quiver.LeaderNotAvailable || o != quiver.NotDone {
			t.Errorf("a put on a fenced disk: %v", err)
		}
	}
	again, err := w.disk.Log(bucket, w.config)
	if err != nil || again != l {
		t.Errorf("a fenced disk gave another log, %v", err)
	}
	if got, err := numbersIn(l, 0, 2, nil); err != nil || !slices.Equal(got, []int64{1, 2}) {
		t.Error(got, err)
	}
	if err := l.Lead(9); err == nil {
		t.Error("a failed log was led")
	}
	_ = w.disk.Close()

	// A new process reads back what there is. What was reported as not done is not there.
	w.fsys = mem.Clone()
	l = w.lead()
	if end := l.Durable(); end != 2 && end != 3 {
		t.Errorf("the log ends at %d", end)
	}
	w.put(l, 7)
	w.close()
	if now := buf.Live(); now != held {
		t.Errorf("%d buffers are still held", now-held)
	}
}

// TestFailedWritesFence: a write or sync that failed leaves the disk in doubt, whatever the file, but for want of room or
// of descriptors, which passes.
func TestFailedWritesFence(t *testing.T) {
	for err, fences := range map[error]bool{nil: false, syscall.ENOSPC: false, syscall.EDQUOT: false, syscall.EMFILE: false, syscall.EIO: true, syscall.EROFS: true} {
		w := newWorld(t, fs.NewMem())
		w.lead()
		if got := w.disk.failWrite(err); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
		if fenced := w.disk.Fence() != nil; fenced != fences {
			t.Errorf("after %v the disk is fenced: %t", err, fenced)
		}
		w.close()
	}
}

// TestNoSpace fills the disk: the group is surely not done, nothing is fenced, and once there is room the log goes on
// in the same process.
func TestNoSpace(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.opts.Reserve = -1
	l := w.lead()
	w.put(l, 1, 2)
	size := func() (n int64) {
		for _, name := range []string{"00000000000000000000.arrows", "00000000000000000000.state"} {
			info, err := mem.Stat("data/log/7/0/1/" + name)
			if err != nil {
				t.Fatal(err)
			}
			n += info.Size()
		}
		return n
	}
	mem.SetCapacity(size() + 10_000)
	big := count(100, 20_000)
	s, err := l.Stage([]*record.Batch{w.batch(big...)}, anonymous(len(big)))
	if err != nil {
		t.Fatal(err)
	}
	behind, err := l.Stage([]*record.Batch{w.batch(3)}, anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, until := range []quiver.Offset{s.Until, behind.Until} {
		err := l.Sync(t.Context(), until)
		if r, o := outcome(err); r != quiver.DiskFull || o != quiver.NotDone {
			t.Fatalf("%v, %s", err, o)
		}
	}
	if w.disk.Fence() != nil || l.Failed() == nil {
		t.Fatalf("fence %v, log %v", w.disk.Fence(), l.Failed())
	}
	if got, err := numbersIn(l, 0, 2, nil); err != nil || !slices.Equal(got, []int64{1, 2}) {
		t.Fatal(got, err)
	}
	mem.SetCapacity(0)
	l, err = w.disk.Log(bucket, w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Lead(2); err != nil {
		t.Fatal(err)
	}
	if s := w.put(l, 4); s.From != 2 {
		t.Fatalf("the next row went to %d", s.From)
	}
	if got, err := numbersIn(l, 0, 3, nil); err != nil || !slices.Equal(got, []int64{1, 2, 4}) {
		t.Fatal(got, err)
	}
	w.close()
}

// TestStartOnAFullDisk refuses to delete rows while the new start cannot be written, however often it is asked, and
// keeps its word once it can.
func TestStartOnAFullDisk(t *testing.T) {
	mem := fs.NewMem()
	full := false
	w := newWorld(t, fs.WithErrors(mem, func(op fs.Op, name string) error {
		if full && op == fs.OpCreate && strings.HasSuffix(name, checkpointName+fs.TempSuffix) {
			return syscall.ENOSPC
		}
		return nil
	}))
	l := w.lead()
	w.put(l, 1, 2, 3)
	l.SetHighWatermark(3)
	full = true
	for range 2 {
		err := l.DeleteBefore(2)
		if r, o := outcome(err); r != quiver.DiskFull || o != quiver.Unknown {
			t.Fatalf("%v, %s", err, o)
		}
	}
	full = false
	if err := l.DeleteBefore(2); err != nil {
		t.Fatal(err)
	}
	left := mem.CrashClone(fs.CrashConfig{})
	w.close()
	w.fsys = left
	if again := w.open(); again.Start() != 2 {
		t.Fatalf("after a power cut the log starts at %d", again.Start())
	}
	w.close()
}

// meter is a file system that says how much room there is.
type meter struct {
	fs.FS
	free  uint64
	asked int
}

func (m *meter) GetDiskUsage(string) (fs.DiskUsage, error) {
	m.asked++
	return fs.DiskUsage{AvailBytes: m.free, TotalBytes: 100 << 30}, nil
}

// TestReserve shows that puts are refused before there is no room at all, that repeats and reads are not, and that
// writing goes on by itself.
func TestReserve(t *testing.T) {
	m := &meter{FS: fs.NewMem(), free: 50 << 30}
	w := newWorld(t, m)
	l := w.lead()
	for i := range 100 {
		if _, err := l.Stage([]*record.Batch{w.batch(1)}, from(1, quiver.Sequence(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if m.asked > 2 {
		t.Errorf("the disk was asked %d times for 100 small puts", m.asked)
	}
	m.free = 1 << 30 // the reserve is 2 GiB: 2 % of 100 GiB, and the most there is
	w.clock.advance(2 * time.Second)
	_, err := l.Stage([]*record.Batch{w.batch(2)}, anonymous(1))
	if r, o := outcome(err); r != quiver.DiskFull || o != quiver.NotDone {
		t.Fatalf("%v", err)
	}
	if r, _ := outcome(w.disk.Writable()); r != quiver.DiskFull {
		t.Fatalf("%v", w.disk.Writable())
	}
	if s, err := l.Stage([]*record.Batch{w.batch(1)}, from(1, 99, 1)); err != nil || !s.Duplicate {
		t.Fatalf("a repeat: %+v %v", s, err)
	}
	l.SetHighWatermark(100)
	if err := l.DeleteBefore(50); err != nil {
		t.Fatal(err)
	}
	m.free = 3 << 30
	w.put(l, 2)
	w.close()
}

// TestIdleBuckets shows that buckets cost no file: none before the first put, and no open one beyond the limit.
func TestIdleBuckets(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.opts.OpenFiles = 3
	w.lead()
	const n = 50
	for i := range int32(n) {
		id := quiver.BucketID{Table: 20, Bucket: i}
		l, err := w.disk.Log(id, w.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Lead(1); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			w.put(l, int64(i))
		}
	}
	if open := mem.OpenFiles(); len(open) > 3 {
		t.Errorf("open: %v", open)
	}
	dirs, err := mem.List("data/log/20/0")
	if err != nil || len(dirs) != n/2 {
		t.Errorf("%d directories, %v", len(dirs), err)
	}
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.close()
	if open := mem.OpenFiles(); len(open) != 0 {
		t.Errorf("open after close: %v", open)
	}
}

// TestRemove shows that a removed log is gone, with its files, its mark and its readers, and stays gone.
func TestRemove(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	l := w.lead()
	w.put(l, 1)
	other := quiver.BucketID{Table: bucket.Table, Bucket: 9}
	o, err := w.disk.Log(other, w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Lead(1); err != nil {
		t.Fatal(err)
	}
	w.put(o, 2)
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Stage([]*record.Batch{w.batch(5)}, anonymous(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.disk.Remove(bucket); err != nil {
		t.Fatal(err)
	}
	if r, out := outcome(l.Sync(t.Context(), 2)); r != quiver.TableNotFound || out != quiver.NotDone {
		t.Errorf("a waiting put: %s %s", r, out)
	}
	if _, err := mem.Stat("data/log/7/0/1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	if open := openBelow(mem, "data/log/7/0/1"); len(open) != 0 {
		t.Errorf("removed files that keep their room, being open: %v", open)
	}
	if err := w.disk.Remove(other); err != nil {
		t.Fatal(err)
	}
	if names, err := mem.List("data/log"); err != nil || !slices.Equal(names, []string{"checkpoint"}) {
		t.Errorf("left: %v %v", names, err)
	}
	if err := w.disk.Remove(bucket); err != nil {
		t.Errorf("once more: %v", err)
	}
	w.close()
	if l := w.open(); l.Durable() != 0 {
		t.Errorf("the log came back with %d rows", l.Durable())
	}
	w.close()
}

// TestRemoveTable shows that the logs of a dropped table give their room back at once: none of their files stays open.
func TestRemoveTable(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.put(w.lead(), 1)
	if open := openBelow(mem, "data/log/7"); len(open) == 0 {
		t.Fatal("the segment that was written is expected to be kept open")
	}
	if err := w.disk.RemoveTable(bucket.Table); err != nil {
		t.Fatal(err)
	}
	if open := openBelow(mem, "data/log/7"); len(open) != 0 {
		t.Errorf("removed files that keep their room, being open: %v", open)
	}
	if _, err := mem.Stat("data/log/7"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	w.close()
}

// openBelow lists the open files of a directory.
func openBelow(mem *fs.Mem, dir string) []string {
	return slices.DeleteFunc(mem.OpenFiles(), func(path string) bool { return !strings.HasPrefix(path, dir+"/") })
}

// TestDeletedWhileRead shows that a reader goes on in a segment that was deleted meanwhile, and that its files go when
// the reader leaves it.
func TestDeletedWhileRead(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.config.SegmentBytes = 2600
	w.opts.OpenFiles = 1
	w.opts.ReadBytes = 1 // one batch a read
	l := w.lead()
	for n := range int64(8) {
		w.put(l, n)
	}
	r := l.Read(0, 8, ReadSpec{})
	next := func() (int64, error) {
		b, err := r.Next()
		if err != nil {
			return 0, err
		}
		defer b.Release()
		ns, err := numbers(b)
		if err != nil {
			return 0, err
		}
		return ns[0], nil
	}
	if n, err := next(); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := l.DeleteBefore(7); err != nil {
		t.Fatal(err)
	}
	first := segmentName(0, segmentSuffix)
	if names, _ := mem.List("data/log/7/0/1"); !slices.Contains(names, first) {
		t.Fatalf("the segment under the reader is gone: %v", names)
	}
	if n, err := next(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	n, err := next()
	for want := int64(2); err == nil; want++ {
		if n != want {
			t.Fatal(n)
		}
		n, err = next()
	}
	if quiver.ReasonOf(err) != quiver.OffsetOutOfRange {
		t.Fatalf("behind the segment: %v", err)
	}
	r.Close()
	if names, _ := mem.List("data/log/7/0/1"); slices.Contains(names, first) {
		t.Fatalf("the reader left, but the segment did not: %v", names)
	}
	w.close()
}

// TestOptions shows that all faults are named at once.
func TestOptions(t *testing.T) {
	err := Options{OpenFiles: -1, ReadBytes: -5}.Validate()
	if err == nil || !strings.Contains(err.Error(), "OpenFiles") || !strings.Contains(err.Error(), "ReadBytes") {
		t.Fatal(err)
	}
	if _, err := OpenDisk(fs.NewMem(), "data", Options{GroupBytes: -1}); err == nil {
		t.Fatal("opened")
	}
	if err := (Options{}).Validate(); err != nil {
		t.Fatal(err)
	}
}

// TestMisuse shows that wrong calls are refused and keep nothing.
func TestMisuse(t *testing.T) {
	held := buf.Live()
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	if _, err := l.Stage(nil, anonymous(0)); err == nil {
		t.Error("staged nothing")
	}
	if _, err := l.Stage([]*record.Batch{w.batch(1)}, anonymous(2)); err == nil {
		t.Error("staged other rows than told")
	}
	if err := l.Sync(context.Background(), 1); err == nil {
		t.Error("synced what was not staged")
	}
	if _, err := w.disk.Log(bucket, LogConfig{}); err == nil {
		t.Error("opened without a schema")
	}
	w.close()
	if _, err := w.disk.Log(bucket, w.config); err == nil {
		t.Error("opened on a closed disk")
	}
	if _, err := l.Stage([]*record.Batch{w.batch(1)}, anonymous(1)); err == nil {
		t.Error("staged on a closed disk")
	}
	if r := l.Read(0, 1, ReadSpec{}); r != nil {
		r.Close()
	}
	if now := buf.Live(); now != held {
		t.Errorf("%d buffers are still held", now-held)
	}
}
