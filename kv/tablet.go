package kv

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
)

// Tablet is the rows of one bucket. Prepare, Stage and Truncate are called under the lock of the bucket's owner, which
// keeps their order; everything else may be called from many goroutines.
//
// Invariants, under mu:
//
//   - mark is what Pebble has; mark.Applied <= staged.
//   - queue holds the changes in [mark.Applied, staged), in order.
//   - latest has, of each key in the queue, what its last change leaves.
type Tablet struct {
	store  *Store
	id     quiver.BucketID
	rows   []byte // begins the keys of rows
	number uint64 // of all tablets that this store gave: rows that are held are of one

	applies atomic.Uint64         // begun and done: odd while one is under way (see nearby.go)
	known   atomic.Pointer[known] // nil: there is none

	advancing sync.Mutex // held by the one who applies
	retired   bool       // under advancing

	mu     sync.Mutex
	shape  *shape
	queue  []*Change
	latest map[string]*mutation
	mark   Mark
	staged quiver.Offset
}

// shape is how a tablet reads and writes rows under one configuration. It is replaced, never changed.
type shape struct {
	Config
	codec *codec
	merge merger

	mu       sync.Mutex
	upgrades map[quiver.SchemaID]*upgrade
}

// mutation is what a change leaves of one key.
type mutation struct {
	change *Change
	key    []byte // with the bucket's prefix
	row    row    // nil: the row is gone
	entry  int    // the last one of the change that concerns the key
}

// Tablet gives the rows of a bucket. What it finds in the database is what was applied last.
func (s *Store) Tablet(id quiver.BucketID, c Config) (*Tablet, error) {
	mark, err := s.mark(s.engine.db, id)
	if err != nil {
		return nil, err
	}
	t := &Tablet{store: s, id: id, rows: rowsKey(id), number: s.engine.tablets.Add(1), latest: map[string]*mutation{}, mark: mark, staged: mark.Applied}
	if err := t.knowKeys(); err != nil {
		return nil, err
	}
	return t, t.Configure(c)
}

// Configure takes over a configuration that may have changed. A schema never goes back; the primary key never changes.
func (t *Tablet) Configure(c Config) error {
	t.mu.Lock()
	old := t.shape
	t.mu.Unlock()
	if old != nil && c.Schema.ID() < old.Schema.ID() {
		return nil // somebody was slow
	}
	codec, err := newCodec(c.Schema, c.Key)
	if err != nil {
		return err
	}
	merge, err := newMerger(codec, c)
	if err != nil {
		return err
	}
	if err := t.store.keepSchema(t.id.Table, c.Schema); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shape = &shape{Config: c, codec: codec, merge: merge, upgrades: map[quiver.SchemaID]*upgrade{}}
	return nil
}

// Mark is how far the rows have come.
func (t *Tablet) Mark() Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mark
}

func (t *Tablet) current() *shape {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shape
}

// under gives the shape in which rows are read under a schema; nil: the current one.
func (t *Tablet) under(schema *quiver.Schema) (*shape, error) {
	s := t.current()
	if schema == nil || schema.ID() == s.Schema.ID() {
		return s, nil
	}
	codec, err := newCodec(schema, s.Key)
	if err != nil {
		return nil, err
	}
	return &shape{Config: Config{Schema: schema, Key: s.Key}, codec: codec, upgrades: map[quiver.SchemaID]*upgrade{}}, nil
}

// read checks a stored row and brings it to the schema of a shape.
func (t *Tablet) read(s *shape, stored row) (row, error) {
	if len(stored) < rowHeader {
		return nil, errRow
	}
	if stored.schema() == s.Schema.ID() {
		return stored, s.codec.check(stored)
	}
	u, err := t.upgrade(s, stored.schema())
	if err != nil {
		return nil, err
	}
	if err := u.from.check(stored); err != nil {
		return nil, err
	}
	return u.row(stored)
}

// upgrade gives the way from a schema to the shape's.
func (t *Tablet) upgrade(s *shape, from quiver.SchemaID) (*upgrade, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upgrades[from]; u != nil {
		return u, nil
	}
	schema, err := t.store.schema(t.id.Table, from)
	if err != nil {
		return nil, err
	}
	codec, err := newCodec(schema, s.Key)
	if err != nil {
		return nil, err
	}
	u, err := newUpgrade(codec, s.codec)
	if err != nil {
		return nil, err
	}
	s.upgrades[from] = u
	return u, nil
}

// Stage makes a prepared change known to the next Prepare, under the offset that the log gave to its first entry. A
// change without entries is nothing.
func (t *Tablet) Stage(c *Change, at quiver.Offset) {
	if c.rows == 0 {
		return
	}
	c.from, c.until = at, at+quiver.Offset(c.rows)
	c.entries = nil // the log has them
	for i := range c.mutations {
		if m := &c.mutations[i]; m.row != nil {
			m.row.setOffset(at + quiver.Offset(m.entry))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, c)
	t.staged = c.until
	t.indexLocked(c)
}

func (t *Tablet) indexLocked(c *Change) {
	for i := range c.mutations {
		m := &c.mutations[i]
		t.latest[unsafe.String(unsafe.SliceData(m.key), len(m.key))] = m // a mutation's key never changes
	}
}

// Advance applies what was staged before the high watermark, in one Pebble batch for each run of changes. When it
// returns, readers see it. No change has a higher epoch than the one given.
func (t *Tablet) Advance(high quiver.Offset, epoch quiver.Epoch) error {
	t.advancing.Lock()
	defer t.advancing.Unlock()
	if t.retired {
		return ErrRetired
	}
	for {
		run, mark := t.due(high)
		if len(run) == 0 {
			return t.store.Failed()
		}
		mark.Epoch = epoch
		if err := t.apply(run, mark); err != nil {
			return err
		}
		t.applied(run, mark)
	}
}

// ErrRetired means that another Tablet of the same bucket applies changes now.
var ErrRetired = errors.New("kv: the bucket has another owner")

// Retire has the tablet apply nothing any more: another one takes over. Rows can still be read.
func (t *Tablet) Retire() {
	t.advancing.Lock()
	defer t.advancing.Unlock()
	if !t.retired {
		t.retired = true
		t.applies.Add(1) // the other one applies what this one does not see
	}
}

// applyBytes is about how much goes into one Pebble batch.
const applyBytes = 4 << 20

// due gives the changes to apply next, and the mark after them.
func (t *Tablet) due(high quiver.Offset) ([]*Change, Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark, n, size := t.mark, 0, 0
	for n < len(t.queue) && t.queue[n].until <= high && (n == 0 || size < applyBytes || t.queue[n-1].continued) {
		mark.Applied = t.queue[n].until
		mark.Rows += t.queue[n].inserted
		size += t.queue[n].size
		n++
	}
	return t.queue[:n:n], mark
}

// apply writes changes and the mark after them.
func (t *Tablet) apply(run []*Change, mark Mark) error {
	if err := pointBeforeApply.Hit(); err != nil {
		return err
	}
	size := 0
	for _, c := range run {
		size += c.size
	}
	b := t.store.engine.db.NewBatchWithSize(size)
	for _, c := range run {
		for i := range c.mutations {
			write(b, &c.mutations[i])
		}
	}
	t.store.engine.recent.wrote(int(b.Count()))
	t.applies.Add(1)
	defer t.applies.Add(1)
	t.learn(run)
	err := t.commit(b, mark)
	t.hold(run, err == nil)
	return err
}

// commit ends a batch with the mark.
func (t *Tablet) commit(b *pebble.Batch, mark Mark) error {
	_ = b.Set(markKey(t.id), mark.encode(), nil) // a batch is memory
	err := errors.Join(b.Commit(pebble.NoSync), b.Close(), t.store.Failed())
	if err != nil {
		return fmt.Errorf("kv: apply: %w", err)
	}
	return pointAfterApply.Hit()
}

func write(b *pebble.Batch, m *mutation) {
	if m.row == nil {
		_ = b.Delete(m.key, nil)
		return
	}
	_ = b.Set(m.key, m.row, nil)
}

// applied forgets what Pebble has by now.
func (t *Tablet) applied(run []*Change, mark Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark = mark
	t.queue = t.queue[len(run):]
	if len(t.queue) == 0 {
		t.queue = nil
		clear(t.latest)
		return
	}
	for _, c := range run {
		for i := range c.mutations {
			if m := &c.mutations[i]; t.latest[string(m.key)] == m {
				delete(t.latest, string(m.key))
			}
		}
	}
}

// Truncate forgets what was staged at or behind an offset that the log lost.
func (t *Tablet) Truncate(at quiver.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.queue)
	for n > 0 && t.queue[n-1].until > at {
		n--
	}
	if n == len(t.queue) {
		return
	}
	t.queue = t.queue[:n:n]
	t.staged = t.mark.Applied
	clear(t.latest)
	for _, c := range t.queue {
		t.staged = c.until
		t.indexLocked(c)
	}
}

// Staged is one past the last offset that was staged or applied.
func (t *Tablet) Staged() quiver.Offset {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.staged
}
