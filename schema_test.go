package quiver

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// drawSchema draws columns of any types, some of which no table can have.
func drawSchema(t *rapid.T) *arrow.Schema {
	fields := make([]arrow.Field, rapid.IntRange(1, 5).Draw(t, "columns"))
	for i := range fields {
		fields[i] = arrow.Field{
			Name:     fmt.Sprint(rapid.StringMatching(`[a-zß ,.]{1,8}`).Draw(t, "name"), i),
			Type:     drawType(t, 1),
			Nullable: rapid.Bool().Draw(t, "nullable"),
		}
	}
	return arrow.NewSchema(fields, nil)
}

// TestSchemas runs cases of one line: the columns. The answer is the stored fields with their ids, or the faults.
func TestSchemas(t *testing.T) {
	runScript(t, "schemas.txt", func(input string) string {
		s, err := NewSchema(1, schemaOf(t, input), nil)
		if err != nil {
			return strings.ReplaceAll(err.Error(), "; ", ";\n  ")
		}
		var b strings.Builder
		for _, c := range s.Columns() {
			describeField(&b, c.Field, 0)
		}
		if user := schemaText(s.Arrow()); user != input {
			fmt.Fprintf(&b, "as %s\n", user)
		}
		return b.String()
	})
}

func schemaText(s *arrow.Schema) string { return FormatType(arrow.StructOf(s.Fields()...)) }

// describeField writes a field and all below it, one to a line, each with its id.
func describeField(b *strings.Builder, f arrow.Field, depth int) {
	id, _ := FieldID(f)
	word := f.Type.Name()
	if len(fieldsOf(f.Type)) == 0 {
		word = FormatType(f.Type)
	}
	fmt.Fprintf(b, "%s%d %s: %s\n", strings.Repeat("  ", depth), id, f.Name, word)
	for _, child := range fieldsOf(f.Type) {
		describeField(b, child, depth+1)
	}
}

func TestSchemaAnswers(t *testing.T) {
	s := tableOf(t, "struct<a: int64, l: list<item: int8>, b: string>", map[string]any{"a": int64(4), "b": nil})
	if s.ID() != 1 || s.NumColumns() != 3 || s.LastColumn() != 4 || strings.Join(s.Names(), " ") != "a l b" {
		t.Error(s.ID(), s.NumColumns(), s.LastColumn(), s.Names())
	}
	b, ok := s.ByName("b")
	if !ok || b.ID != 4 || b.Default != nil || s.Index(4) != 2 {
		t.Error(b, ok)
	}
	if a, ok := s.Column(1); !ok || a.Default != int64(4) {
		t.Error(a, ok)
	}
	if _, ok := s.Column(3); ok || s.Index(3) != -1 {
		t.Error("the element of a list is no column")
	}
	if _, ok := s.ByName("item"); ok {
		t.Error("the element of a list is no column")
	}
}

// uuidType is an extension type as a program of ours might know it.
type uuidType struct{ arrow.ExtensionBase }

func newUUID() *uuidType {
	return &uuidType{arrow.ExtensionBase{Storage: &arrow.FixedSizeBinaryType{ByteWidth: 16}}}
}

func (*uuidType) ArrayType() reflect.Type { return nil }
func (*uuidType) ExtensionName() string   { return "arrow.uuid" }
func (*uuidType) ExtensionEquals(o arrow.ExtensionType) bool {
	return o.ExtensionName() == "arrow.uuid"
}
func (*uuidType) Serialize() string { return "" }
func (*uuidType) Deserialize(arrow.DataType, string) (arrow.ExtensionType, error) {
	return newUUID(), nil
}

func TestSchemaMetadata(t *testing.T) {
	md := arrow.NewMetadata([]string{"pandas", "team", "quiver", "ARROW:schema", "a", "team"}, []string{"1", "2", "3", "4", "5", "6"})
	element := arrow.Field{Name: "item", Type: newUUID(), Nullable: true, Metadata: md}
	s, err := NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "u", Type: newUUID(), Metadata: arrow.NewMetadata([]string{FieldIDKey, "unit"}, []string{"99", "m"})},
		{Name: "l", Type: arrow.ListOfField(element)},
		{Name: "d", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: newUUID()}},
	}, &md), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Metadata().String(); got != `["a": "5", "team": "6"]` {
		t.Error(got)
	}
	uuid := `"ARROW:extension:metadata": "", "ARROW:extension:name": "arrow.uuid"`
	for i, want := range []string{`[` + uuid + `, "unit": "m"]`, `[]`, `[` + uuid + `]`} {
		if got := s.Arrow().Field(i).Metadata.String(); got != want {
			t.Errorf("column %d has metadata %s, want %s", i, got, want)
		}
	}
	item := s.Arrow().Field(1).Type.(*arrow.ListType).ElemField()
	if got := item.Metadata.String(); got != `[`+uuid+`, "a": "5", "team": "6"]` || FormatType(item.Type) != "fixed_size_binary[16]" {
		t.Error(got, item.Type)
	}
	stored := s.Stored().Field(0)
	if id, ok := FieldID(stored); !ok || id != 1 || stored.Metadata.Len() != 4 {
		t.Error(stored)
	}
	big := arrow.NewMetadata([]string{"k"}, []string{strings.Repeat("x", MaxMetadata)})
	if _, err := NewSchema(1, arrow.NewSchema(s.Arrow().Fields(), &big), nil); ReasonOf(err) != SchemaMismatch {
		t.Error(err)
	}
	many := arrow.NewMetadata([]string{"pandas"}, []string{strings.Repeat("x", MaxMetadata)})
	if _, err := NewSchema(1, arrow.NewSchema(s.Arrow().Fields(), &many), nil); err != nil {
		t.Error("what is dropped does not count:", err)
	}
}

func TestSchemaLimits(t *testing.T) {
	columns := func(n int, dt arrow.DataType) *arrow.Schema {
		fields := make([]arrow.Field, n)
		for i := range fields {
			fields[i] = arrow.Field{Name: fmt.Sprint("c", i), Type: dt}
		}
		return arrow.NewSchema(fields, nil)
	}
	deep := func(n int) arrow.DataType {
		dt := arrow.PrimitiveTypes.Int8
		for range n {
			dt = arrow.ListOf(dt)
		}
		return dt
	}
	for _, c := range []struct {
		schema *arrow.Schema
		want   string
	}{
		{columns(0, nil), "a table has 1 to 2000 columns, not 0"},
		{columns(2000, arrow.PrimitiveTypes.Int8), ""},
		{columns(2001, arrow.PrimitiveTypes.Int8), "a table has 1 to 2000 columns, not 2001"},
		{columns(2000, deep(4)), ""},
		{columns(2000, deep(5)), "there are more than 10000 columns and nested fields"},
		{columns(1, deep(31)), ""},
		{columns(1, deep(32)), "is nested deeper than 32"},
		{columns(1, deep(200)), "is nested deeper than 32"},
	} {
		_, err := NewSchema(1, c.schema, nil)
		if c.want == "" && err != nil || c.want != "" && (ReasonOf(err) != SchemaMismatch || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestSchemaDefaults(t *testing.T) {
	columns := schemaOf(t, "struct<a: int64, l: list<item: int8>, b: string>")
	_, err := NewSchema(1, columns, map[string]any{"a": int32(1), "l": "x", "x": int64(1), "b": "fine"})
	want := `SCHEMA_MISMATCH: the default of column "a" is no int64; the default of column "l" is no list<item: int8>; there is no column "x" to have a default`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestNullColumns(t *testing.T) {
	s := schemaOf(t, "struct<a: int64, n: null, s: struct<x: list<item: null>, y: int8>, m: map<string, null>, "+
		"d: dictionary<values=null, indices=int8, ordered=0>>")
	if got := strings.Join(NullColumns(s), " "); got != "n s.x.item m.value d" {
		t.Error(got)
	}
}

func TestNormalize(t *testing.T) {
	for text, want := range map[string]string{
		"int64":       "int64",
		"string_view": "string",
		"binary_view": "binary",
		"large_list_view<x: string_view not null>":                                     "large_list<x: string not null>",
		"dictionary<values=list_view<item: int8>, indices=int8, ordered=1>":            "list<item: int8>",
		"run_end_encoded<run_ends: int16, values: double>":                             "double",
		"map<string_view, dictionary<values=string, indices=int8, ordered=0>>":         "map<string, string>",
		"struct<a: fixed_size_list<item: string_view not null>[2] not null, b: uint8>": "struct<a: fixed_size_list<item: string not null>[2] not null, b: uint8>",
	} {
		dt, err := ParseType(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatType(Normalize(dt)); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
}

func TestDecodeSchemaInvertsEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSchema(3, drawSchema(t), nil)
		if err != nil {
			t.Skip(err)
		}
		text := s.Encode()
		again, err := DecodeSchema(text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, again.Encode()) || again.ID() != 3 || again.LastColumn() != s.LastColumn() {
			t.Fatalf("%s\n%s", text, again.Encode())
		}
		var before, after strings.Builder
		for i := range s.Columns() {
			describeField(&before, s.Columns()[i].Field, 0)
			describeField(&after, again.Columns()[i].Field, 0)
		}
		if before.String() != after.String() || !bytes.Equal(FormatSchemaMessage(s.Stored()), FormatSchemaMessage(again.Stored())) {
			t.Fatalf("%s\n%s", before.String(), after.String())
		}
	})
}

// goldenSchema is a schema with everything that the durable form has to keep.
func goldenSchema(t testing.TB) *Schema {
	md := arrow.NewMetadata([]string{"team"}, []string{"shop"})
	fields := schemaOf(t, "struct<id: int64 not null, price: decimal128(12, 2), tags: list<item: string not null>, "+
		"m: map<string, timestamp[us, tz=UTC]>, raw: binary, at: date32[day]>").Fields()
	fields[0].Metadata = arrow.NewMetadata([]string{"unit"}, []string{"count"})
	price, err := ParseDefault(fields[1].Type, []byte(`"1.50"`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSchema(7, arrow.NewSchema(fields, &md), map[string]any{"price": price, "raw": []byte{0, 255}, "at": arrow.Date32(20000)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGoldenSchema reads the durable form as it was first written. The file stays for as long as version 1 is read.
func TestGoldenSchema(t *testing.T) {
	const path = "testdata/schema-v1.json"
	want := goldenSchema(t)
	if *update {
		if err := os.WriteFile(path, append(want.Encode(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Encode(), want.Encode()) {
		t.Errorf("%s\n%s", got.Encode(), want.Encode())
	}
}

func TestDecodeSchemaRefusesDamage(t *testing.T) {
	good := string(goldenSchema(t).Encode())
	for _, change := range [][2]string{
		{`"version":1`, `"version":2`}, {`"last_column":9`, `"last_column":8`}, {`[1,2,3,`, `[1,1,3,`}, {`[1,2,3,`, `[1,0,3,`},
		{`[1,2,3,`, `[1,3,`}, {`{`, ``}, {`"price":"1.50"`, `"prize":"1.50"`}, {`"price":"1.50"`, `"price":"1.555"`},
		{`"arrow":"`, `"arrow":"AAAA`}, {`"arrow":"`, `"arow":"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s does not hold %s", good, change[0])
		}
		if _, err := DecodeSchema([]byte(bad)); ReasonOf(err) != Internal {
			t.Errorf("%s for %s: %v", change[1], change[0], err)
		}
	}
}

func FuzzDecodeSchema(f *testing.F) {
	f.Add(goldenSchema(f).Encode())
	f.Add(tableOf(f, "struct<a: int64>", nil).Encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := DecodeSchema(text)
		if err != nil {
			return
		}
		again, err := DecodeSchema(s.Encode())
		if err != nil || !bytes.Equal(s.Encode(), again.Encode()) {
			t.Fatalf("%s: %v", s.Encode(), err)
		}
	})
}
