package coordinator

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
	"github.com/quiverlog/quiver/internal/fs"
)

func openStore(t *testing.T, disk fs.FS) metastore.Store {
	t.Helper()
	store, err := metastore.OpenEmbedded(disk, "/data/meta", metastore.EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func (p *promises) clone() *promises {
	c := *p
	c.buckets, c.tables, c.writers, c.parts = maps.Clone(p.buckets), maps.Clone(p.tables), maps.Clone(p.writers), maps.Clone(p.parts)
	return &c
}

// wreck is a copy of the disk as a crash may leave it, with what had been answered, and told to the servers, by then.
type wreck struct {
	disk     *fs.Mem
	promises *promises
}

// TestCrashes crashes after every change to the disk, as kill -9 and as a loss of the machine, and starts again on what
// is left: nothing that was answered or told is lost, and no id and no epoch is given a second time.
func TestCrashes(t *testing.T) {
	r := seeded(t)
	var mu sync.Mutex // the database has goroutines of its own
	var wrecks []wreck
	p := newPromises()
	mem := fs.NewMem()
	disk := fs.Record(mem, func(op fs.Op, _ string) {
		if !op.Changes() || op == fs.OpLock {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range []*fs.Mem{
			mem.Clone(), mem.CrashClone(fs.CrashConfig{}),
			mem.CrashClone(fs.CrashConfig{Rand: r, KeepUnsynced: 50, TearSectors: true}),
		} {
			wrecks = append(wrecks, wreck{m, p.clone()})
		}
	})
	commands := []Command{
		InitWriter{Name: "loader"},
		CreateTable{TableSpec: spec("a")},
		InitWriter{},
		DropTable{Database: "default", Name: "a"},
		CreateTable{TableSpec: spec("a")},
		Elect{Bucket: quiver.BucketID{Table: 2}},
		PurgeTombstone{Table: 1},
		InitWriter{Name: "loader"},
		CreateDatabase{Name: "shop"},
		CreateTable{TableSpec: partitionedSpec("shop", "parts")},
		CreatePartitions{Table: 3, Names: []string{"Größe=1", "Größe=2"}},
		AlterTable{Database: "shop", Name: "parts", Changes: []quiver.TableChange{
			{SchemaChange: quiver.SchemaChange{Rename: &quiver.RenameColumn{From: "Größe", To: "n"}}}}},
		CommitCursor{Table: 3, Name: "job", Offsets: Vector{1: {0: 7}, 2: {0: 9}}},
		DropPartition{Table: 3, Name: "n=1"},
		PurgePartition{quiver.PartitionRef{Table: 3, Partition: 1}},
		CreatePartitions{Table: 3, Names: []string{"n=1"}},
	}
	locked := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
	for range 2 {
		store := openStore(t, disk)
		c := open(t, store, Options{Reconcile: func(_ context.Context, d quiver.Desired) error {
			locked(func() { p.desired(t, d) })
			return nil
		}})
		for _, command := range commands {
			result, err := c.do(context.Background(), command)
			if err == nil {
				locked(func() { p.answered(t, command, result) })
			} else if quiver.OutcomeOf(err) != quiver.NotDone {
				t.Fatal(err)
			}
		}
		_ = c.Close()
		_ = store.Close()
	}
	t.Logf("%d crashes", len(wrecks))
	for _, w := range wrecks {
		w.restart(t)
	}
}

// restart opens what a crash left. All promises go on to hold, and the next answers add to them.
func (w wreck) restart(t *testing.T) {
	t.Helper()
	store := openStore(t, w.disk)
	defer func() { _ = store.Close() }()
	w.promises.lossy = true
	c := open(t, store, Options{Reconcile: func(_ context.Context, d quiver.Desired) error {
		for _, a := range d.Assignments {
			if last, led := w.promises.buckets[a.Bucket]; led && a.Epoch <= last {
				t.Fatalf("bucket %v is led with epoch %d once more", a.Bucket, a.Epoch)
			}
		}
		w.promises.desired(t, d)
		return nil
	}})
	defer func() { _ = c.Close() }()
	c.options.Reconcile = func(_ context.Context, d quiver.Desired) error { w.promises.desired(t, d); return nil }
	w.stillThere(t, c)
	for _, command := range []Command{
		InitWriter{}, InitWriter{Name: "loader"}, CreateTable{TableSpec: spec("after")},
	} {
		result, err := c.do(context.Background(), command)
		if err != nil {
			t.Fatal(err)
		}
		w.promises.answered(t, command, result)
	}
}

// stillThere checks that the tables and writers that were answered are known. Table 1 is the one whose tombstone is
// purged on the way.
func (w wreck) stillThere(t *testing.T, c *Coordinator) {
	t.Helper()
	for id := range w.promises.tables {
		_, dropped := findTombstone(c.state.dropped, id)
		if c.state.NextTable <= id || id != 1 && !dropped && c.state.tableByID(id) == nil {
			t.Fatalf("table %d was forgotten", id)
		}
	}
	for id, epoch := range w.promises.writers {
		i, found := findWriter(c.state.writers, id)
		if !found || c.state.writers[i].Epoch < epoch {
			t.Fatalf("writer %d of epoch %d was forgotten", id, epoch)
		}
	}
}

func partitionedSpec(database, name string) quiver.TableSpec {
	s := spec(name)
	s.Database, s.PartitionBy = database, []string{"Größe"}
	return s
}
