package quiver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"pgregory.net/rapid"
)

// changeWord is a change as table.alter has it.
type changeWord struct {
	Add     *AddColumn        `json:"add"`
	Drop    string            `json:"drop"`
	Rename  *RenameColumn     `json:"rename"`
	Widen   *WidenColumn      `json:"widen"`
	Move    *MoveColumn       `json:"move"`
	Set     map[string]string `json:"set"`
	Reset   []string          `json:"reset"`
	Comment *string           `json:"comment"`
}

func (w changeWord) change() TableChange {
	return TableChange{SchemaChange: SchemaChange{w.Add, w.Drop, w.Rename, w.Widen, w.Move}, Set: w.Set, Reset: w.Reset, Comment: w.Comment}
}

// TestAlter runs cases: the columns, with partition, bucket and option lines as they are needed, then a change to a
// line. The answer is the columns with their ids, and what else changed, or the faults.
func TestAlter(t *testing.T) {
	runScript(t, "alter.txt", func(input string) string {
		lines := strings.Split(input, "\n")
		spec := TableSpec{Database: "d", Name: "t", Schema: schemaOf(t, lines[0]), Options: map[string]string{}}
		var changes []TableChange
		for _, line := range lines[1:] {
			word, rest, _ := strings.Cut(line, " ")
			switch word {
			case "partition":
				spec.PartitionBy = strings.Fields(rest)
			case "bucket":
				spec.BucketKey = strings.Fields(rest)
			case "option":
				name, value, _ := strings.Cut(rest, " ")
				spec.Options[name] = value
			default:
				var w changeWord
				if err := json.Unmarshal([]byte(line), &w); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				changes = append(changes, w.change())
			}
		}
		table, err := spec.Table(1, 0)
		if err != nil {
			return "bad table: " + err.Error()
		}
		if table.Partitioned() {
			values := make([]any, len(table.PartitionBy))
			name, _ := table.PartitionName(values)
			table.Partitions = []Partition{{ID: 1, Name: name}}
		}
		before := string(table.Schema.Encode())
		altered, err := table.Alter(changes)
		if string(table.Schema.Encode()) != before {
			t.Error("the table changed")
		}
		if err != nil {
			return strings.ReplaceAll(err.Error(), "; ", ";\n  ")
		}
		decoded, err := DecodeSchema(altered.Schema.Encode())
		if err != nil || string(decoded.Encode()) != string(altered.Schema.Encode()) {
			t.Errorf("the schema does not come back: %v", err)
		}
		return describeTable(altered)
	})
}

func describeTable(t *Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "schema %d, last column %d\n", t.Schema.ID(), t.Schema.LastColumn())
	for _, c := range t.Schema.Columns() {
		fmt.Fprintf(&b, "%v %s: %s", appendIDs(nil, c.Field), c.Field.Name, FormatType(c.Field.Type))
		if !c.Field.Nullable {
			b.WriteString(" not null")
		}
		if c.Default != nil {
			fmt.Fprintf(&b, " = %v", c.Default)
		}
		b.WriteByte('\n')
	}
	for _, p := range t.Partitions {
		fmt.Fprintf(&b, "partition %s\n", p.Name)
	}
	if len(t.Options.Map()) > 0 {
		fmt.Fprintf(&b, "options %v\n", t.Options.Map())
	}
	if t.Comment != "" {
		fmt.Fprintf(&b, "comment %q\n", t.Comment)
	}
	return b.String()
}

// modelColumn is a column as the model of evolution has it: an id, and what it is called by now.
type modelColumn struct {
	id    ColumnID
	name  string
	rank  int // in intRanks: the type
	null  bool
	value any
	below []modelColumn // of a struct
}

var intRanks = []string{"int8", "int16", "int32", "int64"}

func (c modelColumn) typeText() string {
	if c.below == nil {
		return intRanks[c.rank]
	}
	var parts []string
	for _, f := range c.below {
		parts = append(parts, f.name+": "+f.typeText())
	}
	return "struct<" + strings.Join(parts, ", ") + ">"
}

// model is a table whose columns change, in the plainest form.
type model struct {
	columns []modelColumn
	last    ColumnID
}

func (m *model) clone() model {
	c := model{last: m.last, columns: slices.Clone(m.columns)}
	for i := range c.columns {
		c.columns[i].below = slices.Clone(c.columns[i].below)
	}
	return c
}

// change draws a change that is legal, carries it out on the model, and gives it in words.
func (m *model) change(t *rapid.T) (SchemaChange, bool) {
	level, prefix := &m.columns, ""
	if i := rapid.IntRange(0, len(m.columns)-1).Draw(t, "column"); m.columns[i].below != nil && rapid.Bool().Draw(t, "nested") {
		level, prefix = &m.columns[i].below, m.columns[i].name+"."
	}
	names := []string{"a", "b", "c", "d", "e", "f"}
	taken := func(name string) bool {
		return slices.ContainsFunc(*level, func(c modelColumn) bool { return c.name == name })
	}
	i := rapid.IntRange(0, len(*level)-1).Draw(t, "which")
	name := rapid.SampledFrom(names).Draw(t, "name")
	at := func(c modelColumn) string { return prefix + c.name }
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		if taken(name) {
			return SchemaChange{}, false
		}
		added := modelColumn{name: name, rank: rapid.IntRange(0, 3).Draw(t, "rank"), null: true}
		add := &AddColumn{Name: prefix + name, Type: intRanks[added.rank]}
		place := len(*level)
		if rapid.Bool().Draw(t, "after") {
			place = i + 1
			add.After = (*level)[i].name
		} else if rapid.Bool().Draw(t, "first") {
			place, add.First = 0, true
		}
		m.last++
		added.id = m.last
		if prefix == "" && rapid.Bool().Draw(t, "struct") {
			add.Type = "struct<x: int8, y: int16>"
			added.below = []modelColumn{{id: m.last + 1, name: "x", rank: 0, null: true}, {id: m.last + 2, name: "y", rank: 1, null: true}}
			m.last += 2
		} else if prefix == "" && rapid.Bool().Draw(t, "default") {
			add.Default = json.RawMessage("7")
			added.value = int64(7)
			if added.null = rapid.Bool().Draw(t, "null"); !added.null {
				add.Nullable = new(bool)
			}
		}
		*level = slices.Insert(*level, place, added)
		return SchemaChange{Add: add}, true
	case 1:
		if len(*level) == 1 {
			return SchemaChange{}, false
		}
		path := at((*level)[i])
		*level = slices.Delete(*level, i, i+1)
		return SchemaChange{Drop: path}, true
	case 2:
		if taken(name) {
			return SchemaChange{}, false
		}
		path := at((*level)[i])
		(*level)[i].name = name
		return SchemaChange{Rename: &RenameColumn{From: path, To: name}}, true
	case 3:
		c := &(*level)[i]
		if c.below != nil {
			return SchemaChange{}, false
		}
		c.rank = rapid.IntRange(c.rank, 3).Draw(t, "rank")
		return SchemaChange{Widen: &WidenColumn{Name: at(*c), Type: intRanks[c.rank]}}, true
	}
	c := (*level)[i]
	j := rapid.IntRange(0, len(*level)-1).Draw(t, "to")
	if i == j {
		return SchemaChange{}, false
	}
	after := (*level)[j].name
	*level = slices.Delete(*level, i, i+1)
	k := slices.IndexFunc(*level, func(c modelColumn) bool { return c.name == after })
	*level = slices.Insert(*level, k+1, c)
	return SchemaChange{Move: &MoveColumn{Name: at(c), After: after}}, true
}

// TestRandomEvolution applies random changes and compares the schema, and the mapping between any two versions, with
// the model's.
func TestRandomEvolution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{last: 2, columns: []modelColumn{{id: 1, name: "a", rank: 1, null: true}, {id: 2, name: "b", rank: 0, null: true}}}
		s, err := NewSchema(1, arrow.NewSchema([]arrow.Field{
			{Name: "a", Type: arrow.PrimitiveTypes.Int16, Nullable: true}, {Name: "b", Type: arrow.PrimitiveTypes.Int8, Nullable: true}}, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		schemas, models := []*Schema{s}, []model{m.clone()}
		for range rapid.IntRange(1, 8).Draw(t, "alterations") {
			var changes []SchemaChange
			for range rapid.IntRange(1, 4).Draw(t, "changes") {
				if c, ok := m.change(t); ok {
					changes = append(changes, c)
				}
			}
			next, err := s.Alter(changes, s.ID()+1)
			if err != nil {
				t.Fatalf("%v: %v", changes, err)
			}
			s = next
			m.check(t, s)
			schemas, models = append(schemas, s), append(models, m.clone())
			stored, err := SchemaFromStored(s.ID(), s.Stored())
			if err != nil {
				t.Fatal(err)
			}
			for i, old := range schemas {
				checkMapping(t, old, s, &models[i], &m)
				checkMapping(t, stored, old, &m, &models[i])
			}
		}
	})
}

func (m *model) check(t *rapid.T, s *Schema) {
	t.Helper()
	if s.LastColumn() != m.last || s.NumColumns() != len(m.columns) {
		t.Fatalf("%v, last %d; the model has %+v", s.Stored(), s.LastColumn(), m)
	}
	for i, c := range s.Columns() {
		want := m.columns[i]
		ids := []ColumnID{want.id}
		for _, f := range want.below {
			ids = append(ids, f.id)
		}
		if c.Field.Name != want.name || FormatType(c.Field.Type) != want.typeText() || c.Field.Nullable != want.null ||
			(c.Default == nil) != (want.value == nil) || c.Default != nil && fmt.Sprint(c.Default) != "7" || !slices.Equal(appendIDs(nil, c.Field), ids) {
			t.Fatalf("column %d is %v = %v with ids %v; the model has %+v", i, c.Field, c.Default, appendIDs(nil, c.Field), want)
		}
	}
}

// checkMapping compares the mapping of two versions, in either direction of time, with what ids alone say.
func checkMapping(t *rapid.T, stored, reader *Schema, from, to *model) {
	t.Helper()
	m, err := MapColumns(stored, reader, nil)
	narrower := false
	for _, c := range to.columns {
		old, found := from.byID(c.id)
		switch {
		case !found:
			narrower = narrower || !c.null && (c.value == nil || stored.ID() > reader.ID()) // dropped since
		case old.rank > c.rank:
			narrower = true
		}
		for _, f := range c.below {
			if i := slices.IndexFunc(old.below, func(o modelColumn) bool { return o.id == f.id }); i >= 0 && old.below[i].rank > f.rank {
				narrower = true
			}
		}
	}
	if (err != nil) != narrower {
		t.Fatalf("%v to %v: %v, want refused: %v", stored.Stored(), reader.Stored(), err, narrower)
	}
	if err != nil {
		return
	}
	for i, got := range m.Columns() {
		want := to.columns[i]
		source := slices.IndexFunc(from.columns, func(c modelColumn) bool { return c.id == want.id })
		cast := source >= 0 && !sameLayout(from.columns[source], want)
		if got.Source != source || got.Cast != cast || got.Column.ID != want.id {
			t.Fatalf("%v to %v: column %d comes from %d, cast %v; want %d, %v", stored.Stored(), reader.Stored(), i, got.Source, got.Cast, source, cast)
		}
	}
}

func (m *model) byID(id ColumnID) (modelColumn, bool) {
	i := slices.IndexFunc(m.columns, func(c modelColumn) bool { return c.id == id })
	if i < 0 {
		return modelColumn{}, false
	}
	return m.columns[i], true
}

func sameLayout(a, b modelColumn) bool {
	return a.rank == b.rank && slices.EqualFunc(a.below, b.below, func(a, b modelColumn) bool { return a.id == b.id && a.rank == b.rank })
}

// TestDefaultsStayInTheWiderType: the default of a widened column is the value that it was.
func TestDefaultsStayInTheWiderType(t *testing.T) {
	for _, c := range []struct {
		from  string
		value any
		to    string
		want  any
	}{
		{"int8", int8(-5), "int64", int64(-5)},
		{"uint32", uint32(1 << 31), "int64", int64(1 << 31)},
		{"float", float32(0.1), "double", float64(float32(0.1))},
		{"int32", int32(7), "double", 7.0},
		{"string", "x", "large_string", "x"},
		{"timestamp[s, tz=UTC]", arrow.Timestamp(90), "timestamp[us, tz=UTC]", arrow.Timestamp(90_000_000)},
	} {
		s := tableOf(t, "struct<a: "+c.from+">", map[string]any{"a": c.value})
		altered, err := s.Alter([]SchemaChange{{Widen: &WidenColumn{Name: "a", Type: c.to}}}, 2)
		if err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		if got := altered.Columns()[0].Default; got != c.want {
			t.Errorf("%s to %s: %#v", c.from, c.to, got)
		}
	}
	value, err := ParseDefault(flatTypeOf("decimal128(9, 2)"), json.RawMessage(`"-1.50"`))
	if err != nil {
		t.Fatal(err)
	}
	s := tableOf(t, "struct<a: decimal128(9, 2)>", map[string]any{"a": value})
	altered, err := s.Alter([]SchemaChange{{Widen: &WidenColumn{Name: "a", Type: "decimal256(50, 2)"}}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := altered.Columns()[0].Default; got != decimal256.FromI64(-150) {
		t.Error(got)
	}
}

// FuzzAlter: whatever the changes are, they lead to a valid schema or to an error that is the caller's fault.
func FuzzAlter(f *testing.F) {
	for _, text := range []string{
		`[{"add":{"name":"x","type":"int32","default":0,"after":"id"}},{"drop":"id"}]`, `[{"rename":{"from":"s.x","to":"y"}}]`,
		`[{"widen":{"name":"l.item","type":"int64"}},{"move":{"name":"s","first":true}}]`, `[{"add":{"name":"s.\"a.b\"","type":"list<item: int8>"}}]`,
		`[{"drop":"m.key"},{"drop":"l.item"},{"drop":"s"}]`, `[{"add":{"name":"id","type":"null","nullable":false}}]`, `[{}]`,
		`[{"rename":{"from":"id","to":"__offset"}}]`, `[{"widen":{"name":"n","type":"map<string, int8>","nullable":true}}]`,
	} {
		f.Add(text)
	}
	dt := flatTypeOf("struct<id: int32 not null, s: struct<x: int8, y: decimal128(5, 1)>, l: list<item: int8>, m: map<string, float>, n: null>")
	s, err := NewSchema(1, arrow.NewSchema(dt.(*arrow.StructType).Fields(), nil), map[string]any{"id": int32(4)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var words []changeWord
		if json.Unmarshal([]byte(text), &words) != nil {
			t.Skip()
		}
		var changes []SchemaChange
		for _, w := range words {
			changes = append(changes, w.change().SchemaChange)
		}
		altered, err := s.Alter(changes, 2)
		if err != nil {
			if r := ReasonOf(err); r != BadCommand && r != BadName || len(err.Error()) > 20_000 {
				t.Fatal(err)
			}
			return
		}
		decoded, err := DecodeSchema(altered.Encode())
		if err != nil || string(decoded.Encode()) != string(altered.Encode()) {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := MapColumns(s, altered, nil); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
