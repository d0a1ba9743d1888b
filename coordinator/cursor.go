package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/planted"
)

// Vector is a place in each of some buckets of a table; unpartitioned tables have the one partition 0.
type Vector map[quiver.PartitionID]map[int32]quiver.Offset

// place is one bucket of a table.
type place struct {
	partition quiver.PartitionID
	bucket    int32
}

// at gives the offset in one bucket, if the vector names it.
func (v Vector) at(p place) (quiver.Offset, bool) {
	offset, ok := v[p.partition][p.bucket]
	return offset, ok
}

// inOrder goes through a vector by partition and bucket: a command that is refused for several reasons is told the same
// one whenever it is applied.
func (v Vector) inOrder() iter.Seq2[place, quiver.Offset] {
	return func(yield func(place, quiver.Offset) bool) {
		for _, partition := range slices.Sorted(maps.Keys(v)) {
			for _, bucket := range slices.Sorted(maps.Keys(v[partition])) {
				if !yield(place{partition, bucket}, v[partition][bucket]) {
					return
				}
			}
		}
	}
}

// Cursor is a place in a table that a consumer keeps under a name: what it is to read next. It is immutable.
type Cursor struct {
	Table     quiver.TableID
	Name      string
	Offsets   Vector // buckets that it does not name were never committed: they are read from their earliest row
	Committed int64  // Unix milliseconds
}

// Limits of cursors.
const (
	maxCursors       = 10_000  // of a table
	maxCursorBuckets = 200_000 // that one cursor names
)

// CommitCursor moves a cursor in the buckets that Offsets names, and makes it if there is none.
//
// With Expect it is done only if the cursor stands there still: at the offset expected in every bucket that Expect
// names, and nowhere yet in the others that Offsets names. A bucket in which it stands nowhere yet meets an
// expectation up to the bucket's earliest offset, which Earliest has.
type CommitCursor struct {
	Table    quiver.TableID
	Name     string
	Offsets  Vector
	Expect   Vector // nil: whatever it stands at
	Earliest Vector // of the buckets that Expect names
	Now      int64
}

// ResetCursor moves a cursor that exists, in all buckets: in those that Offsets does not name it stands nowhere then.
type ResetCursor struct {
	Table   quiver.TableID
	Name    string
	Offsets Vector
	Now     int64
}

func (c CommitCursor) apply(s *State) (*change, error) {
	t, err := s.cursorTable(c.Table, c.Name)
	if err != nil {
		return nil, err
	}
	i, found := findCursor(s.cursors, c.Table, c.Name)
	old := &Cursor{Table: c.Table, Name: c.Name}
	if found {
		old = s.cursors[i]
	} else if n := len(s.cursorsOf(c.Table)); n >= maxCursors {
		return nil, quiver.Errorf(quiver.QuotaExceeded, "a table has at most %d cursors", maxCursors).
			On("table " + t.Path()).Advise("take a cursor that is there: cursor.list names them")
	}
	if c.Expect != nil {
		if err := c.check(t, old); err != nil {
			return nil, err
		}
	}
	return s.moveCursor(t, old, old.Offsets, c.Offsets, c.Now)
}

// check compares where a cursor stands with what is expected.
func (c CommitCursor) check(t *quiver.Table, at *Cursor) error {
	for place, want := range c.Expect.inOrder() {
		got, stands := at.Offsets.at(place)
		if stands && got != want {
			return c.failed(t, place, fmt.Sprintf("it stands at %d, not at %d", got, want))
		}
		if earliest, _ := c.Earliest.at(place); !stands && want > earliest {
			return c.failed(t, place, fmt.Sprintf("it was never committed there, so it stands at %d, not at %d", earliest, want))
		}
	}
	for place := range c.Offsets.inOrder() {
		_, expected := c.Expect.at(place)
		if got, stands := at.Offsets.at(place); stands && !expected {
			return c.failed(t, place, fmt.Sprintf("it stands at %d, where expect names nothing", got))
		}
	}
	return nil
}

func (c CommitCursor) failed(t *quiver.Table, at place, what string) error {
	subject := fmt.Sprintf("cursor %q of table %s", c.Name, t.Path())
	for _, p := range t.Partitions {
		if p.ID == at.partition {
			subject += ", partition " + p.Name
		}
	}
	return quiver.Errorf(quiver.ConditionFailed, "%s", what).On(fmt.Sprintf("%s, bucket %d", subject, at.bucket)).
		Advise("somebody else moved it: read cursor.list, and go on from there")
}

func (c ResetCursor) apply(s *State) (*change, error) {
	t, err := s.cursorTable(c.Table, c.Name)
	if err != nil {
		return nil, err
	}
	i, found := findCursor(s.cursors, c.Table, c.Name)
	if !found {
		return nil, s.noCursor(t, c.Name)
	}
	return s.moveCursor(t, s.cursors[i], nil, c.Offsets, c.Now)
}

// moveCursor puts a cursor where a vector says, and elsewhere where it was. Partitions that are gone fall out.
func (s *State) moveCursor(t *quiver.Table, old *Cursor, was, to Vector, now int64) (*change, error) {
	moved := Cursor{Table: t.ID, Name: old.Name, Offsets: Vector{}, Committed: max(now, old.Committed)}
	partitions := map[quiver.PartitionID]bool{0: !t.Partitioned()}
	for _, p := range t.Partitions {
		partitions[p.ID] = true
	}
	n := 0
	for _, vector := range []Vector{was, to} {
		for p, at := range vector.inOrder() {
			if !partitions[p.partition] {
				continue
			}
			if p.bucket < 0 || p.bucket >= t.Buckets || at < 0 {
				return nil, quiver.Errorf(quiver.BucketNotFound, "offset %d of bucket %d cannot be; the table has buckets 0 to %d", at, p.bucket, t.Buckets-1).
					On(fmt.Sprintf("cursor %q of table %s", old.Name, t.Path())).Advise("log.offsets tells where each bucket begins and ends")
			}
			if moved.Offsets[p.partition] == nil {
				moved.Offsets[p.partition] = map[int32]quiver.Offset{}
			}
			moved.Offsets[p.partition][p.bucket] = at
			n++
			for b := int32(0); planted.Is(planted.CursorEverywhere) && b < t.Buckets; b++ {
				moved.Offsets[p.partition][b] = max(moved.Offsets[p.partition][b], at)
			}
		}
	}
	if n > maxCursorBuckets {
		return nil, quiver.Errorf(quiver.QuotaExceeded, "a cursor names at most %d buckets", maxCursorBuckets).
			On(fmt.Sprintf("cursor %q of table %s", old.Name, t.Path())).Advise("keep places of fewer buckets, or spread them over cursors")
	}
	ch := s.newChange()
	ch.put(cursorKey(t.ID, moved.Name), cursorRecord{Offsets: moved.Offsets, Committed: moved.Committed})
	ch.result = Result{Cursor: &moved, Changed: true}
	return ch, nil
}

// cursorTable gives the table of a cursor, whose name it checks.
func (s *State) cursorTable(id quiver.TableID, name string) (*quiver.Table, error) {
	if err := quiver.CheckName("cursor", name); err != nil {
		return nil, err
	}
	return s.partitioned(id)
}

func (s *State) noCursor(t *quiver.Table, name string) error {
	err := quiver.Errorf(quiver.CursorNotFound, "nothing was committed under it").On(fmt.Sprintf("cursor %q of table %s", name, t.Path()))
	cursors := s.cursorsOf(t.ID)
	known := make([]string, min(len(cursors), maxSuggested))
	for i := range known {
		known[i] = cursors[i].Name
	}
	if near := quiver.Nearest(name, known); near != "" {
		return err.Advise(fmt.Sprintf("there is %q", near))
	}
	return err.Advise("it is made by its first cursor.commit")
}

// cursorsOf gives the cursors of a table by name.
func (s *State) cursorsOf(id quiver.TableID) []*Cursor {
	from, _ := findCursor(s.cursors, id, "")
	until := from
	for until < len(s.cursors) && s.cursors[until].Table == id {
		until++
	}
	return s.cursors[from:until:until]
}

func findCursor(cursors []*Cursor, table quiver.TableID, name string) (int, bool) {
	return slices.BinarySearchFunc(cursors, name, func(c *Cursor, name string) int {
		return cmp.Or(cmp.Compare(c.Table, table), strings.Compare(c.Name, name))
	})
}

func (s *State) putCursor(key string, value []byte) error {
	c, err := parseCursor(key, value)
	if err != nil {
		return err
	}
	i, found := findCursor(s.cursors, c.Table, c.Name)
	s.cursors = with(s.cursors, i, found, c)
	return nil
}

func (s *State) removeCursor(key string) error {
	table, name, err := parseCursorKey(key)
	if i, found := findCursor(s.cursors, table, name); err == nil && found {
		s.cursors = without(s.cursors, i, i+1)
	}
	return err
}

// checkCursors checks that the cursors that were loaded are of tables.
func (s *State) checkCursors() error {
	for _, c := range s.cursors {
		if s.tableByID(c.Table) == nil {
			return damaged(cursorKey(c.Table, c.Name), fmt.Errorf("there is no table %d", c.Table))
		}
	}
	return nil
}

// CommitCursor moves a cursor as the command says, whose time is the coordinator's, and gives it as it is then.
func (c *Coordinator) CommitCursor(ctx context.Context, command CommitCursor) (*Cursor, error) {
	command.Now = c.now()
	r, err := c.do(ctx, command)
	return r.Cursor, err
}

// ResetCursor moves a cursor that exists to a place in all buckets, and gives it as it is then.
func (c *Coordinator) ResetCursor(ctx context.Context, table quiver.TableID, name string, to Vector) (*Cursor, error) {
	r, err := c.do(ctx, ResetCursor{Table: table, Name: name, Offsets: to, Now: c.now()})
	return r.Cursor, err
}

// Cursor gives a cursor of a table. The error is CURSOR_NOT_FOUND, or TABLE_NOT_FOUND.
func (c *Coordinator) Cursor(table quiver.TableID, name string) (*Cursor, error) {
	s := c.shown.Load()
	if i, found := findCursor(s.cursors, table, name); found {
		return s.cursors[i], nil
	}
	t, err := s.cursorTable(table, name)
	if err != nil {
		return nil, err
	}
	return nil, s.noCursor(t, name)
}

// Cursors gives the cursors of a table by name.
func (c *Coordinator) Cursors(table quiver.TableID) []*Cursor { return c.shown.Load().cursorsOf(table) }

// Clone gives a copy that may be changed.
func (v Vector) Clone() Vector {
	c := make(Vector, len(v))
	for partition, buckets := range v {
		c[partition] = maps.Clone(buckets)
	}
	return c
}
