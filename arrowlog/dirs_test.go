package arrowlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// fresh gives the leading log of another bucket, without files.
func (w *world) fresh(bucket int32) *Log {
	w.t.Helper()
	l, err := w.disk.Log(quiver.BucketID{Table: 7, Bucket: bucket}, w.config)
	if err == nil {
		err = l.Lead(1)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// TestSyncsOfAFirstRow counts the syncs that the first row of a bucket waits for: the directory above, the state file, the segment,
// the directory of both, the row.
func TestSyncsOfAFirstRow(t *testing.T) {
	var files, dirs atomic.Int64
	w := newWorld(t, fs.Record(fs.NewMem(), func(op fs.Op, _ string) {
		switch op {
		case fs.OpSync:
			files.Add(1)
		case fs.OpSyncDir:
			dirs.Add(1)
		default:
		}
	}))
	w.put(w.lead(), 1) // the table and the partition are there from now on
	l := w.fresh(2)
	files.Store(0)
	dirs.Store(0)
	w.put(l, 1)
	if f, d := files.Load(), dirs.Load(); f != 3 || d != 2 {
		t.Errorf("the first row took %d syncs of files and %d of directories", f, d)
	}
	w.put(l, 2)
	if f, d := files.Load(), dirs.Load(); f != 4 || d != 2 {
		t.Errorf("two rows took %d syncs of files and %d of directories", f, d)
	}
	w.close()
}

// TestCrashAtFirstRows puts the first rows into several buckets at the same time, and looks after every change at what crashes would
// leave: sound, and with each row that was acknowledged before.
func TestCrashAtFirstRows(t *testing.T) {
	seeded(t, 6, func(t *testing.T, r *rand.Rand) {
		const buckets = 4
		var mu sync.Mutex // one crash at a time; guards r and failed
		var acked [buckets]atomic.Bool
		var failed error
		var w *world
		mem := fs.NewMem()
		crash := func(op fs.Op, name string) {
			mu.Lock()
			defer mu.Unlock()
			if !op.Changes() || w == nil || failed != nil {
				return
			}
			var sure []int
			for b := range acked {
				if acked[b].Load() {
					sure = append(sure, b)
				}
			}
			chance := rand.New(rand.NewPCG(r.Uint64(), 1))
			for _, left := range []*fs.Mem{
				mem.CrashClone(fs.CrashConfig{}),
				mem.CrashClone(fs.CrashConfig{Rand: chance, KeepUnsynced: chance.IntN(101), TearSectors: true, TearEntries: true}),
				mem.Clone(),
			} {
				if err := firstRowsOf(w, left, sure); err != nil {
					failed = fmt.Errorf("after %v of %s: %w", op, name, err)
					return
				}
			}
		}
		w = newWorld(t, fs.Record(mem, crash))
		w.lead()
		logs := make([]*Log, buckets)
		for b := range logs {
			logs[b] = w.fresh(int32(10 + b))
		}
		var puts sync.WaitGroup
		for b, l := range logs {
			batch := w.batch(int64(b))
			puts.Go(func() {
				s, err := l.Stage([]*record.Batch{batch}, anonymous(1))
				if err == nil {
					err = l.Sync(context.Background(), s.Until)
				}
				if err != nil {
					t.Error(err)
				}
				acked[b].Store(true)
			})
		}
		puts.Wait()
		w.close()
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			t.Error(failed)
		}
	})
}

// firstRowsOf opens what a crash left and reads the rows that must be there; then each bucket takes another one.
func firstRowsOf(w *world, left *fs.Mem, sure []int) (err error) {
	if err := sound(left); err != nil {
		return err
	}
	d, err := OpenDisk(left, "data", w.opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, b := range sure {
		l, err := d.Log(quiver.BucketID{Table: 7, Bucket: int32(10 + b)}, w.config)
		if err != nil {
			return err
		}
		if err := l.Lead(2); err != nil {
			return err
		}
		s, err := l.Stage([]*record.Batch{encode(w.t, w.layout, []int64{99})}, anonymous(1))
		if err == nil {
			err = l.Sync(context.Background(), s.Until)
		}
		if err != nil {
			return err
		}
		l.SetHighWatermark(s.Until)
		if got, err := numbersIn(l, 0, 2, nil); err != nil || len(got) != 2 || got[0] != int64(b) || got[1] != 99 {
			return fmt.Errorf("bucket %d has %d: %w", b, got, err)
		}
	}
	return nil
}

// TestDirSyncsAreShared has many wait for syncs of a few directories: each is served by one that began after it came.
func TestDirSyncsAreShared(t *testing.T) {
	names := newDirNames()
	dirs := []string{"a", "b"}
	began := map[string]*atomic.Int64{"a": {}, "b": {}}
	broken := errors.New("broken")
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for i := range 200 {
				dir := dirs[i%2]
				before := began[dir].Load()
				err := names.sync(dir, func() error {
					if began[dir].Add(1)%7 == 0 {
						return broken
					}
					return nil
				})
				if after := began[dir].Load(); after <= before {
					t.Errorf("no sync of %s began after the call", dir)
				}
				if err != nil && !errors.Is(err, broken) {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if len(names.waiting) > 0 {
		t.Errorf("%d syncs were never begun", len(names.waiting))
	}
}
