package filter

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

func bindSchema(t testing.TB) *quiver.Schema {
	var fields []arrow.Field
	for _, c := range [][2]string{
		{"id", "int64"}, {"price", "double"}, {"f", "float"}, {"dec", "decimal128(10, 2)"}, {"region", "string"}, {"raw", "binary"},
		{"active", "bool"}, {"day", "date32"}, {"ts", "timestamp[us, tz=UTC]"}, {"berlin", "timestamp[ms, tz=Europe/Berlin]"},
		{"clock", "timestamp[s]"}, {"at", "time32[s]"}, {"took", "duration[ms]"}, {"months", "month_interval"}, {"none", "null"},
		{"tags", "list<item: string>"}, {"props", "map<string, int64>"}, {"s", "struct<a: int32, b: struct<c: string>, and: bool>"},
		{"a.b", "int32"}, {"Unit price", "int8"}, {"u", "uint64"}, {"and", "int8"},
	} {
		dt, err := quiver.ParseType(c[1])
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, arrow.Field{Name: c[0], Type: dt, Nullable: true})
	}
	s, err := quiver.NewSchema(1, arrow.NewSchema(fields, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBind(t *testing.T) {
	schema := bindSchema(t)
	for _, c := range []struct {
		text    string
		columns string
	}{
		{"price > 100 and region in ('eu', 'us')", "price region"},
		{"region = 'x' or id = 1 or region is null", "id region"},
		{"__offset >= 5 and id = 1 and __timestamp < '2026-11-22'", "id __offset __timestamp"},
		{"__partition like 'dt=%' and __bucket in (0, 1) and __change_type = '+I'", "__bucket __partition __change_type"},
		{"active and not active", "active"},
		{"day >= '2026-11-22' and ts > '2026-11-22 10:00' and clock < '2026-11-22T10:00:00'", "day ts clock"},
		{"berlin > '2026-11-22T10:00:00+01:00' or berlin < date '2026-11-22'", "berlin"},
		{"at between '10:00' and time '11:30:00'", "at"},
		{"took > '1h30m'", "took"},
		{"s.b.c = 'x' and s.a > 1 and s is not null", "s"},
		{`s."and" or "and" = 1`, "s and"},
		{`"a.b" = 1 and "Unit price" = 2`, "a.b Unit price"},
		{"id = price and u < id and dec >= f", "id price f dec u"},
		{"day < ts and day = clock", "day ts clock"},
		{"none = 1 or none = 'x' or id = none or none like 'x'", ""},
		{"none is null", "none"},
		{"id = null and region = 'x'", ""},
		{"id = 1 or true", ""},
		{"months is null or tags is not null or props is null", "months tags props"},
		{"raw = x'00' and raw between x'' and x'ff'", "raw"},
		{"1 < 2 and 'a' = 'a' and date '2026-11-22' = '2026-11-22'", ""},
		{"id not in (1, null)", ""},
		{"id in (null)", ""},
		{"id between 1 and 5 and id > 3", "id"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := e.Bind(schema)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var names []string
		for _, id := range f.Columns() {
			column, _ := schema.Column(id)
			names = append(names, column.Field.Name)
		}
		if got := strings.Join(append(names, f.System()...), " "); got != c.columns {
			t.Errorf("%s needs %q, want %q", c.text, got, c.columns)
		}
	}
}

func TestBindRefuses(t *testing.T) {
	schema := bindSchema(t)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"pirce > 1 and regoin = 'x'", []string{`position 0: there is no column "pirce", did you mean "price"?`, `position 14: there is no column "regoin", did you mean "region"?`}},
		{`region = "eu"`, []string{`there is no column "eu"; text stands in single quotes`}},
		{"a.b = 1", []string{`there is no column "a"; a name with a dot stands in double quotes: "a.b"`}},
		{"__ofset = 1", []string{`did you mean "__offset"?`}},
		{"price > 'abc'", []string{`position 8: column price is double, and the text "abc" does not compare with it; leave out the quotes`}},
		{"region > 1", []string{"column region is string, and 1 does not compare with it; write text in single quotes"}},
		{"raw = 'x'", []string{"write bytes as x'00ff'"}},
		{"region = x'00'", []string{"a binary value does not compare with it; write text in single quotes, without x"}},
		{"region = raw", []string{"column region is string and column raw is binary: they do not compare"}},
		{"active = 1", []string{"column active is bool, and 1 does not compare"}},
		{"price", []string{"column price is double and no condition"}},
		{"1 or 'x'", []string{"position 0: a number is no condition", "position 5: text is no condition"}},
		{"s = 1", []string{"position 4: column s is struct", "compare its fields, as in s.a"}},
		{"s = s", []string{"compare its fields, as in s.a"}},
		{"tags = 'x'", []string{`it can be tested with "is null" only`}},
		{"props in (1, 2)", []string{`it can be tested with "is null" only`}},
		{"months > 1", []string{`"is null" only`}},
		{"tags.item = 1", []string{"column tags is list<item: string> and has no field that a filter can look at"}},
		{"s.x = 1", []string{`column s has no field "x"`}},
		{"s.b.cc = 1", []string{`column s.b has no field "cc"`}},
		{"day > '2026-13-01'", []string{`column day is date32[day], and "2026-13-01" is none: a date such as '2026-11-22' is expected`}},
		{"ts > 'yesterday'", []string{"a timestamp such as '2026-11-22T10:30:00Z' is expected"}},
		{"ts > 5", []string{"write it as '2026-11-22T10:30:00Z'"}},
		{"berlin > '2026-11-22T10:00:00'", []string{"Europe/Berlin, so write the offset from UTC"}},
		{"clock > '2026-11-22T10:00:00Z'", []string{"leave out the offset from UTC"}},
		{"clock > timestamp '2026-11-22T10:00:00+02:00'", []string{"leave out the offset from UTC"}},
		{"clock < ts", []string{"since one has a time zone and the other has none"}},
		{"took > 90", []string{"write its unit, as in '90s'"}},
		{"took > '90 parsecs'", []string{"a duration such as '1h30m'"}},
		{"at > '25:00'", []string{"a time such as '10:30:00.5' is expected"}},
		{"region < day", []string{"only literals are read as what they are compared with"}},
		{"region = date '2026-11-22'", []string{"a date does not compare with it; write text in single quotes"}},
		{"price like '1%'", []string{`"like" looks at text only`}},
		{"1 like '1%'", []string{"a number is not like text"}},
		{"1 = 'x'", []string{"the other side is a number"}},
		{"id in (1, 'x', 2, true)", []string{"position 10:", "position 18:"}},
		{strings.Repeat("zzz = 1 or ", 20) + "true", []string{"; and 10 more"}},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		_, err = e.Bind(schema)
		for _, want := range c.want {
			if err == nil || quiver.ReasonOf(err) != quiver.BadFilter || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", c.text, err, want)
			}
		}
	}
}

// TestBorders looks at values where types meet: 2^53, unsigned beyond signed, digits below the unit.
func TestBorders(t *testing.T) {
	column := func(dt arrow.DataType, values ...any) arrow.Array { return buildColumn(dt, values) }
	for _, c := range []struct {
		column arrow.Array
		test   string
		want   []int32
	}{
		{column(arrow.PrimitiveTypes.Int64, int64(1)<<53, int64(1)<<53+1), "x = 9007199254740993", []int32{1}},
		{column(arrow.PrimitiveTypes.Float64, float64(1<<53), float64(1<<53)+2), "x < 9007199254740993", []int32{0}},
		{column(arrow.PrimitiveTypes.Float64, float64(1<<53), float64(1<<53)+2), "x = 9007199254740993", []int32{}},
		{column(arrow.PrimitiveTypes.Uint64, ^uint64(0), uint64(0)), "x > 9223372036854775807", []int32{0}},
		{column(arrow.PrimitiveTypes.Uint64, ^uint64(0), uint64(0)), "x >= -1", nil},
		{column(arrow.PrimitiveTypes.Int8, int8(-128), int8(127)), "x < 1000 and x > -1e3", nil},
		{column(arrow.PrimitiveTypes.Int32, int32(1), int32(2)), "x > 1.5", []int32{1}},
		{column(arrow.PrimitiveTypes.Int32, int32(1), int32(2)), "x = 1.5", []int32{}},
		{column(arrow.PrimitiveTypes.Float64, 0.1, 0.2), "x = 0.1", []int32{0}},
		{column(arrow.PrimitiveTypes.Float32, float32(0.1), float32(0.5)), "x = 0.1 or x = 0.5", []int32{1}},
		{column(arrow.FixedWidthTypes.Timestamp_s, arrow.Timestamp(0), arrow.Timestamp(1)), "x > '1970-01-01T00:00:00.5Z'", []int32{1}},
		{column(arrow.FixedWidthTypes.Timestamp_ns, arrow.Timestamp(0), arrow.Timestamp(1)), "x < '9999-01-01T00:00:00Z'", nil},
		{column(arrow.FixedWidthTypes.Date32, arrow.Date32(20000), nil), "x between '2024-10-04' and '2024-10-04'", []int32{0}},
		{column(arrow.BinaryTypes.String, "100%", "1000", nil), `x like '100\%'`, []int32{0}},
		{column(arrow.BinaryTypes.String, "ä", "ab", ""), "x like '_'", []int32{0}},
		{column(arrow.BinaryTypes.String, "ab\ncd", "x"), "x like 'a%d'", []int32{0}},
	} {
		schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{{Name: "x", Type: c.column.DataType(), Nullable: true}}, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		f := bind(t, schema, c.test)
		got, err := f.Rows(t.Context(), array.NewRecordBatch(schema.Arrow(), []arrow.Array{c.column}, int64(c.column.Len())))
		if err != nil || (got == nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s on %v: %v %v, want %v", c.test, c.column, got, err, c.want)
		}
	}
}

func TestRowsRefuses(t *testing.T) {
	schema := bindSchema(t)
	f := bind(t, schema, "id = 1 and region = 'x'")
	ids := buildColumn(arrow.PrimitiveTypes.Int64, []any{int64(1)})
	batch := func(columns ...arrow.Array) arrow.RecordBatch {
		fields := make([]arrow.Field, len(columns))
		for i, c := range columns {
			fields[i] = arrow.Field{Name: "x", Type: c.DataType()}
		}
		return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 1)
	}
	if _, err := f.Rows(t.Context(), batch(ids)); quiver.ReasonOf(err) != quiver.SchemaChanged {
		t.Errorf("a column short: %v", err)
	}
	if _, err := f.Rows(t.Context(), batch(ids, ids)); quiver.ReasonOf(err) != quiver.SchemaChanged {
		t.Errorf("another type: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Rows(ctx, batch(ids, buildColumn(arrow.BinaryTypes.String, []any{"x"}))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRowsAllocates shows that a batch costs the list of its rows, and nothing for each row looked at.
func TestRowsAllocates(t *testing.T) {
	schema, arrays := benchTable(t)
	m := &modelTable{schema: schema, arrays: arrays}
	f := bind(t, schema, "(i64 > 990 or f64 < 10 or n64 = 5) and s != 'region-7' and not b")
	rec := m.batch(f, 0, benchRows)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := f.Rows(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}); n > 5 {
		t.Errorf("%v allocations a batch", n)
	}
}
