package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

// simple is what there is, in the plainest form: what the commands that were not refused say, one by one.
type simple struct {
	databases map[string]map[string]string // properties
	tables    map[quiver.TableID]*simpleTable
}

type simpleTable struct {
	path       string
	partitions map[string]quiver.PartitionID // by encoded value
	cursors    map[string]Vector
}

func newSimple() *simple {
	return &simple{databases: map[string]map[string]string{}, tables: map[quiver.TableID]*simpleTable{}}
}

// apply takes a command that was decided.
func (s *simple) apply(c Command, r Result, err error) {
	if err != nil {
		return
	}
	switch c := c.(type) {
	case StartServer:
		if s.databases["default"] == nil {
			s.databases["default"] = map[string]string{}
		}
	case CreateDatabase:
		if r.Changed {
			s.databases[c.Name] = maps.Clone(c.Properties)
		}
	case AlterDatabase:
		for _, name := range c.Reset {
			delete(s.databases[c.Name], name)
		}
		maps.Copy(s.databases[c.Name], c.Set)
	case DropDatabase:
		delete(s.databases, c.Name)
		maps.DeleteFunc(s.tables, func(_ quiver.TableID, t *simpleTable) bool { return strings.HasPrefix(t.path, c.Name+".") })
	case CreateTable:
		if r.Changed {
			s.tables[r.Table.ID] = &simpleTable{path: r.Table.Path(), partitions: map[string]quiver.PartitionID{}, cursors: map[string]Vector{}}
		}
	case DropTable:
		if r.Changed {
			delete(s.tables, r.Table.ID)
		}
	case CreatePartitions:
		for _, p := range r.Partitions {
			s.tables[c.Table].partitions[quiver.SplitPartition(p.Name)] = p.ID
		}
	case DropPartition:
		for _, p := range r.Partitions {
			delete(s.tables[c.Table].partitions, quiver.SplitPartition(p.Name))
		}
	case CommitCursor:
		at := s.tables[c.Table].cursors[c.Name].Clone()
		for partition, buckets := range c.Offsets {
			for bucket, offset := range buckets {
				if at[partition] == nil {
					at[partition] = map[int32]quiver.Offset{}
				}
				at[partition][bucket] = offset
			}
		}
		s.tables[c.Table].cursors[c.Name] = at
	case ResetCursor:
		s.tables[c.Table].cursors[c.Name] = c.Offsets.Clone()
	}
}

// check compares a state with the model. Which partitions the clock makes and drops has a test of its own: of tables
// with such partitions only those made by hand that are there still are looked at.
func (s *simple) check(t *testing.T, state *State) {
	t.Helper()
	got, want := map[string]string{}, map[string]string{}
	for name, properties := range s.databases {
		want["database "+name] = fmt.Sprint(properties)
	}
	for _, d := range state.databases {
		properties := d.Properties
		if properties == nil {
			properties = map[string]string{}
		}
		got["database "+d.Name] = fmt.Sprint(properties)
	}
	for id, table := range s.tables {
		want[fmt.Sprint("table ", id)] = table.path
	}
	for _, table := range state.tables {
		got[fmt.Sprint("table ", table.ID)] = table.Path()
		model := s.tables[table.ID]
		if model == nil {
			t.Fatalf("table %d is there still", table.ID)
		}
		there := map[string]quiver.PartitionID{}
		for _, p := range table.Partitions {
			there[quiver.SplitPartition(p.Name)] = p.ID
		}
		if table.Options.Map()["partition.auto"] != "" || len(table.Partitions) > 0 && model.clocked(there) {
			model.partitions = there
		}
		want[fmt.Sprint("partitions of ", table.ID)], got[fmt.Sprint("partitions of ", table.ID)] = fmt.Sprint(model.partitions), fmt.Sprint(there)
		for name, vector := range model.cursors {
			// A partition that comes later does not stand where it was committed before.
			maps.DeleteFunc(vector, func(p quiver.PartitionID, _ map[int32]quiver.Offset) bool { return !hasPartition(table, p) })
			want[fmt.Sprint("cursor ", table.ID, name)] = readable(vector, table)
		}
		for _, c := range state.cursorsOf(table.ID) {
			got[fmt.Sprint("cursor ", table.ID, c.Name)] = readable(c.Offsets, table)
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("the state has\n%v\nthe model\n%v", got, want)
	}
}

// clocked says that partitions which the model does not know were made by the clock, before the option went.
func (s *simpleTable) clocked(there map[string]quiver.PartitionID) bool {
	for value := range there {
		if _, known := s.partitions[value]; !known && len(value) == len("19700101") {
			s.partitions[value] = there[value]
		}
	}
	return false
}

// readable lists where a vector stands, in the partitions that are there.
func readable(v Vector, t *quiver.Table) string {
	var places []string
	for partition, buckets := range v {
		if !hasPartition(t, partition) {
			continue
		}
		for bucket, at := range buckets {
			places = append(places, fmt.Sprintf("%d/%d=%d", partition, bucket, at))
		}
	}
	slices.Sort(places)
	return strings.Join(places, " ")
}
