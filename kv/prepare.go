package kv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/planted"
)

// Rows is a batch to be prepared.
type Rows struct {
	Len     int
	Columns []arrow.Array // by place in the schema; nil: not sent. Key columns are all there
	Op      Op            // of all rows, or
	Ops     []Op          // of each row, where they are not nil
	// Partial says that columns which were not sent keep their value. Without it they take their defaults.
	Partial bool
	// Listed are places of columns that a partial delete is about beside those sent: it needs no values of them.
	Listed []int
	// Expected holds, of each row, the offset of the last change that its key is to have: −1 none at all, null no
	// condition. nil: no row has one. It is judged by the state before the batch.
	Expected *array.Int64
	// Missing inserts absent keys only, and leaves the others as they are.
	Missing bool
	// Alone says that no other large change is under way: without it a large one is ErrAlone.
	Alone bool
}

// ErrAlone tells that a change takes much memory: the caller prepares it again once no other such one is under way.
var ErrAlone = errors.New("kv: the change is large")

// Counter gives numbers that nobody was given before.
type Counter func() (int64, error)

// Prepare decides what the rows do, one after the other, by what is applied and staged. Nothing is changed: the caller
// stages the change, or leaves it. A batch that is refused is refused as a whole: CONDITION_FAILED, DELETE_DISABLED,
// SCHEMA_MISMATCH, and BATCH_TOO_LARGE if what it does is much more than what it says: few bytes may touch many rows.
// ErrAlone is no refusal.
func (t *Tablet) Prepare(rows *Rows, next Counter) (*Change, error) {
	s := t.current()
	p := preparation{tablet: t, shape: s, rows: rows, next: next}
	if err := p.encode(); err != nil {
		return nil, err
	}
	if err := p.lookup(); err != nil {
		return nil, err
	}
	if err := p.judge(); err != nil {
		return nil, err
	}
	for i := range rows.Len {
		before := len(p.entries)
		if err := p.decide(i); err != nil {
			return nil, err
		}
		for i := range p.entries[before:] {
			e := &p.entries[before+i]
			e.weight = len(e.key) + s.codec.weight(e.row)
			if err := p.grow(e.weight); err != nil {
				return nil, err
			}
		}
	}
	return p.change(), nil
}

// preparation is one batch on its way to a change.
type preparation struct {
	tablet *Tablet
	shape  *shape
	rows   *Rows
	next   Counter

	sent    []bool       // of each value column; nil: the put is about all of them
	keys    [][]byte     // of each row
	values  []row        // of each row
	states  []state      // of each different key, in their order
	ofRow   []int32      // of each row: its state
	entries []entry      // what stands in the changelog
	size    atomic.Int64 // bytes of the rows found and of the changelog
}

// defaultChange is the most that the rows found for a batch and its changelog may have together, in bytes. From aloneFrom
// on there is one such batch at a time.
const (
	defaultChange = 1 << 30
	aloneFrom     = 64 << 20
)

// grow counts bytes that the batch takes in memory, and refuses what is beyond the bound.
func (p *preparation) grow(bytes int) error {
	size := int(p.size.Add(int64(bytes)))
	if size > p.tablet.store.engine.change {
		return p.tooLarge()
	}
	if size > p.tablet.store.engine.alone && !p.rows.Alone {
		return ErrAlone
	}
	return nil
}

func (p *preparation) tooLarge() error {
	return quiver.Errorf(quiver.BatchTooLarge, "the %d rows of the batch change rows so large that these and the changelog have more than %d bytes; nothing of it was applied in this bucket",
		p.rows.Len, p.tablet.store.engine.change).Advise("send fewer rows at a time: write_table(t, max_chunksize=100)")
}

// state is what becomes of one key.
type state struct {
	key     []byte
	before  row // as applied or staged; nil: none
	now     row
	changed bool
	entry   int // the last one that concerns the key
}

// encode makes keys and rows.
func (p *preparation) encode() error {
	c := p.shape.codec
	keys := make([]*input, len(c.keys))
	for i := range c.keys {
		keys[i] = newInput(p.rows.Columns[c.keys[i].place])
	}
	var err error
	if p.keys, err = c.encodeKeys(p.tablet.rows, keys, p.rows.Len); err != nil {
		return err
	}
	values := make([]*input, len(c.values))
	p.sent = make([]bool, len(c.values))
	all := true
	for i := range c.values {
		if column := p.rows.Columns[c.values[i].place]; column != nil {
			values[i], p.sent[i] = newInput(column), true
		} else {
			p.sent[i] = slices.Contains(p.rows.Listed, c.values[i].place)
			all = all && p.sent[i]
		}
	}
	if all || !p.rows.Partial {
		p.sent = nil
	}
	if p.rows.Ops == nil && p.rows.Op != Upsert {
		return nil // a delete needs no values
	}
	p.values, err = c.encode(values, p.rows.Len, p.tablet.store.engine.change)
	if errors.Is(err, errTooLarge) {
		return p.tooLarge()
	}
	return err
}

// lookup finds the current rows of all keys, which are visited in their order.
func (p *preparation) lookup() error {
	order := inKeyOrder(p.keys, rowPrefix, nil)
	p.ofRow = make([]int32, p.rows.Len)
	p.states = make([]state, 0, p.rows.Len)
	for n, i := range order {
		if n == 0 || !bytes.Equal(p.keys[i], p.keys[order[n-1]]) {
			p.states = append(p.states, state{key: p.keys[i]})
		}
		p.ofRow[i] = int32(len(p.states) - 1)
	}
	found := p.overlay()
	if err := p.applied(found); err != nil {
		return err
	}
	for i := range p.states {
		p.states[i].now = p.states[i].before
	}
	p.entries = make([]entry, 0, p.expected())
	return nil
}

// expected is how many entries of the changelog the rows will have, if each changes something and its key comes once.
func (p *preparation) expected() int {
	n := p.rows.Len
	if p.shape.OmitBefore || p.rows.Op == Delete || p.rows.Missing {
		return n
	}
	for _, i := range p.ofRow {
		if p.states[i].before != nil {
			n++
		}
	}
	return n
}

// overlay takes what is staged, and tells which keys that was all about. It comes before the look into Pebble: what is
// staged no more by then has been applied.
func (p *preparation) overlay() (found []bool) {
	t := p.tablet
	found = make([]bool, len(p.states))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.latest) == 0 || planted.Is(planted.OverlayNotFolded) {
		return found
	}
	for i := range p.states {
		if m := t.latest[string(p.states[i].key)]; m != nil {
			p.states[i].before, found[i] = m.row, true
		}
	}
	return found
}

// applied takes the others from what is near, or from Pebble.
func (p *preparation) applied(found []bool) error {
	far, err := p.near(found)
	if err != nil {
		return err
	}
	return p.tablet.search(len(far), nil, func(it *pebble.Iterator, from, until int) error {
		return p.far(it, far[from:until])
	})
}

// near takes the rows that are held, and gives the states of keys that have to be searched for.
func (p *preparation) near(found []bool) (far []int32, err error) {
	memory, scratch := slab{pieces: len(p.states)}, []byte(nil)
	for i := range p.states {
		s := &p.states[i]
		memory.pieces--
		stored, sure := s.before, found[i]
		if !sure {
			stored, sure = p.tablet.near(s.key[rowPrefix:], &scratch)
		}
		if !sure {
			if far == nil {
				far = make([]int32, 0, len(p.states))
			}
			far = append(far, int32(i))
			continue
		}
		if err := p.take(s, stored, !found[i], &memory); err != nil {
			return nil, err
		}
	}
	return far, nil
}

// far searches for the keys of some states, in their order.
func (p *preparation) far(it *pebble.Iterator, which []int32) error {
	memory := slab{pieces: len(which)}
	for _, i := range which {
		s := &p.states[i]
		memory.pieces--
		stored, err := get(it, s.key)
		if err != nil {
			return p.tablet.store.readError(err)
		}
		if err := p.take(s, stored, true, &memory); err != nil {
			return err
		}
	}
	return nil
}

// take takes the row of a key, nil: none, as it is stored. It is copied into memory if it does not stay what it is.
func (p *preparation) take(s *state, stored row, passing bool, memory *slab) (err error) {
	if s.before = stored; stored == nil {
		return nil
	}
	if s.before, err = p.tablet.read(p.shape, stored); err != nil {
		return p.tablet.store.readError(err)
	}
	if p.rows.Missing { // that it is there suffices
		s.before = s.before[:rowHeader:rowHeader]
	}
	if passing || p.rows.Missing {
		s.before = memory.keep(s.before)
	}
	return p.grow(p.shape.codec.weight(s.before))
}

// judge looks at the conditions.
func (p *preparation) judge() error {
	expected := p.rows.Expected
	if expected == nil {
		return nil
	}
	for i := range p.rows.Len {
		if expected.IsNull(i) {
			continue
		}
		at := quiver.Offset(-1)
		if before := p.states[p.ofRow[i]].before; before != nil {
			at = before.offset()
		}
		if want := quiver.Offset(expected.Value(i)); at != want {
			return p.conditionFailed(i, want, at)
		}
	}
	return nil
}

func (p *preparation) conditionFailed(i int, want, at quiver.Offset) error {
	what := "is absent"
	if at >= 0 {
		what = fmt.Sprintf("was changed last at offset %d", at)
	}
	expected := fmt.Sprintf("offset %d", want)
	if want < 0 {
		expected = "no row"
	}
	return quiver.Errorf(quiver.ConditionFailed, "row %d expects %s, but its key %s %s; nothing of the batch was applied in this bucket",
		i, expected, p.shape.codec.keyText(p.keys[i][rowPrefix:]), what).
		Advise("look the key up again and decide anew").
		Note("row", strconv.Itoa(i)).Note("offset", strconv.FormatInt(int64(at), 10))
}

// decide applies one row to the state of its key.
func (p *preparation) decide(i int) error {
	op := p.rows.Op
	if p.rows.Ops != nil {
		op = p.rows.Ops[i]
	}
	s := &p.states[p.ofRow[i]]
	switch op {
	case Skip:
		return nil
	case Delete:
		return p.delete(s)
	}
	if s.now == nil {
		return p.insert(s, p.values[i])
	}
	if p.rows.Missing {
		return nil
	}
	return p.update(s, p.values[i])
}

func (p *preparation) insert(s *state, next row) error {
	m := &p.shape.merge
	if err := m.first(next); err != nil {
		return err
	}
	if m.counter >= 0 {
		if !p.shape.codec.get(next, m.counter).null {
			return p.counterGiven()
		}
		id, err := p.next()
		if err != nil {
			return err
		}
		if width := p.shape.codec.values[m.counter].width; signed(putInteger(uint64(id), width)) != id {
			return columnError(p.shape.codec.values[m.counter].field.Name, errOverflow)
		}
		next = m.count(next, id)
	}
	p.add(quiver.Insert, s, next)
	s.set(next, len(p.entries)-1)
	return nil
}

func (p *preparation) counterGiven() error {
	name := p.shape.codec.values[p.shape.merge.counter].field.Name
	return quiver.Errorf(quiver.SchemaMismatch, "column %q is filled by the server, and a new row gives it a value", name).
		Advise("leave the column out, or null")
}

func (p *preparation) update(s *state, next row) error {
	m := &p.shape.merge
	if m.counter >= 0 {
		given, now := p.shape.codec.get(next, m.counter), p.shape.codec.get(s.now, m.counter)
		if !given.null && !bytes.Equal(given.raw, now.raw) {
			return p.counterGiven()
		}
	}
	after, err := m.upsert(s.now, next, p.sent)
	if err != nil {
		return err
	}
	if after.sameValues(s.now) {
		if !p.shape.EmitNoOp {
			return nil
		}
		after = bytes.Clone(after) // it gets an offset of its own
	}
	if planted.Is(planted.UpdateBeforeStale) {
		s.now = after
	}
	p.before(s)
	p.add(quiver.UpdateAfter, s, after)
	s.set(after, len(p.entries)-1)
	return nil
}

func (p *preparation) delete(s *state) error {
	switch p.shape.Deletes {
	case IgnoreDelete:
		return nil
	case DisableDelete:
		return quiver.Errorf(quiver.DeleteDisabled, "the table takes no deletes").Advise("its option delete-behavior says so")
	}
	if s.now == nil {
		return nil
	}
	if p.rows.Partial && p.sent != nil && slices.Contains(p.sent, true) {
		left := p.shape.merge.partialDelete(s.now, p.sent)
		if left != nil {
			if err := p.deletable(); err != nil {
				return err
			}
			if left.sameValues(s.now) {
				return nil
			}
			p.before(s)
			p.add(quiver.UpdateAfter, s, left)
			s.set(left, len(p.entries)-1)
			return nil
		}
	}
	p.add(quiver.Delete, s, s.now)
	s.set(nil, len(p.entries)-1)
	return nil
}

// deletable refuses a partial delete of a column that has to have a value.
func (p *preparation) deletable() error {
	for i, sent := range p.sent {
		if field := p.shape.codec.values[i].field; sent && (!field.Nullable || i == p.shape.merge.counter) {
			return quiver.Errorf(quiver.SchemaMismatch, "column %q may not be null, and the delete of some columns names it", field.Name).
				Advise(`leave it out of "columns", or delete the whole row`)
		}
	}
	return nil
}

// before adds the row that an update replaces.
func (p *preparation) before(s *state) {
	if !p.shape.OmitBefore {
		p.add(quiver.UpdateBefore, s, s.now)
	}
}

func (p *preparation) add(what quiver.ChangeType, s *state, r row) {
	p.entries = append(p.entries, entry{what: what, key: s.key, row: r})
}

// set makes a row the current one.
func (s *state) set(r row, entry int) { s.now, s.changed, s.entry = r, true, entry }

// change gives what was decided.
func (p *preparation) change() *Change {
	changed := 0
	for i := range p.states {
		if p.states[i].changed {
			changed++
		}
	}
	c := &Change{shape: p.shape, entries: p.entries, rows: len(p.entries), Bytes: int(p.size.Load()), mutations: make([]mutation, 0, changed)}
	for i := range p.states {
		s := &p.states[i]
		if !s.changed {
			continue
		}
		c.mutations = append(c.mutations, mutation{change: c, key: s.key, row: s.now, entry: s.entry})
		c.size += len(s.key) + len(s.now) + mutationCost
		switch {
		case s.before == nil && s.now != nil:
			c.inserted++
		case s.before != nil && s.now == nil && !planted.Is(planted.DeleteNotCounted):
			c.inserted--
		}
	}
	return c
}

// mutationCost is about what a mutation takes in a Pebble batch beside key and row.
const mutationCost = 16
