package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// firstColumns are those of the table in which the first row of a key stays.
var firstColumns = []quiver.ColumnSpec{
	{Name: "k", Type: "int64", Nullable: new(bool)},
	{Name: "client", Type: "int32"},
	{Name: "n", Type: "int64"},
}

// firsts is what all clients of a first-row table know of it together. A row is named "client/n".
type firsts struct {
	mu      sync.Mutex // guards what follows
	there   map[int64]bool
	row     map[int64]string // by key: the row that was shown
	refused map[string]bool  // rows that were surely not stored
	late    map[string]bool  // rows that were put when their key had one
}

func newFirsts() *firsts {
	return &firsts{there: map[int64]bool{}, row: map[int64]string{}, refused: map[string]bool{}, late: map[string]bool{}}
}

// begin notes that a row is about to be put.
func (f *firsts) begin(k int64, row string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.there[k] {
		f.late[row] = true
	}
}

// done notes that a row was acknowledged: its key has one, this or another.
func (f *firsts) done(k int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there[k] = true
}

// never notes that a row was refused.
func (f *firsts) never(row string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[row] = true
}

// known tells whether a key surely has a row.
func (f *firsts) known(k int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.there[k]
}

// learn notes the row that a key was shown with; the error tells that it is not the first one.
func (f *firsts) learn(k int64, row string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, shown := f.row[k]
	switch {
	case shown && before != row:
		return broken("first: key %d is %s and was %s", k, row, before)
	case f.late[row]:
		return broken("first: key %d is %s, which was put when it had a row", k, row)
	case f.refused[row]:
		return broken("ghost: key %d is %s, which was refused", k, row)
	}
	f.there[k], f.row[k] = true, row
	return nil
}

// first is one of the clients that put rows of the same keys at the same time, and look at who came first.
type first struct {
	*client
	firsts *firsts
	n      int64
}

// firstWindow is how many keys are used at one time; they move on with the puts of the client.
const firstWindow = 6

func (f *first) session(ctx context.Context, c *conn) (done bool, err error) {
	for range 1 + f.random.IntN(30) {
		if err := f.change(ctx, c); err != nil {
			return false, err
		}
		if f.ends() {
			return true, f.look(ctx, c)
		}
		if f.random.IntN(2) == 0 {
			if err := f.look(ctx, c); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func (f *first) key() int64 { return f.n/8 + f.random.Int64N(firstWindow) }

// change puts some rows, the same key perhaps several times.
func (f *first) change(ctx context.Context, c *conn) error {
	n := 1 + f.random.IntN(5)
	keys, ns, clients := make([]int64, n), make([]int64, n), array.NewInt32Builder(memory.DefaultAllocator)
	names := make([]string, n)
	for i := range n {
		f.n++
		keys[i], ns[i], names[i] = f.key(), f.n, firstName(f.number, f.n)
		clients.Append(f.number)
		f.firsts.begin(keys[i], names[i])
	}
	batch := batchOf([]string{"k", "client", "n"}, ints(keys...), clients.NewArray(), ints(ns...))
	defer batch.Release()
	f.write(note{Is: isSent, Put: f.n, Value: int64(n)})
	err := c.putOne(ctx, putCommand{Put: f.table}, batch)
	switch {
	case err == nil:
		for _, k := range keys {
			f.firsts.done(k)
		}
		f.write(note{Is: isDone, Put: f.n})
		f.count("first rows acknowledged", int64(n))
	case surelyNot(err):
		for _, row := range names {
			f.firsts.never(row)
		}
		f.write(note{Is: isRefused, Put: f.n})
	default:
		f.write(note{Is: isUnknown, Put: f.n})
	}
	return err
}

// firstName names a row.
func firstName(client int32, n int64) string { return fmt.Sprintf("%d/%d", client, n) }

// look reads the keys that are in use.
func (f *first) look(ctx context.Context, c *conn) error {
	keys := make([]json.RawMessage, 0, firstWindow)
	known := make(map[int64]bool, firstWindow)
	for k := range int64(firstWindow) {
		k += f.n / 8
		known[k] = f.firsts.known(k)
		keys = append(keys, fmt.Appendf(nil, "[%d]", k))
	}
	batches, err := c.LookupKeys(ctx, flight.LookupCommand{Table: flight.Named(f.table), Keys: keys})
	if err != nil {
		return err
	}
	for _, b := range batches {
		k, client, n := column(b, "k"), column(b, "client"), column(b, "n")
		for i := range int(b.NumRows()) {
			key, row := intAt(k, i), firstName(int32(intAt(client, i)), intAt(n, i))
			if err := f.firsts.learn(key, row); err != nil {
				return err
			}
			delete(known, key)
			f.write(note{Is: isFound, Put: f.n, Key: row, Value: key})
		}
		b.Release()
	}
	f.count("lookups", firstWindow)
	for k, was := range known {
		if was {
			return broken("lost: key %d of %s had a row and is looked up as absent", k, f.table)
		}
	}
	return nil
}

// judgeFirst checks a first-row table: its changelog inserts each key once, with the row that everyone was shown.
func judgeFirst(ctx context.Context, c *conn, table string, known *firsts) error {
	folded, err := foldLog(ctx, c, table, "k", func(ch change) error {
		return known.change(ch.what, ch.at("k"), firstName(int32(ch.at("client")), ch.at("n")))
	})
	if err != nil {
		return err
	}
	if err := known.all(func(k int64) bool { _, ok := folded[fmt.Sprint(k)]; return ok }); err != nil {
		return err
	}
	return judgeFold(ctx, c, table, "k", folded)
}

// change judges an entry of the changelog.
func (f *firsts) change(what string, k int64, row string) error {
	if what != "+I" {
		return broken("first: %s of key %d stands in the changelog", what, k)
	}
	return f.learn(k, row)
}

// all expects that every key that had a row has one.
func (f *firsts) all(has func(k int64) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.there {
		if !has(k) {
			return broken("lost: key %d was acknowledged or shown, and has no row", k)
		}
	}
	return nil
}
