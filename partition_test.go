package quiver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// partitionedBy makes a table whose columns are all partition columns.
func partitionedBy(t testing.TB, text string) *Table {
	t.Helper()
	s := tableOf(t, text, nil)
	table := &Table{ID: 1, Database: "shop", Name: "orders", Schema: s, Buckets: 1}
	for _, c := range s.Columns() {
		table.PartitionBy = append(table.PartitionBy, c.ID)
	}
	return table
}

// TestPartitionNames runs cases of two lines: the table's partition columns, and a name as somebody writes it. The
// answer is the canonical name and the values.
func TestPartitionNames(t *testing.T) {
	runScript(t, "partitions.txt", func(input string) string {
		columns, name, _ := strings.Cut(input, "\n")
		table := partitionedBy(t, columns)
		canonical, values, err := table.ParsePartition(name)
		if err != nil {
			return strings.ReplaceAll(err.Error(), "; ", ";\n  ")
		}
		again, same, err := table.ParsePartition(canonical)
		if err != nil || again != canonical || fmt.Sprint(same) != fmt.Sprint(values) {
			t.Errorf("%s comes back as %s: %v", canonical, again, err)
		}
		if joined := table.JoinPartition(SplitPartition(canonical)); joined != canonical {
			t.Errorf("%s is joined as %s", canonical, joined)
		}
		return fmt.Sprintf("%s\n%v", canonical, values)
	})
}

// keyTypes are the types of key columns, with all their parameters.
func keyTypes() []arrow.DataType {
	var types []arrow.DataType
	for _, text := range strings.Fields("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 string large_string binary large_binary " +
		"date32[day] date64[ms] time32[s] time32[ms] time64[us] time64[ns] timestamp[s] timestamp[ms] timestamp[us] timestamp[ns]") {
		types = append(types, flatTypeOf(text))
	}
	for _, text := range []string{"timestamp[s, tz=UTC]", "timestamp[ns, tz=Asia/Tokyo]", "decimal128(38, 0)", "decimal128(9, 9)", "decimal256(76, 30)"} {
		types = append(types, flatTypeOf(text))
	}
	return types
}

func flatTypeOf(text string) arrow.DataType {
	dt, err := ParseType(text)
	if err != nil {
		panic(err)
	}
	return dt
}

// TestEveryValueHasItsOwnPartition: names of random values can be read again, and differ if the values do.
func TestEveryValueHasItsOwnPartition(t *testing.T) {
	types := keyTypes()
	for _, dt := range types {
		if !IsKeyType(dt) {
			t.Errorf("%s is no key type", dt)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "columns")
		fields := make([]arrow.Field, n)
		for i := range fields {
			name := rapid.SampledFrom([]string{"a", "ü", "x=1/y", "%41", "a b", "A"}).Draw(t, "name") + fmt.Sprint(i)
			fields[i] = arrow.Field{Name: name, Type: rapid.SampledFrom(types).Draw(t, "type"), Nullable: true}
		}
		s, err := NewSchema(1, arrow.NewSchema(fields, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		table := &Table{Database: "d", Name: "t", Schema: s}
		for _, c := range s.Columns() {
			table.PartitionBy = append(table.PartitionBy, c.ID)
		}
		names := make([]string, 2)
		texts := make([]string, 2)
		for k := range names {
			values := make([]any, n)
			for i := range values {
				values[i] = drawKey(t, fields[i].Type)
			}
			if names[k], err = table.PartitionName(values); err != nil {
				if ReasonOf(err) != SchemaMismatch {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			canonical, parsed, err := table.ParsePartition(names[k])
			if err != nil || canonical != names[k] || fmt.Sprint(parsed) != fmt.Sprint(values) {
				t.Fatalf("%v is %s, read as %s %v: %v", values, names[k], canonical, parsed, err)
			}
			if strings.Trim(names[k], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-%=/") != "" {
				t.Fatalf("%s is not encoded", names[k])
			}
			texts[k] = fmt.Sprintf("%#v", values)
		}
		if (names[0] == names[1]) != (texts[0] == texts[1]) {
			t.Fatalf("%s and %s are %s and %s", texts[0], texts[1], names[0], names[1])
		}
	})
}

// drawKey gives a value of a key type, or nil.
func drawKey(t *rapid.T, dt arrow.DataType) any {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		if isOneOf(dt, arrow.STRING, arrow.LARGE_STRING) {
			return rapid.SampledFrom([]string{"", NullPartition, "%5F" + NullPartition[1:], "/", "a=b", "..", "null", "\x00"}).Draw(t, "text")
		}
	}
	text := rapid.StringMatching(`-?[0-9]{1,4}`).Draw(t, "digits")
	switch dt.ID() {
	case arrow.BOOL:
		return rapid.Bool().Draw(t, "bool")
	case arrow.STRING, arrow.LARGE_STRING:
		return rapid.String().Draw(t, "string")
	case arrow.BINARY, arrow.LARGE_BINARY:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	case arrow.DATE32:
		return arrow.Date32(rapid.Int32().Draw(t, "days"))
	case arrow.DATE64:
		return arrow.Date64(rapid.Int64Range(-1e6, 1e6).Draw(t, "days") * 86400000)
	case arrow.TIME32:
		return arrow.Time32(rapid.Int32Range(-1, 86400).Draw(t, "time"))
	case arrow.TIME64:
		return arrow.Time64(rapid.Int64Range(-1, 86400e6).Draw(t, "time"))
	case arrow.TIMESTAMP:
		return arrow.Timestamp(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1e12, 1e12)).Draw(t, "timestamp"))
	case arrow.DECIMAL128, arrow.DECIMAL256:
		text = "0." + strings.TrimPrefix(text, "-")
		if dt.(arrow.DecimalType).GetScale() == 0 {
			text = text[2:]
		}
	}
	value, err := parseValue(dt, jsonText(text))
	if err != nil {
		t.Skip(err)
	}
	return value
}

func FuzzParsePartition(f *testing.F) {
	for _, name := range []string{
		"dt=2026-11-22/region=eu/n=1", "region=/dt=__HIVE_DEFAULT_PARTITION__/n=-7", "dt=2026-11-22", "%64t=2026%2D11-22/region=%/n=1",
		"////", "=", "dt=2026-11-22/dt=2026-11-22/region=a/n=1", strings.Repeat("%", 5000),
	} {
		f.Add(name)
	}
	table := partitionedBy(f, "struct<dt: date32[day], region: string, n: int64>")
	f.Fuzz(func(t *testing.T, name string) {
		canonical, values, err := table.ParsePartition(name)
		if err != nil {
			if ReasonOf(err) != BadName || len(err.Error()) > 10_000 {
				t.Fatal(err)
			}
			return
		}
		again, err := table.PartitionName(values)
		if err != nil || again != canonical || len(canonical) > MaxPartitionName {
			t.Fatalf("%q is %q and %q: %v", name, canonical, again, err)
		}
	})
}

func TestPartitionsOfPlainTables(t *testing.T) {
	table := &Table{Database: "d", Name: "t", Schema: tableOf(t, "struct<a: int8>", nil)}
	if _, _, err := table.ParsePartition("a=1"); ReasonOf(err) != PartitionNotFound {
		t.Error(err)
	}
	if name, err := table.PartitionName(nil); name != "" || err != nil {
		t.Error(name, err)
	}
	table = partitionedBy(t, "struct<a: int8>")
	if _, err := table.PartitionName(nil); ReasonOf(err) != Internal {
		t.Error(err)
	}
}

// TestSchemaFromStored: what a segment's Schema message says suffices for mapping its rows.
func TestSchemaFromStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		made, err := NewSchema(3, drawSchema(t), nil)
		if err != nil {
			t.Skip(err)
		}
		stored, err := ParseSchemaMessage(FormatSchemaMessage(made.Stored()))
		if err != nil {
			t.Fatal(err)
		}
		read, err := SchemaFromStored(3, stored)
		if err != nil {
			t.Fatal(err)
		}
		if read.ID() != 3 || read.LastColumn() != made.LastColumn() || !read.Stored().Equal(made.Stored()) || !read.Arrow().Equal(made.Arrow()) {
			t.Fatalf("%v is read as %v", made.Stored(), read.Stored())
		}
		m, err := MapColumns(read, made, nil)
		if err != nil || !m.Identity() {
			t.Fatal(m, err)
		}
	})
	if _, err := SchemaFromStored(1, schemaOf(t, "struct<a: int8>")); ReasonOf(err) != Internal {
		t.Error(err)
	}
	twice := arrow.NewMetadata([]string{FieldIDKey}, []string{"1"})
	fields := []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8, Metadata: twice}, {Name: "b", Type: arrow.PrimitiveTypes.Int8, Metadata: twice}}
	if _, err := SchemaFromStored(1, arrow.NewSchema(fields, nil)); ReasonOf(err) != Internal {
		t.Error(err)
	}
}
