package tabular

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// shape writes a schema as "id int64, name string".
func shape(s *arrow.Schema) string {
	parts := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		parts[i] = f.Name + " " + quiver.FormatType(f.Type)
	}
	return strings.Join(parts, ", ")
}

// TestInference shows the types that columns get.
func TestInference(t *testing.T) {
	for _, c := range []struct {
		format     Format
		text, want string
	}{
		{CSV, "a,b,c,d\n1,1.5,true,x\n-2,3,False,\n", "a int64, b double, c bool, d string"},
		{CSV, "a,b,c\n2026-11-22,2026-11-22 10:30:00,10:30\n,2026-11-22T10:30:00.5,10:30:01.25\n", "a date32[day], b timestamp[us], c time64[us]"},
		{CSV, "a,b\n2026-11-22T10:00:00Z,2026-11-22T10:00:00.123456789\n2026-11-22 12:00:00+02:00,2026-11-22T10:00:00\n", "a timestamp[us, tz=UTC], b timestamp[ns]"},
		{CSV, "a,b\n2026-11-22,2026-11-22\n2026-11-22 10:00:00,x\n", "a timestamp[us], b string"},
		{CSV, "a,b,c\n18446744073709551615,99999999999999999999,1e5\n1,2,nan\n", "a uint64, b string, c double"},
		{CSV, "a,b,c\nNA,,null\n,,\n", "a string, b string, c string"},
		{CSV, "a,b\nNA,1\nNULL,\n3,n/a\n", "a int64, b int64"},
		{CSV, "\xef\xbb\xbfa,,b\r\n0x1,1_0,inf\r\n", "a string, Unnamed: 1 string, b double"},
		{CSV, "a\n1\n\n3\n", "a int64"},
		{TSV, "a\tb\n1\tx,y\n", "a int64, b string"},
		{NDJSON, `{"a":1,"b":1.5,"c":"x","d":true,"e":null}` + "\n" + `{"a":2,"b":3,"f":[1,2]}`, "a int64, b double, c string, d bool, e string, f list<item: int64>"},
		{NDJSON, `{"at":"2026-11-22T10:00:00Z","day":"2026-11-22","n":"12","t":"10:00"}`, "at timestamp[us, tz=UTC], day date32[day], n string, t string"},
		{JSON, `[{"o":{"x":1,"y":[{"z":"s"}]}},{"o":{"x":2.5,"w":null}}]`, "o struct<x: double, y: list<item: struct<z: string>>, w: string>"},
		{JSON, `[{"m":1},{"m":"x"},{"m":true}]`, "m string"},
		{"", `{"a":1}` + "\n", "a int64"},
		{"", "a,b\n1,2\n", "a int64, b int64"},
	} {
		reader, err := NewReader(strings.NewReader(c.text), ReadOptions{Name: "t", Format: c.format})
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		schema, _, err := readAll(reader)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		} else if got := shape(schema); got != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
}

// TestRowsThatDoNotFit shows that each is named by file, line and column.
func TestRowsThatDoNotFit(t *testing.T) {
	target := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int32},
		{Name: "price", Type: &arrow.Decimal128Type{Precision: 6, Scale: 2}, Nullable: true},
		{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	}, nil)
	for _, c := range []struct {
		format     Format
		text, want string
	}{
		{CSV, "id,price\n1,2\n2,x\n", `f, line 3, column "price": "x" is no decimal128(6, 2): a decimal number such as "12.50" is expected`},
		{CSV, "id,price\n1,12345.678\n", `line 2, column "price": "12345.678" is no decimal128(6, 2): it has more than 2 digits behind the point`},
		{CSV, "id\n1\n99999999999\n", `line 3, column "id": "99999999999" is no int32`},
		{CSV, "id,price\n,1\n", `line 2, column "id": "" is null, and the column may not be null`},
		{CSV, "id,at\n1,2026-11-22 10:00:00\n", `column "at": "2026-11-22 10:00:00" does not tell its offset from UTC`},
		{CSV, "id,prise\n1,2\n", `f, line 1: the table has no column "prise" (did you mean "price"?); rename it in the header`},
		{CSV, "id,price\n1,2,3\n", `line 2: it has 3 fields, the header has 2; put a field that holds a delimiter in double quotes`},
		{CSV, "id,price\n1,\"2\n", `line 2: a quote is not closed before the end of the file`},
		{CSV, "id,price\n1,\"2\"x\n", `line 2: field 2 goes on behind its closing quote`},
		{CSV, "id,id\n1,2\n", `line 1, column "id": the header names it twice`},
		{CSV, "id,tags\n1,[\"a\"]\n2,[1\n", `line 3, column "tags": "[1" is no JSON`},
		{CSV, "", `f has no line`},
		{NDJSON, `{"id":1}` + "\n\n" + `{"id":"x"}`, `f, line 3, column "id": "x" is no int32`},
		{NDJSON, `{"id":1,"tags":["a",{}]}`, `line 1, column "tags.item": an object stands where string is expected`},
		{NDJSON, `{"price":"1"}`, `line 1, column "id": it is missing, and may not be null`},
		{NDJSON, `{"id":1,"prise":2}`, `line 1, column "prise": there is no such column (did you mean "price"?)`},
		{NDJSON, `{"id":1,"id":2}`, `column "id": it is there twice`},
		{NDJSON, `{"id":1}` + "\n" + `{"id":`, `line 2: the file ends within this row`},
		{NDJSON, `{"id":1}` + "\n" + `{"id":nope}`, `line 2: it is no JSON`},
		{NDJSON, `{"id":1}` + "\n" + `17`, `line 2: '1' comes where a row is expected`},
		{JSON, "[\n{\"id\":1}\n{\"id\":2}\n]", `line 3: '{' comes where a comma or the end of the array is expected`},
		{JSON, `[{"id":1}`, `line 1: the file ends within its array`},
		{JSON, `[{"id":null}]`, `line 1, column "id": null stands where no null may be`},
	} {
		reader, err := NewReader(strings.NewReader(c.text), ReadOptions{Name: "f", Format: c.format, Schema: target})
		if err == nil {
			_, _, err = readAll(reader)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

// TestInferredTypesAreNamedAsTheCause tells what to do about a value behind those that types came from.
func TestInferredTypesAreNamedAsTheCause(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("n\n")
	for text.Len() < InferBytes+chunkSize {
		text.WriteString("123456789012345\n")
	}
	text.WriteString("x\n")
	reader, err := NewReader(&text, ReadOptions{Name: "f", Format: CSV})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = readAll(reader)
	if err == nil || !strings.Contains(err.Error(), `"x" is no int64; the type comes from the rows before; give the types with --schema`) {
		t.Error(err)
	}
}

// TestMissingMembersTakeTheDefault and those that are null do not.
func TestMissingMembersTakeTheDefault(t *testing.T) {
	target := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "b", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	reader, err := NewReader(strings.NewReader(`{"b":"x"} {"a":null} {"a":3}`), ReadOptions{Name: "f", Format: NDJSON, Schema: target,
		Defaults: map[string]json.RawMessage{"a": json.RawMessage("7")}})
	if err != nil {
		t.Fatal(err)
	}
	_, table, err := readAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(table.Column(0).Data().Chunk(0)); got != "[7 (null) 3]" {
		t.Error(got)
	}
}

// TestLiveRowsAreGivenOut shows that rows of a stream that pauses do not wait for a full batch.
func TestLiveRowsAreGivenOut(t *testing.T) {
	in, out := io.Pipe()
	target := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, nil)
	go func() { _, _ = out.Write([]byte("{\"a\":1}\n{\"a\":2}\n")) }()
	reader, err := NewReader(in, ReadOptions{Name: "stdin", Format: NDJSON, Schema: target, Live: true})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := reader.Next()
	if err != nil || batch.NumRows() != 2 {
		t.Fatal(batch, err)
	}
	batch.Release()
	_ = out.Close()
	if _, err := reader.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	_ = reader.Close()
}

func exampleBatch() arrow.RecordBatch {
	berlin := &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "price", Type: &arrow.Decimal128Type{Precision: 10, Scale: 2}, Nullable: true}, {Name: "at", Type: berlin, Nullable: true},
		{Name: "raw", Type: arrow.BinaryTypes.Binary, Nullable: true}, {Name: "ratio", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "took", Type: arrow.FixedWidthTypes.Duration_ms, Nullable: true},
		{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	}, nil)
	rows := `{"id":1,"name":"Ada","price":"12.50","at":"2026-11-22T10:00:00Z","raw":"AP8=","ratio":2,"took":1500,"tags":["a","b"]}
		{"id":20000,"name":"tab\there\u001b[31m 日本","price":"-0.05","at":null,"raw":null,"ratio":"NaN","took":null,"tags":[]}
		{"id":3}`
	reader, err := NewReader(strings.NewReader(rows), ReadOptions{Name: "f", Format: NDJSON, Schema: schema})
	if err != nil {
		panic(err)
	}
	defer reader.Close()
	batch, err := reader.Next()
	if err != nil {
		panic(err)
	}
	return batch
}

// TestTexts compares the text formats with what they should look like.
func TestTexts(t *testing.T) {
	batch := exampleBatch()
	for _, c := range []struct {
		format Format
		want   string
	}{
		{CSV, `id,name,price,at,raw,ratio,took,tags
1,Ada,12.50,2026-11-22 11:00:00+01:00,AP8=,2.0,1500,"[""a"",""b""]"
20000,tab	here` + "\x1b" + `[31m 日本,-0.05,,,NaN,,[]
3,,,,,,,
`},
		{NDJSON, `{"id":1,"name":"Ada","price":"12.50","at":"2026-11-22T11:00:00+01:00","raw":"AP8=","ratio":2.0,"took":1500,"tags":["a","b"]}
{"id":20000,"name":"tab\there\u001b[31m 日本","price":"-0.05","at":null,"raw":null,"ratio":"NaN","took":null,"tags":[]}
{"id":3,"name":null,"price":null,"at":null,"raw":null,"ratio":null,"took":null,"tags":null}
`},
		{Table, `   id  name                  price  at                     raw      ratio  took  tags
─────  ────────────────────  ─────  ─────────────────────  ───────  ─────  ────  ─────────
    1  Ada                   12.50  2026-11-22 11:00:00+…  x'00ff'    2.0  1.5s  ["a","b"]
20000  tab\there\u001b[31m…  -0.05  null                   null       NaN  null  []
    3  null                   null  null                   null      null  null  null
3 rows
`},
	} {
		got := string(write(t, c.format, WriteOptions{Width: 90}, batch))
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.format, got, c.want)
		}
	}
	empty := batch.NewSlice(0, 0)
	if got := string(write(t, JSON, WriteOptions{}, empty)); got != "[]\n" {
		t.Errorf("%q", got)
	}
	none := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, 1200)
	if got := string(write(t, Table, WriteOptions{}, none)); got != "1,200 rows\n" {
		t.Errorf("%q", got)
	}
}

// FuzzCSV feeds any bytes to the reader, with types inferred and given.
func FuzzCSV(f *testing.F) {
	for _, text := range []string{"a,b\n1,2\n", "a\n\"x\ny\"\n", "a,b\r\n\"1\"\"\",\n", "\xef\xbb\xbfa\n", "a,a\n", "\"", "a\n2026-11-22T10:00:00+01:00\n"} {
		f.Add([]byte(text))
	}
	target := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true}}, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		readEither(t, data, ReadOptions{Name: "f", Format: CSV}, target)
	})
}

// FuzzNDJSON feeds any bytes to the reader, with types inferred and given.
func FuzzNDJSON(f *testing.F) {
	for _, text := range []string{`{"a":1}`, "[{\"a\":1},\n{\"a\":2.5}]", `{"a":{"b":[null,{"c":"\ud800"}]}}`, `[`, `{"a":1}]`, `{"":{}}`, `{"b":[[]]}`} {
		f.Add([]byte(text))
	}
	object := arrow.StructOf(arrow.Field{Name: "c", Type: arrow.FixedWidthTypes.Date32, Nullable: true})
	target := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "b", Type: arrow.MapOf(arrow.BinaryTypes.String, object), Nullable: true}}, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		readEither(t, data, ReadOptions{Name: "f", Format: NDJSON}, target)
	})
}

// readEither reads with types inferred, which then fit every row there is, and with types given.
func readEither(t *testing.T, data []byte, o ReadOptions, target *arrow.Schema) {
	if bytes.HasPrefix(data, parquetMagic) || bytes.HasPrefix(data, arrowFileMagic) {
		return
	}
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	o.Mem, o.BatchRows = mem, 3
	for _, schema := range []*arrow.Schema{nil, target} {
		o.Schema = schema
		reader, err := NewReader(bytes.NewReader(data), o)
		if err != nil {
			continue
		}
		_, table, err := readAll(reader)
		if err != nil {
			continue
		}
		if table.NumRows() > int64(len(data)) {
			t.Fatalf("%d rows of %d bytes", table.NumRows(), len(data))
		}
		table.Release()
	}
	mem.AssertSize(t, 0)
}

// TestMoments compares the reader of timestamps with package time.
func TestMoments(t *testing.T) {
	r := newRandom(t)
	layouts := []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999-0700", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07"}
	for range 2000 {
		at := time.Unix(r.Int64N(8e9)-4e9, r.Int64N(1e9)).In(time.FixedZone("", (r.IntN(47)-23)*1800))
		layout := layouts[r.IntN(len(layouts))]
		text := at.Format(layout)
		want, err := time.Parse(layout, text)
		if err != nil {
			t.Fatal(err)
		}
		m, _, ok := parseMoment([]byte(text))
		if !ok || m.seconds != want.Unix() || m.nanos != int64(want.Nanosecond()) {
			t.Errorf("%s: %v %v, want %d", text, m, ok, want.Unix())
		}
	}
	for _, text := range []string{"2026-02-29", "2026-13-01", "2026-1-01", "2026-01-01T", "2026-01-01T24:00", "2026-01-01T10:60", "2026-01-01T10:00+1", "2026-01-01T10:00.5", "2026-01-01T10:00:00.", "2026-01-01T10:00:00.1234567891"} {
		if _, _, ok := parseMoment([]byte(text)); ok {
			t.Errorf("%s is taken", text)
		}
	}
}
