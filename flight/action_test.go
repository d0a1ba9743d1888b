package flight

import (
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// stockParse reads a schema with arrow-go, which is enough for schemas of our own making.
func stockParse(message []byte) (*arrow.Schema, error) {
	return afl.DeserializeSchema(FrameSchema(message), memory.DefaultAllocator)
}

func TestTableCreateByColumns(t *testing.T) {
	req, err := ParseAction[TableCreate]([]byte(`{"table":"shop.orders","schema":[{"name":"id","type":"int64","nullable":false},
		{"name":"Unit price","type":"decimal128(12, 2)"},{"name":"tags","type":"list<item: string>","default":null},{"name":"n","type":"int32","default":7}],
		"buckets":4,"options":{"retention.time":"7d"},"comment":"c","if_not_exists":true}`))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := req.Spec(stockParse)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Database != "shop" || spec.Name != "orders" || spec.Buckets != 4 || !spec.IfNotExists || spec.Comment != "c" ||
		spec.Options["retention.time"] != "7d" || spec.Schema.NumFields() != 4 || spec.Schema.Field(0).Nullable || !spec.Schema.Field(1).Nullable {
		t.Fatalf("%+v", spec)
	}
	table, err := spec.Table(12, 1763800000000)
	if err != nil {
		t.Fatal(err)
	}
	d, err := DescribeTable(table)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"table":"shop.orders","table_id":12,"schema_id":1,"columns":[` +
		`{"id":1,"name":"id","type":"int64","nullable":false,"default":null},` +
		`{"id":2,"name":"Unit price","type":"decimal128(12, 2)","nullable":true,"default":null},` +
		`{"id":3,"name":"tags","type":"list<item: string>","nullable":true,"default":null},` +
		`{"id":5,"name":"n","type":"int32","nullable":true,"default":7}],` +
		`"primary_key":[],"bucket_key":[],"buckets":4,"partition_by":[],"options":{"retention.time":"7d"},"comment":"c","created":1763800000000}`
	if got := string(EncodeResult(d)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestTableCreateByIPCSchema(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "word", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true}}, nil)
	framed := afl.SerializeSchema(schema, memory.DefaultAllocator)
	bare, err := UnframeSchema(framed)
	if err != nil {
		t.Fatal(err)
	}
	endOfStream := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	for name, form := range map[string][]byte{
		"framed":             framed,
		"bare":               bare,
		"with end of stream": append(FrameSchema(bare), endOfStream...),
		"old frame":          FrameSchema(bare)[4:],
		"old frame with end": append(FrameSchema(bare)[4:], 0, 0, 0, 0),
		"old frame, new end": append(FrameSchema(bare)[4:], endOfStream...),
	} {
		for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			req, err := ParseAction[TableCreate]([]byte(`{"table":"t","schema":"` + alphabet.EncodeToString(form) + `"}`))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			spec, err := req.Spec(stockParse)
			if err != nil || !spec.Schema.Equal(schema) || spec.Buckets != 0 {
				t.Errorf("%s: %+v %v", name, spec, err)
			}
			again, err := ParseAction[TableCreate](EncodeResult(req))
			if err != nil || !reflect.DeepEqual(again, req) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	broken := errors.New("broken")
	req := &TableCreate{Schema: SchemaWord{Message: bare}}
	if _, err := req.Spec(func([]byte) (*arrow.Schema, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestActionsRefused(t *testing.T) {
	create := func(body string) error { _, err := ParseAction[TableCreate]([]byte(body)); return err }
	wait := func(body string) error { _, err := ParseAction[LogWait]([]byte(body)); return err }
	offsets := func(body string) error { _, err := ParseAction[LogOffsets]([]byte(body)); return err }
	deletion := func(body string) error { _, err := ParseAction[LogDeleteBefore]([]byte(body)); return err }
	initWriter := func(body string) error { _, err := ParseAction[WriterInit]([]byte(body)); return err }
	describe := func(body string) error { _, err := ParseAction[WriterDescribe]([]byte(body)); return err }
	drop := func(body string) error { _, err := ParseAction[TableDrop]([]byte(body)); return err }
	list := func(body string) error { _, err := ParseAction[TableList]([]byte(body)); return err }
	for _, test := range []struct {
		parse  func(string) error
		body   string
		reason quiver.Reason
		want   string
	}{
		{create, ``, quiver.BadCommand, "names no table"},
		{create, `{"table":"t"}`, quiver.BadCommand, "no schema"},
		{create, `{"table":"t","schema":null}`, quiver.BadCommand, "no schema"},
		{create, `{"table":"t","schema":7}`, quiver.BadCommand, "key schema: want an array"},
		{create, `{"table":"t","schema":[{"name":"a","tpye":"int64"}]}`, quiver.BadCommand, `unknown key "tpye" in schema[0]; did you mean "type"?`},
		{create, `{"table":"t","schema":"!!"}`, quiver.BadCommand, "no base64"},
		{create, `{"table":"t","schema":""}`, quiver.BadCommand, "0 bytes are no IPC schema"},
		{create, `{"table":"t","schema":"/////wAQAAA="}`, quiver.BadCommand, "4096 bytes, but 0 follow"},
		{create, `{"table":"t","schema":"/////wEAAAAAAQ=="}`, quiver.BadCommand, "1 bytes follow"},
		{create, `{"table":"t","schema":[],"buckets":0}`, quiver.BadCommand, "at least 1"},
		{create, `{"table":"t","schema":[],"options":{"retention.time":7}}`, quiver.BadCommand, "key options.retention.time: want a string"},
		{wait, `{"table":"t","timeout_ms":-1}`, quiver.BadCommand, "negative"},
		{offsets, `{"table":"t","at":{"offset":5}}`, quiver.BadCommand, "key at"},
		{offsets, `{"table":"t","at":"first"}`, quiver.BadCommand, "no position"},
		{offsets, `{}`, quiver.BadCommand, "names no table"},
		{deletion, `{"table":"t"}`, quiver.BadCommand, "either offsets or a timestamp"},
		{deletion, `{"table":"t","timestamp":1,"offsets":{"0":1}}`, quiver.BadCommand, "either offsets or a timestamp"},
		{deletion, `{"table":"t","timestamp":"x"}`, quiver.BadCommand, "no time"},
		{initWriter, `{"name":"a","writer_id":1}`, quiver.BadCommand, "not both"},
		{initWriter, `{"writer_id":18446744073709551615}`, quiver.BadCommand, "no writer"},
		{initWriter, `{"name":"` + strings.Repeat("x", 300) + `"}`, quiver.BadName, "300 bytes"},
		{describe, `{"table":"t"}`, quiver.BadCommand, "names no writer"},
		{drop, `{"tabel":"t"}`, quiver.BadCommand, `did you mean "table"?`},
		{list, `{"database":"a b"}`, quiver.BadName, "database"},
	} {
		err := test.parse(test.body)
		if err == nil {
			t.Errorf("%s was taken", test.body)
			continue
		}
		wantError(t, err, test.reason, test.want)
	}
}

func TestActionBodies(t *testing.T) {
	wait, err := ParseAction[LogWait]([]byte(`{"table":"t","offsets":{"offsets":{"0":5}},"timeout_ms":30}`))
	if err != nil || wait.Offsets.Buckets[0] != 5 || wait.Timeout() != 30*time.Millisecond {
		t.Error(wait, err)
	}
	wait, err = ParseAction[LogWait]([]byte(`{"table":"t"}`))
	if err != nil || wait.Timeout() != 30*time.Second {
		t.Error(wait, err)
	}
	wait, err = ParseAction[LogWait]([]byte(`{"table":"t","timeout_ms":9223372036854775807}`))
	if err != nil || wait.Timeout() != 10*time.Minute {
		t.Error(wait, err)
	}
	at, err := ParseAction[LogOffsets]([]byte(`{"table":"t"}`))
	if err != nil || at.At.Kind != Latest {
		t.Error(at, err)
	}
	del, err := ParseAction[LogDeleteBefore]([]byte(`{"table":"t","timestamp":1763800000000}`))
	if err != nil || !reflect.DeepEqual(del.Before(), Position{Kind: AtTimestamp, Timestamp: 1763800000000}) {
		t.Error(del, err)
	}
	writer, err := ParseAction[WriterInit](nil)
	if err != nil || writer.Name != "" || writer.WriterID != nil {
		t.Error(writer, err)
	}
	if _, err := ParseAction[DatabaseList](nil); err != nil {
		t.Error(err)
	}
	for want, result := range map[string]any{
		`{"dropped":true}`:                             Dropped{true},
		`{"table":"a.b","table_id":3}`:                 TableRow{"a.b", 3},
		`{"database":"default","comment":""}`:          DatabaseRow{Database: "default"},
		`{"writer_id":17,"writer_epoch":3}`:            WriterRow{17, 3},
		`{"partition":null,"bucket":0,"offset":5}`:     OffsetRow{nil, 0, 5},
		`{"partition":null,"bucket":0,"sequence":5}`:   SequenceRow{PartitionWord(""), 0, 5},
		`{"partition":"dt=1","bucket":0,"sequence":5}`: SequenceRow{PartitionWord("dt=1"), 0, 5},
		`{"partition":null,"bucket":1,"rows":10,"bytes":20,"earliest":0,"latest":10,"segments":1}`: StatsRow{Bucket: new(int32(1)), Rows: 10, Bytes: 20,
			Earliest: new(quiver.Offset(0)), Latest: new(quiver.Offset(10)), Segments: 1},
		`{"partition":null,"bucket":null,"rows":30,"bytes":3,"earliest":null,"latest":null,"segments":2,"total":true}`: TotalStats([]StatsRow{
			{Rows: 10, Bytes: 1, Segments: 1}, {Rows: 20, Bytes: 2, Segments: 1}}),
	} {
		if got := string(EncodeResult(result)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestCriteria(t *testing.T) {
	for text, want := range map[string]Criteria{
		"":                    {},
		"shop.":               {Prefix: "shop."},
		`{"prefix":"shop.o"}`: {Prefix: "shop.o"},
		`{"database":"shop"}`: {Database: "shop"},
	} {
		if got, err := ParseCriteria([]byte(text)); err != nil || got != want {
			t.Error(got, err)
		}
	}
	_, err := ParseCriteria([]byte(`{"prefx":"x"}`))
	wantError(t, err, quiver.BadCommand, `did you mean "prefix"?`)
	_, err = ParseCriteria(make([]byte, 1000))
	wantError(t, err, quiver.BadCommand, "criteria")
}

// FuzzTableCreate: bodies that are taken give a message to verify, or columns; nothing panics.
func FuzzTableCreate(f *testing.F) {
	f.Add([]byte(`{"table":"t","schema":"/////wAQAAA="}`))
	f.Add([]byte(`{"table":"t","schema":[{"name":"a","type":"struct<a: int64, b: list<item: string>>","default":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := ParseAction[TableCreate](body)
		if err != nil {
			return
		}
		spec, err := req.Spec(func(message []byte) (*arrow.Schema, error) { return nil, nil })
		if err == nil && req.Schema.Message == nil && spec.Schema == nil {
			t.Fatal("neither")
		}
	})
}

// FuzzUnframeSchema: a frame around anything comes off again.
func FuzzUnframeSchema(f *testing.F) {
	f.Add([]byte("message."))
	f.Fuzz(func(t *testing.T, data []byte) {
		if message, err := UnframeSchema(data); err == nil && len(message) > len(data) {
			t.Fatal("longer than it was")
		}
		if len(data) == 0 {
			return
		}
		message, err := UnframeSchema(FrameSchema(data))
		if err != nil || !strings.HasPrefix(string(message), string(data)) {
			t.Fatal(err)
		}
	})
}
