package metastore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// testStore is what every Store must do. Open gives a store that is empty at first; reopen closes it and opens it
// again, and is nil for stores that keep nothing.
func testStore(t *testing.T, open func(t *testing.T) (s Store, reopen func() Store)) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Store)
	}{
		{"an empty store", testEmpty},
		{"puts and deletes", testPutsAndDeletes},
		{"comparisons", testComparisons},
		{"a conflict changes nothing", testConflictChangesNothing},
		{"the same request again", testRepeat},
		{"old requests are forgotten", testForgotten},
		{"a key's life ends its versions", testVersionsAreNotReused},
		{"ranges", testRange},
		{"hostile keys and values", testHostile},
		{"bad transactions", testBadTransactions},
		{"ended contexts", testContext},
		{"the caller owns its bytes", testOwnership},
		{"a large transaction", testLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := open(t)
			c.run(t, s)
		})
	}
	t.Run("closed", func(t *testing.T) {
		s, _ := open(t)
		testClosed(t, s)
	})
	t.Run("random against the model", func(t *testing.T) {
		s, reopen := open(t)
		testAgainstModel(t, s, reopen)
	})
}

var lastRequest uint64

// request gives a request id that no other call gave.
func request() (id RequestID) {
	lastRequest++
	binary.BigEndian.PutUint64(id[:], lastRequest)
	return id
}

// put gives a transaction that puts keys, each with itself as value.
func put(keys ...string) Txn {
	txn := Txn{Request: request()}
	for _, key := range keys {
		txn.Puts = append(txn.Puts, Put{key, []byte(key)})
	}
	return txn
}

// commit does a transaction that must succeed, and gives its version.
func commit(t *testing.T, s Store, txn Txn) int64 {
	t.Helper()
	r, err := s.Commit(context.Background(), txn)
	if err != nil || r.Outcome != Done || r.Repeated {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	return r.Version
}

// refused does a transaction that must meet a conflict on the key.
func refused(t *testing.T, s Store, txn Txn, key string) {
	t.Helper()
	r, err := s.Commit(context.Background(), txn)
	var c *ConflictError
	if !errors.As(err, &c) || c.Key != key || r.Outcome != NotDone {
		t.Fatalf("commit = %+v, %v; want a conflict on %q", r, err, key)
	}
}

// dump gives everything in the store, one "key@version=value" a line, and the version last.
func dump(t *testing.T, s Store, prefix string) string {
	t.Helper()
	var b strings.Builder
	version, err := s.Range(context.Background(), prefix, func(e Entry) error {
		fmt.Fprintf(&b, "%s@%d=%s\n", e.Key, e.Version, e.Value)
		return nil
	})
	if err != nil {
		t.Fatalf("range: %v", err)
	}
	fmt.Fprintf(&b, "version %d", version)
	return b.String()
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got:\n%s\nwant:\n%s", got, want)
	}
}

func testEmpty(t *testing.T, s Store) {
	if _, ok, err := s.Get(context.Background(), "a"); ok || err != nil {
		t.Fatalf("get = %v, %v", ok, err)
	}
	expect(t, dump(t, s, ""), "version 0")
	if err := s.Failed(); err != nil {
		t.Fatal(err)
	}
}

func testPutsAndDeletes(t *testing.T, s Store) {
	if v := commit(t, s, put("a", "b", "c")); v != 1 {
		t.Fatalf("version = %d", v)
	}
	txn := put("b")
	txn.Deletes = []string{"a", "missing"}
	if v := commit(t, s, txn); v != 2 {
		t.Fatalf("version = %d", v)
	}
	expect(t, dump(t, s, ""), "b@2=b\nc@1=c\nversion 2")
	e, ok, err := s.Get(context.Background(), "b")
	if !ok || err != nil || e.Key != "b" || e.Version != 2 || string(e.Value) != "b" {
		t.Fatalf("get = %+v, %v, %v", e, ok, err)
	}
	if _, ok, _ := s.Get(context.Background(), "a"); ok {
		t.Fatal("a deleted key is there")
	}
	if v := commit(t, s, Txn{Request: request()}); v != 3 {
		t.Fatalf("a transaction without changes made version %d", v)
	}
}

func testComparisons(t *testing.T, s Store) {
	commit(t, s, put("a"))
	for _, c := range []struct {
		compare Compare
		ok      bool
	}{
		{Compare{"a", 1}, true},
		{Compare{"a", 2}, false},
		{Compare{"a", Absent}, false},
		{Compare{"b", Absent}, true},
		{Compare{"b", 1}, false},
	} {
		txn := put("other")
		txn.Compares = []Compare{{"none", Absent}, c.compare}
		if c.ok {
			commit(t, s, txn)
		} else {
			refused(t, s, txn, c.compare.Key)
		}
	}
}

func testConflictChangesNothing(t *testing.T, s Store) {
	commit(t, s, put("a", "b"))
	txn := put("a", "c")
	txn.Deletes = []string{"b"}
	txn.Compares = []Compare{{"a", 7}}
	refused(t, s, txn, "a")
	expect(t, dump(t, s, ""), "a@1=a\nb@1=b\nversion 1")
	txn.Compares = nil // the id was not used up
	commit(t, s, txn)
	expect(t, dump(t, s, ""), "a@2=a\nc@2=c\nversion 2")
}

func testRepeat(t *testing.T, s Store) {
	txn := put("a")
	txn.Compares = []Compare{{"a", Absent}}
	commit(t, s, txn)
	commit(t, s, put("b"))
	r, err := s.Commit(context.Background(), txn) // its comparison does not hold any more: it did once
	if err != nil || r != (Result{Outcome: Done, Version: 1, Repeated: true}) {
		t.Fatalf("repeat = %+v, %v", r, err)
	}
	expect(t, dump(t, s, ""), "a@1=a\nb@2=b\nversion 2")
}

func testForgotten(t *testing.T, s Store) {
	first, second := put("a"), put("b")
	commit(t, s, first)
	commit(t, s, second)
	for range KeptRequests - 1 {
		commit(t, s, put("x"))
	}
	if r, err := s.Commit(context.Background(), second); err != nil || !r.Repeated {
		t.Fatalf("repeat of the oldest that is kept = %+v, %v", r, err)
	}
	commit(t, s, first)
}

func testVersionsAreNotReused(t *testing.T, s Store) {
	commit(t, s, put("a"))
	commit(t, s, Txn{Request: request(), Deletes: []string{"a"}})
	if v := commit(t, s, put("a")); v != 3 {
		t.Fatalf("version = %d", v)
	}
	stale := put("a")
	stale.Compares = []Compare{{"a", 1}}
	refused(t, s, stale, "a")
}

func testRange(t *testing.T, s Store) {
	commit(t, s, put("t/1", "t/10", "t/2", "t", "u", "s/9", "t\xff", "t\xff\xff"))
	expect(t, dump(t, s, "t/"), "t/1@1=t/1\nt/10@1=t/10\nt/2@1=t/2\nversion 1")
	expect(t, dump(t, s, "t\xff"), "t\xff@1=t\xff\nt\xff\xff@1=t\xff\xff\nversion 1")
	expect(t, dump(t, s, "v"), "version 1")
	var all []string
	_, _ = s.Range(context.Background(), "", func(e Entry) error { all = append(all, e.Key); return nil })
	if len(all) != 8 || !slices.IsSorted(all) {
		t.Fatalf("keys = %q", all)
	}
	stop := errors.New("stop")
	seen := 0
	if _, err := s.Range(context.Background(), "t/", func(Entry) error { seen++; return stop }); !errors.Is(err, stop) || seen != 1 {
		t.Fatalf("range = %v after %d", err, seen)
	}
}

func testHostile(t *testing.T, s Store) {
	keys := []string{"\x00", "\x00\x00", "\xff", "\xff\xff\xff", "a\nb", "../../etc/passwd", "Größe", strings.Repeat("k", MaxKey)}
	txn := Txn{Request: request()}
	for i, key := range keys {
		txn.Puts = append(txn.Puts, Put{key, bytes.Repeat([]byte{byte(i)}, i)})
	}
	commit(t, s, txn)
	for i, key := range keys {
		e, ok, err := s.Get(context.Background(), key)
		if err != nil || !ok || !bytes.Equal(e.Value, bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("get %q = %+v, %v, %v", key, e, ok, err)
		}
	}
}

func testBadTransactions(t *testing.T, s Store) {
	for name, txn := range map[string]Txn{
		"no request id":  {Puts: []Put{{"a", nil}}},
		"empty key":      put(""),
		"overlong key":   put(strings.Repeat("k", MaxKey+1)),
		"put twice":      put("a", "a"),
		"put and delete": {Request: request(), Puts: []Put{{"a", nil}}, Deletes: []string{"a"}},
		"delete twice":   {Request: request(), Deletes: []string{"a", "a"}},
		"overlong value": {Request: request(), Puts: []Put{{"a", make([]byte, MaxValue+1)}}},
	} {
		if r, err := s.Commit(context.Background(), txn); err == nil || r.Outcome != NotDone {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	expect(t, dump(t, s, ""), "version 0")
}

func testContext(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := s.Commit(ctx, put("a"))
	if !errors.Is(err, context.Canceled) || r.Outcome != NotDone {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	if _, _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatalf("get: %v", err)
	}
	if _, err := s.Range(ctx, "", nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("range: %v", err)
	}
	expect(t, dump(t, s, ""), "version 0")
}

func testOwnership(t *testing.T, s Store) {
	txn := put("a")
	commit(t, s, txn)
	txn.Puts[0].Value[0] = 'X'
	e, _, _ := s.Get(context.Background(), "a")
	e.Value[0] = 'Y'
	_, _ = s.Range(context.Background(), "", func(e Entry) error { e.Value[0] = 'Z'; return nil })
	expect(t, dump(t, s, ""), "a@1=a\nversion 1")
}

func testLarge(t *testing.T, s Store) {
	txn := Txn{Request: request()}
	value := bytes.Repeat([]byte("x"), 500)
	for i := range 10_000 {
		txn.Puts = append(txn.Puts, Put{fmt.Sprintf("table/%06d", i), value})
	}
	commit(t, s, txn)
	commit(t, s, put("after"))
	n := 0
	version, err := s.Range(context.Background(), "table/", func(e Entry) error {
		if n++; !bytes.Equal(e.Value, value) {
			return fmt.Errorf("%s differs", e.Key)
		}
		return nil
	})
	if err != nil || n != len(txn.Puts) || version != 2 {
		t.Fatalf("range = %d entries, version %d, %v", n, version, err)
	}
}

func testClosed(t *testing.T, s Store) {
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Commit(context.Background(), put("a")); !errors.Is(err, ErrClosed) || r.Outcome != NotDone {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	if _, _, err := s.Get(context.Background(), "a"); !errors.Is(err, ErrClosed) {
		t.Fatalf("get: %v", err)
	}
	if _, err := s.Range(context.Background(), "", nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("range: %v", err)
	}
}

// testAgainstModel does the same random transactions in the store and in the model.
func testAgainstModel(t *testing.T, s Store, reopen func() Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	model := NewMemory()
	var done []Txn
	for step := range 600 {
		txn := randomTxn(r, model)
		if len(done) > 0 && r.IntN(10) == 0 {
			txn = done[max(0, len(done)-1-r.IntN(20))]
		}
		want, wantErr := model.Commit(context.Background(), txn)
		got, err := s.Commit(context.Background(), txn)
		if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("step %d: commit = %+v, %v; the model says %+v, %v", step, got, err, want, wantErr)
		}
		if want.Outcome == Done {
			done = append(done, txn)
		}
		if reopen != nil && r.IntN(100) == 0 {
			s = reopen()
		}
		if step%20 == 0 {
			expect(t, dump(t, s, ""), dump(t, model, ""))
		}
	}
	expect(t, dump(t, s, ""), dump(t, model, ""))
}

// randomTxn gives a transaction over few keys, so that they meet; most of its comparisons hold.
func randomTxn(r *rand.Rand, model *Memory) Txn {
	txn := Txn{Request: request()}
	for _, i := range r.Perm(12)[:r.IntN(6)] {
		key := fmt.Sprintf("k%d", i)
		switch r.IntN(4) {
		case 0:
			txn.Deletes = append(txn.Deletes, key)
		default:
			value := fmt.Appendf(nil, "%d", r.IntN(1000))
			if r.IntN(8) == 0 {
				value = bytes.Repeat(value, 1<<r.IntN(16))
			}
			txn.Puts = append(txn.Puts, Put{key, value})
		}
		e, _, _ := model.Get(context.Background(), key)
		if r.IntN(20) == 0 {
			e.Version += int64(r.IntN(3) - 1)
		}
		if r.IntN(2) == 0 && e.Version >= 0 {
			txn.Compares = append(txn.Compares, Compare{key, e.Version})
		}
	}
	return txn
}
