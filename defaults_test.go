package quiver

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// TestValues runs cases of a type and then one JSON value to a line. The answer has for each the Go type and value,
// what it is written as again if that differs, or the fault.
func TestValues(t *testing.T) {
	runScript(t, "values.txt", func(input string) string {
		lines := strings.Split(input, "\n")
		dt, err := ParseType(lines[0])
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, line := range lines[1:] {
			value, err := ParseDefault(dt, json.RawMessage(line))
			if err != nil {
				out = append(out, err.Error())
				continue
			}
			text, err := FormatDefault(dt, value)
			if err != nil {
				t.Error(err)
			}
			answer := fmt.Sprintf("%T %v", value, value)
			if string(text) != line {
				answer += " as " + string(text)
			}
			out = append(out, answer)
		}
		return strings.Join(out, "\n")
	})
}

func TestValuesOfTheWrongGoType(t *testing.T) {
	values := []any{true, int8(1), int64(1), uint64(1), float32(1), 1.5, "x", []byte{1}, arrow.Date32(1), arrow.Date64(86400000),
		arrow.Time32(1), arrow.Time64(1), arrow.Timestamp(1), arrow.Duration(1), arrow.MonthInterval(1), arrow.DayTimeInterval{}, 1, struct{}{}}
	fit := 0
	for _, row := range flatTypes {
		for _, v := range values {
			if text, err := FormatDefault(row.dt, v); err == nil {
				fit++
				if again, err := ParseDefault(row.dt, text); err != nil || !reflect.DeepEqual(again, v) {
					t.Errorf("%T %v of %s is written %s and read as %v, %v", v, v, row.names[0], text, again, err)
				}
			} else if ReasonOf(err) != SchemaMismatch {
				t.Error(err)
			}
		}
	}
	if fit != 22 {
		t.Errorf("%d pairs of type and value fit", fit)
	}
	columns := schemaOf(t, "struct<d: date64[ms], t: time32[s], i: int64, f: double>")
	for name, value := range map[string]any{"d": arrow.Date64(1), "t": arrow.Time32(86400), "i": 1, "f": math.NaN()} {
		if _, err := NewSchema(1, columns, map[string]any{name: value}); (err == nil) != (name == "f") {
			t.Errorf("default %v of column %s: %v", value, name, err)
		}
	}
	if text, err := FormatDefault(arrow.Null, nil); err != nil || string(text) != "null" {
		t.Error(text, err)
	}
	if _, err := ParseDefault(arrow.BinaryTypes.String, make([]byte, MaxDefault+1)); ReasonOf(err) != BadCommand {
		t.Error(err)
	}
}

// TestIntegersComeBack writes and reads any value of the types that are counts of something.
func TestIntegersComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		secondsOfDay := ((n % 86400) + 86400) % 86400
		for _, c := range []struct {
			dt    arrow.DataType
			value any
		}{
			{arrow.PrimitiveTypes.Int64, n}, {arrow.PrimitiveTypes.Uint64, uint64(n)}, {arrow.PrimitiveTypes.Int8, int8(n)},
			{arrow.FixedWidthTypes.Duration_ns, arrow.Duration(n)}, {arrow.FixedWidthTypes.MonthInterval, arrow.MonthInterval(n)},
			{arrow.PrimitiveTypes.Date32, arrow.Date32(n % 100000)}, {arrow.PrimitiveTypes.Date64, arrow.Date64(n % 100000 * 86400000)},
			{arrow.FixedWidthTypes.Time32s, arrow.Time32(secondsOfDay)}, {arrow.FixedWidthTypes.Time64ns, arrow.Time64(secondsOfDay*1e9 + 17)},
			{arrow.FixedWidthTypes.Timestamp_ns, arrow.Timestamp(n)}, {&arrow.TimestampType{Unit: arrow.Microsecond}, arrow.Timestamp(n >> 12)},
			{arrow.PrimitiveTypes.Float64, float64(n)}, {arrow.FixedWidthTypes.MonthDayNanoInterval, arrow.MonthDayNanoInterval{Nanoseconds: n}},
			{arrow.BinaryTypes.Binary, []byte(fmt.Sprint(n))},
		} {
			text, err := FormatDefault(c.dt, c.value)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseDefault(c.dt, text)
			if err != nil || !reflect.DeepEqual(again, c.value) {
				t.Fatalf("%v of %s is written %s and read as %v, %v", c.value, FormatType(c.dt), text, again, err)
			}
		}
	})
}

func TestDecimalsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		precision := rapid.Int32Range(1, 76).Draw(t, "precision")
		scale := rapid.Int32Range(0, precision).Draw(t, "scale")
		whole := rapid.StringMatching(fmt.Sprintf(`[1-9][0-9]{0,%d}`, max(precision-scale-1, 0))).Draw(t, "whole")
		if scale == precision {
			whole = "0"
		}
		text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + whole
		if scale > 0 {
			text += "." + rapid.StringMatching(fmt.Sprintf(`[0-9]{%d}`, scale)).Draw(t, "fraction")
		}
		if strings.Trim(text, "-0.") == "" {
			t.Skip("there is no negative zero")
		}
		types := []arrow.DataType{&arrow.Decimal256Type{Precision: precision, Scale: scale}}
		if precision <= 38 {
			types = append(types, &arrow.Decimal128Type{Precision: precision, Scale: scale})
		}
		for _, dt := range types {
			value, err := ParseDefault(dt, jsonText(text))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := FormatDefault(dt, value); err != nil || string(again) != `"`+text+`"` {
				t.Fatalf("%s comes back as %s, %v", text, again, err)
			}
		}
	})
}

func FuzzParseDefault(f *testing.F) {
	for _, c := range [][2]string{
		{"int8", "-128"}, {"uint64", `"18446744073709551615"`}, {"decimal128(12, 2)", `"12.50"`}, {"decimal256(76, 76)", "1e3"},
		{"timestamp[ns, tz=UTC]", `"2026-11-22T10:30:00.123456789Z"`}, {"timestamp[s]", `"2026-11-22 10:30:00"`}, {"date32[day]", `"2026-11-22"`},
		{"time64[us]", `"10:30:00.5"`}, {"halffloat", "65504"}, {"float", `"NaN"`}, {"fixed_size_binary[2]", `"AP8="`},
		{"day_time_interval", `{"days":1,"milliseconds":2}`}, {"list<item: int8>", "[1]"}, {"bool", "true"},
	} {
		f.Add(c[0], []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, kind string, text []byte) {
		dt, err := ParseType(kind)
		if err != nil {
			return
		}
		value, err := ParseDefault(dt, text)
		if err != nil {
			if reason := ReasonOf(err); reason != BadCommand && reason != SchemaMismatch {
				t.Fatal(err)
			}
			return
		}
		written, err := FormatDefault(dt, value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseDefault(dt, written)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(value) {
			t.Fatalf("%s of %s is %v, written %s, read as %v, %v", text, kind, value, written, again, err)
		}
	})
}
