package flight

import (
	"reflect"
	"strings"
	"testing"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// TestCommandsRoundTrip: a command, its canonical form, and again the same command.
func TestCommandsRoundTrip(t *testing.T) {
	for _, test := range []struct{ text, canonical string }{
		{`{"table":"orders"}`, `{"table":"default.orders"}`},
		{`{"bucket":0,"table":"shop.orders"}`, `{"table":"shop.orders","bucket":0}`},
		{`{"table":"shop.orders","columns":[],"system_columns":["__offset"]}`, `{"table":"shop.orders","columns":[],"system_columns":["__offset"]}`},
		{`{"table":"shop.orders","columns":["Größe","a\"<&>"],"limit":0}`, `{"table":"shop.orders","columns":["Größe","a\"<&>"],"limit":0}`},
		{`{"table":"t","from":"earliest","until":"latest"}`, `{"table":"default.t","from":"earliest","until":"now"}`},
		{`{"table":"t","from":{"offset":"9007199254740993"},"follow":true}`, `{"table":"default.t","from":{"offset":9007199254740993},"follow":true}`},
		{`{"table":"t","from":{"offsets":{"1":5,"0":7,"10":1}}}`, `{"table":"default.t","from":{"offsets":{"0":7,"1":5,"10":1}}}`},
		{`{"table":"t","from":{"offsets":{"offsets":{"0":7}}}}`, `{"table":"default.t","from":{"offsets":{"0":7}}}`},
		{`{"table":"t","from":{"offsets":{}},"until":null}`, `{"table":"default.t","from":{"offsets":{}}}`},
		{`{"table":"t","from":{"timestamp":"2025-11-22T10:00:00Z"}}`, `{"table":"default.t","from":{"timestamp":1763805600000}}`},
		{`{"table":"t","from":{"timestamp":"2025-11-22T11:00:00.0001+01:00"}}`, `{"table":"default.t","from":{"timestamp":1763805600001}}`},
		{`{"table":"t","from":{"timestamp":1763800000000},"table_id":"12"}`, `{"table":"default.t","table_id":12,"from":{"timestamp":1763800000000}}`},
		{`{"table":"t","read":"log","batch_rows":65536,"max_bytes":3145728,"locations":"files"}`, `{"table":"default.t","read":"log","batch_rows":65536,"max_bytes":3145728,"locations":"files"}`},
		{`{"table":"t","partition":""}`, `{"table":"default.t","partition":""}`},
		{`{"put":"shop.orders"}`, `{"put":"shop.orders"}`},
		{`{"put":"shop.orders","op":"append","writer_id":17,"writer_epoch":1,"sequence":0,"acks":"all"}`, `{"put":"shop.orders","op":"append","writer_id":17,"writer_epoch":1,"sequence":0,"acks":"all"}`},
		{`{"expect_offset":5,"put":"t","bucket":3,"acks":"leader"}`, `{"put":"default.t","acks":"leader","bucket":3,"expect_offset":5}`},
	} {
		d, err := ParseDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: []byte(test.text)})
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		got := encodeDescriptor(d)
		if string(got) != test.canonical {
			t.Errorf("%s gives %s, want %s", test.text, got, test.canonical)
		}
		again, err := parseCommand(got)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func encodeDescriptor(d *Descriptor) []byte {
	if d.Put != nil {
		return d.Put.Encode()
	}
	if d.Lookup != nil {
		return d.Lookup.Encode()
	}
	return d.Scan.Encode()
}

// TestCommandsRefused: each key is served or refused, with a text that tells what to do.
func TestCommandsRefused(t *testing.T) {
	for _, test := range []struct {
		text   string
		reason quiver.Reason
		want   string
	}{
		{`{}`, quiver.BadCommand, `a scan has the key "table"`},
		{`{"table":null}`, quiver.BadCommand, "names no table"},
		{`{"tabel":"t"}`, quiver.BadCommand, `names no table; did you mean "table" by "tabel"?`},
		{`{"table":""}`, quiver.BadName, "empty"},
		{`{"table":"a.b.c"}`, quiver.BadName, "table"},
		{`{"table":"../etc"}`, quiver.BadName, "name"},
		{`{"table":"t","put":"t"}`, quiver.BadCommand, `both "table" and "put"`},
		{`{"table":"t","limt":5}`, quiver.BadCommand, `did you mean "limit"?`},
		{`{"table":"t","limit":-1}`, quiver.BadCommand, "table default.t: limit -1 is negative"},
		{`{"table":"t","bucket":-1}`, quiver.BadCommand, "bucket -1 is negative"},
		{`{"table":"t","batch_rows":-5}`, quiver.BadCommand, "batch_rows"},
		{`{"table":"t","max_bytes":-5}`, quiver.BadCommand, "max_bytes"},
		{`{"table":"t","read":"logs"}`, quiver.BadCommand, `did you mean "log"?`},
		{`{"table":"t","order":"keys"}`, quiver.BadCommand, `did you mean "key"?`},
		{`{"lookup":"t","prefix":true,"insert_missing":true}`, quiver.BadCommand, "whole keys"},
		{`{"lookup":"t","max_bytes":-1}`, quiver.BadCommand, "max_bytes -1 is negative"},
		{`{"table":"t","locations":"leader"}`, quiver.BadCommand, `did you mean "leaders"?`},
		{`{"table":"t","system_columns":["__ofset"]}`, quiver.BadCommand, `did you mean "__offset"?`},
		{`{"table":"t","from":"yesterday"}`, quiver.BadCommand, `key from: "yesterday" is no position; write "earliest"`},
		{`{"table":"t","from":5}`, quiver.BadCommand, "key from: want a position, got a number"},
		{`{"table":"t","from":{}}`, quiver.BadCommand, "one key, this one has 0"},
		{`{"table":"t","from":{"offset":5,"cursor":"x"}}`, quiver.BadCommand, "one key, this one has 2"},
		{`{"table":"t","from":{"ofset":5}}`, quiver.BadCommand, `unknown key "ofset" in from; did you mean "offset"?`},
		{`{"table":"t","from":{"offset":-5}}`, quiver.BadCommand, "key from.offset: an offset is not negative"},
		{`{"table":"t","from":{"offsets":{"00":5}}}`, quiver.BadCommand, `"00" is no bucket number`},
		{`{"table":"t","from":{"offsets":{"-1":5}}}`, quiver.BadCommand, `"-1" is no bucket number`},
		{`{"table":"t","from":{"offsets":{"x":5}}}`, quiver.BadCommand, `key from.offsets: "x" is no bucket number`},
		{`{"table":"t","from":{"offsets":{"0":-1}}}`, quiver.BadCommand, "not negative"},
		{`{"table":"t","from":{"offsets":{"0":1,"a=b":{"0":1}}}}`, quiver.BadCommand, "buckets beside partitions"},
		{`{"table":"t","from":{"offsets":{"offsets":{"offsets":{"0":1}}}}}`, quiver.BadCommand, `"offsets" is no bucket number`},
		{`{"table":"t","from":{"offsets":{"0":1,"offsets":{"0":1}}}}`, quiver.BadCommand, "stands alone"},
		{`{"table":"t","from":{"timestamp":"yesterday"}}`, quiver.BadCommand, `key from.timestamp: "yesterday" is no time`},
		{`{"lookup":"t","prefx":true}`, quiver.BadCommand, `did you mean "prefix"?`},
		{`{"put":"t","op":"apend"}`, quiver.BadCommand, `did you mean "append"?`},
		{`{"put":"t","acks":"none"}`, quiver.BadCommand, `"all"`},
		{`{"put":"t","sequence":0}`, quiver.BadCommand, "need a writer_id; get one from the action writer.init"},
		{`{"put":"t","writer_id":1,"sequence":-1}`, quiver.BadCommand, "sequence -1 is negative"},
		{`{"put":"t","writer_id":1,"writer_epoch":-1}`, quiver.BadCommand, "writer_epoch -1"},
		{`{"put":"t","writer_id":18446744073709551615}`, quiver.BadCommand, "no writer"},
		{`{"put":"t","expect_offset":-1}`, quiver.BadCommand, "expect_offset -1"},
	} {
		_, err := parseCommand([]byte(test.text))
		if err == nil {
			t.Errorf("%s was taken", test.text)
			continue
		}
		wantError(t, err, test.reason, test.want)
	}
}

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		path string // parts joined by "|"
		want TableName
	}{
		{"shop|orders", TableName{"shop", "orders", ""}},
		{"shop|orders|dt=2026-11-22", TableName{"shop", "orders", "dt=2026-11-22"}},
		{"shop.orders", TableName{"shop", "orders", ""}},
		{"orders", TableName{"default", "orders", ""}},
	} {
		path := strings.Split(test.path, "|")
		d, err := ParseDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: path})
		if err != nil || *d.Path != test.want {
			t.Errorf("%s: %+v, %v", test.path, d, err)
		}
	}
	for _, path := range [][]string{nil, {""}, {"a", "b", "c", "d"}, {"a.b", "c"}, {"a", "b.c"}, {"a b"}} {
		if _, err := ParseDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: path}); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	_, err := ParseDescriptor(nil)
	wantError(t, err, quiver.BadCommand, "for_path")
	_, err = ParseDescriptor(&afl.FlightDescriptor{})
	wantError(t, err, quiver.BadCommand, "neither")
}

func TestPathsAsCommands(t *testing.T) {
	whole := &Descriptor{Path: &TableName{"shop", "orders", ""}}
	scan, err := whole.AsScan()
	if err != nil || string(scan.Encode()) != `{"table":"shop.orders"}` {
		t.Error(scan, err)
	}
	put, err := whole.AsPut()
	if err != nil || string(put.Encode()) != `{"put":"shop.orders"}` {
		t.Error(put, err)
	}
	part := &Descriptor{Path: &TableName{"shop", "orders", "dt=1"}}
	if scan, err := part.AsScan(); err != nil || string(scan.Encode()) != `{"table":"shop.orders","partition":"dt=1"}` {
		t.Error(scan, err)
	}
	if put, err := part.AsPut(); err != nil || put.Table != *part.Path {
		t.Error(put, err)
	}
	_, err = (&Descriptor{Put: put}).AsScan()
	wantError(t, err, quiver.BadCommand, "no scan")
	_, err = (&Descriptor{Scan: scan}).AsPut()
	wantError(t, err, quiver.BadCommand, "no put")
}

func TestFlightSQLIsRecognised(t *testing.T) {
	cmd, err := proto.Marshal(&anypb.Any{TypeUrl: "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery", Value: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: cmd})
	wantError(t, err, quiver.BadCommand, "Flight SQL (CommandStatementQuery) is not served")
	if code := status.Code(ToStatus(err)); code != codes.Unimplemented {
		t.Errorf("code %v", code)
	}
	_, err = ParseDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: []byte("select 1")})
	wantError(t, err, quiver.BadCommand, "no JSON")
}

func TestRangeDefaults(t *testing.T) {
	for text, want := range map[string][2]PositionKind{
		`{"table":"t"}`:                             {Earliest, Latest},
		`{"table":"t","follow":true}`:               {Earliest, NotGiven},
		`{"table":"t","follow":true,"until":"now"}`: {Earliest, Latest},
		`{"table":"t","from":"now"}`:                {Latest, Latest},
	} {
		scan, err := ParseTicket([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if from, until := scan.Range(); from.Kind != want[0] || until.Kind != want[1] {
			t.Errorf("%s: %v %v", text, from, until)
		}
	}
}

func genOffsets(t *rapid.T) Offsets {
	buckets := rapid.MapOf(rapid.Int32Min(0), rapid.Map(rapid.Int64Min(0), func(n int64) quiver.Offset { return quiver.Offset(n) }))
	if rapid.Bool().Draw(t, "flat") {
		return Offsets{Buckets: BucketOffsets(buckets.Draw(t, "buckets"))}
	}
	o := Offsets{Partitions: map[string]PartitionOffsets{}}
	for range rapid.IntRange(1, 4).Draw(t, "partitions") {
		p := PartitionOffsets{Buckets: BucketOffsets(buckets.Draw(t, "buckets"))}
		if rapid.Bool().Draw(t, "known") {
			p.ID = new(quiver.PartitionID(rapid.Uint64().Draw(t, "id")))
		}
		o.Partitions["dt="+rapid.StringMatching(`[a-z0-9/=%"\\ö]{0,6}`).Draw(t, "name")] = p
	}
	return o
}

func TestPositionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := struct {
			At      Position `json:"at,omitzero"`
			Offsets Offsets  `json:"offsets,omitzero"`
		}{}
		want.At.Kind = PositionKind(rapid.IntRange(int(NotGiven), int(AtCursor)).Draw(t, "kind"))
		switch want.At.Kind {
		case AtOffset:
			want.At.Offset = quiver.Offset(rapid.Int64Min(0).Draw(t, "offset"))
		case AtOffsets:
			want.At.Offsets = genOffsets(t)
		case AtTimestamp:
			want.At.Timestamp = rapid.Int64().Draw(t, "timestamp")
		case AtCursor:
			want.At.Cursor = rapid.StringMatching(`[a-zö"<]{1,9}`).Draw(t, "cursor")
		}
		if rapid.Bool().Draw(t, "vector") {
			want.Offsets = genOffsets(t)
		}
		got := want
		got.At, got.Offsets = Position{Kind: AtCursor, Cursor: "stale"}, Offsets{}
		text := encode(want)
		if string(text) == "{}" {
			return
		}
		if want.At.Kind == NotGiven {
			got.At = Position{}
		}
		if err := DecodeStrict(text, &got, quiver.BadCommand); err != nil {
			t.Fatal(string(text), err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s gives %+v, want %+v", text, got, want)
		}
	})
}

// TestTablesRefuse: what a log table does not have is refused by name, and so is what a primary-key table does not have.
func TestTablesRefuse(t *testing.T) {
	spec := quiver.TableSpec{Database: "default", Name: "t", Schema: arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)}
	log, err := spec.Table(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	spec.PrimaryKey = []string{"id"}
	keyed, err := spec.Table(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		table *quiver.Table
		text  string
		want  string
	}{
		{log, `{"table":"t","read":"table"}`, "primary-key table"},
		{log, `{"table":"t","read":"table+log"}`, "primary-key table"},
		{log, `{"table":"t","key_range":{"from":[1]}}`, "key_range"},
		{log, `{"table":"t","order":"key"}`, "order"},
		{log, `{"table":"t","system_columns":["__change_type"]}`, "every row is an append"},
		{log, `{"lookup":"t","keys":[[1],[2]]}`, "primary-key table"},
		{log, `{"put":"t","op":"upsert"}`, "primary-key table"},
		{log, `{"put":"t","columns":["id"]}`, "partial update"},
		{keyed, `{"table":"t","follow":true}`, `"read":"log"`},
		{keyed, `{"table":"t","from":"now"}`, "changelog"},
		{keyed, `{"table":"t","columns":["__timestamp"]}`, "changelog"},
		{keyed, `{"table":"t","columns":["__change_type"]}`, "changelog"},
		{keyed, `{"table":"t","read":"log","order":"key"}`, "order"},
		{keyed, `{"table":"t","read":"table+log","from":"now"}`, "from"},
		{keyed, `{"put":"t","op":"append"}`, "needs a log table"},
		{keyed, `{"put":"t","bucket":0}`, "primary key decides"},
		{keyed, `{"put":"t","columns":["w"]}`, `no column "w"`},
	} {
		d, err := parseCommand([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		switch {
		case d.Put != nil:
			err = CheckOp(test.table, d.Put.Op, d.Put.Columns, d.Put.Bucket)
		case d.Lookup != nil:
			err = d.Lookup.CheckTable(test.table)
		default:
			err = d.Scan.CheckTable(test.table)
		}
		wantError(t, err, quiver.BadCommand, test.want)
	}
}

// FuzzCommand: any command that is taken has a canonical form that means the same.
func FuzzCommand(f *testing.F) {
	f.Add([]byte(`{"table":"t","from":{"offsets":{"0":1}},"until":{"timestamp":"2026-11-22T10:00:00Z"}}`))
	f.Add([]byte(`{"put":"t","writer_id":"17","sequence":3,"bucket":1}`))
	f.Add([]byte(`{"table":"s.t","partition":"dt=2026-11-22/region=%65u","bucket":0,"filter":"a > 1 and __offset < 5","follow":true,"limit":"9"}`))
	f.Add([]byte(`{"table":"t","table_id":3,"from":{"offsets":{"a=1":{"id":12,"0":5},"a=2":{}}},"until":{"cursor":"job1"}}`))
	f.Add([]byte(`{"table":"t","from":{"offsets":{}},"until":{"offsets":{"offsets":{"a=b":{"id":"18446744073709551615"}}}}}`))
	f.Add([]byte(`{"lookup":"t","keys":[[1,"a"]],"min_offsets":{"a=b":{"id":1,"0":2}}}`))
	f.Fuzz(func(t *testing.T, cmd []byte) {
		d, err := parseCommand(cmd)
		if err != nil {
			if quiver.ReasonOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		again, err := parseCommand(encodeDescriptor(d))
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%s: %v", encodeDescriptor(d), err)
		}
	})
}

func BenchmarkParseTicket(b *testing.B) {
	text := []byte(`{"table":"shop.orders","bucket":0,"columns":["id","price"],"from":{"offset":1200},"until":{"offset":1456}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTicket(text); err != nil {
			b.Fatal(err)
		}
	}
}
