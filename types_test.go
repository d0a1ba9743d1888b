package quiver

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// goldenLines gives the lines of a file in testdata that begin with a word, without it.
func goldenLines(t testing.TB, file, word string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), word+" "); ok {
			lines = append(lines, rest)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no line that begins with %q", file, word)
	}
	return lines
}

// mapNames are the unusual names of a map's key and value, which pyarrow prints and Arrow in Go does not keep.
var mapNames = regexp.MustCompile(` \('[^']*'\)`)

func TestTypesAreWrittenAsPyarrowPrintsThem(t *testing.T) {
	message, err := os.ReadFile("testdata/types.arrows")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchemaMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	texts := goldenLines(t, "types.txt", "type")
	if len(texts) != s.NumFields() {
		t.Fatalf("%d texts, %d columns", len(texts), s.NumFields())
	}
	for i, text := range texts {
		want := mapNames.ReplaceAllString(text, "")
		if got := FormatType(s.Field(i).Type); got != want {
			t.Errorf("FormatType gives %s, pyarrow %s", got, want)
		}
		parsed, err := ParseType(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := FormatType(parsed); got != want {
			t.Errorf("%s: parsed and written again it is %s", text, got)
		}
	}
}

func TestAliasesOfPyarrow(t *testing.T) {
	for _, line := range goldenLines(t, "types.txt", "alias") {
		alias, text, _ := strings.Cut(line, "\t")
		dt, err := ParseType(alias)
		if err != nil {
			t.Error(err)
		} else if got := FormatType(dt); got != text {
			t.Errorf("%s is %s, for pyarrow %s", alias, got, text)
		}
	}
}

func TestTypesThatTablesHaveNot(t *testing.T) {
	for _, text := range goldenLines(t, "types.txt", "refused") {
		if dt, err := ParseType(text); ReasonOf(err) != BadCommand {
			t.Errorf("%s: %v, %v", text, dt, err)
		}
	}
}

func TestWrongTypesNameThePlaceAndTheNearest(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"in64", `position 0: there is no type "in64", did you mean "int64"?`},
		{"List<item: int32>", `position 0: there is no type "List", did you mean "list"?`},
		{"list<item: strin>", `position 11: there is no type "strin", did you mean "string"?`},
		{"list<item int32>", `position 5: a field is expected, as in "item: int32"`},
		{"list<int32>", `position 5: a field is expected, as in "item: int32"`},
		{"list<item: int32", `position 16: "," is expected`},
		{"list<a: int32, b: int32>", `position 24: list has one field, as in list<item: int32>`},
		{"timestamp[us, tz=]", `position 17: a time zone and "]" are expected`},
		{"timestamp[d]", `position 10: the unit must be s, ms, us or ns`},
		{"timestamp", `position 9: "[" is expected`},
		{"date32[ms]", `position 0: there is no type "date32[ms]", did you mean "date64[ms]"?`},
		{"decimal128(39, 2)", `position 11: the precision of decimal128 lies between 1 and 38`},
		{"decimal(12, 2)", `position 0: there is no type "decimal"`},
		{"fixed_size_list<item: float>[0]", `position 31: a fixed_size_list has at least one element`},
		{"fixed_size_binary[-1]", `position 20: a length cannot be negative`},
		{"fixed_size_binary[99999999999]", `position 18: a 32-bit integer is expected`},
		{"map<string>", `position 10: ", " is expected`},
		{"dictionary<values=string, indices=float, ordered=0>", `position 34: the indices of a dictionary are integers`},
		{"int64 not null", `position 5: nothing more is expected here`},
		{"dense_union<a: int8=0>", `position 0: union types are not supported`},
		{"", `position 0: a type is expected`},
		{strings.Repeat("list<item: ", 40) + "int8" + strings.Repeat(">", 40), `nested deeper than 32`},
		{strings.Repeat("x", maxTypeText+1), `a type has 65537 bytes, at most 65536 are taken`},
	} {
		_, err := ParseType(c.text)
		if ReasonOf(err) != BadCommand || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// drawType draws any type that ParseType can give, but extension and union types.
func drawType(t *rapid.T, depth int) arrow.DataType {
	if depth > 3 || rapid.Bool().Draw(t, "flat") {
		return drawFlat(t)
	}
	field := func(name string) arrow.Field {
		return arrow.Field{Name: name, Type: drawType(t, depth+1), Nullable: rapid.Bool().Draw(t, "nullable")}
	}
	switch rapid.IntRange(0, 8).Draw(t, "nested") {
	case 0:
		return arrow.ListOfField(field("item"))
	case 1:
		return arrow.LargeListOfField(field("element"))
	case 2:
		return arrow.FixedSizeListOfField(rapid.Int32Range(1, 1000).Draw(t, "n"), field("item"))
	case 3:
		return arrow.ListViewOfField(field("item"))
	case 4:
		m := arrow.MapOf(drawType(t, depth+1), drawType(t, depth+1))
		m.KeysSorted = rapid.Bool().Draw(t, "sorted")
		return m
	case 5:
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: drawType(t, depth+1)}
	case 6:
		return arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, drawType(t, depth+1))
	}
	fields := make([]arrow.Field, rapid.IntRange(1, 4).Draw(t, "fields"))
	for i := range fields {
		fields[i] = field(fmt.Sprint(i, rapid.StringMatching(`[a-zß<>,"()'= ]{1,8}`).Draw(t, "name")))
	}
	return arrow.StructOf(fields...)
}

func drawFlat(t *rapid.T) arrow.DataType {
	switch rapid.IntRange(0, 4).Draw(t, "flat") {
	case 0:
		p := rapid.Int32Range(1, 38).Draw(t, "precision")
		return &arrow.Decimal128Type{Precision: p, Scale: rapid.Int32Range(0, p).Draw(t, "scale")}
	case 1:
		return &arrow.TimestampType{Unit: rapid.SampledFrom(arrow.TimeUnitValues).Draw(t, "unit"),
			TimeZone: rapid.SampledFrom([]string{"", "UTC", "-03:30", "Asia/Kolkata"}).Draw(t, "zone")}
	case 2:
		return &arrow.FixedSizeBinaryType{ByteWidth: rapid.IntRange(1, 100).Draw(t, "width")}
	}
	return flatTypes[rapid.IntRange(0, len(flatTypes)-1).Draw(t, "type")].dt
}

func TestParseTypeInvertsFormatType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dt := drawType(t, 1)
		text := FormatType(dt)
		again, err := ParseType(text)
		if err != nil {
			t.Fatal(err)
		}
		if FormatType(again) != text {
			t.Fatalf("%s came back as %s", text, FormatType(again))
		}
	})
}

func FuzzParseType(f *testing.F) {
	for i, text := range goldenLines(f, "types.txt", "type") {
		if i%16 == 0 {
			f.Add(text)
		}
	}
	f.Add("struct<a: b: int8, c: list<item: int8 not null> not null>")
	f.Add("map<string ('k'), int8 ('')>")
	f.Fuzz(func(t *testing.T, text string) {
		dt, err := ParseType(text)
		if err != nil {
			if ReasonOf(err) != BadCommand {
				t.Fatalf("reason %s", ReasonOf(err))
			}
			return
		}
		again, err := ParseType(FormatType(dt))
		if err != nil || FormatType(again) != FormatType(dt) {
			t.Fatalf("%q is %q, and that is %v, %v", text, FormatType(dt), again, err)
		}
	})
}
