package arrowlog

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// crowd is a disk with many buckets, each of which has a row.
func crowd(t *testing.T, buckets int) (w *world, r *prometheus.Registry, logs []*Log) {
	t.Helper()
	w, r = newWorld(t, fs.NewMem()), prometheus.NewRegistry()
	w.opts.Registerer, w.opts.OpenFiles = r, 16
	w.lead()
	for b := range buckets {
		l, err := w.disk.Log(quiver.BucketID{Table: 7, Bucket: int32(10 + b)}, w.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Lead(1); err != nil {
			t.Fatal(err)
		}
		w.put(l, int64(b))
		logs = append(logs, l)
	}
	return w, r, logs
}

// sizeBelow adds up the files below a directory whose names end so.
func sizeBelow(t *testing.T, fsys fs.FS, dir, suffix string) (size int64) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fsys.PathJoin(dir, name)
		info, err := fsys.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			size += sizeBelow(t, fsys, path, suffix)
		} else if strings.HasSuffix(name, suffix) {
			size += info.Size()
		}
	}
	return size
}

func (w *world) maintain() {
	w.t.Helper()
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// TestIdleBucketsGiveBack counts what buckets with a row each hold on the disk, in descriptors, and in a round of
// maintenance: while they are fresh, once they are idle, and when they are used again.
func TestIdleBucketsGiveBack(t *testing.T) {
	const buckets = 200
	w, r, logs := crowd(t, buckets)
	visits := func() int {
		v, _ := gathered(t, r, "quiver_log_maintained_total")
		return int(v)
	}
	if size := sizeBelow(t, w.fsys, "data", segmentSuffix); size < buckets*int64(w.opts.withDefaults().ZeroAhead) {
		t.Fatalf("fresh buckets hold %d bytes: nothing is written ahead", size)
	}
	w.maintain() // what was staged was seen
	w.clock.advance(w.opts.withDefaults().GiveBack)
	w.maintain()
	if size := sizeBelow(t, w.fsys, "data", segmentSuffix); size > buckets*2048 {
		t.Errorf("idle buckets hold %d bytes each", size/buckets)
	}
	if bytes, _ := gathered(t, r, "quiver_log_given_back_bytes_total"); bytes < buckets*60_000 {
		t.Errorf("%f bytes were given back", bytes)
	}
	before := visits()
	for range 100 {
		w.clock.advance(time.Second)
		w.maintain()
	}
	if n := visits() - before; n != 0 {
		t.Errorf("100 rounds looked at %d logs of which nothing was due", n)
	}
	if n := w.disk.files.count(); n > 0 {
		t.Errorf("%d files of idle buckets are open", n)
	}

	for i, l := range logs { // all of it stays usable
		w.put(l, int64(1000+i), int64(2000+i))
		got, err := numbersIn(l, 0, 3, nil)
		if err != nil || got[0] != int64(i) || got[2] != int64(2000+i) {
			t.Fatalf("bucket %d has %v, %v", i, got, err)
		}
	}
	w.clock.advance(2 * time.Hour)
	w.maintain() // they are closed by age
	w.maintain() // their indexes are there
	before = visits()
	w.maintain()
	if n := visits() - before; n != 0 {
		t.Errorf("closed segments: a round looked at %d logs", n)
	}
	w.close()
	if err := sound(w.fsys); err != nil {
		t.Error(err)
	}
}

// TestGiveBackBeginsAnew has a bucket that wrote much and was idle write few zeros ahead with its next row.
func TestGiveBackBeginsAnew(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	for i := range 300 {
		w.put(l, count(int64(i*1000), 1000)...)
	}
	ahead := func() int64 { return l.tail.size - l.tail.pos }
	if ahead() < 256<<10 {
		t.Fatalf("a busy bucket is only %d bytes ahead", ahead())
	}
	for range 2 {
		w.clock.advance(time.Minute)
		w.maintain()
	}
	if ahead() != 0 {
		t.Fatalf("an idle bucket is %d bytes ahead", ahead())
	}
	w.put(l, 1)
	if got := ahead(); got == 0 || got > 2*int64(w.opts.withDefaults().ZeroAhead) {
		t.Errorf("the first row after that is %d bytes ahead", got)
	}
	w.close()
}

// TestReopenedIdleBuckets opens buckets whose segments are closed to the last byte: a round has nothing to look at.
func TestReopenedIdleBuckets(t *testing.T) {
	w, _, _ := crowd(t, 50)
	w.close()
	w.opts.Registerer = nil
	d, err := OpenDisk(w.fsys, "data", w.opts)
	if err != nil {
		t.Fatal(err)
	}
	w.disk = d
	for b := range int32(50) {
		if _, err := d.Log(quiver.BucketID{Table: 7, Bucket: 10 + b}, w.config); err != nil {
			t.Fatal(err)
		}
	}
	w.maintain()
	if got := d.tended.Take(w.clock.Now().Add(time.Minute).UnixMilli(), 100); len(got) > 0 {
		t.Errorf("%d logs are to be looked at within a minute", len(got))
	}
	w.close()
}

// TestGiveBackFails has an idle bucket go on, and be looked at again, when its room cannot be given back.
func TestGiveBackFails(t *testing.T) {
	failing := true
	w := newWorld(t, fs.WithErrors(fs.NewMem(), func(op fs.Op, _ string) error {
		if failing && op == fs.OpTruncate {
			return syscall.EIO
		}
		return nil
	}))
	l := w.lead()
	w.put(l, 1)
	w.clock.advance(time.Minute)
	w.maintain()
	w.maintain()
	if l.tail.size == l.tail.pos {
		t.Fatal("nothing failed")
	}
	w.put(l, 2)
	failing = false
	for range 2 {
		w.clock.advance(time.Minute)
		w.maintain()
	}
	if l.tail.size != l.tail.pos {
		t.Error("it was not tried again")
	}
	w.close()
}

// TestRemovedBucketsAreForgotten: maintenance keeps nothing of logs that are gone, whatever was to be done about them
// in days.
func TestRemovedBucketsAreForgotten(t *testing.T) {
	const buckets = 20
	w, _, _ := crowd(t, buckets)
	w.maintain()
	if n := w.disk.tended.Len(); n < buckets {
		t.Fatalf("maintenance has %d logs before it: the test shows nothing", n)
	}
	if err := w.disk.RemoveTable(7); err != nil {
		t.Fatal(err)
	}
	if n := w.disk.tended.Len(); n > 1 { // that of the world's own bucket
		t.Errorf("maintenance keeps %d logs of removed buckets", n)
	}
	w.close()
}
