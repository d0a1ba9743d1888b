package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

func TestAggregates(t *testing.T) {
	null := value{null: true}
	i32 := func(v int32) value { return value{raw: putInteger(uint64(uint32(v)), 4)} }
	f64 := func(v float64) value { return value{raw: float64Bytes(v)} }
	dec := func(v int64) value {
		raw, err := putDecimal(&arrow.Decimal128Type{Precision: 6, Scale: 2}, decimalOf(putInteger(uint64(v), 8)))
		if err != nil {
			t.Fatal(err)
		}
		return value{raw: raw}
	}
	str := func(v string) value { return value{raw: []byte(v)} }
	i32t, f64t, dect, strt, boolt := arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Float64, &arrow.Decimal128Type{Precision: 6, Scale: 2}, arrow.BinaryTypes.String, arrow.FixedWidthTypes.Boolean
	for _, c := range []struct {
		function        string
		dt              arrow.DataType
		now, next, want value
		refused         bool
	}{
		{"sum", i32t, i32(2), i32(-5), i32(-3), false},
		{"sum", i32t, null, i32(5), i32(5), false},
		{"sum", i32t, i32(5), null, i32(5), false},
		{"sum", i32t, i32(math.MaxInt32), i32(1), null, true},
		{"sum", f64t, f64(0.5), f64(1), f64(1.5), false},
		{"sum", dect, dec(150), dec(-275), dec(-125), false},
		{"sum", dect, dec(999_999), dec(1), null, true},
		{"product", i32t, i32(-3), i32(7), i32(-21), false},
		{"product", i32t, i32(1 << 20), i32(1 << 20), null, true},
		{"product", dect, dec(150), dec(250), dec(375), false}, // 1.5 * 2.5
		{"product", dect, dec(-105), dec(50), dec(-53), false}, // -0.525 is rounded away from zero
		{"max", i32t, i32(-3), i32(-7), i32(-3), false},
		{"min", strt, str("b"), str("a"), str("a"), false},
		{"last_value", strt, str("b"), null, null, false},
		{"last_value_ignore_nulls", strt, str("b"), null, str("b"), false},
		{"first_value", strt, null, str("b"), null, false},
		{"first_value_ignore_nulls", strt, null, str("b"), str("b"), false},
		{"first_value_ignore_nulls", strt, str("a"), str("b"), str("a"), false},
		{"listagg", strt, str("a"), str("b"), str("a;b"), false},
		{"bool_and", boolt, value{raw: []byte{1}}, value{raw: []byte{0}}, value{raw: []byte{0}}, false},
		{"bool_or", boolt, value{raw: []byte{1}}, value{raw: []byte{0}}, value{raw: []byte{1}}, false},
	} {
		got, err := aggregate(quiver.Aggregate{Function: c.function, Delimiter: ";"}, c.dt, c.now, c.next)
		if (err != nil) != c.refused || !c.refused && (got.null != c.want.null || !bytes.Equal(got.raw, c.want.raw)) {
			t.Errorf("%s of %x and %x is %x, %v; want %x", c.function, c.now.raw, c.next.raw, got.raw, err, c.want.raw)
		}
	}
}

func TestBitmaps(t *testing.T) {
	a, b := roaring.BitmapOf(1, 5), roaring.BitmapOf(5, 1<<30)
	x, _ := a.ToBytes()
	y, _ := b.ToBytes()
	got, err := aggregate(quiver.Aggregate{Function: "rbm32"}, arrow.BinaryTypes.Binary, value{raw: x}, value{raw: y})
	if err != nil {
		t.Fatal(err)
	}
	if both, err := read32(got.raw); err != nil || !both.Equals(roaring.Or(a, b)) {
		t.Errorf("the union is %v, %v", both, err)
	}
	c, d := roaring64.BitmapOf(1, 1<<40), roaring64.BitmapOf(7)
	x, _ = c.ToBytes()
	y, _ = d.ToBytes()
	if got, err = aggregate(quiver.Aggregate{Function: "rbm64"}, arrow.BinaryTypes.Binary, value{raw: x}, value{raw: y}); err != nil {
		t.Fatal(err)
	}
	if both, err := read64(got.raw); err != nil || !both.Equals(roaring64.Or(c, d)) {
		t.Errorf("the union is %v, %v", both, err)
	}
	for _, function := range []string{"rbm32", "rbm64"} {
		if _, err := aggregate(quiver.Aggregate{Function: function}, arrow.BinaryTypes.Binary, value{null: true}, value{raw: []byte("no bitmap at all")}); quiver.ReasonOf(err) != quiver.SchemaMismatch {
			t.Errorf("%s takes garbage: %v", function, err)
		}
	}
}

// FuzzBitmap reads bitmaps that nobody vouches for.
func FuzzBitmap(f *testing.F) {
	x, _ := roaring.BitmapOf(1, 5, 1<<20).ToBytes()
	y, _ := roaring64.BitmapOf(1, 1<<40).ToBytes()
	f.Add(x)
	f.Add(y)
	f.Add(append([]byte{255, 255, 255, 255, 0, 0, 0, 0}, y...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := read32(raw); err == nil {
			_ = b.GetCardinality()
		}
		if b, err := read64(raw); err == nil {
			_ = b.GetCardinality()
		}
	})
}

// openStore opens a store whose directory is given back with the test.
func openStore(t testing.TB, fsys fs.FS, o Options) *Store {
	t.Helper()
	dir, err := OpenDir(fsys, "/data/kv", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	store, err := dir.Open()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// small is a tablet with a key k and a value v.
func small(t *testing.T, c Config) *Tablet {
	t.Helper()
	var err error
	if c.Schema, err = quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "k", Type: arrow.BinaryTypes.String}, {Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil), nil); err != nil {
		t.Fatal(err)
	}
	c.Key = []quiver.ColumnID{1}
	store := openStore(t, fs.NewMem(), Options{})
	t.Cleanup(func() { _ = store.Close() })
	tablet, err := store.Tablet(testBucket, c)
	if err != nil {
		t.Fatal(err)
	}
	return tablet
}

func smallRows(keys []string, values []int64, expected []int64) *Rows {
	k, v := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	k.AppendValues(keys, nil)
	v.AppendValues(values, nil)
	r := &Rows{Len: len(keys), Columns: []arrow.Array{k.NewArray(), v.NewArray()}}
	if expected != nil {
		e := array.NewInt64Builder(memory.DefaultAllocator)
		for _, at := range expected {
			if at < -1 {
				e.AppendNull()
			} else {
				e.Append(at)
			}
		}
		r.Expected = e.NewInt64Array()
	}
	return r
}

func TestConditions(t *testing.T) {
	const none = -2
	tablet := small(t, Config{})
	stage := func(r *Rows, at quiver.Offset) error {
		c, err := tablet.Prepare(r, nil)
		if err == nil {
			tablet.Stage(c, at)
		}
		return err
	}
	if err := stage(smallRows([]string{"a", "b"}, []int64{1, 2}, []int64{-1, -1}), 0); err != nil {
		t.Fatal(err)
	}
	err := stage(smallRows([]string{"c", "a"}, []int64{3, 4}, []int64{none, -1}), 2)
	var e *quiver.Error
	if !errors.As(err, &e) || e.Reason != quiver.ConditionFailed || e.Meta["row"] != "1" || e.Meta["offset"] != "0" || !strings.Contains(e.Detail, "(a)") {
		t.Fatalf("a key that is there was expected to be absent: %v", err)
	}
	if err := stage(smallRows([]string{"a", "c"}, []int64{5, 6}, []int64{0, none}), 2); err != nil {
		t.Fatal(err)
	}
	if err := stage(smallRows([]string{"a"}, []int64{5}, []int64{0}), 5); quiver.ReasonOf(err) != quiver.ConditionFailed {
		t.Fatalf("a key that was changed since: %v", err)
	}
	if err := stage(smallRows([]string{"a"}, []int64{7}, []int64{3}), 5); err != nil { // -U at 2, +U at 3
		t.Fatal(err)
	}
}

func TestDeletes(t *testing.T) {
	for behavior, want := range map[DeleteBehavior]int{AllowDelete: 1, IgnoreDelete: 0} {
		tablet := small(t, Config{Deletes: behavior})
		c, _ := tablet.Prepare(smallRows([]string{"a"}, []int64{1}, nil), nil)
		tablet.Stage(c, 0)
		gone := smallRows([]string{"a", "b"}, []int64{0, 0}, nil)
		gone.Op = Delete
		if c, err := tablet.Prepare(gone, nil); err != nil || c.Len() != want {
			t.Errorf("behaviour %d: %v", behavior, err)
		}
	}
	tablet := small(t, Config{Deletes: DisableDelete})
	gone := smallRows([]string{"a"}, []int64{0}, nil)
	gone.Op = Delete
	if _, err := tablet.Prepare(gone, nil); quiver.ReasonOf(err) != quiver.DeleteDisabled {
		t.Error(err)
	}
}

func TestDropForgets(t *testing.T) {
	tablet := small(t, Config{})
	c, _ := tablet.Prepare(smallRows([]string{"a"}, []int64{1}, nil), nil)
	tablet.Stage(c, 0)
	if err := tablet.Advance(1, 1); err != nil {
		t.Fatal(err)
	}
	if err := tablet.store.DropTable(context.Background(), testBucket.Table); err != nil {
		t.Fatal(err)
	}
	again, err := tablet.store.Tablet(testBucket, tablet.current().Config)
	if err != nil || again.Mark() != (Mark{}) {
		t.Fatalf("a dropped table has the mark %+v, %v", again.Mark(), err)
	}
	c, err = again.Prepare(smallRows([]string{"a"}, []int64{1}, nil), nil)
	if err != nil || c.Len() != 1 {
		t.Fatalf("a dropped row is found again: %d changes, %v", c.Len(), err)
	}
}

// TestFailuresEndNoProcess fails the disk under the store: it says so, and everything after it.
func TestFailuresEndNoProcess(t *testing.T) {
	mem := fs.NewMem()
	var failing atomic.Bool // Pebble writes from goroutines of its own
	disk := fs.WithErrors(mem, func(op fs.Op, _ string) error {
		if failing.Load() && op.Changes() {
			return errors.New("the disk is gone")
		}
		return nil
	})
	store := openStore(t, disk, Options{})
	config := small(t, Config{}).current().Config
	tablet, err := store.Tablet(testBucket, config)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := tablet.Prepare(smallRows([]string{"a"}, []int64{1}, nil), nil)
	tablet.Stage(c, 0)
	if err := tablet.Advance(1, 1); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	if err := store.Flush(); err == nil || store.Failed() == nil {
		t.Fatal("a flush to a disk that is gone is said to have worked")
	}
	if _, err := tablet.Prepare(smallRows([]string{"a"}, []int64{1}, nil), nil); err == nil {
		t.Error("a store that failed prepares")
	}
	if err := store.Close(); err == nil {
		t.Error("a store that failed closes without a word")
	}
}

// TestLookupBounds asks for more than a lookup may find: fewer keys are asked for, and one is always answered.
func TestLookupBounds(t *testing.T) {
	tablet := small(t, Config{})
	keys := []string{"a", "b", "c"}
	c, err := tablet.Prepare(smallRows(keys, []int64{1, 2, 3}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	tablet.Stage(c, 0)
	if err := tablet.Advance(3, 1); err != nil {
		t.Fatal(err)
	}
	find := func(most int, keys ...string) (int, error) {
		l, err := tablet.NewLookup(tablet.current().Schema, smallRows(keys, make([]int64, len(keys)), nil).Columns[:1])
		if err != nil {
			t.Fatal(err)
		}
		l.MaxBytes = most
		err = l.Find(t.Context(), tablet, nil, 0)
		return l.Size(), err
	}
	size, err := find(0, keys...)
	if err != nil || size == 0 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	for _, asked := range [][]string{keys, {"a", "a", "a"}} {
		if _, err := find(size, asked...); err != nil {
			t.Errorf("%q within the bound: %v", asked, err)
		}
		if _, err := find(size-1, asked...); !errors.Is(err, ErrTooMuch) {
			t.Errorf("%q above the bound: %v", asked, err)
		}
	}
	if _, err := find(1, "b"); err != nil {
		t.Errorf("a single key: %v", err)
	}
}

// TestChangesAreBounded has few bytes touch many: the batch is refused before it takes the memory.
func TestChangesAreBounded(t *testing.T) {
	tablet := small(t, Config{})
	c, err := tablet.Prepare(smallRows([]string{"a"}, []int64{0}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	tablet.Stage(c, 0)
	keys, values := make([]string, 1000), make([]int64, 1000)
	for i := range keys {
		keys[i], values[i] = "a", int64(i+1)
	}
	if _, err := tablet.Prepare(smallRows(keys, values, nil), nil); err != nil {
		t.Fatal(err)
	}
	tablet.store.engine.change = 10_000
	_, err = tablet.Prepare(smallRows(keys, values, nil), nil)
	if quiver.ReasonOf(err) != quiver.BatchTooLarge {
		t.Fatalf("1000 changes of one row: %v", err)
	}
	if _, err := tablet.Prepare(smallRows(keys[:10], values[:10], nil), nil); err != nil {
		t.Fatal(err)
	}
}

// TestLargeChangesAreAlone has a change grow beyond what may be under way together with others.
func TestLargeChangesAreAlone(t *testing.T) {
	tablet := small(t, Config{})
	tablet.store.engine.alone = 1000
	keys, values := make([]string, 100), make([]int64, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	if _, err := tablet.Prepare(smallRows(keys[:5], values[:5], nil), nil); err != nil {
		t.Fatal(err)
	}
	rows := smallRows(keys, values, nil)
	if _, err := tablet.Prepare(rows, nil); !errors.Is(err, ErrAlone) {
		t.Fatalf("a large change beside others: %v", err)
	}
	rows.Alone = true
	c, err := tablet.Prepare(rows, nil)
	if err != nil || c.Len() != 100 || c.Bytes < 1000 {
		t.Fatalf("a large change alone: %d rows of %d bytes, %v", c.Len(), c.Bytes, err)
	}
}

// TestNestedValuesCount looks that lists have a size: answers end by it.
func TestNestedValuesCount(t *testing.T) {
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64)
	b.Append(true)
	b.ValueBuilder().(*array.Int64Builder).AppendValues(make([]int64, 100), nil)
	lists := b.NewArray()
	o := newOutput(lists.DataType(), 1)
	if err := o.add(newInput(lists).raw(0)); err != nil || o.size() < 800 {
		t.Errorf("%d bytes, %v", o.size(), err)
	}
	o.finish().Release()
}
