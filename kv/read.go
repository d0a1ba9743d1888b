package kv

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
)

// Answer is some rows, column by column.
type Answer struct {
	Len     int
	Places  []int          // of Columns in the schema, ascending
	Columns []arrow.Array  // the caller releases them
	Offsets []int64        // of each row: that of its last change
	Index   []int64        // of a lookup: the place of its key among those asked for
	Schema  *quiver.Schema // that the places are about
}

// Release gives the columns back.
func (a *Answer) Release() {
	for _, c := range a.Columns {
		c.Release()
	}
}

// CheckKeys finds the columns of a lookup among those of the primary key: all of them, or, of a prefix, the first ones.
func CheckKeys(c Config, names []string, prefix bool) error {
	var key []string
	for _, id := range c.Key {
		column, _ := c.Schema.Column(id)
		key = append(key, column.Field.Name)
	}
	if prefix && len(names) > 0 && len(names) <= len(key) && slices.Equal(names, key[:len(names)]) {
		return nil
	}
	if !prefix && slices.Equal(names, key) {
		return nil
	}
	what := "all columns of the primary key, in its order"
	if prefix {
		what = "the first columns of the primary key, in its order"
	}
	return quiver.Errorf(quiver.BadCommand, "a lookup by %q does not name %s: %q", names, what, key)
}

// Get answers which of the keys there are, in their order. keys has the columns of the primary key.
func (t *Tablet) Get(ctx context.Context, keys []arrow.Array, places []int) (*Answer, error) {
	s := t.current()
	n := keys[0].Len()
	encoded, err := s.codec.encodeKeys(t.rows, inputsOf(keys), n)
	if err != nil {
		return nil, err
	}
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return bytes.Compare(encoded[a], encoded[b]) })
	found, err := t.getSorted(ctx, s, encoded, order)
	if err != nil {
		return nil, err
	}
	b := newAnswer(s, n, places)
	for i, r := range found {
		if r == nil {
			continue
		}
		if err := b.add(int64(i), encoded[i][rowPrefix:], r); err != nil {
			return nil, t.store.readError(err)
		}
	}
	return b.finish(), nil
}

func inputsOf(columns []arrow.Array) []*input {
	inputs := make([]*input, len(columns))
	for i := range columns {
		inputs[i] = newInput(columns[i])
	}
	return inputs
}

// checkEvery is after how many rows a long read looks whether anybody still waits for it.
const checkEvery = 1024

func (t *Tablet) getSorted(ctx context.Context, s *shape, keys [][]byte, order []int32) ([]row, error) {
	it, err := t.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: t.rows, UpperBound: after(t.rows)})
	if err != nil {
		return nil, t.store.readError(err)
	}
	found := make([]row, len(keys))
	for n, i := range order {
		if n%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), it.Close())
		}
		if n > 0 && bytes.Equal(keys[i], keys[order[n-1]]) {
			found[i] = found[order[n-1]]
			continue
		}
		if found[i], err = get(it, keys[i]); err == nil && found[i] != nil {
			found[i], err = t.read(s, found[i])
		}
		if err != nil {
			break
		}
	}
	return found, t.store.readError(firstError(err, it.Error(), it.Close()))
}

// answerBuilder builds an Answer.
type answerBuilder struct {
	outputs *outputs
	answer  *Answer
}

func newAnswer(s *shape, rows int, places []int) *answerBuilder {
	sorted := slices.Compact(slices.Sorted(slices.Values(places)))
	if sorted == nil {
		sorted = []int{}
	}
	return &answerBuilder{newOutputs(s.codec, min(rows, 1<<16), sorted...), &Answer{Places: sorted, Schema: s.Schema}}
}

func (b *answerBuilder) add(index int64, key []byte, r row) error {
	b.answer.Len++
	b.answer.Index = append(b.answer.Index, index)
	b.answer.Offsets = append(b.answer.Offsets, int64(r.offset()))
	return b.outputs.add(key, r)
}

func (b *answerBuilder) finish() *Answer {
	b.answer.Columns = b.outputs.finish()
	return b.answer
}

// Snapshot is all buckets of a store at one moment.
type Snapshot struct {
	store    *Store
	snapshot *pebble.Snapshot
}

// Snapshot takes what is applied now. It is closed before the store.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{s, s.engine.db.NewSnapshot()} }

// Close ends the snapshot.
func (s *Snapshot) Close() error { return s.snapshot.Close() }

// Mark is how far a bucket had come.
func (s *Snapshot) Mark(id quiver.BucketID) (Mark, error) { return s.store.mark(s.snapshot, id) }

// Bounds are the rows whose keys lie in [From, Until), each an encoded prefix of a key. nil: no bound.
type Bounds struct {
	From, Until []byte
}

// KeyPrefix encodes the leading columns of the primary key of one row.
func (t *Tablet) KeyPrefix(columns []arrow.Array, i int) ([]byte, error) {
	c := t.current().codec
	if len(columns) > len(c.keys) {
		return nil, quiver.Errorf(quiver.BadCommand, "%d values for a primary key of %d columns", len(columns), len(c.keys))
	}
	var key []byte
	for n, column := range columns {
		in := newInput(column)
		if in.null(i) {
			return nil, quiver.Errorf(quiver.BadCommand, "a value of the primary key is null")
		}
		key = c.keys[n].append(key, in.raw(i))
	}
	return key, nil
}

// PrefixBounds are the bounds of all keys that begin with a prefix.
func PrefixBounds(prefix []byte) Bounds { return Bounds{From: prefix, Until: after(prefix)} }

// Scanner reads rows in the order of their keys. It is used by one goroutine, and closed.
type Scanner struct {
	tablet *Tablet
	shape  *shape
	it     *pebble.Iterator
	places []int
	valid  bool // the iterator stands on a row that was not given yet
}

// Scan reads the rows within the bounds, as a snapshot has them; without one as they are now.
func (t *Tablet) Scan(ctx context.Context, snapshot *Snapshot, within Bounds, places []int) (*Scanner, error) {
	lower, upper := t.rows, after(t.rows)
	if within.From != nil {
		lower = slices.Concat(t.rows, within.From)
	}
	if within.Until != nil {
		upper = slices.Concat(t.rows, within.Until)
	}
	if bytes.Compare(lower, upper) > 0 {
		upper = lower
	}
	var reader pebble.Reader = t.store.engine.db
	if snapshot != nil {
		reader = snapshot.snapshot
	}
	it, err := reader.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, t.store.readError(err)
	}
	return &Scanner{tablet: t, shape: t.current(), it: it, places: places, valid: it.First()}, nil
}

// Next gives the next rows: so many at most, of about so many bytes; at least one. nil ends the scan.
func (s *Scanner) Next(ctx context.Context, rows, maxBytes int) (*Answer, error) {
	if !s.valid {
		return nil, s.tablet.store.readError(s.it.Error())
	}
	b := newAnswer(s.shape, rows, s.places)
	for s.valid && b.answer.Len < rows && (b.answer.Len == 0 || b.outputs.size() < maxBytes) {
		if b.answer.Len%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		stored, err := s.it.ValueAndErr()
		var r row
		if err == nil {
			r, err = s.tablet.read(s.shape, stored)
		}
		if err == nil {
			err = b.add(0, s.it.Key()[rowPrefix:], r)
		}
		if err != nil {
			return nil, s.tablet.store.readError(err)
		}
		s.valid = s.it.Next()
	}
	if err := s.it.Error(); err != nil {
		return nil, s.tablet.store.readError(err)
	}
	return b.finish(), nil
}

// Schema is what the places of the scan are about.
func (s *Scanner) Schema() *quiver.Schema { return s.shape.Schema }

// Close ends the scan.
func (s *Scanner) Close() error { return s.it.Close() }
