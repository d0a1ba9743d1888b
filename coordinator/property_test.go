package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// seeded gives a random source whose seed is printed.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// testSchema has a bit of everything that a record must carry.
var testSchema = arrow.NewSchema([]arrow.Field{
	{Name: "Größe", Type: arrow.PrimitiveTypes.Int64},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Berlin"}, Nullable: true},
	{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
}, nil)

// randomCommand gives a command that makes sense more often than not.
func randomCommand(r *rand.Rand, now int64) Command {
	name := fmt.Sprintf("t%d", r.IntN(8))
	if r.IntN(2) == 0 {
		return randomChange(r, now, name)
	}
	switch r.IntN(12) {
	case 0:
		return StartServer{Now: now}
	case 1, 2, 3:
		options := []map[string]string{nil, {"segment.age": "2h"}, {"writer.expiry": "20d"}, {"nonsense": "1"}}
		var by []string
		if r.IntN(2) == 0 {
			by = []string{"Größe"}
			options = append(options, map[string]string{"partition.auto": "day", "partition.retain": "3"}, map[string]string{"statistics": "at,Größe"})
		}
		return CreateTable{Now: now, TableSpec: quiver.TableSpec{
			PartitionBy: by,
			Database:    randomDatabase(r), Name: name, Schema: testSchema, Buckets: int32(r.IntN(5)), IfNotExists: r.IntN(2) == 0,
			Options: options[r.IntN(len(options))], Comment: "ü",
		}}
	case 4:
		return DropTable{Database: randomDatabase(r), Name: name, IfExists: r.IntN(2) == 0, Now: now}
	case 5:
		return PurgeTombstone{Table: quiver.TableID(r.IntN(30))}
	case 6, 7, 8:
		return Elect{Bucket: quiver.BucketID{
			Table: quiver.TableID(r.IntN(30)), Partition: quiver.PartitionID(r.IntN(2) * r.IntN(40)), Bucket: int32(r.IntN(5)),
		}}
	case 9:
		return InitWriter{Now: now}
	case 10:
		id := quiver.WriterID(r.IntN(40))
		return InitWriter{ID: &id, Now: now}
	}
	return InitWriter{Name: fmt.Sprintf("w%d", r.IntN(4)), Principal: []string{"", "etl"}[r.IntN(2)], Now: now}
}

func randomDatabase(r *rand.Rand) string {
	return []string{"default", "default", "d1", "d2"}[r.IntN(4)]
}

// randomChange gives a command on databases, partitions, columns or cursors.
func randomChange(r *rand.Rand, now int64, name string) Command {
	table := quiver.TableID(r.IntN(30))
	partition := fmt.Sprintf("Größe=%d", r.IntN(6))
	vector := func() Vector {
		v := Vector{}
		for range r.IntN(4) {
			id := quiver.PartitionID(r.IntN(2) * r.IntN(40))
			if v[id] == nil {
				v[id] = map[int32]quiver.Offset{}
			}
			v[id][int32(r.IntN(4))] = quiver.Offset(r.IntN(3))
		}
		return v
	}
	switch r.IntN(12) {
	case 0:
		return CreateDatabase{Name: randomDatabase(r), Comment: "ü", IfNotExists: r.IntN(2) == 0, Properties: map[string]string{"a": "b"}, Now: now}
	case 1:
		return AlterDatabase{Name: randomDatabase(r), Set: map[string]string{"c": "d"}, Reset: []string{"a"}}
	case 2:
		return DropDatabase{Name: randomDatabase(r), Cascade: r.IntN(2) == 0, IfExists: r.IntN(2) == 0, Now: now}
	case 3, 4, 5:
		names := []string{partition, fmt.Sprintf("Größe=%d", r.IntN(6)), "Größe=-1"}[:1+r.IntN(3)]
		return CreatePartitions{Table: table, Names: names, IfNotExists: r.IntN(2) == 0, Now: now}
	case 6:
		return DropPartition{Table: table, Name: partition, IfExists: r.IntN(2) == 0, Now: now}
	case 7:
		return PurgePartition{quiver.PartitionRef{Table: table, Partition: quiver.PartitionID(r.IntN(40))}}
	case 8:
		return AutoPartitions{Now: now}
	case 9:
		return AlterTable{Database: randomDatabase(r), Name: name, Changes: randomAlteration(r)}
	case 10:
		return ResetCursor{Table: table, Name: fmt.Sprintf("c%d", r.IntN(3)), Offsets: vector(), Now: now}
	}
	c := CommitCursor{Table: table, Name: fmt.Sprintf("c%d", r.IntN(3)), Offsets: vector(), Now: now}
	if r.IntN(3) == 0 {
		c.Expect, c.Earliest = vector(), vector()
	}
	return c
}

func randomAlteration(r *rand.Rand) []quiver.TableChange {
	all := []quiver.TableChange{
		{SchemaChange: quiver.SchemaChange{Add: &quiver.AddColumn{Name: fmt.Sprintf("x%d", r.IntN(3)), Type: "int32", Default: []byte("7"), First: true}}},
		{SchemaChange: quiver.SchemaChange{Drop: []string{"at", "x1", "Größe"}[r.IntN(3)]}},
		{SchemaChange: quiver.SchemaChange{Rename: &quiver.RenameColumn{From: []string{"Größe", "at", "x0"}[r.IntN(3)], To: []string{"Größe", "at", "ü"}[r.IntN(3)]}}},
		{SchemaChange: quiver.SchemaChange{Widen: &quiver.WidenColumn{Name: "x2", Type: "int64"}}},
		{Set: map[string]string{"segment.age": "3h"}},
		{Reset: []string{"segment.age", "partition.auto", "partition.retain"}},
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+r.IntN(2)]
}

// promises watches what may never happen, whatever the commands were.
type promises struct {
	highest quiver.Epoch                     // of all epochs given to leaders
	buckets map[quiver.BucketID]quiver.Epoch // the last one of each
	tables  map[quiver.TableID]string        // every table there ever was
	parts   map[quiver.PartitionID]string    // every partition there ever was, with its table
	writers map[quiver.WriterID]quiver.Epoch // every writer there ever was
	next    quiver.WriterID
	version int64
	lossy   bool // some answers were not noted: a crash came in between
}

func newPromises() *promises {
	return &promises{
		buckets: map[quiver.BucketID]quiver.Epoch{}, tables: map[quiver.TableID]string{},
		parts:   map[quiver.PartitionID]string{},
		writers: map[quiver.WriterID]quiver.Epoch{},
	}
}

func (p *promises) answered(t *testing.T, c Command, r Result) {
	t.Helper()
	switch c := c.(type) {
	case StartServer, Elect:
		if r.Epoch <= p.highest {
			t.Fatalf("%+v gave epoch %d after %d", c, r.Epoch, p.highest)
		}
		p.highest = r.Epoch
	case CreateTable:
		if _, known := p.tables[r.Table.ID]; r.Changed && known {
			t.Fatalf("table id %d was given twice", r.Table.ID)
		}
		p.tables[r.Table.ID] = r.Table.Path()
	case InitWriter:
		last, known := p.writers[r.Writer.ID]
		if known && (r.Writer.Epoch <= last || c.ID == nil && c.Name == "") || !known && r.Writer.Epoch != 0 && !p.lossy {
			t.Fatalf("%+v gave %+v, its epoch was %d", c, r.Writer, last)
		}
		p.writers[r.Writer.ID] = r.Writer.Epoch
	}
}

func (p *promises) desired(t *testing.T, d quiver.Desired) {
	t.Helper()
	if d.Version < p.version || d.NextWriter < p.next {
		t.Fatalf("version %d, next writer %d went back", d.Version, d.NextWriter)
	}
	p.version, p.next = d.Version, d.NextWriter
	for _, table := range d.Tables {
		for _, part := range table.Partitions {
			owner := fmt.Sprintf("%d created %d", table.ID, part.Created)
			if other, known := p.parts[part.ID]; known && other != owner {
				t.Fatalf("partition id %d was given to table %s and to %s", part.ID, other, owner)
			}
			p.parts[part.ID] = owner
		}
	}
	for _, a := range d.Assignments {
		if a.Epoch < p.buckets[a.Bucket] {
			t.Fatalf("bucket %v has epoch %d after %d", a.Bucket, a.Epoch, p.buckets[a.Bucket])
		}
		p.buckets[a.Bucket] = a.Epoch
	}
	for _, g := range d.Writers {
		if g.Epoch < p.writers[g.ID] {
			t.Fatalf("writer %d has epoch %d after %d", g.ID, g.Epoch, p.writers[g.ID])
		}
	}
}

// same compares two states by everything in them.
func same(t *testing.T, got, want *State) {
	t.Helper()
	if !sameState(got, want) {
		t.Fatalf("states differ:\n%s\nwant:\n%s\n%+v\n%+v", formatDesired(got.Desired()), formatDesired(want.Desired()), got, want)
	}
}

func sameState(a, b *State) bool {
	x, y := *a, *b
	for _, s := range []*State{&x, &y} { // nil and empty are the same
		s.databases = append([]Database{}, s.databases...)
		s.tables = append([]*quiver.Table{}, s.tables...)
		s.paths = append([]*quiver.Table{}, s.paths...)
		s.dropped = append([]Tombstone{}, s.dropped...)
		s.elected = append([]quiver.Assignment{}, s.elected...)
		s.writers = append([]*writer{}, s.writers...)
		s.named = append([]*writer{}, s.named...)
		s.assignments = append([]quiver.Assignment{}, s.assignments...)
		s.grants = append([]quiver.WriterGrant{}, s.grants...)
		s.droppedIDs = append([]quiver.TableID{}, s.droppedIDs...)
		s.cursors = append([]*Cursor{}, s.cursors...)
		s.droppedPartitions = append([]PartitionTombstone{}, s.droppedPartitions...)
		s.droppedRefs = append([]quiver.PartitionRef{}, s.droppedRefs...)
	}
	return reflect.DeepEqual(x, y)
}

// obvious derives what Desired says in the plainest way.
func obvious(s *State) quiver.Desired {
	d := quiver.Desired{Version: s.version, Tables: s.tables, NextWriter: s.NextWriter}
	elected := map[quiver.BucketID]quiver.Epoch{}
	for _, a := range s.elected {
		elected[a.Bucket] = a.Epoch
	}
	for _, t := range s.tables {
		ids := []quiver.PartitionID{0}
		if t.Partitioned() {
			ids = nil
			for _, p := range t.Partitions {
				ids = append(ids, p.ID)
			}
			slices.Sort(ids)
		}
		for _, id := range ids {
			for b := range t.Buckets {
				bucket := quiver.BucketID{Table: t.ID, Partition: id, Bucket: b}
				d.Assignments = append(d.Assignments, quiver.Assignment{Bucket: bucket, Epoch: max(s.Base, elected[bucket])})
			}
		}
	}
	for _, tomb := range s.droppedPartitions {
		d.DroppedPartitions = append(d.DroppedPartitions, tomb.PartitionRef)
	}
	for _, tomb := range s.dropped {
		d.Dropped = append(d.Dropped, tomb.Table)
	}
	for _, w := range s.writers {
		d.Writers = append(d.Writers, w.WriterGrant)
	}
	return d
}

// TestRandomCommands runs random commands. After each the state equals the one loaded from the store, what is kept
// for speed equals what is obvious, no promise is broken, and no state changed that was there before.
func TestRandomCommands(t *testing.T) {
	r := seeded(t)
	for range 8 {
		m := newMachine()
		p := newPromises()
		simple := newSimple()
		type snapshot struct {
			state *State
			text  string
		}
		var snapshots []snapshot
		commands := []Command{StartServer{Now: m.now}}
		for range 150 {
			m.now += r.Int64N(12 * time.Hour.Milliseconds())
			commands = append(commands, randomCommand(r, m.now))
		}
		for _, c := range commands {
			before := formatDesired(m.state.Desired())
			old := m.state
			_, result, err := m.run(c)
			if after := formatDesired(old.Desired()); after != before {
				t.Fatalf("%+v changed the state it was applied to:\n%s\nwas:\n%s", c, after, before)
			}
			failed := err
			if err == nil {
				p.answered(t, c, result)
			} else if quiver.ReasonOf(err) == "" || quiver.ReasonOf(err) == quiver.Internal {
				t.Fatalf("%+v: %v", c, err)
			}
			p.desired(t, m.state.Desired())
			simple.apply(c, result, failed)
			simple.check(t, m.state)
			loaded, err := Load(context.Background(), m.store)
			if err != nil {
				t.Fatal(err)
			}
			same(t, m.state, loaded)
			if got, want := formatDesired(m.state.Desired()), formatDesired(obvious(m.state)); got != want {
				t.Fatalf("desired:\n%s\nwant:\n%s", got, want)
			}
			snapshots = append(snapshots, snapshot{m.state, formatDesired(m.state.Desired())})
		}
		for _, s := range snapshots {
			if got := formatDesired(s.state.Desired()); got != s.text {
				t.Fatalf("a snapshot changed:\n%s\nwas:\n%s", got, s.text)
			}
		}
	}
}

// TestGroupsEqualSingles runs the same commands in groups and one by one.
func TestGroupsEqualSingles(t *testing.T) {
	r := seeded(t)
	for range 20 {
		single, grouped := newMachine(), newMachine()
		pending := []Command{StartServer{Now: single.now}}
		for range 10 {
			g := newGroup(grouped.state)
			for _, c := range pending {
				_, want, wantErr := single.run(c)
				got, err := g.apply(c)
				if fmt.Sprint(err) != fmt.Sprint(wantErr) || formatAnswer(c, got, err) != formatAnswer(c, want, wantErr) {
					t.Fatalf("%+v in a group: %+v, %v; alone: %+v, %v", c, got, err, want, wantErr)
				}
			}
			if txn := g.txn(); len(txn.Puts) > 0 {
				grouped.last++
				txn.Request = metastore.RequestID{9: byte(grouped.last), 15: 1}
				done, err := grouped.store.Commit(context.Background(), txn)
				if err != nil {
					t.Fatal(err)
				}
				g.next.version = done.Version
				grouped.state = g.next
			}
			want := *single.state
			want.version = grouped.state.version
			same(t, grouped.state, &want)
			loaded, err := Load(context.Background(), grouped.store)
			if err != nil {
				t.Fatal(err)
			}
			same(t, grouped.state, loaded)
			pending = nil
			for range r.IntN(30) {
				single.now += r.Int64N(12 * time.Hour.Milliseconds())
				pending = append(pending, randomCommand(r, single.now))
			}
		}
	}
}

func formatAnswer(c Command, r Result, err error) string {
	if err != nil {
		return err.Error()
	}
	return formatResult(c, r)
}
