package arrowlog

import (
	"context"
	"sync"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestRemovedTableStaysAway shows that a call that comes after the removal of a table makes no log of it again.
func TestRemovedTableStaysAway(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	w.put(w.lead(), 1)
	if err := w.disk.RemoveTable(bucket.Table); err != nil {
		t.Fatal(err)
	}
	if _, err := w.disk.Log(bucket, w.config); quiver.ReasonOf(err) != quiver.TableNotFound {
		t.Errorf("a log of a removed table: %v", err)
	}
	if err := w.disk.RemoveTable(bucket.Table); err != nil {
		t.Errorf("once more: %v", err)
	}
	w.close()
}

// TestRemoveTableWhileOthersOpenIt lets writers of other buckets open and write the table's logs while it is removed:
// they fail or are in time, and nothing of it looks like a failing disk.
func TestRemoveTableWhileOthersOpenIt(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	w.lead()
	for table := quiver.TableID(1000); table < 1100; table++ {
		var writers sync.WaitGroup
		for n := range int32(4) {
			writers.Go(func() { putLate(w, quiver.BucketID{Table: table, Bucket: n}) })
		}
		for range 2 { // one must not take the files away while another still waits for the logs
			writers.Go(func() {
				if err := w.disk.RemoveTable(table); err != nil {
					t.Error(err)
				}
			})
		}
		writers.Wait()
		if err := w.disk.Fence(); err != nil {
			t.Fatalf("table %d: the disk is fenced: %v", table, err)
		}
	}
	w.close()
}

// putLate opens a bucket's log and puts one row, as far as it gets.
func putLate(w *world, id quiver.BucketID) {
	l, err := w.disk.Log(id, w.config)
	if err != nil {
		return
	}
	if err := l.Lead(1); err != nil {
		return
	}
	batch := w.batch(1)
	s, err := l.Stage([]*record.Batch{batch}, anonymous(1))
	if err != nil {
		return
	}
	_ = l.Sync(context.Background(), s.Until)
}
