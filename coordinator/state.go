package coordinator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/quiverlog/quiver"
)

// State is everything the coordinator knows: the image of the keys in the metadata store.
//
// Its slices are never changed in place, only replaced or appended to, so that a copy of the struct is a snapshot that
// stays as it is. Appending shares memory between a state and its successor; therefore every state has at most one
// successor that is kept.
type State struct {
	head
	version   int64 // of the key "head", 0 in an empty store: the version of the state
	databases []Database
	tables    []*quiver.Table     // by id
	paths     []*quiver.Table     // the same, by database and name
	dropped   []Tombstone         // by table id
	elected   []quiver.Assignment // by bucket; those not above the base have no effect any more
	writers   []*writer           // by id
	named     []*writer           // those with a name, by principal and name

	droppedPartitions []PartitionTombstone // by table and partition
	cursors           []*Cursor            // by table and name
	counters          []counter            // by table

	// What follows from the above, and is kept because it is asked for after every command.
	assignments []quiver.Assignment  // one for each bucket, by bucket; see stale
	grants      []quiver.WriterGrant // one for each writer, by id
	droppedIDs  []quiver.TableID

	droppedRefs []quiver.PartitionRef
	loaded      []loadedPartition // while loading: they come before their tables
	stale       bool              // assignments are to be derived anew, by settle, before anybody sees the state
}

// Database is a name space of tables.
type Database struct {
	Name       string
	Comment    string
	Properties map[string]string // of the users' own; do not change it
	Created    int64             // Unix milliseconds
}

// Tombstone orders that the data of a table be deleted.
type Tombstone struct {
	Table   quiver.TableID
	Path    string // the name it had
	Buckets int32
	Dropped int64 // Unix milliseconds
}

// PartitionTombstone orders that the data of a partition be deleted.
type PartitionTombstone struct {
	quiver.PartitionRef
	Path    string // of the table, and the name the partition had: "shop.orders dt=2026-11-22"
	Buckets int32
	Dropped int64 // Unix milliseconds
}

// writer is a producer with the newest epoch that was granted to it.
type writer struct {
	quiver.WriterGrant
	name      string // "": none
	principal string // who asked for it first
}

// Version of the state: it rises with every change, also over restarts.
func (s *State) Version() int64 { return s.version }

// Desired gives what the servers are to converge to. It shares memory with the state, which is settled, and is
// immutable like it.
func (s *State) Desired() quiver.Desired {
	return quiver.Desired{
		Version: s.version,
		Tables:  s.tables,
		Dropped: s.droppedIDs,

		DroppedPartitions: s.droppedRefs,
		Assignments:       s.assignments,
		Writers:           s.grants,
		NextWriter:        s.NextWriter,
	}
}

// tellsAsMuch says that servers that converged to one state have nothing to do for the other. It may say no where
// there is nothing to do.
func (s *State) tellsAsMuch(o *State) bool {
	return sameSlice(s.tables, o.tables) && sameSlice(s.assignments, o.assignments) && sameSlice(s.grants, o.grants) &&
		sameSlice(s.droppedIDs, o.droppedIDs) && sameSlice(s.droppedRefs, o.droppedRefs) && s.NextWriter == o.NextWriter
}

// sameSlice says that two slices, which are never changed in place, are one.
func sameSlice[E any](a, b []E) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// epoch gives the epoch of a bucket that exists.
func (s *State) epoch(b quiver.BucketID) quiver.Epoch {
	if i, ok := findAssignment(s.elected, b); ok {
		return max(s.Base, s.elected[i].Epoch)
	}
	return s.Base
}

func (s *State) database(name string) (Database, bool) {
	i, ok := findDatabase(s.databases, name)
	if !ok {
		return Database{}, false
	}
	return s.databases[i], true
}

// table gives the table of a name, or nil.
func (s *State) table(database, name string) *quiver.Table {
	if i, ok := findPath(s.paths, database, name); ok {
		return s.paths[i]
	}
	return nil
}

// tableByID gives the table of an id, or nil.
func (s *State) tableByID(id quiver.TableID) *quiver.Table {
	if i, ok := findTable(s.tables, id); ok {
		return s.tables[i]
	}
	return nil
}

func findPath(paths []*quiver.Table, database, name string) (int, bool) {
	return slices.BinarySearchFunc(paths, [2]string{database, name}, func(t *quiver.Table, want [2]string) int {
		return cmp.Or(strings.Compare(t.Database, want[0]), strings.Compare(t.Name, want[1]))
	})
}

func findTable(tables []*quiver.Table, id quiver.TableID) (int, bool) {
	return slices.BinarySearchFunc(tables, id, func(t *quiver.Table, id quiver.TableID) int { return cmp.Compare(t.ID, id) })
}

func findTombstone(dropped []Tombstone, id quiver.TableID) (int, bool) {
	return slices.BinarySearchFunc(dropped, id, func(t Tombstone, id quiver.TableID) int { return cmp.Compare(t.Table, id) })
}

func findPartitionTombstone(dropped []PartitionTombstone, ref quiver.PartitionRef) (int, bool) {
	return slices.BinarySearchFunc(dropped, ref, func(t PartitionTombstone, ref quiver.PartitionRef) int {
		return comparePartitions(t.PartitionRef, ref)
	})
}

func comparePartitions(a, b quiver.PartitionRef) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Partition, b.Partition))
}

func findAssignment(assignments []quiver.Assignment, b quiver.BucketID) (int, bool) {
	return slices.BinarySearchFunc(assignments, b, func(a quiver.Assignment, b quiver.BucketID) int {
		return compareBuckets(a.Bucket, b)
	})
}

func compareBuckets(a, b quiver.BucketID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Bucket, b.Bucket))
}

func findWriter(writers []*writer, id quiver.WriterID) (int, bool) {
	return slices.BinarySearchFunc(writers, id, func(w *writer, id quiver.WriterID) int { return cmp.Compare(w.ID, id) })
}

func findNamed(named []*writer, principal, name string) (int, bool) {
	return slices.BinarySearchFunc(named, [2]string{principal, name}, func(w *writer, want [2]string) int {
		return cmp.Or(strings.Compare(w.principal, want[0]), strings.Compare(w.name, want[1]))
	})
}

// with gives a copy of a slice in which an element was put at a place: replacing the one there, or before it. At the
// end it appends, and may share memory.
func with[E any](s []E, i int, replace bool, e E) []E {
	switch {
	case i == len(s):
		return append(s, e)
	case replace:
		s = slices.Clone(s)
		s[i] = e
		return s
	}
	grown := make([]E, 0, len(s)+1)
	grown = append(append(grown, s[:i]...), e)
	return append(grown, s[i:]...)
}

// without gives a copy of a slice that lacks [i, j).
func without[E any](s []E, i, j int) []E {
	shorter := make([]E, 0, len(s))
	return append(append(shorter, s[:i]...), s[j:]...)
}
