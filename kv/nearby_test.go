package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// versionRows has each of some keys take a version, in column a.
func versionRows(c Config, keys int, version int64) *Rows {
	rb := array.NewRecordBuilder(memory.DefaultAllocator, c.Schema.Arrow())
	defer rb.Release()
	for i := range keys {
		rb.Field(0).(*array.Int64Builder).Append(int64(i))
		rb.Field(1).(*array.Int64Builder).Append(version)
		for f := 2; f < len(rb.Fields()); f++ {
			rb.Field(f).AppendNull()
		}
	}
	return &Rows{Len: keys, Columns: rb.NewRecordBatch().Columns()}
}

// TestNearby has readers look for one key and for all of them while batches replace all at once: a lookup sees one version,
// and none that is older than what any lookup before it saw. Some rows are held, some are not.
func TestNearby(t *testing.T) {
	const keys, versions = 48, 150
	store, tablet, c := benchTablet(t, Options{})
	store.engine.parts, store.engine.part = 2, 16
	var latest atomic.Int64 // that any reader saw
	end := upsertBench(t, tablet, versionRows(c, keys, 1), 0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	read := func(asked []arrow.Array) error {
		least := latest.Load()
		a, err := tablet.Get(t.Context(), asked, []int{1})
		if err != nil {
			return err
		}
		defer a.Release()
		values := a.Columns[0].(*array.Int64).Int64Values()
		if len(values) != asked[0].Len() {
			return fmt.Errorf("%d rows of %d were found", len(values), asked[0].Len())
		}
		for _, v := range values {
			if v != values[0] || v < least {
				return fmt.Errorf("versions %d were found together, and %d was before", values, least)
			}
		}
		for least < values[0] && !latest.CompareAndSwap(least, values[0]) {
			least = latest.Load()
		}
		return nil
	}
	for n := range 4 {
		readers.Go(func() {
			one := make([][]arrow.Array, keys)
			for i := range one {
				one[i] = keyRange(i, i+1)
			}
			all := keyRange(0, keys)
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				asked := all
				if n > 0 {
					asked = one[i%keys]
				}
				if err := read(asked); err != nil {
					t.Error(err)
					return
				}
				if n == 3 { // as if there were too many rows
					store.engine.held.put(tablet.number, encodedKey(tablet, i%keys), nil, nil)
				}
			}
		})
	}
	for v := range int64(versions) {
		end = upsertBench(t, tablet, versionRows(c, keys, v+2), end)
	}
	close(done)
	readers.Wait()
	if err := read(keyRange(0, keys)); err != nil || latest.Load() != versions+1 {
		t.Errorf("at last version %d was found, %v", latest.Load(), err)
	}
}

// keyRange is the keys [from, until).
func keyRange(from, until int) []arrow.Array {
	ids := array.NewInt64Builder(memory.DefaultAllocator)
	defer ids.Release()
	for i := from; i < until; i++ {
		ids.Append(int64(i))
	}
	return []arrow.Array{ids.NewArray()}
}

// encodedKey is the key of a row without the bucket's prefix.
func encodedKey(tablet *Tablet, i int) []byte {
	keys, err := tablet.current().codec.encodeKeys(nil, inputsOf(keyRange(i, i+1)), 1)
	if err != nil {
		panic(err)
	}
	return keys[0]
}

// TestNearbyNeedsNoSearch checks that rows which were written or found are found again without a search, and keys that were
// never there without one at all, until another tablet of the bucket takes over.
func TestNearbyNeedsNoSearch(t *testing.T) {
	const keys = 100
	store, tablet, c := benchTablet(t, Options{})
	far := func(asked []arrow.Array) int {
		l, err := tablet.NewLookup(nil, asked)
		if err != nil {
			t.Fatal(err)
		}
		which, err := l.findNear(tablet, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(which)
	}
	get := func(asked []arrow.Array) int {
		a, err := tablet.Get(t.Context(), asked, []int{1})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
		return a.Len
	}
	upsertBench(t, tablet, versionRows(c, keys, 1), 0)
	if n := far(keyRange(0, keys)); n != 0 {
		t.Errorf("%d of the rows that were written are searched for", n)
	}
	if n := far(keyRange(keys, 11*keys)); n > keys {
		t.Errorf("%d of %d keys that were never there are searched for", n, 10*keys)
	}
	tablet.Retire()
	tablet, err := store.Tablet(testBucket, c) // it has rows, and is another one
	if err != nil {
		t.Fatal(err)
	}
	if tablet.known.Load() != nil {
		t.Errorf("the keys of a tablet that has rows are said to be known")
	}
	if n := far(keyRange(0, keys)); n != keys {
		t.Errorf("%d rows are searched for, want %d", n, keys)
	}
	if n := get(keyRange(0, keys)); n != keys {
		t.Errorf("%d rows are found", n)
	}
	if n := far(keyRange(0, keys)); n != 0 {
		t.Errorf("%d of the rows that were found are searched for", n)
	}
	tablet.Retire()
	get(keyRange(keys, 2*keys))
	if _, calm := tablet.calm(); calm {
		t.Errorf("a tablet whose bucket has another owner answers by what it holds")
	}
}
