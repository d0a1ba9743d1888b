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
