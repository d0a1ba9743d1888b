package quiver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"pgregory.net/rapid"
)

// TestMapInput runs cases of two lines: what a client sends, and what the table has.
func TestMapInput(t *testing.T) {
	runScript(t, "mapinput.txt", func(input string) string {
		client, table, _ := strings.Cut(input, "\n")
		defaults := map[string]any{}
		if strings.Contains(table, "d: int64") {
			defaults["d"] = int64(7)
		}
		m, err := MapInput(schemaOf(t, client), tableOf(t, table, defaults))
		return describeMapping(m, err)
	})
}

// describeMapping tells what becomes of each column: its place in the source and whether it is cast.
func describeMapping(m *Mapping, err error) string {
	if err != nil {
		return strings.ReplaceAll(err.Error(), "; ", ";\n  ")
	}
	var parts []string
	for _, c := range m.Columns() {
		text := fmt.Sprintf("%s <- %d", c.Column.Field.Name, c.Source)
		if c.Source < 0 {
			text = fmt.Sprintf("%s <- %v", c.Column.Field.Name, c.Column.Default)
		}
		if c.Cast {
			text += " cast"
		}
		parts = append(parts, text)
	}
	switch {
	case m.Identity():
		parts = append(parts, "(identity)")
	case m.Raw():
		parts = append(parts, "(raw)")
	}
	return strings.Join(parts, ", ")
}

// TestInputRules tries every pair of flat types against the rules of the contract, written another way.
func TestInputRules(t *testing.T) {
	texts := strings.Fields("null bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 halffloat float double string " +
		"large_string string_view binary large_binary binary_view date32[day] date64[ms] time32[s] time32[ms] time64[us] " +
		"time64[ns] timestamp[s] timestamp[ns] duration[s] duration[ms] month_interval day_time_interval fixed_size_binary[4]")
	texts = append(texts, "timestamp[ms, tz=UTC]", "timestamp[us, tz=Asia/Tokyo]", "decimal128(9, 2)", "decimal128(12, 2)",
		"decimal128(12, 3)", "decimal256(12, 2)", "decimal256(50, 2)")
	same := [][]string{{"string", "large_string", "string_view"}, {"binary", "large_binary", "binary_view"}}
	rises := []string{
		"int8 int16 int32 int64", "uint8 uint16 uint32 uint64", "uint8 int16 int32 int64", "uint16 int32 int64", "uint32 int64",
		"float double", "int8 double", "int16 double", "int32 double", "uint8 double", "uint16 double",
	}
	takes := func(from, to string) bool {
		zoned := func(s string) bool { return strings.Contains(s, "tz=") }
		switch {
		case from == to, from == "null":
			return true
		case strings.HasPrefix(from, "timestamp") && strings.HasPrefix(to, "timestamp"):
			return zoned(from) == zoned(to)
		}
		for _, group := range same {
			if slices.Contains(group, from) && slices.Contains(group, to) {
				return true
			}
		}
		for _, line := range rises {
			words := strings.Fields(line)
			if i := slices.Index(words, from); i >= 0 && slices.Index(words, to) > i {
				return true
			}
		}
		switch from + " to " + to {
		case "decimal128(9, 2) to decimal128(12, 2)", "decimal128(9, 2) to decimal256(12, 2)", "decimal128(9, 2) to decimal256(50, 2)",
			"decimal128(12, 2) to decimal256(12, 2)", "decimal128(12, 2) to decimal256(50, 2)", "decimal256(12, 2) to decimal256(50, 2)":
			return true
		}
		return false
	}
	for _, to := range texts {
		if strings.HasSuffix(to, "_view") {
			continue // no table has it
		}
		table := tableOf(t, "struct<x: "+to+">", nil)
		for _, from := range texts {
			for _, layout := range []string{"%s", "dictionary<values=%s, indices=int8, ordered=0>", "run_end_encoded<run_ends: int32, values: %s>"} {
				sent := fmt.Sprintf(layout, from)
				m, err := MapInput(schemaOf(t, "struct<x: "+sent+">"), table)
				if want := takes(from, to); (err == nil) != want {
					t.Errorf("%s for %s: %v, want taken: %v", sent, to, err, want)
				} else if err == nil && m.Raw() != (sent == to) {
					t.Errorf("%s for %s: raw is %v", sent, to, m.Raw())
				}
			}
		}
	}
}

func TestInputFromBigEndianMachines(t *testing.T) {
	client := arrow.NewSchemaWithEndian([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, nil, endian.NonNativeEndian)
	if _, err := MapInput(client, tableOf(t, "struct<a: int8>", nil)); ReasonOf(err) != SchemaMismatch {
		t.Error(err)
	}
	if _, err := NewSchema(1, client, nil); ReasonOf(err) != SchemaMismatch {
		t.Error(err)
	}
}

func TestInputWithManyFaultsIsAnsweredShortly(t *testing.T) {
	fields := make([]arrow.Field, 2*MaxFields)
	for i := range fields {
		fields[i] = arrow.Field{Name: fmt.Sprintf("column-%d", i), Type: arrow.Null}
	}
	columns := make([]arrow.Field, MaxColumns)
	for i := range columns {
		columns[i] = arrow.Field{Name: fmt.Sprintf("colunm-%d", i), Type: arrow.Null, Nullable: true}
	}
	table, err := NewSchema(1, arrow.NewSchema(columns, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = MapInput(arrow.NewSchema(fields, nil), table)
	if err == nil || len(err.Error()) > 4000 || !strings.HasSuffix(err.Error(), "; and 19990 more") {
		t.Errorf("%.5000v", err)
	}
}

// TestMapColumns follows one table through its schemas: columns go by id, whatever they are called.
func TestMapColumns(t *testing.T) {
	decode := func(id SchemaID, text string, ids ...ColumnID) *Schema {
		s := tableOf(t, text, nil)
		plain := s.Arrow()
		made, err := newSchema(id, plain, nil, &idGiver{given: ids, last: 20})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	first := decode(1, "struct<a: int32, b: string, s: struct<x: int32, y: string>>", 1, 2, 3, 4, 5)
	// a widened and moved, b renamed, s.y dropped and s.z added, c added with a default, r added, required
	second := decode(2, "struct<name: string, a: int64, s: struct<z: double, x: int64>, c: int64, r: int8 not null>",
		2, 1, 3, 6, 4, 7, 8)
	second.columns[3].Default = int64(5)
	withDefault := decode(3, "struct<name: string, r: int8 not null>", 2, 8)
	withDefault.columns[1].Default = int8(1)

	for _, c := range []struct {
		stored, reader *Schema
		columns        []ColumnID
		want           string
	}{
		{first, first, nil, "a <- 0, b <- 1, s <- 2, (identity)"},
		{first, first, []ColumnID{}, "(raw)"},
		{first, first, []ColumnID{3, 1}, "s <- 2, a <- 0, (raw)"},
		{first, second, []ColumnID{2}, "name <- 1, (raw)"},
		{first, second, []ColumnID{2, 1, 3, 7}, "name <- 1, a <- 0 cast, s <- 2 cast, c <- 5"},
		{first, second, []ColumnID{8}, `SCHEMA_CHANGED: column "r" was dropped, and it may not be null`},
		{first, withDefault, nil, "name <- 1, r <- 1"},
		{second, first, []ColumnID{2}, "b <- 0, (raw)"},
		{second, first, nil, "SCHEMA_CHANGED: column \"a\" is int64, the table has int32;\n" +
			"  column \"s.x\" is int64, the table has int32"},
		{first, second, []ColumnID{4}, "BAD_COMMAND: the schema has no column with id 4"},
	} {
		if got := describeMapping(MapColumns(c.stored, c.reader, c.columns)); got != c.want {
			t.Errorf("%d to %d, columns %v:\n got %s\nwant %s", c.stored.ID(), c.reader.ID(), c.columns, got, c.want)
		}
	}
	m, err := MapColumns(first, second, []ColumnID{3, 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Arrow().Field(0); FormatType(got.Type) != "struct<z: double, x: int64>" || got.HasMetadata() {
		t.Errorf("served as %v", got)
	}
}

func TestATableTakesItsOwnSchemaAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		client := drawSchema(t)
		table, err := NewSchema(1, client, nil)
		if err != nil {
			t.Skip(err)
		}
		m, err := MapInput(table.Arrow(), table)
		if err != nil || !m.Identity() {
			t.Fatalf("%v: %v", table.Arrow(), err)
		}
		if m, err = MapInput(client, table); err != nil {
			t.Fatal(err)
		}
		for i, c := range m.Columns() {
			plain := FormatType(client.Field(i).Type) == FormatType(table.Arrow().Field(i).Type)
			if c.Source != i || plain && c.Cast {
				t.Fatalf("column %d: %v", i, c)
			}
		}
		again, err := MapColumns(table, table, nil)
		if err != nil || !again.Identity() {
			t.Fatalf("%v: %v", table.Arrow(), err)
		}
	})
}
