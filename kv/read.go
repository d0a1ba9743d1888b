package kv

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"

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
	Sources []int32        // which bucket it was found in, by the number that the caller gave it
	Schema  *quiver.Schema // that the places are about
}

// Release gives the columns back.
func (a *Answer) Release() {
	for _, c := range a.Columns {
		c.Release()
	}
}

// Lookup finds rows by their whole keys, in one bucket or several of one table. It is used by one goroutine.
type Lookup struct {
	// MaxBytes bounds the rows found, together: with more of them Find is ErrTooMuch, but a single key is always
	// answered. A row that is asked for twice counts twice, as it does in the answer. 0: no bound.
	MaxBytes int

	size    atomic.Int64 // of the rows found
	shape   *shape
	keys    [][]byte // without the prefix of a bucket
	found   []row
	sources []int32 // where each was found
}

// NewLookup begins a lookup of the keys in the columns, which are those of the primary key, in its order. The rows come
// as the schema given has them; see Tablet.Scan.
func (t *Tablet) NewLookup(schema *quiver.Schema, columns []arrow.Array) (*Lookup, error) {
	s, err := t.under(schema)
	if err != nil {
		return nil, err
	}
	if len(columns) != len(s.codec.keys) {
		return nil, quiver.Errorf(quiver.Internal, "kv: %d columns for a key of %d", len(columns), len(s.codec.keys))
	}
	n := columns[0].Len()
	keys, err := s.codec.encodeKeys(nil, inputsOf(columns), n)
	if err != nil {
		return nil, err
	}
	return &Lookup{shape: s, keys: keys, found: make([]row, n), sources: make([]int32, n)}, nil
}

// Find looks in a bucket for some of the keys, by their places; nil: all. source is what the answer says of where they
// were found.
func (l *Lookup) Find(ctx context.Context, t *Tablet, which []int32, source int32) error {
	at, calm := t.calm()
	still := func() bool { return t.applies.Load() == at }
	if calm {
		before := l.size.Load()
		far, err := l.findNear(t, which, source)
		if err == nil {
			err = l.findFar(ctx, t, far, source, still, still)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		l.size.Store(before)
	}
	if which == nil {
		which = slices.Collect(l.places(nil))
	}
	return l.findFar(ctx, t, which, source, nil, nil)
}

// findNear finds those of the keys whose rows are held, or that are known not to be there, and gives the others.
func (l *Lookup) findNear(t *Tablet, which []int32, source int32) (far []int32, err error) {
	n := len(which)
	if which == nil {
		n = len(l.keys)
	}
	var room [128]byte // a small row is copied once to where it stays
	memory, scratch := slab{pieces: n}, room[:0]
	for i := range l.places(which) {
		memory.pieces--
		l.sources[i] = source
		stored, sure := t.near(l.keys[i], &scratch)
		if !sure {
			if far == nil {
				far = make([]int32, 0, n)
			}
			far = append(far, i)
			continue
		}
		if l.found[i] = stored; stored != nil {
			if l.found[i], err = t.read(l.shape, stored); err != nil {
				return nil, t.store.readError(err)
			}
			l.found[i] = memory.keep(l.found[i])
		}
		if !l.grow(i) {
			return nil, ErrTooMuch
		}
	}
	return far, nil
}

// findFar searches for keys. See Tablet.search for still; with hold, what is found is held where that says so.
func (l *Lookup) findFar(ctx context.Context, t *Tablet, which []int32, source int32, still, hold func() bool) error {
	if len(which) > 1 {
		which = inKeyOrder(l.keys, 0, which)
	}
	return t.search(len(which), still, func(it *pebble.Iterator, from, until int) error {
		return l.findPart(ctx, t, it, which[from:until], source, hold)
	})
}

// findPart looks for keys that come in their order.
func (l *Lookup) findPart(ctx context.Context, t *Tablet, it *pebble.Iterator, which []int32, source int32, hold func() bool) (err error) {
	key := slices.Clone(t.rows)
	memory := slab{pieces: len(which)}
	for n, i := range which {
		if n%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.sources[i] = source
		memory.pieces--
		if n > 0 && bytes.Equal(l.keys[i], l.keys[which[n-1]]) {
			l.found[i] = l.found[which[n-1]]
		} else {
			key = append(key[:len(t.rows)], l.keys[i]...)
			if l.found[i], err = get(it, key); err == nil && l.found[i] != nil {
				stored := l.found[i]
				l.found[i], err = t.read(l.shape, stored)
				l.found[i] = memory.keep(l.found[i])
				if err == nil && hold != nil {
					t.store.engine.held.put(t.number, l.keys[i], stored, hold)
				}
			}
			if err != nil {
				return t.store.readError(err)
			}
		}
		if !l.grow(i) {
			return ErrTooMuch
		}
	}
	return nil
}

// Changed finds some of the keys, by their places, nil: all, in a change that was staged: the rows that it left, whatever
// became of them since.
func (l *Lookup) Changed(t *Tablet, c *Change, which []int32, source int32) error {
	key := slices.Clone(t.rows)
	for i := range l.places(which) {
		key = append(key[:len(t.rows)], l.keys[i]...)
		at, ok := slices.BinarySearchFunc(c.mutations, key, func(m mutation, key []byte) int { return bytes.Compare(m.key, key) })
		if !ok || c.mutations[at].row == nil {
			continue
		}
		found, err := t.read(l.shape, c.mutations[at].row)
		if err != nil {
			return t.store.readError(err)
		}
		l.size.Add(int64(l.shape.codec.weight(found)))
		l.found[i], l.sources[i] = found, source
	}
	return nil
}

// Missing gives those of some keys, by their places, nil: all, of which no row was found.
func (l *Lookup) Missing(which []int32) []int32 {
	var missing []int32
	for i := range l.places(which) {
		if l.found[i] == nil {
			missing = append(missing, i)
		}
	}
	return missing
}

// places gives the keys that a caller means, nil: all.
func (l *Lookup) places(which []int32) iter.Seq[int32] {
	if which != nil {
		return slices.Values(which)
	}
	return func(yield func(int32) bool) {
		for i := range l.keys {
			if !yield(int32(i)) {
				return
			}
		}
	}
}

// ErrTooMuch tells that the rows which a lookup found are above its limit: the caller asks for fewer keys at a time.
var ErrTooMuch = errors.New("kv: the rows that were found are too large for one answer")

// grow counts the row of a key, and says whether it is within the bound.
func (l *Lookup) grow(i int32) bool {
	if l.found[i] == nil {
		return true
	}
	size := l.size.Add(int64(l.shape.codec.weight(l.found[i])))
	return l.MaxBytes == 0 || size <= int64(l.MaxBytes) || len(l.keys) == 1
}

// Size is that of the rows found, in bytes.
func (l *Lookup) Size() int { return int(l.size.Load()) }

// Answer gives the rows that were found, in the order of their keys' places.
func (l *Lookup) Answer(places []int) (*Answer, error) {
	b := newAnswer(l.shape, len(l.keys), places)
	for i, r := range l.found {
		if r == nil {
			continue
		}
		if err := b.add(int64(i), l.sources[i], l.keys[i], r); err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}

// Get answers which of the keys there are in this bucket, in their order.
func (t *Tablet) Get(ctx context.Context, keys []arrow.Array, places []int) (*Answer, error) {
	l, err := t.NewLookup(nil, keys)
	if err != nil {
		return nil, err
	}
	if err := l.Find(ctx, t, nil, 0); err != nil {
		return nil, err
	}
	return l.Answer(places)
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

// answerBuilder builds an Answer.
type answerBuilder struct {
	outputs *outputs
	answer  *Answer
}

func newAnswer(s *shape, rows int, places []int) *answerBuilder {
	sorted := slices.Clone(places)
	if sorted == nil {
		sorted = []int{}
	}
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	return &answerBuilder{newOutputs(s.codec, min(rows, 1<<16), sorted...), &Answer{Places: sorted, Schema: s.Schema}}
}

func (b *answerBuilder) add(index int64, source int32, key []byte, r row) error {
	b.answer.Len++
	b.answer.Sources = append(b.answer.Sources, source)
	b.answer.Index = append(b.answer.Index, index)
	b.answer.Offsets = append(b.answer.Offsets, int64(r.offset()))
	return b.outputs.add(key, r)
}

// size is about what the answer takes so far.
func (b *answerBuilder) size() int { return b.outputs.size() + b.answer.Len*answerRow }

// answerRow is what a row of an answer takes beside its columns.
const answerRow = 20

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

// KeyPrefix encodes values of the leading columns of the primary key, in the Go types that quiver.ParseDefault gives.
func (t *Tablet) KeyPrefix(values []any) ([]byte, error) {
	c := t.current().codec
	if len(values) > len(c.keys) {
		return nil, quiver.Errorf(quiver.BadCommand, "%d values for a primary key of %d columns", len(values), len(c.keys))
	}
	var key []byte
	for i, v := range values {
		if v == nil {
			return nil, quiver.Errorf(quiver.BadCommand, "a value of the primary key is null")
		}
		raw, err := rawDefault(v)
		if err != nil {
			return nil, err
		}
		key = c.keys[i].append(key, raw)
	}
	return key, nil
}

// PrefixBounds are the bounds of all keys that begin with a prefix.
func PrefixBounds(prefix []byte) Bounds { return Bounds{From: prefix, Until: after(prefix)} }

// Scanner reads rows: of one bucket, or of several one after the other, or all of them in the order of their keys. It is
// used by one goroutine, and closed.
type Scanner struct {
	shape   *shape
	places  []int
	ordered bool
	open    []*bucketScan // that have rows left
	all     []*bucketScan
}

// bucketScan is where a scan stands in one bucket.
type bucketScan struct {
	tablet *Tablet
	source int32
	it     *pebble.Iterator
}

func (b *bucketScan) key() []byte { return b.it.Key()[rowPrefix:] }

// Scan begins to read the rows of the tablet within the bounds, as a snapshot has them; without one as they are now. The
// places are about the schema given, nil for the current one. It may be older or newer than what the tablet has heard
// of: by column id, columns that it does not have are left out, those dropped since are null, and a type that has
// changed since is SCHEMA_CHANGED.
func (t *Tablet) Scan(ctx context.Context, schema *quiver.Schema, snapshot *Snapshot, within Bounds, places []int) (*Scanner, error) {
	shape, err := t.under(schema)
	if err != nil {
		return nil, err
	}
	s := &Scanner{shape: shape, places: places}
	if err := s.Add(ctx, t, snapshot, within, 0); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// InKeyOrder has the rows of all buckets come in the order of their keys.
func (s *Scanner) InKeyOrder() { s.ordered = true }

// Add has the rows of another bucket read behind the others, or among them. source is what answers say of where a row
// is from.
func (s *Scanner) Add(ctx context.Context, t *Tablet, snapshot *Snapshot, within Bounds, source int32) error {
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
		return t.store.readError(err)
	}
	b := &bucketScan{tablet: t, source: source, it: it}
	s.all = append(s.all, b)
	if it.First() {
		s.open = append(s.open, b)
	}
	return t.store.readError(it.Error())
}

// next gives the bucket whose row comes next, nil at the end.
func (s *Scanner) next() *bucketScan {
	if len(s.open) == 0 {
		return nil
	}
	first := s.open[0]
	if s.ordered {
		for _, b := range s.open[1:] {
			if bytes.Compare(b.key(), first.key()) < 0 {
				first = b
			}
		}
	}
	return first
}

// scanRoom is for how many rows a scan makes room at once: nobody knows how many there are.
const scanRoom = 256

// Next gives the next rows: so many at most, of about so many bytes; at least one. nil ends the scan.
func (s *Scanner) Next(ctx context.Context, rows, maxBytes int) (*Answer, error) {
	if len(s.open) == 0 {
		return nil, nil
	}
	b := newAnswer(s.shape, min(rows, scanRoom), s.places)
	for b.answer.Len < rows && (b.answer.Len == 0 || b.size() < maxBytes) {
		if b.answer.Len%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		from := s.next()
		if from == nil {
			break
		}
		if err := s.take(from, b); err != nil {
			return nil, err
		}
	}
	return b.finish(), nil
}

// take adds one row and moves on.
func (s *Scanner) take(from *bucketScan, b *answerBuilder) error {
	stored, err := from.it.ValueAndErr()
	var r row
	if err == nil {
		r, err = from.tablet.read(s.shape, stored)
	}
	if err == nil {
		err = b.add(0, from.source, from.key(), r)
	}
	if err == nil && !from.it.Next() {
		s.open = slices.DeleteFunc(s.open, func(b *bucketScan) bool { return b == from })
		err = from.it.Error()
	}
	return from.tablet.store.readError(err)
}

// Schema is what the places of the scan are about.
func (s *Scanner) Schema() *quiver.Schema { return s.shape.Schema }

// Close ends the scan.
func (s *Scanner) Close() error {
	errs := make([]error, 0, len(s.all))
	for _, b := range s.all {
		errs = append(errs, b.it.Close())
	}
	s.all, s.open = nil, nil
	return errors.Join(errs...)
}
