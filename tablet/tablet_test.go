package tablet

import (
	"context"
	"errors"

	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/tablet/scan"
)

func TestPutAndRead(t *testing.T) {
	e := newEnv(t, 2)
	first := e.mustPut(e.tablet(0), 1, 2, 3)
	second := e.mustPut(e.tablet(0), 4)
	e.mustPut(e.tablet(1), 5)
	if first.From != 0 || first.Until != 3 || second.From != 3 || second.Until != 4 {
		t.Errorf("staged at %+v, %+v", first.Staged, second.Staged)
	}
	if got := e.rows(7); !slices.Equal(got[0], []int64{1, 2, 3, 4}) || !slices.Equal(got[1], []int64{5}) {
		t.Errorf("rows %v", got)
	}
	stats, err := e.tablet(0).Stats(t.Context())
	if err != nil || stats.Rows != 4 || stats.Earliest != 0 || stats.Latest != 4 || stats.Segments != 1 || stats.Bytes == 0 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestNothingIsShownBeforeItIsDurable puts without waiting: the rows have offsets, and nobody sees them.
func TestNothingIsShownBeforeItIsDurable(t *testing.T) {
	e := newEnv(t, 1)
	tablet := e.tablet(0)
	s, err := tablet.Put(t.Context(), e.unit(1, 2), anonymous(2))
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := tablet.End(t.Context()); end != 2 || len(e.rows(7)) != 0 {
		t.Errorf("end %d, rows %v", end, e.rows(7))
	}
	if err := tablet.Wait(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := e.rows(7)[0]; len(got) != 2 {
		t.Errorf("rows %v", got)
	}
}

// TestAbandonedPutIsSettled puts and never waits: maintenance makes it durable and shows it.
func TestAbandonedPutIsSettled(t *testing.T) {
	e := newEnv(t, 1)
	for round := range 3 {
		before := len(e.rows(7)[0])
		if _, err := e.tablet(0).Put(t.Context(), e.unit(1, 2), anonymous(2)); err != nil {
			t.Fatal(err)
		}
		e.server.Maintain(t.Context())
		e.server.Maintain(t.Context())
		if got := e.rows(7)[0]; len(got) != before+2 {
			t.Errorf("round %d: rows %v", round, got)
		}
	}
}

// TestNothingPerIdleBucket looks at what a table costs that nobody uses.
func TestNothingPerIdleBucket(t *testing.T) {
	e := newEnv(t, 10_000)
	if n := len(e.server.openTablets()); n != 0 {
		t.Errorf("%d logs are open", n)
	}
	if names, _ := e.mem.List("data/log"); len(names) != 0 {
		t.Errorf("there are files: %v", names)
	}
	e.mustPut(e.tablet(4711), 1)
	if n := len(e.server.openTablets()); n != 1 {
		t.Errorf("%d logs are open", n)
	}
}

func TestUnknownNames(t *testing.T) {
	e := newEnv(t, 2)
	_, err := e.server.Tablet(quiver.BucketID{Table: 8})
	reason(t, err, quiver.TableNotFound, quiver.NotDone)
	_, err = e.server.Tablet(quiver.BucketID{Table: 7, Bucket: 2})
	reason(t, err, quiver.BucketNotFound, quiver.NotDone)
	_, err = e.server.Tablet(quiver.BucketID{Table: 7, Partition: 1})
	reason(t, err, quiver.PartitionNotFound, quiver.NotDone)
}

// TestRestart checks that rows, offsets and writers outlive the process, by kill and by close.
func TestRestart(t *testing.T) {
	e := newEnv(t, 1)
	e.grant(3, 0)
	for i := range 5 {
		if _, err := e.put(e.tablet(0), by(3, 0, quiver.Sequence(i), 2), int64(2*i), int64(2*i+1)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			kept := e.mem.CrashClone(fs.CrashConfig{}) // what is not synced is lost
			e.stop()
			e.mem, e.fsys = kept, kept
		} else {
			e.stop()
		}
		e.start()
		repeat, err := e.put(e.tablet(0), by(3, 0, quiver.Sequence(i), 2), int64(2*i), int64(2*i+1))
		if err != nil || !repeat.Duplicate || repeat.From != quiver.Offset(2*i) {
			t.Fatalf("repeat of %d: %+v, %v", i, repeat.Staged, err)
		}
	}
	if got := e.rows(7)[0]; !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("rows %v", got)
	}
	last, ok, err := e.tablet(0).WriterSequence(t.Context(), 3)
	if last != 4 || !ok || err != nil {
		t.Errorf("sequence %d, %v, %v", last, ok, err)
	}
}

// TestFollowerIsWoken has a follower wait for a put, and for the end of its table.
func TestFollowerIsWoken(t *testing.T) {
	e := newEnv(t, 1)
	s, err := e.scanner(7, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := make(chan []int64)
	ended := make(chan error)
	go func() {
		for {
			c, err := s.Next(context.Background())
			if err != nil {
				ended <- err
				return
			}
			if rows := ids(t, c.Batch); len(rows) > 0 {
				got <- rows
			}
		}
	}()
	for i := range int64(20) {
		e.mustPut(e.tablet(0), i)
		if rows := <-got; !slices.Equal(rows, []int64{i}) {
			t.Errorf("rows %v", rows)
		}
	}
	e.drop(7)
	reason(t, <-ended, quiver.TableNotFound, quiver.NotDone)
}

// TestDrop checks that a dropped table takes nothing, shows nothing and leaves nothing, and that another one of the
// same name has nothing of it.
func TestDrop(t *testing.T) {
	e := newEnv(t, 2)
	old := e.tablet(0)
	e.mustPut(old, 1, 2, 3)
	staged, err := old.Put(t.Context(), e.unit(4), anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	reading, err := e.scanner(7, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	e.drop(7)
	err = old.Wait(t.Context(), staged)
	if quiver.ReasonOf(err) != quiver.TableNotFound || !strings.Contains(err.Error(), "table default.events") {
		t.Errorf("wait: %v", err)
	}
	_, err = old.Put(t.Context(), e.unit(5), anonymous(1))
	reason(t, err, quiver.TableNotFound, quiver.NotDone)
	_, err = reading.Next(t.Context())
	reason(t, err, quiver.TableNotFound, quiver.NotDone)
	_, err = e.server.Tablet(quiver.BucketID{Table: 7})
	reason(t, err, quiver.TableNotFound, quiver.NotDone)
	if names, _ := e.mem.List("data/log"); slices.Contains(names, "7") {
		t.Errorf("its files are there: %v", names)
	}
	e.addTable(8, "events", 1, nil)
	e.reconcile(func(d *quiver.Desired) {
		for i := range d.Assignments {
			d.Assignments[i].Epoch = max(d.Assignments[i].Epoch, 1)
		}
	})
	if got := e.rows(8); len(got) != 0 {
		t.Errorf("rows %v", got)
	}
	e.mustPut(e.tabletOf(8, 0), 9)
}

// TestDropIsTriedAgain has the removal fail once, and the process end once, before it is done.
func TestDropIsTriedAgain(t *testing.T) {
	e := newEnv(t, 1)
	e.mustPut(e.tablet(0), 1)
	e.stop()
	failing := true
	e.fsys = fs.WithErrors(e.mem, func(op fs.Op, name string) error {
		if failing && op == fs.OpRemoveAll {
			return errors.New("cannot remove")
		}
		return nil
	})
	e.start()
	there := func() bool {
		names, _ := e.mem.List("data/log")
		return slices.Contains(names, "7")
	}
	e.drop(7)
	if !there() {
		t.Fatal("removed although that fails")
	}
	e.stop()
	e.start()
	e.server.Maintain(t.Context())
	if !there() {
		t.Fatal("removed although that fails")
	}
	failing = false
	e.server.Maintain(t.Context())
	if there() {
		t.Error("not removed")
	}
}

// TestAbsenceIsNoPermission takes a table out of the desired state without a tombstone, and puts it back.
func TestAbsenceIsNoPermission(t *testing.T) {
	e := newEnv(t, 1)
	e.mustPut(e.tablet(0), 1, 2)
	old := e.tablet(0)
	table := e.desired.Tables[0]
	e.reconcile(func(d *quiver.Desired) { d.Tables = nil })
	_, err := old.Put(t.Context(), e.unit(5), anonymous(1))
	reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	_, err = e.server.Tablet(quiver.BucketID{Table: 7})
	reason(t, err, quiver.TableNotFound, quiver.NotDone)
	e.reconcile(func(d *quiver.Desired) { d.Tables = []*quiver.Table{table} })
	e.mustPut(e.tablet(0), 3)
	if got := e.rows(7)[0]; !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("rows %v", got)
	}
}

// TestLowerEpochsAndVersions gives orders that come too late.
func TestLowerEpochsAndVersions(t *testing.T) {
	e := newEnv(t, 1)
	e.mustPut(e.tablet(0), 1)
	led := e.tablet(0).leading.Load()
	late := e.desired
	late.Version--
	late.Tables = nil
	late.Dropped = []quiver.TableID{7}
	if err := e.server.Reconcile(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	e.reconcile(func(d *quiver.Desired) { d.Assignments[0].Epoch -= 3 })
	e.mustPut(e.tablet(0), 2)
	if now := e.tablet(0).leading.Load(); now != led {
		t.Errorf("led anew by epoch %d", now.epoch)
	}
	e.reconcile(func(d *quiver.Desired) { d.Assignments[0].Epoch += 13 })
	staged, err := e.tablet(0).Put(t.Context(), e.unit(3), anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	if now := e.tablet(0).leading.Load(); now.epoch != led.epoch+10 {
		t.Errorf("led by epoch %d, not %d", now.epoch, led.epoch+10)
	}
	e.reconcile(func(d *quiver.Desired) { d.Assignments[0].Epoch++ })
	e.mustPut(e.tablet(0), 4)
	if err := e.tablet(0).Wait(t.Context(), staged); err != nil {
		t.Fatal(err)
	}
	if got := e.rows(7)[0]; !slices.Equal(got, []int64{1, 2, 3, 4}) || e.elected != 0 {
		t.Errorf("rows %v, %d elections", got, e.elected)
	}
}

// TestFirstUseByMany opens one bucket from many goroutines.
func TestFirstUseByMany(t *testing.T) {
	e := newEnv(t, 1)
	var group sync.WaitGroup
	for i := range int64(50) {
		group.Go(func() { e.mustPut(e.tablet(0), i) })
	}
	group.Wait()
	got := e.rows(7)[0]
	slices.Sort(got)
	if len(got) != 50 || got[0] != 0 || got[49] != 49 || e.elected != 0 {
		t.Errorf("rows %v, %d elections", got, e.elected)
	}
}

func TestDeleteBefore(t *testing.T) {
	e := newEnv(t, 1)
	tablet := e.tablet(0)
	e.mustPut(tablet, 1, 2, 3, 4)
	if err := tablet.DeleteBefore(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := e.rows(7)[0]; !slices.Equal(got, []int64{3, 4}) {
		t.Errorf("rows %v", got)
	}
	err := tablet.DeleteBefore(t.Context(), 5)
	reason(t, err, quiver.OffsetOutOfRange, quiver.NotDone)
	_, err = tablet.Read(t.Context(), 1, 4, scan.ReadSpec{})
	if err == nil {
		r, _ := tablet.Read(t.Context(), 1, 4, scan.ReadSpec{})
		_, _, err = r.Step()
		r.Close()
	}
	if quiver.ReasonOf(err) != quiver.OffsetOutOfRange || !strings.Contains(err.Error(), "table default.events, bucket 0") {
		t.Error(err)
	}
}

// TestClose checks that a closed server has made durable what was staged, takes nothing more, and lets nobody wait.
func TestClose(t *testing.T) {
	e := newEnv(t, 1)
	tablet := e.tablet(0)
	s, err := e.scanner(7, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended := make(chan error)
	go func() {
		for {
			c, err := s.Next(context.Background())
			if err != nil {
				ended <- err
				return
			}
			c.Batch.Release()
		}
	}()
	staged, err := tablet.Put(t.Context(), e.unit(1), anonymous(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.server.Close(); err != nil {
		t.Error(err)
	}
	reason(t, <-ended, quiver.ServerDraining, quiver.NotDone)
	if err := tablet.Wait(t.Context(), staged); err != nil {
		t.Error(err)
	}
	_, err = tablet.Put(t.Context(), e.unit(1), anonymous(1))
	reason(t, err, quiver.ServerDraining, quiver.NotDone)
	e.stop()
	e.start()
	if got := e.rows(7)[0]; len(got) != 1 {
		t.Errorf("rows %v", got)
	}
}

// TestRun checks that maintenance ends with its context.
func TestRun(t *testing.T) {
	e := newEnv(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.server.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWaitForNews checks that a wait over several buckets hears of each.
func TestWaitForNews(t *testing.T) {
	e := newEnv(t, 3)
	table := e.desired.Tables[0]
	sources, err := e.server.Sources(table, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ranges, err := scan.Resolve(t.Context(), table, sources, scan.Position{Place: scan.Latest}, scan.Position{}, true)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []scan.News)
	go func() {
		news, err := scan.Wait(context.Background(), scan.Spec{Table: table, Sources: sources, Ranges: ranges}, time.Hour, scan.Options{})
		if err != nil {
			t.Error(err)
		}
		got <- news
	}()
	e.mustPut(e.tablet(2), 1, 2)
	if news := <-got; !slices.Equal(news, []scan.News{{ID: quiver.BucketID{Table: 7, Bucket: 2}, From: 0, Until: 2}}) {
		t.Errorf("news %v", news)
	}
}

// TestTheEndOfAWaitTellsNothing ends waits for rows that are staged, for a reason that says of calls that nothing of them was
// done: of the rows that is not known, and they are there.
func TestTheEndOfAWaitTellsNothing(t *testing.T) {
	e := newEnv(t, 1)
	tablet, gaveUp := e.tablet(0), 0
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(quiver.Errorf(quiver.ServerDraining, "the server is going down"))
	const puts = 40
	for id := range int64(puts) {
		s, err := tablet.Put(t.Context(), e.unit(id), anonymous(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := tablet.Wait(ctx, s); err != nil { // else it committed them itself, which is as likely
			reason(t, err, quiver.ServerDraining, quiver.Unknown)
			gaveUp++
		}
		if err := tablet.Wait(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if gaveUp == 0 {
		t.Error("no wait ended before its rows were durable")
	}
	if rows := e.rows(7)[0]; len(rows) != puts {
		t.Errorf("%d rows are there", len(rows))
	}
}
