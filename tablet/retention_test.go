package tablet

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/tablet/scan"
)

// retain gives table 7 options.
func (e *env) retain(options map[string]string) {
	e.t.Helper()
	parsed, err := quiver.ParseOptions(options)
	if err != nil {
		e.t.Fatal(err)
	}
	e.reconcile(func(d *quiver.Desired) {
		for i, t := range d.Tables {
			if t.ID == 7 {
				changed := *t
				changed.Options = parsed
				d.Tables[i] = &changed
			}
		}
	})
}

// pass lets time go by, a second at a time, with maintenance in each.
func (e *env) pass(d time.Duration) {
	e.t.Helper()
	for range d / time.Second {
		e.advance(time.Second)
		e.server.Maintain(e.t.Context())
	}
}

// offsets are start and high watermark of a bucket of table 7.
func (e *env) offsets(tablet *Tablet) [2]quiver.Offset {
	e.t.Helper()
	o, err := tablet.Offsets(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return [2]quiver.Offset{o.Start, o.HighWatermark}
}

func (e *env) wantOffsets(tablet *Tablet, start, high quiver.Offset) {
	e.t.Helper()
	if got := e.offsets(tablet); got != [2]quiver.Offset{start, high} {
		e.t.Errorf("bucket %s has [%d, %d), want [%d, %d)", tablet.ID(), got[0], got[1], start, high)
	}
}

func TestQuietBucketsExpire(t *testing.T) {
	e := newEnv(t, 2)
	e.retain(map[string]string{"retention.time": "60s"})
	e.grant(5, 0)
	if _, err := e.put(e.tablet(0), by(5, 0, 0, 2), 1, 2); err != nil {
		t.Fatal(err)
	}
	e.pass(30 * time.Second)
	e.mustPut(e.tablet(0), 3)
	e.pass(30 * time.Second)
	e.wantOffsets(e.tablet(0), 0, 3) // the rows are exactly as old as they may get
	e.pass(time.Second)
	e.wantOffsets(e.tablet(0), 2, 3)
	e.pass(40 * time.Second)
	e.wantOffsets(e.tablet(0), 3, 3)
	// A repeat is still known, and offsets go on.
	if s, err := e.put(e.tablet(0), by(5, 0, 0, 2), 1, 2); err != nil || !s.Duplicate {
		t.Errorf("a repeat: %+v, %v", s, err)
	}
	if s := e.mustPut(e.tablet(0), 4); s.From != 3 {
		t.Errorf("the next row lies at %d", s.From)
	}
	e.stop()
	e.start()
	e.wantOffsets(e.tablet(0), 3, 4)
}

func TestAlteredRetentionTakesEffect(t *testing.T) {
	e := newEnv(t, 2)
	e.mustPut(e.tablet(0), 1)
	e.mustPut(e.tablet(1), 2)
	e.stop()
	e.start()
	e.mustPut(e.tablet(0), 3) // the other one is not open
	e.pass(100 * time.Second)
	e.wantOffsets(e.tablet(0), 0, 2)
	e.retain(map[string]string{"retention.time": "60s"})
	e.pass(2 * time.Second)
	e.wantOffsets(e.tablet(0), 2, 2)
	e.wantOffsets(e.tablet(1), 1, 1)
	e.retain(map[string]string{"retention.time": "none"})
	e.mustPut(e.tablet(0), 4)
	e.pass(1000 * time.Second)
	e.wantOffsets(e.tablet(0), 2, 3)
}

func TestRetentionByBytes(t *testing.T) {
	e := newEnv(t, 1)
	e.retain(map[string]string{"retention.time": "none", "retention.bytes": "1MiB", "segment.bytes": "64KiB"})
	rows := make([]int64, 8000)
	for range 40 { // 64,000 bytes each
		e.mustPut(e.tablet(0), rows...)
		e.server.Maintain(t.Context())
	}
	stats, err := e.tablet(0).Stats(t.Context())
	if err != nil || stats.Bytes < 1<<20 || stats.Bytes > 1<<20+200_000 {
		t.Errorf("%d bytes stay, %v", stats.Bytes, err)
	}
	if got := e.offsets(e.tablet(0)); got[0] == 0 || got[1] != 320_000 || got[0]%8000 != 0 {
		t.Errorf("offsets %v", got)
	}
}

// TestReadersKeepTheirRange has a scan hold the rows that it has not given yet, for an hour and no longer.
func TestReadersKeepTheirRange(t *testing.T) {
	e := newEnv(t, 2)
	e.retain(map[string]string{"retention.time": "60s", "segment.age": "1s"})
	for n := range int64(3) {
		e.mustPut(e.tablet(0), n)
		e.mustPut(e.tablet(1), n)
		e.pass(10 * time.Second)
	}
	open := func() *scan.Scanner {
		t.Helper()
		s, err := e.scanner(7, false)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	e.pass(100 * time.Second)
	e.wantOffsets(e.tablet(0), 0, 3)
	c, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(t, c.Batch); c.Bucket != 0 || !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("bucket %d, %v", c.Bucket, got)
	}
	e.pass(2 * time.Second)
	e.wantOffsets(e.tablet(0), 3, 3) // given
	e.wantOffsets(e.tablet(1), 0, 3) // on its way
	s.Close()
	s.Close()
	e.pass(2 * time.Second)
	e.wantOffsets(e.tablet(1), 3, 3)

	e.mustPut(e.tablet(1), 4)
	s = open()
	defer s.Close()
	e.advance(time.Hour)
	e.pass(2 * time.Second)
	e.wantOffsets(e.tablet(1), 4, 4)
	_, err = s.Next(t.Context())
	reason(t, err, quiver.OffsetOutOfRange, quiver.NotDone)
}

// TestNothingAboveTheHighWatermarkExpires has rows staged that nobody waits for.
func TestNothingAboveTheHighWatermarkExpires(t *testing.T) {
	e := newEnv(t, 1)
	e.retain(map[string]string{"retention.time": "10s"})
	e.mustPut(e.tablet(0), 1)
	e.advance(time.Hour)
	s, err := e.tablet(0).Put(t.Context(), e.unit(2), anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	e.server.Maintain(t.Context())
	if err := e.tablet(0).Wait(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	e.wantOffsets(e.tablet(0), s.From, s.Until)
}

// TestManyBucketsThatAreNotOpenExpire restarts a server with rows in many buckets and lets them expire without one call
// that opens them: a bounded number at a time, none of them open afterwards.
func TestManyBucketsThatAreNotOpenExpire(t *testing.T) {
	const buckets = 300
	e := newEnv(t, buckets)
	e.partitioned(1, 2)
	e.retain(map[string]string{"retention.time": "600s"})
	setBoth := func(d *quiver.Desired) { setPartitions(d, 7, 1, 2) }
	e.reconcile(setBoth)
	for b := range int32(buckets) {
		e.mustPut(e.tabletIn(quiver.PartitionID(1+b%2), b), int64(b))
	}
	e.stop()
	var opened atomic.Int64
	e.fsys = fs.Record(e.mem, func(op fs.Op, name string) {
		if op == fs.OpOpen && strings.HasSuffix(name, ".arrows") {
			opened.Add(1)
		}
	})
	e.start()
	e.pass(60 * time.Second) // the rows are young
	looked := opened.Load()
	if looked > 2*buckets {
		t.Errorf("a sweep opened %d files", looked)
	}
	e.pass(400 * time.Second)
	if more := opened.Load() - looked; more > 0 {
		t.Errorf("an idle server opened %d files", more)
	}
	for i := range 400 {
		before := opened.Load()
		e.pass(time.Second)
		if got := opened.Load() - before; got > 6*expiriesPerRound+looksPerRound {
			t.Fatalf("round %d opened %d files", i, got)
		}
	}
	if n := len(e.server.opened); n > 0 {
		t.Errorf("%d tablets are open", n)
	}
	for b := range int32(buckets) {
		e.wantOffsets(e.tabletIn(quiver.PartitionID(1+b%2), b), 1, 1)
	}
	// All of it is on the disk.
	e.stop()
	e.fsys = e.mem
	e.start()
	for b := range int32(buckets) {
		e.wantOffsets(e.tabletIn(quiver.PartitionID(1+b%2), b), 1, 1)
	}
}

// TestCrashWhileExpiring cuts the power after every step of retention, on open buckets and on others. What was kept is
// there, offsets go on, and what was to go goes.
func TestCrashWhileExpiring(t *testing.T) {
	rng := seeded(t)
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) { crashWhileExpiring(t, rng, open) })
	}
}

func crashWhileExpiring(t *testing.T, rng *rand.Rand, open bool) {
	e := newEnv(t, 3)
	e.retain(map[string]string{"retention.time": "60s"})
	for b := range int32(3) {
		e.mustPut(e.tablet(b), 1, 2)
	}
	e.pass(30 * time.Second)
	e.mustPut(e.tablet(2), 3)
	e.stop()
	var clones []*fs.Mem
	recording := false
	e.fsys = fs.Record(e.mem, func(op fs.Op, _ string) {
		if recording && op.Changes() {
			clones = append(clones, e.mem.CrashClone(fs.CrashConfig{Rand: rng, KeepUnsynced: rng.IntN(101), TearSectors: true, TearEntries: true}))
		}
	})
	e.start()
	if open {
		for b := range int32(3) {
			e.offsets(e.tablet(b))
		}
	}
	recording = true
	e.pass(40 * time.Second)
	recording = false
	if len(clones) < 10 {
		t.Fatalf("only %d steps", len(clones))
	}
	then := e.now
	for i, left := range clones {
		e.stop()
		e.mem, e.fsys, e.now = left, left, then
		e.start()
		e.pass(2 * time.Second)
		for b := range int32(2) {
			e.wantOffsets(e.tablet(b), 2, 2)
		}
		e.wantOffsets(e.tablet(2), 2, 3)
		if got := e.rows(7)[2]; !slices.Equal(got, []int64{3}) {
			t.Errorf("after step %d: rows %v", i, got)
		}
		if t.Failed() {
			t.Fatalf("after step %d", i)
		}
	}
	if s := e.mustPut(e.tablet(0), 9); s.From != 2 {
		t.Errorf("the next row lies at %d", s.From)
	}
}

// TestSweepsTakeTheirTime: a sweep has as many looks a round as it needs to be through before a row is too late, within bounds.
func TestSweepsTakeTheirTime(t *testing.T) {
	for _, c := range []struct {
		buckets int64
		within  time.Duration
		want    int
	}{
		{0, time.Hour, looksAtEase},
		{100_000, time.Hour, looksAtEase},
		{1_000_000, time.Hour, 278},
		{10_000_000, time.Hour, looksPerRound},
		{10_000, time.Minute, 167},
		{10_000, time.Second, looksPerRound},
		{100, time.Second, looksAtEase},
	} {
		if got := looksFor(c.buckets, c.within); got != c.want {
			t.Errorf("%d buckets within %v: %d looks a round, want %d", c.buckets, c.within, got, c.want)
		}
	}
}
