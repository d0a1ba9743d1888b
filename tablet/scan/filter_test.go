package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/filter"
)

func bound(t testing.TB, table *quiver.Table, text string) Filter {
	t.Helper()
	parsed, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parsed.Bind(table.Schema)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEmptiedRangesAreReported checks that a range of which nothing matches is told: at its end by a bounded scan, and
// by a following one with the next rows, or when it was silent for a while, but not for each batch.
func TestEmptiedRangesAreReported(t *testing.T) {
	checkMemory(t)
	synctest.Test(t, func(t *testing.T) {
		rng := seeded(t)
		table := testTable(t, 1)
		b := newBucket(t, table, 0)
		put := func(id int64) {
			rows := randomRows(rng, 5, 10)
			for i := range rows {
				rows[i].id = id
			}
			b.put(rows...)
		}
		put(1)
		columns, _ := Select(table.Schema, []string{"name"}, nil)
		expect := func(s *Scanner, from, until quiver.Offset, rows int, idle bool) {
			t.Helper()
			c, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Batch.Release()
			if c.From != from || c.Until != until || c.Batch.Rows() != rows || c.Idle != idle {
				t.Errorf("chunk %+v of %d rows, want [%d, %d) with %d", c, c.Batch.Rows(), from, until, rows)
			}
		}
		s := scanAll(t, table, columns, Spec{Filter: bound(t, table, "id = 2")}, b)
		expect(s, 0, 5, 0, false)
		if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		s.Close()

		s = scanAll(t, table, columns, Spec{Filter: bound(t, table, "id = 2"), Follow: true}, b)
		defer s.Close()
		expect(s, 0, 5, 0, false) // after a silence
		expect(s, 5, 5, 0, true)
		for range 3 {
			put(1)
		}
		put(2)
		expect(s, 5, 25, 5, false)
		time.AfterFunc(100*time.Millisecond, func() {
			put(3)
			time.AfterFunc(100*time.Millisecond, func() { put(3) })
		})
		began := time.Now()
		expect(s, 25, 35, 0, false)
		if got := time.Since(began); got != firstSilence {
			t.Errorf("after %v", got)
		}
	})
}

// TestALostContextLosesNoRows ends the context in the middle of a filtered read, again and again.
func TestALostContextLosesNoRows(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	b := newBucket(t, table, 0)
	fillRandom(rng, b, 40, mixed)
	columns, _ := Select(table.Schema, []string{"__offset"}, nil)
	f := &fragile{Filter: bound(t, table, "__offset >= 0 and (id > 0 or id <= 0)")}
	s := scanAll(t, table, columns, Spec{Filter: f, BatchRows: 50}, b)
	defer s.Close()
	next := quiver.Offset(0)
	for {
		ctx, cancel := context.WithCancel(t.Context())
		f.cancel = nil
		if rng.IntN(2) == 0 {
			f.cancel = cancel
		}
		c, err := s.Next(ctx)
		cancel()
		if errors.Is(err, context.Canceled) {
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.From != next || int(c.Until-c.From) != c.Batch.Rows() {
			t.Fatalf("chunk %+v of %d rows, %d is next", c, c.Batch.Rows(), next)
		}
		next = c.Until
		c.Batch.Release()
	}
	if next != b.end() {
		t.Errorf("it ended at %d of %d", next, b.end())
	}
}

// fragile is a filter that ends the context of who asks.
type fragile struct {
	Filter
	cancel func()
}

func (f *fragile) Rows(ctx context.Context, rec arrow.RecordBatch) ([]int32, error) {
	if f.cancel != nil {
		f.cancel()
		return nil, context.Canceled
	}
	return f.Filter.Rows(ctx, rec)
}

// town is a table whose partitions come and go.
type town struct {
	t       *testing.T
	mu      sync.Mutex
	table   *quiver.Table
	buckets map[quiver.PartitionID][]*bucket
	watcher chan<- struct{}
	watched int
}

func newTown(t *testing.T) *town {
	t.Helper()
	spec := quiver.TableSpec{Database: "default", Name: "events", Schema: testColumns, PartitionBy: []string{"name"}, Buckets: 2}
	table, err := spec.Table(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &town{t: t, table: table, buckets: map[quiver.PartitionID][]*bucket{}}
}

// set makes a table of the partitions and tells who watches.
func (w *town) set(partitions ...quiver.Partition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := *w.table
	next.Partitions = slices.SortedFunc(slices.Values(partitions), func(a, b quiver.Partition) int {
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	w.table = &next
	alive := map[quiver.PartitionID]bool{}
	for _, p := range partitions {
		alive[p.ID] = true
		for i := int32(0); len(w.buckets[p.ID]) < 2; i++ {
			b := newBucket(w.t, w.table, i)
			b.within = p
			w.buckets[p.ID] = append(w.buckets[p.ID], b)
		}
	}
	for id, buckets := range w.buckets {
		for _, b := range buckets {
			if !alive[id] && b.gone == nil {
				b.change(func() { b.gone = quiver.Errorf(quiver.PartitionNotFound, "the partition was dropped") })
			}
		}
	}
	if w.watcher != nil {
		select {
		case w.watcher <- struct{}{}:
		default:
		}
	}
}

func (w *town) Table() (*quiver.Table, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.table, nil
}

func (w *town) Sources(_ *quiver.Table, p quiver.Partition) ([]Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sources(w.buckets[p.ID]), nil
}

func (w *town) Watch(ch chan<- struct{}) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watcher = ch
	w.watched++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.watcher = nil
		w.watched--
	}
}

// TestPartitionsComeAndGo follows a table whose partitions are made, filled and dropped at random: the rows of each are
// given from the first one on, as long as it is there, and a scan holds nothing of those that have left.
func TestPartitionsComeAndGo(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	for range 15 {
		seed := rng.Uint64()
		synctest.Test(t, func(t *testing.T) { comeAndGo(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func comeAndGo(t *testing.T, rng *rand.Rand) {
	w := newTown(t)
	columns, names := randomColumns(t, rng, w.table)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "__partition" })
	columns = slices.DeleteFunc(columns, func(c Column) bool { return c.System == PartitionColumn })
	s, err := Open(Spec{Table: w.table, Columns: columns, Follow: true, Buckets: w, Newcomers: Newcomers(Position{}, 0)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var partitions []quiver.Partition
	next := map[quiver.BucketID]quiver.Offset{}
	drain := func() {
		t.Helper()
		for {
			c, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.Idle {
				c.Batch.Release()
				return
			}
			at := slices.IndexFunc(partitions, func(p quiver.Partition) bool { return p.Name == c.Partition })
			if at < 0 {
				t.Fatalf("chunk %+v of a partition that is gone", c)
			}
			b := w.buckets[partitions[at].ID][c.Bucket]
			if c.From != next[b.ID()] {
				t.Fatalf("chunk %+v, row %d is next", c, next[b.ID()])
			}
			next[b.ID()] = c.Until
			check(t, s, names, b, c)
		}
	}
	for id := quiver.PartitionID(1); id < 40; id++ {
		switch n := len(partitions); {
		case n == 0 || rng.IntN(3) == 0:
			name := fmt.Sprint("name=p", rng.IntN(5)) // names come back on other partitions
			if !slices.ContainsFunc(partitions, func(p quiver.Partition) bool { return p.Name == name }) {
				partitions = append(partitions, quiver.Partition{ID: id, Name: name})
			}
		case rng.IntN(4) == 0:
			at := rng.IntN(n)
			partitions = slices.Delete(slices.Clone(partitions), at, at+1)
		}
		w.set(partitions...)
		for range rng.IntN(5) {
			if len(partitions) > 0 {
				b := w.buckets[partitions[rng.IntN(len(partitions))].ID][rng.IntN(2)]
				b.put(randomBatch(rng, 5000)...)
			}
		}
		if rng.IntN(2) == 0 {
			drain()
		}
	}
	drain()
	for _, p := range partitions {
		for _, b := range w.buckets[p.ID] {
			if next[b.ID()] != b.end() {
				t.Errorf("%s: given up to %d of %d", b.ID(), next[b.ID()], b.end())
			}
		}
	}
	s.Close()
	for _, buckets := range w.buckets {
		checkReaders(t, buckets...)
	}
	if w.watched != 0 {
		t.Error("the table is still watched")
	}
}

// TestWaitForANewPartition checks that a partition made while one waits is news.
func TestWaitForANewPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		rng := seeded(t)
		time.AfterFunc(time.Second, func() {
			w.set(quiver.Partition{ID: 3, Name: "name=x"})
			w.buckets[3][1].put(randomRows(rng, 2, 1)...)
		})
		news, err := Wait(t.Context(), Spec{Table: w.table, Buckets: w}, time.Minute, Options{})
		want := []News{{ID: quiver.BucketID{Table: 7, Partition: 3, Bucket: 1}, Partition: "name=x", Until: 2}}
		if err != nil || !slices.Equal(news, want) {
			t.Errorf("%v %v", news, err)
		}
	})
}

// TestPartitionsRuledOut checks that nothing is read of a partition that a filter rules out by its name or its values.
func TestPartitionsRuledOut(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	w := newTown(t)
	w.set(quiver.Partition{ID: 1, Name: "name=a"}, quiver.Partition{ID: 2, Name: "name=b"})
	var all []*bucket
	for _, id := range []quiver.PartitionID{1, 2} {
		for _, b := range w.buckets[id] {
			b.put(randomRows(rng, 5, 1)...)
			all = append(all, b)
		}
	}
	columns, _ := Select(w.table.Schema, []string{"id"}, nil)
	for text, want := range map[string]int{"__partition = 'name=a'": 10, "name = 'c'": 0, "__bucket = 0": 10, "id is null": 0} {
		s := scanAll(t, w.table, columns, Spec{Filter: bound(t, w.table, text)}, all...)
		rows, reads := 0, 0
		for _, n := range rowCounts(t, s) {
			rows += n
		}
		s.Close()
		for _, b := range all {
			reads += b.reads
			b.reads = 0
		}
		if rows != want || reads != map[bool]int{true: 4, false: want / 5}[text == "id is null"] {
			t.Errorf("%s: %d rows, %d readers", text, rows, reads)
		}
	}
}

// BenchmarkFilter compares a filter that all rows match, and one that few do, with a read without any.
func BenchmarkFilter(b *testing.B) {
	buf.SetPoison(false)
	defer buf.SetPoison(true)
	table := testTable(b, 1)
	for _, size := range []int{100, 50_000} {
		source := newBucket(b, table, 0)
		rng := rand.New(rand.NewPCG(1, 1))
		for range 100_000 / size {
			source.put(randomRows(rng, size, 1)...)
		}
		for _, text := range []string{"", "flag is not null", "id > -9223372036854775808", "name = 'name7'", "__offset < 10"} {
			b.Run(fmt.Sprintf("batches of %d/%s", size, text), func(b *testing.B) {
				columns, _ := Select(table.Schema, nil, nil)
				spec := Spec{Table: table, Sources: []Source{source}, Columns: columns}
				if text != "" {
					spec.Filter = bound(b, table, text)
				}
				b.ReportAllocs()
				for b.Loop() {
					spec.Ranges = []Range{{ID: source.ID(), Until: source.high}}
					s, err := Open(spec, Options{})
					if err != nil {
						b.Fatal(err)
					}
					for {
						c, err := s.Next(b.Context())
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							b.Fatal(err)
						}
						c.Batch.Release()
					}
					s.Close()
				}
			})
		}
	}
}
