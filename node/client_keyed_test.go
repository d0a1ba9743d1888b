package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// stock is a row of the tables of these tests, and its key.
type (
	stockKey struct {
		Item  int64  `arrow:"item"`
		Place string `arrow:"place"`
	}
	stockRow struct {
		Item   int64    `arrow:"item"`
		Place  string   `arrow:"place"`
		Pieces *int32   `arrow:"pieces"`
		Tags   []string `arrow:"tags"`
	}
)

func makeStock(t testing.TB, c *flight.Client, buckets int32) {
	t.Helper()
	required := new(bool)
	if _, err := c.CreateTable(t.Context(), flight.TableCreate{Table: flight.Named("stock"), Buckets: &buckets,
		PrimaryKey: []string{"item", "place"}, Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{
			{Name: "item", Type: "int64", Nullable: required}, {Name: "place", Type: "string", Nullable: required},
			{Name: "pieces", Type: "int32"}, {Name: "tags", Type: "list<item: string>"}}}}); err != nil {
		t.Fatal(err)
	}
}

// currentStock reads the table, sorted by key, as text.
func currentStock(t testing.TB, c *flight.Client) (rows []string) {
	t.Helper()
	s, err := c.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("stock"), Read: flight.ReadTable, Order: flight.OrderKey,
		Columns: []string{"item", "place", "pieces"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for batch, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			rows = append(rows, fmt.Sprint(batch.Column(0).ValueStr(i), batch.Column(1).ValueStr(i), "=", batch.Column(2).ValueStr(i)))
		}
	}
	return rows
}

// TestClientUpsertsAndLooksUpOverCutConnections breaks the connection at random bytes while rows are upserted and
// deleted and looked up by several goroutines, and compares with a map.
func TestClientUpsertsAndLooksUpOverCutConnections(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := start(t, fs.NewMem())
	way := newProxy(t, r.FlightAddr())
	straight := dial(t, r, flight.ClientOptions{})
	makeStock(t, straight, 3)
	c := dialTo(t, way.addr(), flight.ClientOptions{})
	lookuper := c.Lookup("stock", flight.LookupOptions{BatchKeys: 7, MaxWaiting: 20})
	defer lookuper.Close()
	lookups, err := flight.LookupsOf[stockKey, stockRow](t.Context(), lookuper)
	if err != nil {
		t.Fatal(err)
	}
	oracle := map[string]int32{}
	for round := range 4 {
		a, err := c.Append(t.Context(), "stock", flight.AppendOptions{Writer: "clerk", BatchRows: 5})
		if err != nil {
			t.Fatal(err)
		}
		stock, err := flight.UpserterOf[stockRow](t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			if rng.IntN(50) == 0 {
				way.cutAfter(rng.Int64N(10_000))
			}
			row := stockRow{Item: rng.Int64N(40), Place: []string{"eu", "us"}[rng.IntN(2)], Tags: []string{"a", "b"}}
			name := fmt.Sprint(row.Item, row.Place)
			if rng.IntN(3) == 0 {
				delete(oracle, name)
				err = stock.Delete(t.Context(), row)
			} else {
				row.Pieces = new(rng.Int32N(3)) // often what is there already
				oracle[name] = *row.Pieces
				err = stock.Upsert(t.Context(), row)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if totals, err := a.Close(t.Context()); err != nil || totals.Rows != 300 {
			t.Fatalf("round %d: %+v, %v", round, totals, err)
		}
		way.cutAfter(rng.Int64N(20_000))
		var wait sync.WaitGroup
		for item := range int64(41) {
			for _, place := range []string{"eu", "us"} {
				wait.Go(func() {
					row, found, err := lookups.Get(t.Context(), stockKey{item, place})
					want, there := oracle[fmt.Sprint(item, place)]
					switch {
					case err != nil:
						t.Error(err)
					case found != there, found && (row.Item != item || row.Place != place || row.Pieces == nil || *row.Pieces != want || !slices.Equal(row.Tags, []string{"a", "b"})):
						t.Errorf("round %d, %d %s: %+v %v, want %d %v", round, item, place, row, found, want, there)
					}
				})
			}
		}
		wait.Wait()
	}
	var want []string
	for item := range int64(40) {
		for _, place := range []string{"eu", "us"} {
			if pieces, ok := oracle[fmt.Sprint(item, place)]; ok {
				want = append(want, fmt.Sprint(item, place, "=", pieces))
			}
		}
	}
	if got := currentStock(t, straight); !slices.Equal(got, want) {
		t.Errorf("the table is %v, want %v", got, want)
	}
}

// TestClientNamedWriterAfterNoOps goes on as a named writer whose last batches left no row: what comes next is no
// repeat of them.
func TestClientNamedWriterAfterNoOps(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	makeStock(t, c, 1)
	for pieces := range int32(3) {
		a, err := c.Append(t.Context(), "stock", flight.AppendOptions{Writer: "clerk"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it changes nothing
			if err := a.AppendRow(t.Context(), stockRow{1, "eu", &pieces, nil}); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		totals, err := a.Close(t.Context())
		if err != nil || totals.Batches != 2 || totals.Duplicates != 0 {
			t.Fatal(totals, err)
		}
		if got := currentStock(t, c); !slices.Equal(got, []string{fmt.Sprint("1eu=", pieces)}) {
			t.Fatalf("%v, want %d pieces", got, pieces)
		}
	}
}

// keysOf makes a batch of keys of items and places; without places of prefixes.
func keysOf(items []int64, places []string) arrow.RecordBatch {
	fields := []arrow.Field{{Name: "item", Type: arrow.PrimitiveTypes.Int64}}
	if places != nil {
		fields = append(fields, arrow.Field{Name: "place", Type: arrow.BinaryTypes.String})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(items, nil)
	if places != nil {
		b.Field(1).(*array.StringBuilder).AppendValues(places, nil)
	}
	return b.NewRecordBatch()
}

func TestClientLookups(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	makeStock(t, c, 2)
	a, err := c.Append(t.Context(), "stock", flight.AppendOptions{Op: flight.OpUpsert})
	if err != nil {
		t.Fatal(err)
	}
	const items = 3000
	for item := range int64(items) {
		if err := a.AppendRow(t.Context(), stockRow{Item: item % 10, Place: fmt.Sprintf("%04d", item), Tags: []string{strings.Repeat("x", 2000)}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A prefix whose answer is larger than a message, beside one that is not there.
	prefixes := c.Lookup("stock", flight.LookupOptions{Prefix: true})
	defer prefixes.Close()
	keys := keysOf([]int64{99, 3, 4}, nil)
	defer keys.Release()
	found, err := prefixes.Find(t.Context(), keys)
	if err != nil || found.NumRows() != 2*items/10 {
		t.Fatal(found, err)
	}
	index := found.Column(0).(*array.Int64).Int64Values()
	if index[0] != 1 || index[len(index)-1] != 2 || !slices.IsSorted(index) {
		t.Error("the rows do not tell their keys")
	}
	found.Release()
	type prefix struct {
		Item int64 `arrow:"item"`
	}
	byItem, err := flight.LookupsOf[prefix, stockKey](t.Context(), prefixes)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := byItem.All(t.Context(), prefix{7})
	if err != nil || len(rows) != items/10 || rows[1] != (stockKey{7, "0017"}) {
		t.Error(len(rows), err)
	}

	// Refusals fail the request that they are for.
	lookuper := c.Lookup("stock", flight.LookupOptions{Columns: []string{"place", "__offset"}, MaxAnswer: 1 << 20})
	defer lookuper.Close()
	whole, wrong := keysOf([]int64{3}, []string{"0003"}), keysOf([]int64{3}, nil)
	defer whole.Release()
	defer wrong.Release()
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			if i%8 == 7 {
				if _, err := lookuper.Find(t.Context(), wrong); quiver.ReasonOf(err) != quiver.SchemaMismatch {
					t.Error(err)
				}
				return
			}
			found, err := lookuper.Find(t.Context(), whole)
			if err != nil {
				t.Error(err)
				return
			}
			defer found.Release()
			if found.NumRows() != 1 || found.NumCols() != 3 || found.Column(1).ValueStr(0) != "0003" {
				t.Error(found)
			}
		})
	}
	wait.Wait()
	if _, err := flight.LookupsOf[stockKey, stockRow](t.Context(), lookuper); err != nil {
		t.Fatal(err)
	}
	narrow, _ := flight.LookupsOf[stockKey, stockRow](t.Context(), lookuper)
	if _, _, err := narrow.Get(t.Context(), stockKey{3, "0003"}); quiver.ReasonOf(err) != quiver.SchemaMismatch || !strings.Contains(err.Error(), `"pieces" is not among those read`) {
		t.Error(err)
	}
	if _, _, err := narrow.Get(t.Context(), stockKey{3, "\xff"}); quiver.ReasonOf(err) != quiver.SchemaMismatch {
		t.Error("a key that is not UTF-8:", err)
	}
	small := c.Lookup("stock", flight.LookupOptions{Prefix: true, MaxAnswer: 1000})
	defer small.Close()
	if _, err := small.Find(t.Context(), keys); quiver.ReasonOf(err) != quiver.BatchTooLarge {
		t.Error(err)
	}
	nowhere := c.Lookup("nowhere", flight.LookupOptions{})
	defer nowhere.Close()
	if _, err := nowhere.Find(t.Context(), whole); quiver.ReasonOf(err) != quiver.TableNotFound {
		t.Error(err)
	}

	// Contexts and the end.
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := lookuper.Find(ended, whole); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	lookuper.Close()
	lookuper.Close()
	if _, err := lookuper.Find(t.Context(), whole); quiver.ReasonOf(err) != quiver.BadCommand {
		t.Error(err)
	}
}

// TestClientInsertMissingBesideDeletes looks keys up, inserted where they are missing, while others delete them: they are
// found all the same.
func TestClientInsertMissingBesideDeletes(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	makeStock(t, c, 2)
	a, err := c.Append(t.Context(), "stock", flight.AppendOptions{Op: flight.OpDelete, Unsequenced: true})
	if err != nil {
		t.Fatal(err)
	}
	lookuper := c.Lookup("stock", flight.LookupOptions{InsertMissing: true})
	defer lookuper.Close()
	keys := keysOf([]int64{1, 2, 3}, []string{"eu", "eu", "eu"})
	defer keys.Release()
	over := make(chan struct{})
	var deleter sync.WaitGroup
	deleter.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := a.Append(t.Context(), keys); err != nil {
				t.Error(err)
			}
			if _, err := a.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				found, err := lookuper.Find(t.Context(), keys)
				if err != nil {
					t.Error(err)
					return
				}
				if index := found.Column(0).(*array.Int64).Int64Values(); !slices.Equal(index, []int64{0, 1, 2}) {
					t.Errorf("found are the keys %v", index)
				}
				found.Release()
			}
		})
	}
	wait.Wait()
	close(over)
	deleter.Wait()
	if _, err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestClientTableAndLogOverCutConnections follows a table from its rows at one moment on, over broken connections: the
// fold of what it gives is the table.
func TestClientTableAndLogOverCutConnections(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := start(t, fs.NewMem())
	way := newProxy(t, r.FlightAddr())
	straight := dial(t, r, flight.ClientOptions{})
	makeStock(t, straight, 2)
	a, err := straight.Append(t.Context(), "stock", flight.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		for range n {
			if err := a.AppendRow(t.Context(), stockRow{Item: rng.Int64N(50), Place: "eu", Pieces: new(rng.Int32())}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	put(100)
	s, err := dialTo(t, way.addr(), flight.ClientOptions{}).Scan(t.Context(), flight.ScanCommand{Table: flight.Named("stock"), Read: flight.ReadTableLog, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fold := map[string]string{}
	var want map[string]string // nil before the table has been given whole
	columns := map[string]int{}
	for i, f := range s.Schema().Fields() {
		columns[f.Name] = i
	}
	for (want == nil || !maps.Equal(fold, want)) && s.Next() {
		if s.Info().Phase == flight.PhaseLog {
			for range 10 {
				way.cutAfter(rng.Int64N(3000))
				put(30)
			}
			if _, err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			want = map[string]string{}
			for _, row := range currentStock(t, straight) {
				key, pieces, _ := strings.Cut(row, "=")
				want[key] = pieces
			}
		}
		batch := s.Batch()
		for i := range int(batch.NumRows()) {
			at := func(name string) string { return batch.Column(columns[name]).ValueStr(i) }
			key := at("item") + at("place")
			switch change := at("__change_type"); change {
			case "+I":
				if _, ok := fold[key]; ok {
					t.Fatalf("%s comes twice", key)
				}
				fold[key] = at("pieces")
			case "-U":
				if fold[key] != at("pieces") {
					t.Fatalf("%s was %s, not %s", key, fold[key], at("pieces"))
				}
			case "+U":
				fold[key] = at("pieces")
			}
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}
