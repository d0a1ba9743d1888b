//go:build fault

package tablet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestFailedLogIsLedAnew fails a group commit at each of its steps: the put is told what became of it, and the next
// one finds a leader of a higher epoch, over what is on the disk.
func TestFailedLogIsLedAnew(t *testing.T) {
	for _, test := range []struct {
		point   string
		outcome quiver.Outcome
	}{
		{"arrowlog.commit.before-write", quiver.NotDone},
		{"arrowlog.commit.before-prefix", quiver.NotDone},
		{"arrowlog.commit.before-sync", quiver.Unknown},
		{"arrowlog.commit.after-sync", quiver.Unknown},
	} {
		t.Run(test.point, func(t *testing.T) {
			e := newEnv(t, 1)
			e.mustPut(e.tablet(0), 1)
			epoch := e.tablet(0).leading.Load().epoch
			disarm := fault.Arm(test.point, func() error { return errors.New("injected") })
			_, err := e.put(e.tablet(0), anonymous(1), 2)
			disarm()
			reason(t, err, quiver.LeaderNotAvailable, test.outcome)
			e.mustPut(e.tablet(0), 3)
			if now := e.tablet(0).leading.Load().epoch; now <= epoch || e.elected != 1 {
				t.Errorf("epoch %d after %d, %d elections", now, epoch, e.elected)
			}
			got := e.rows(7)[0]
			switch {
			case len(got) == 2 && got[0] == 1 && got[1] == 3:
			case len(got) == 3 && got[0] == 1 && got[1] == 2 && got[2] == 3 && test.outcome == quiver.Unknown:
			default:
				t.Errorf("rows %v", got)
			}
		})
	}
}

// TestEveryWaiterIsTold fails the log under many producers: each put that was acknowledged is there, and each that
// was surely not done is not.
func TestEveryWaiterIsTold(t *testing.T) {
	rng := seeded(t)
	for _, point := range []string{"arrowlog.commit.before-write", "arrowlog.commit.before-sync"} {
		e := newEnv(t, 2)
		var mu sync.Mutex
		acked, refused := map[int64]bool{}, map[int64]bool{}
		disarm := fault.Arm(point, fault.At(int64(2+rng.IntN(10)), func() error { return errors.New("injected") }))
		var producers sync.WaitGroup
		for p := range int64(8) {
			producers.Go(func() {
				for i := range int64(20) {
					id := 1000*p + i
					_, err := e.put(e.tablet(int32(p%2)), anonymous(1), id)
					mu.Lock()
					if err == nil {
						acked[id] = true
					} else if quiver.OutcomeOf(err) == quiver.NotDone {
						refused[id] = true
					}
					mu.Unlock()
				}
			})
		}
		producers.Wait()
		disarm()
		seen := map[int64]int{}
		for _, rows := range e.rows(7) {
			for _, id := range rows {
				seen[id]++
			}
		}
		for id, n := range seen {
			if n > 1 || refused[id] {
				t.Errorf("%s: row %d is there %d times (refused: %v)", point, id, n, refused[id])
			}
		}
		for id := range acked {
			if seen[id] == 0 {
				t.Errorf("%s: row %d was acknowledged and is not there", point, id)
			}
		}
	}
}

// TestNoNewEpoch has the coordinator refuse: puts may be tried again, reads go on, and so does all once it agrees.
func TestNoNewEpoch(t *testing.T) {
	e := newEnv(t, 1)
	e.mustPut(e.tablet(0), 1)
	disarm := fault.Arm("arrowlog.commit.before-write", func() error { return errors.New("injected") })
	_, err := e.put(e.tablet(0), anonymous(1), 2)
	disarm()
	reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	e.refuse = errors.New("no quorum")
	_, err = e.put(e.tablet(0), anonymous(1), 3)
	reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	if got := e.rows(7)[0]; len(got) != 1 {
		t.Errorf("rows %v", got)
	}
	e.refuse = nil
	if _, err = e.put(e.tablet(0), anonymous(1), 3); e.elected != 1 {
		t.Errorf("%d elections within a second, %v", e.elected, err)
	}
	e.advance(refusalTime)
	e.mustPut(e.tablet(0), 4)
	if got := e.rows(7)[0]; len(got) != 2 {
		t.Errorf("rows %v", got)
	}
}

// TestFollowerOutlivesFailure has a follower wait while the log fails and is led anew.
func TestFollowerOutlivesFailure(t *testing.T) {
	e := newEnv(t, 1)
	s, err := e.scanner(7, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := make(chan int64, 100)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		for {
			c, err := s.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			for _, id := range ids(t, c.Batch) {
				got <- id
			}
		}
	}()
	for i := range int64(10) {
		e.mustPut(e.tablet(0), i)
		if id := <-got; id != i {
			t.Errorf("row %d, want %d", id, i)
		}
		disarm := fault.Arm("arrowlog.commit.before-write", func() error { return errors.New("injected") })
		if _, err := e.put(e.tablet(0), anonymous(1), 1000); err == nil {
			t.Error("a failed commit was acknowledged")
		}
		disarm()
	}
	cancel()
	<-ended
}

// TestSyncFailureFences fails an fdatasync: no put is taken any more, nobody asks for epochs, reads go on, and a new
// process starts from what is on the disk.
func TestSyncFailureFences(t *testing.T) {
	e := newEnv(t, 2)
	e.stop()
	failing := false
	e.fsys = fs.WithErrors(e.mem, func(op fs.Op, name string) error {
		if failing && op == fs.OpSync {
			return errors.New("input/output error")
		}
		return nil
	})
	e.start()
	e.mustPut(e.tablet(0), 1)
	e.mustPut(e.tablet(1), 5)
	failing = true
	_, err := e.put(e.tablet(0), anonymous(1), 2)
	reason(t, err, quiver.LeaderNotAvailable, quiver.Unknown)
	failing = false
	for bucket := range int32(2) {
		_, err = e.put(e.tablet(bucket), anonymous(1), 3)
		reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	}
	if got := e.rows(7); len(got[0]) != 1 || len(got[1]) != 1 || e.elected != 0 {
		t.Errorf("rows %v, %d elections", got, e.elected)
	}
	e.stop()
	e.start()
	e.mustPut(e.tablet(0), 4)
	if got := e.rows(7)[0]; got[0] != 1 || got[len(got)-1] != 4 {
		t.Errorf("rows %v", got)
	}
}

// TestCrashWhileDropping cuts the power after every step of a removal. The next process finds the tombstone and ends
// what was begun; the other table has all its rows.
func TestCrashWhileDropping(t *testing.T) {
	rng := seeded(t)
	e := newEnv(t, 3)
	e.addTable(8, "kept", 1, nil)
	e.stop()
	var clones []*fs.Mem
	recording := false
	e.fsys = fs.Record(e.mem, func(fs.Op, string) {
		if recording {
			clones = append(clones, e.mem.CrashClone(fs.CrashConfig{Rand: rng, KeepUnsynced: rng.IntN(101), TearSectors: true, TearEntries: true}))
		}
	})
	e.start()
	for b := range int32(3) {
		e.mustPut(e.tablet(b), 1, 2, 3)
	}
	e.mustPut(e.tabletOf(8, 0), 4, 5)
	e.server.Maintain(t.Context())
	recording = true
	e.drop(7)
	recording = false
	if len(clones) < 3 {
		t.Fatalf("only %d steps", len(clones))
	}
	for i, left := range clones {
		e.stop()
		e.mem, e.fsys = left, left
		e.start()
		if names, _ := left.List("data/log"); slices.Contains(names, "7") {
			t.Errorf("after step %d: the table's files are there", i)
		}
		if got := e.rows(8)[0]; !slices.Equal(got, []int64{4, 5}) {
			t.Errorf("after step %d: rows %v", i, got)
		}
	}
}

// TestDiskFull fills the disk: puts are refused and lose nothing, reads go on, and puts go on when there is room.
func TestDiskFull(t *testing.T) {
	e := newEnv(t, 1)
	e.mustPut(e.tablet(0), 1)
	e.mem.SetCapacity(1 << 20)
	rows := 1
	big := make([]int64, 4096)
	var err error
	for err == nil {
		if _, err = e.put(e.tablet(0), anonymous(len(big)), big...); err == nil {
			rows += len(big)
		}
		if rows > 1<<20 {
			t.Fatal("the disk is never full")
		}
	}
	reason(t, err, quiver.DiskFull, quiver.NotDone)
	if got := e.rows(7)[0]; len(got) != rows {
		t.Errorf("%d rows, %d were acknowledged", len(got), rows)
	}
	e.mem.SetCapacity(1 << 30)
	e.mustPut(e.tablet(0), 2)
	if got := e.rows(7)[0]; len(got) != rows+1 {
		t.Errorf("%d rows, %d were acknowledged", len(got), rows+1)
	}
}
