package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

var weighed = []string{"list<item: int8>", "list<item: string>", "large_list<item: decimal128(5, 2)>", "fixed_size_list<item: float>[3]",
	"fixed_size_list<item: fixed_size_list<item: int64>[4]>[5]", "struct<a: int64, b: string, c: fixed_size_list<item: int8>[9]>", //nolint:dupword // a type in a type
	"map<string, int64>", "list<item: struct<m: map<string, fixed_size_list<item: double>[7]>, n: bool>>", "list<item: null>"}

// TestWeight compares what nested values are said to take in Arrow's layout with what the built arrays take.
func TestWeight(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, name := range weighed {
		dt, err := quiver.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			js, err := json.Marshal([]any{randomNested(r, dt)})
			if err != nil {
				t.Fatal(err)
			}
			arr, _, err := array.FromJSON(memory.DefaultAllocator, dt, bytes.NewReader(js))
			if err != nil {
				t.Fatalf("%s of %s: %v", js, name, err)
			}
			in := newInput(arr)
			v := value{raw: in.raw(0), null: in.null(0)}
			got, want := nestedWeight(v, dt), laidOut(arr.Data())
			if got < want || got > want+want/2+16+3*len(v.raw) {
				t.Fatalf("%s of %s: %d bytes, the array has %d, stored are %d", js, name, got, want, len(v.raw))
			}
			arr.Release()
		}
	}
}

// randomNested is any value of a type, as JSON has it; often null, and with nulls inside.
func randomNested(r *rand.Rand, dt arrow.DataType) any {
	if r.IntN(3) == 0 {
		return nil
	}
	some := func(n int, elem arrow.DataType) []any {
		values := make([]any, n)
		for i := range values {
			values[i] = randomNested(r, elem)
		}
		return values
	}
	switch dt := dt.(type) {
	case *arrow.StructType:
		m := map[string]any{}
		for _, f := range dt.Fields() {
			m[f.Name] = randomNested(r, f.Type)
		}
		return m
	case *arrow.FixedSizeListType:
		return some(int(dt.Len()), dt.Elem())
	case *arrow.MapType:
		entries := make([]any, r.IntN(4))
		for i := range entries {
			entries[i] = map[string]any{"key": "k", "value": randomNested(r, dt.ItemType())}
		}
		return entries
	case arrow.ListLikeType:
		return some(r.IntN(6), dt.Elem())
	case *arrow.NullType:
		return nil
	}
	return randomValue(r, dt)
}

// laidOut adds up what values take, bitmaps aside: those of widths from the lengths, text from its bytes.
func laidOut(d arrow.ArrayData) int {
	k, width := kindOf(d.DataType())
	n := 0
	switch {
	case k == kindVar32, k == kindVar64:
		n = d.Len() * flatWeight(k, width)
		if b := d.Buffers()[2]; b != nil {
			n += b.Len()
		}
	case k != kindNested:
		n = d.Len() * width
	}
	if _, list := d.DataType().(arrow.ListLikeType); list && d.DataType().ID() != arrow.FIXED_SIZE_LIST {
		n += 4 * d.Len()
	}
	for _, child := range d.Children() {
		n += laidOut(child)
	}
	return n
}

// FuzzWeight walks over bytes that are no value.
func FuzzWeight(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{1, 2, 3, 255, 255, 255, 255, 255, 255, 255, 255, 1}, uint8(1))
	f.Add(bytes.Repeat([]byte{1, 0}, 50), uint8(5))
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		dt, err := quiver.ParseType(weighed[int(which)%len(weighed)])
		if err != nil {
			t.Fatal(err)
		}
		if n := nestedWeight(value{raw: raw}, dt); n < 0 {
			t.Fatalf("%d bytes", n)
		}
	})
}

// TestNullsOfFixedSizeLists has rows of which little is stored and that take much in Arrow's layout: changes are
// refused, and reads cut, by the latter.
func TestNullsOfFixedSizeLists(t *testing.T) {
	schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64},
		{Name: "x", Type: arrow.FixedSizeListOf(1000, arrow.PrimitiveTypes.Float32), Nullable: true}}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	store := openStore(t, fs.NewMem(), Options{})
	t.Cleanup(func() { _ = store.Close() })
	tablet, err := store.Tablet(testBucket, Config{Schema: schema, Key: []quiver.ColumnID{1}})
	if err != nil {
		t.Fatal(err)
	}
	keys := func(n int) []arrow.Array {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range n {
			b.Append(int64(i))
		}
		return []arrow.Array{b.NewArray(), nil}
	}
	tablet.store.engine.change = 1 << 20
	if _, err := tablet.Prepare(&Rows{Len: 1000, Columns: keys(1000), Partial: true}, nil); quiver.ReasonOf(err) != quiver.BatchTooLarge {
		t.Fatalf("4 MB of nulls: %v", err)
	}
	change, err := tablet.Prepare(&Rows{Len: 200, Columns: keys(200), Partial: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pieces := 0
	for {
		columns, err := change.Piece(100_000)
		if err != nil {
			t.Fatal(err)
		}
		if columns == nil {
			break
		}
		pieces++
		if n := columns[0].Len(); n > 25 {
			t.Fatalf("a piece has %d rows", n)
		}
	}
	if pieces < 8 {
		t.Fatalf("the changelog is in %d pieces", pieces)
	}
	tablet.Stage(change, 0)
	if err := tablet.Advance(200, 1); err != nil {
		t.Fatal(err)
	}
	scanner, err := tablet.Scan(context.Background(), nil, nil, Bounds{}, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := scanner.Next(context.Background(), 1000, 100_000)
	if err != nil || a.Len > 26 {
		t.Fatalf("an answer has %d rows, %v", a.Len, err)
	}
	a.Release()
	if err := scanner.Close(); err != nil {
		t.Fatal(err)
	}
	lookup, err := tablet.NewLookup(nil, keys(200)[:1])
	if err != nil {
		t.Fatal(err)
	}
	lookup.MaxBytes = 100_000
	if err := lookup.Find(context.Background(), tablet, nil, 0); !errors.Is(err, ErrTooMuch) {
		t.Fatalf("800 kB found: %v", err)
	}
}
