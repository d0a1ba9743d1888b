package kv

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestSearch compares a search in parts with one lookup of Pebble's for each key, while rows are replaced: every part
// sees the bucket at the same moment.
func TestSearch(t *testing.T) {
	const keys = 3000
	store, tablet, c := benchTablet(t, Options{})
	store.engine.parts, store.engine.part = 3, 100
	r := rand.New(rand.NewPCG(1, 2))
	end := upsertBench(t, tablet, benchRows(c, r, 4096, keys), 0)
	asked, err := tablet.current().codec.encodeKeys(tablet.rows, inputsOf(benchKeys(r, keys, 2*keys)), keys)
	if err != nil {
		t.Fatal(err)
	}
	order := inKeyOrder(asked, rowPrefix, nil)
	snapshot := store.engine.db.NewSnapshot()
	defer snapshot.Close()

	var parts atomic.Int32
	var replaced sync.Once
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-begun
		upsertBench(t, tablet, benchRows(c, r, 4096, keys), end)
	}()
	err = tablet.search(len(order), nil, func(it *pebble.Iterator, from, until int) error {
		parts.Add(1)
		replaced.Do(func() { close(begun) })
		<-done
		for _, i := range order[from:until] {
			found, err := get(it, asked[i])
			if err != nil {
				return err
			}
			want, closer, err := snapshot.Get(asked[i])
			if errors.Is(err, pebble.ErrNotFound) {
				if found != nil {
					t.Errorf("key %x was found, and it is not there", asked[i])
				}
				continue
			}
			if err != nil {
				return err
			}
			if !bytes.Equal(found, want) {
				t.Errorf("the row of key %x is %x, want %x", asked[i], found, want)
			}
			if err := closer.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := parts.Load(); n != 3 {
		t.Errorf("the search had %d parts, want 3", n)
	}
}

// TestEachPart checks that the panic of a part reaches the caller, once all parts have ended.
func TestEachPart(t *testing.T) {
	var ended atomic.Int32
	defer func() {
		if what := recover(); what != "a bug" || ended.Load() != 3 {
			t.Errorf("%v came back, and %d parts had ended", what, ended.Load())
		}
	}()
	eachPart(4, func(i int) {
		if i == 2 {
			panic("a bug")
		}
		ended.Add(1)
	})
}
