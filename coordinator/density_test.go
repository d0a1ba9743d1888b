package coordinator

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestOneSmallRecordPerTable counts what tables cost in the store: it does not grow with their buckets.
func TestOneSmallRecordPerTable(t *testing.T) {
	m := newMachine()
	if _, _, err := m.run(StartServer{}); err != nil {
		t.Fatal(err)
	}
	for _, buckets := range []int32{1, 10_000, quiver.MaxBuckets} {
		s := spec(fmt.Sprintf("t%d", buckets))
		s.Buckets = buckets
		txn, _, err := m.run(CreateTable{TableSpec: s})
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, p := range txn.Puts {
			size += len(p.Key) + len(p.Value)
		}
		if len(txn.Puts) != 2 || size > 2000 {
			t.Errorf("%d buckets: %d puts, %d bytes", buckets, len(txn.Puts), size)
		}
	}
	txn, _, err := m.run(StartServer{})
	if err != nil || len(txn.Puts) != 1 || len(txn.Deletes) != 0 {
		t.Errorf("a start wrote %d puts: %v", len(txn.Puts), err)
	}
	if n := len(m.state.Desired().Assignments); n != 110_001 {
		t.Errorf("%d assignments", n)
	}
}

// TestOneSmallRecordPerPartition counts what partitions cost in the store: it does not grow with those that are there,
// nor does the table's record.
func TestOneSmallRecordPerPartition(t *testing.T) {
	m := newMachine()
	for _, c := range []Command{StartServer{}, CreateTable{TableSpec: partitionedSpec("default", "t")}} {
		if _, _, err := m.run(c); err != nil {
			t.Fatal(err)
		}
	}
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("Größe=%d", i*7919%5000)
	}
	txn, r, err := m.run(CreatePartitions{Table: 1, Names: names})
	if err != nil || len(r.Partitions) != len(names) || len(txn.Puts) != 1+len(names) {
		t.Fatalf("%d puts: %v", len(txn.Puts), err)
	}
	for i := range 100 {
		txn, _, err := m.run(CreatePartitions{Table: 1, Names: []string{fmt.Sprintf("Größe=%d", 10_000+i)}})
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, p := range txn.Puts {
			size += len(p.Key) + len(p.Value)
		}
		if len(txn.Puts) != 2 || len(txn.Deletes) != 0 || size > 400 {
			t.Errorf("%d puts, %d bytes", len(txn.Puts), size)
		}
	}
	if n := len(m.state.Desired().Assignments); n != 5100 {
		t.Errorf("%d assignments", n)
	}
	loaded, err := Load(context.Background(), m.store)
	if err != nil {
		t.Fatal(err)
	}
	same(t, m.state, loaded)
}

// TestAGroupDerivesAssignmentsOnce: a thousand commands of one round leave it to the round, however many buckets
// there are.
func TestAGroupDerivesAssignmentsOnce(t *testing.T) {
	m := newMachine()
	for _, c := range []Command{StartServer{}, CreateTable{TableSpec: partitionedSpec("default", "a")}, CreateTable{TableSpec: spec("b")}} {
		if _, _, err := m.run(c); err != nil {
			t.Fatal(err)
		}
	}
	g := newGroup(m.state)
	for i := range 1000 {
		if _, err := g.apply(CreatePartitions{Table: 1, Names: []string{fmt.Sprintf("Größe=%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if !g.next.stale || len(g.next.assignments) != 1 {
		t.Errorf("%d assignments were derived on the way", len(g.next.assignments))
	}
	if txn := g.txn(); len(txn.Puts) != 1001 || len(g.next.assignments) != 1001 {
		t.Errorf("%d puts, %d assignments", len(txn.Puts), len(g.next.assignments))
	}
}

// TestServersAreNotToldOfCursors counts what servers hear of.
func TestServersAreNotToldOfCursors(t *testing.T) {
	ctx := context.Background()
	told := 0
	c := open(t, metastore.NewMemory(), Options{Reconcile: func(context.Context, quiver.Desired) error { told++; return nil }})
	table := create(t, c, "t")
	before := told
	for i := range 10 {
		if _, err := c.CommitCursor(ctx, CommitCursor{Table: table.ID, Name: "job", Offsets: Vector{0: {0: quiver.Offset(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.CreateDatabase(ctx, CreateDatabase{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if told != before {
		t.Errorf("servers were told %d times", told-before)
	}
	if cursor, err := c.Cursor(table.ID, "job"); err != nil || cursor.Offsets[0][0] != 9 {
		t.Errorf("%+v: %v", cursor, err)
	}
	if create(t, c, "u"); told != before+1 {
		t.Errorf("servers were told %d times of a table", told-before)
	}
}

func benchStore(b *testing.B) metastore.Store {
	store, err := metastore.OpenEmbedded(fs.Disk(), b.TempDir(), metastore.EmbeddedOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// BenchmarkCreate10000Tables makes 10,000 tables for 100 callers at once, on the disk.
func BenchmarkCreate10000Tables(b *testing.B) {
	for b.Loop() {
		c := open(b, benchStore(b), Options{})
		var wg sync.WaitGroup
		for caller := range 100 {
			wg.Go(func() {
				for i := range 100 {
					if _, err := c.CreateTable(context.Background(), spec(fmt.Sprintf("t-%d-%d", caller, i))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// BenchmarkCreate10000TablesInTurn makes them for one caller, who waits for each.
func BenchmarkCreate10000TablesInTurn(b *testing.B) {
	for b.Loop() {
		c := open(b, benchStore(b), Options{})
		for i := range 10_000 {
			if _, err := c.CreateTable(context.Background(), spec(fmt.Sprintf("t-%d", i))); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkCreate10000Buckets makes a table with 10,000 buckets, on the disk.
func BenchmarkCreate10000Buckets(b *testing.B) {
	c := open(b, benchStore(b), Options{})
	n := 0
	for b.Loop() {
		s := spec(fmt.Sprintf("t-%d", n))
		s.Buckets = 10_000
		n++
		if _, err := c.CreateTable(context.Background(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate5000PartitionsInTurn makes them for one caller, who waits for each, and in no order.
func BenchmarkCreate5000PartitionsInTurn(b *testing.B) {
	for b.Loop() {
		c := open(b, benchStore(b), Options{})
		t, err := c.CreateTable(context.Background(), partitionedSpec("default", "t"))
		if err != nil {
			b.Fatal(err)
		}
		for i := range 5000 {
			if _, _, err := c.CreatePartition(context.Background(), t.ID, fmt.Sprintf("Größe=%d", i*7919%5000), true); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkOpen opens a store and a coordinator that know 10,000 tables.
func BenchmarkOpen(b *testing.B) {
	for _, tables := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("tables=%d", tables), func(b *testing.B) {
			dir := b.TempDir()
			cycle := func(work func(*Coordinator)) {
				store, err := metastore.OpenEmbedded(fs.Disk(), dir, metastore.EmbeddedOptions{})
				if err != nil {
					b.Fatal(err)
				}
				c := open(b, store, Options{})
				work(c)
				_ = c.Close()
				_ = store.Close()
			}
			cycle(func(c *Coordinator) {
				var wg sync.WaitGroup
				for i := range tables {
					wg.Go(func() { _, _ = c.CreateTable(context.Background(), spec(fmt.Sprintf("t-%d", i))) })
				}
				wg.Wait()
			})
			for b.Loop() {
				cycle(func(*Coordinator) {})
			}
		})
	}
}

// BenchmarkInitWriter raises one of 100,000 writers.
func BenchmarkInitWriter(b *testing.B) {
	m := newMachine()
	_, _, _ = m.run(StartServer{})
	g := newGroup(m.state)
	for range 100_000 {
		_, _ = g.apply(InitWriter{})
	}
	id := quiver.WriterID(50_000)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = newGroup(g.next).apply(InitWriter{ID: &id})
	}
}
