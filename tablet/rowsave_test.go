package tablet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// newRetainedEnv starts a server with a primary-key table that keeps its changelog for a minute.
func newRetainedEnv(t *testing.T, buckets int32) *env {
	t.Helper()
	return newKeyedEnv(t, buckets, map[string]string{"retention.time": "60s", "segment.age": "10s"})
}

// starts are the log starts of the keyed table's buckets.
func (e *env) starts() (starts []quiver.Offset) {
	e.t.Helper()
	for b := range e.keyed().Buckets {
		o, err := e.tabletOf(keyedID, b).Offsets(context.Background())
		if err != nil {
			e.t.Fatal(err)
		}
		starts = append(starts, o.Start)
	}
	return starts
}

// checkRows compares the current rows with what they have to be. The changelog may not go back far enough to be folded.
func (e *env) checkRows(what string, want map[int32]map[int64]int64) {
	e.t.Helper()
	for b, rows := range want {
		if got := e.current(b); fmt.Sprint(got) != fmt.Sprint(rows) {
			e.t.Errorf("%s: bucket %d has %v, want %v", what, b, got, rows)
		}
	}
}

func (e *env) checkpoints() int {
	e.t.Helper()
	names, err := e.mem.List("data/kv-checkpoint")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.t.Fatal(err)
	}
	return len(slices.DeleteFunc(names, func(name string) bool { return strings.Contains(name, ".") || strings.Contains(name, "-") }))
}

// TestRetentionOfRowsMakesACheckpoint: a changelog goes once a checkpoint has what it led to, and not before.
func TestRetentionOfRowsMakesACheckpoint(t *testing.T) {
	e := newRetainedEnv(t, 2)
	e.upsert(0, 1, 10, 2, 20)
	e.upsert(1, 3, 30)
	e.pass(40 * time.Second)
	if n := e.checkpoints(); n != 0 {
		t.Errorf("%d checkpoints before anything expires", n)
	}
	e.pass(40 * time.Second)
	if got := e.starts(); got[0] != 2 || got[1] != 1 || e.checkpoints() != 1 {
		t.Errorf("the logs start at %v, with %d checkpoints", got, e.checkpoints())
	}
	e.upsert(0, 1, 11)
	e.pass(50 * time.Second)
	want := map[int32]map[int64]int64{0: {1: 11, 2: 20}, 1: {3: 30}}
	for _, lost := range []string{"data/kv", "data/kv/db"} {
		e.stop()
		if err := e.mem.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
		e.start()
		e.checkRows("without "+lost, want)
	}
	e.pass(40 * time.Second)
	if got := e.starts(); got[0] != 4 || e.checkpoints() != 1 {
		t.Errorf("the logs start at %v, with %d checkpoints", got, e.checkpoints())
	}
}

// TestQuietRowsExpire: buckets that are not open lose their changelog too.
func TestQuietRowsExpire(t *testing.T) {
	e := newRetainedEnv(t, 3)
	for b := range int32(3) {
		e.upsert(b, 1, 10)
	}
	e.stop()
	e.start()
	e.pass(100 * time.Second)
	if got := e.starts(); !slices.Equal(got, []quiver.Offset{1, 1, 1}) {
		t.Errorf("the logs start at %v", got)
	}
	e.checkRows("later", map[int32]map[int64]int64{0: {1: 10}, 1: {1: 10}, 2: {1: 10}})
}

// TestRetentionWaitsForACheckpoint: while none can be made the changelog stays.
func TestRetentionWaitsForACheckpoint(t *testing.T) {
	e := newRetainedEnv(t, 1)
	e.stop()
	var failing atomic.Bool // the store's own goroutines ask for it, too
	failing.Store(true)
	e.fsys = fs.WithErrors(e.mem, func(op fs.Op, name string) error {
		if failing.Load() && op == fs.OpRename && strings.Contains(name, "kv-checkpoint") {
			return errors.New("broken disk")
		}
		return nil
	})
	e.start()
	e.upsert(0, 1, 10)
	e.pass(200 * time.Second)
	if got := e.starts(); got[0] != 0 {
		t.Errorf("the log starts at %v", got)
	}
	failing.Store(false)
	e.pass(61 * time.Second)
	if got := e.starts(); got[0] != 1 {
		t.Errorf("the log starts at %v once the disk is well", got)
	}
	e.checkRows("in the end", map[int32]map[int64]int64{0: {1: 10}})
}

// TestLostCheckpointIsMadeAnew: retention does not count on one that somebody removed, or damaged.
func TestLostCheckpointIsMadeAnew(t *testing.T) {
	for _, damage := range []func(e *env) error{
		func(e *env) error { return e.mem.RemoveAll("data/kv-checkpoint") },
		func(e *env) error {
			names, err := e.mem.List("data/kv-checkpoint")
			if err != nil || len(names) != 1 {
				return fmt.Errorf("%v, %w", names, err)
			}
			return e.mem.Remove("data/kv-checkpoint/" + names[0] + "/SEAL")
		},
	} {
		lostCheckpoint(t, damage, false)
		lostCheckpoint(t, damage, true)
	}
}

// lostCheckpoint damages the checkpoint; a server that was started since then knows nothing of it any more.
func lostCheckpoint(t *testing.T, damage func(e *env) error, restart bool) {
	t.Helper()
	e := newRetainedEnv(t, 1)
	e.upsert(0, 1, 10)
	e.pass(80 * time.Second)
	e.upsert(0, 1, 11)
	if err := damage(e); err != nil {
		t.Fatal(err)
	}
	if restart {
		e.stop()
		e.start()
	}
	e.pass(180 * time.Second)
	if got := e.starts(); got[0] != 3 || e.checkpoints() != 1 {
		t.Errorf("the log starts at %v, with %d checkpoints", got, e.checkpoints())
	}
	e.stop()
	if err := e.mem.RemoveAll("data/kv"); err != nil {
		t.Fatal(err)
	}
	e.start()
	e.checkRows("in the end", map[int32]map[int64]int64{0: {1: 11}})
}

// TestDroppedRowsStayDropped: a checkpoint that had a dropped table does not bring it back.
func TestDroppedRowsStayDropped(t *testing.T) {
	e := newRetainedEnv(t, 1)
	e.upsert(0, 1, 10)
	e.pass(80 * time.Second)
	e.drop(keyedID)
	if !e.server.Removed(keyedID) {
		t.Fatal("the table was not removed")
	}
	e.stop()
	if err := e.mem.RemoveAll("data/kv"); err != nil {
		t.Fatal(err)
	}
	e.start()
	dir, err := e.server.rows.directory()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := dir.Saved()
	if err != nil {
		t.Fatal(err)
	}
	has, err := saved.HasTable(keyedID)
	if err := errors.Join(err, saved.Close()); err != nil || has {
		t.Errorf("the checkpoint has the table: %t, %v", has, err)
	}
}

// TestRowsOfALogThatLostItsEnd takes the end off logs that no longer go back to their start, as a disk that lies does:
// what the rows were beyond the log is forgotten. Later, with a log that grew past that, it does not come back either.
func TestRowsOfALogThatLostItsEnd(t *testing.T) {
	e := newRetainedEnv(t, 1)
	e.upsert(0, 1, 10)
	e.pass(80 * time.Second) // a checkpoint at 1, and the log starts there
	e.upsert(0, 1, 11)
	e.upsert(0, 2, 20)
	e.stop()
	before := e.mem.Clone()
	e.start()
	e.upsert(0, 3, 30)
	e.stop()
	ahead := e.mem
	// The logs of before, with the rows of later.
	e.mem, e.fsys = before, before
	moveTree(t, ahead, before, "data/kv")
	e.start()
	e.checkRows("with a shorter log", map[int32]map[int64]int64{0: {1: 11, 2: 20}})
	e.upsert(0, 4, 40)
	e.upsert(0, 5, 50)
	e.stop()
	moveTree(t, ahead, before, "data/kv") // again: their mark is within the log now, but that of another leader
	e.start()
	e.checkRows("with rows that were never of the log", map[int32]map[int64]int64{0: {1: 11, 2: 20, 4: 40, 5: 50}})
}

// moveTree replaces a directory by that of another file system.
func moveTree(t *testing.T, from, to *fs.Mem, dir string) {
	t.Helper()
	if err := to.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := fs.MakeDirs(to, dir); err != nil {
		t.Fatal(err)
	}
	names, err := from.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := dir + "/" + name
		info, err := from.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			moveTree(t, from, to, path)
			continue
		}
		b, err := fs.ReadFile(from, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.WriteFile(to, path, b); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostRowsAreToldOf: without rows and without a checkpoint a shortened log does not suffice; the error says so, and
// nothing is made up.
func TestLostRowsAreToldOf(t *testing.T) {
	e := newRetainedEnv(t, 2)
	e.upsert(0, 1, 10)
	e.pass(80 * time.Second)
	e.upsert(1, 2, 20)
	e.stop()
	for _, dir := range []string{"data/kv", "data/kv-checkpoint"} {
		if err := e.mem.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	e.start()
	_, err := e.tabletOf(keyedID, 0).Lookup(t.Context(), 0)
	var told *quiver.Error
	for errors.As(err, &told) && told.Reason != quiver.CorruptRange {
		err = told.Err
	}
	if err == nil {
		t.Error("the bucket answers")
	}
	e.checkRows("the other bucket", map[int32]map[int64]int64{1: {2: 20}})
}

// TestRowsOutliveRetention does random upserts and deletes with retention at work, and takes away what may be taken
// away: the rows, or files of them, or the checkpoint; in the end, or by a power cut.
func TestRowsOutliveRetention(t *testing.T) {
	r := seeded(t)
	e := newRetainedEnv(t, 3)
	want := emptyRows(3)
	expired := 0
	for round := range 16 {
		for range 1 + r.IntN(4) {
			e.churn(r, want, 1+r.IntN(8))
			e.pass(time.Duration(1+r.IntN(50)) * time.Second)
		}
		how := e.lose(r)
		e.start()
		e.checkRows(fmt.Sprintf("round %d, restart %d", round, how), want)
		for _, start := range e.starts() {
			if start > 0 {
				expired++
			}
		}
	}
	if expired == 0 {
		t.Error("nothing expired")
	}
}

// lose ends the server, and loses what it may lose.
func (e *env) lose(r *rand.Rand) int {
	e.t.Helper()
	how := r.IntN(6)
	if e.checkpoints() == 0 && slices.Max(e.starts()) > 0 {
		how = 5 // the rows are all that there is
	}
	if r.IntN(2) == 0 {
		left := e.mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: r.IntN(101), TearSectors: true})
		e.stop()
		e.mem, e.fsys = left, left
	} else {
		e.stop()
	}
	var err error
	switch how {
	case 0:
		err = e.mem.RemoveAll("data/kv")
	case 1:
		err = e.mem.RemoveAll("data/kv/db")
	case 2:
		err = e.mem.RemoveAll("data/kv-checkpoint")
	case 3:
		err = e.removeSome(r, "data/kv/db")
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.t.Fatal(err)
	}
	return how
}

// removeSome removes one file of a directory.
func (e *env) removeSome(r *rand.Rand, dir string) error {
	names, err := e.mem.List(dir)
	if err != nil || len(names) == 0 {
		return err
	}
	slices.Sort(names)
	return e.mem.Remove(dir + "/" + names[r.IntN(len(names))])
}
