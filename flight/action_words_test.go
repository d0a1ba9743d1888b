package flight

import (
	"reflect"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

// again parses a body, writes it and parses it again, and gives what is written.
func again[T any, P request[T]](t *testing.T, body string) string {
	t.Helper()
	first, err := ParseAction[T, P]([]byte(body))
	if err != nil {
		t.Errorf("%s: %v", body, err)
		return ""
	}
	text := EncodeResult(first)
	second, err := ParseAction[T, P](text)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("%s comes back as %s: %v", body, text, err)
	}
	return string(text)
}

func TestWordsOfTablesAndCursors(t *testing.T) {
	for got, want := range map[string]string{
		again[DatabaseCreate](t, `{"database":"shop","properties":{"a":"b"},"if_not_exists":true}`):    `{"database":"shop","properties":{"a":"b"},"if_not_exists":true}`,
		again[DatabaseAlter](t, `{"database":"shop","comment":""}`):                                    `{"database":"shop","comment":""}`,
		again[DatabaseDrop](t, `{"database":"shop","cascade":true}`):                                   `{"database":"shop","cascade":true}`,
		again[DatabaseDescribe](t, `{"database":"shop"}`):                                              `{"database":"shop"}`,
		again[PartitionCreate](t, `{"table":"t","partition":"dt=1","table_id":"7"}`):                   `{"table":"default.t","table_id":7,"partition":"dt=1"}`,
		again[PartitionDrop](t, `{"table":"t","partition":"dt=1","if_exists":true}`):                   `{"table":"default.t","partition":"dt=1","if_exists":true}`,
		again[PartitionList](t, `{"table":"shop.t"}`):                                                  `{"table":"shop.t"}`,
		again[CursorList](t, `{"table":"t","cursor":"ü/1"}`):                                           `{"table":"default.t","cursor":"ü/1"}`,
		again[CursorReset](t, `{"table":"t","cursor":"c","to":"latest"}`):                              `{"cursor":"c","table":"default.t","to":"now"}`,
		again[CursorCommit](t, `{"table":"t","cursor":"c","offsets":{"offsets":{"0":7}},"expect":{}}`): `{"cursor":"c","table":"default.t","offsets":{"0":7},"expect":{}}`,
		again[CursorCommit](t, `{"table":"t","cursor":"c","offsets":{"dt=1":{"id":3,"0":7}}}`):         `{"cursor":"c","table":"default.t","offsets":{"dt=1":{"id":3,"0":7}}}`,
		again[TableAlter](t, `{"table":"t","changes":[{"add":{"name":"x","type":"int32","nullable":false,"default":0,"after":null}},{"drop":"y"},{"set":{"a":"b"}},{"reset":["c"]},{"comment":""}]}`): `{"table":"default.t",` +
			`"changes":[{"add":{"name":"x","type":"int32","nullable":false,"default":0}},{"drop":"y"},{"set":{"a":"b"}},{"reset":["c"]},{"comment":""}]}`,
	} {
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	alter, err := ParseAction[TableAlter]([]byte(`{"table":"t","changes":[{"rename":{"from":"a","to":"b"}},{"widen":{"name":"a","type":"int64"}},{"move":{"name":"a","first":true}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	words := alter.Words()
	if len(words) != 3 || words[0].Rename.To != "b" || words[1].Widen.Type != "int64" || !words[2].Move.First {
		t.Errorf("%+v", words)
	}
}

func TestWordsOfTablesAndCursorsRefused(t *testing.T) {
	for _, c := range []struct {
		parse  func([]byte) error
		body   string
		reason quiver.Reason
		want   string
	}{
		{refusal[DatabaseCreate], `{}`, quiver.BadCommand, "names no database"},
		{refusal[DatabaseCreate], `{"database":"a.b"}`, quiver.BadName, "database name"},
		{refusal[DatabaseAlter], `{"database":"a"}`, quiver.BadCommand, "changes nothing"},
		{refusal[DatabaseDrop], `{"database":"a","casacde":true}`, quiver.BadCommand, `did you mean "cascade"`},
		{refusal[PartitionCreate], `{"table":"t"}`, quiver.BadCommand, "names no partition"},
		{refusal[PartitionDrop], `{"partition":"dt=1"}`, quiver.BadCommand, "names no table"},
		{refusal[TableAlter], `{"table":"t"}`, quiver.BadCommand, "no changes"},
		{refusal[TableAlter], `{"table":"t","changes":[{"add":{"name":"x","typ":"int8"}}]}`, quiver.BadCommand, `unknown key "typ" in changes[0].add; did you mean "type"`},
		{refusal[TableAlter], `{"table":"t","changes":[{"drop":["x"]}]}`, quiver.BadCommand, "changes[0].drop: want a string, got an array"},
		{refusal[CursorCommit], `{"table":"t","offsets":{"0":1}}`, quiver.BadCommand, "names no cursor"},
		{refusal[CursorCommit], `{"table":"t","cursor":"c"}`, quiver.BadCommand, "no offsets"},
		{refusal[CursorCommit], `{"table":"t","cursor":"a\nb","offsets":{}}`, quiver.BadName, "cursor name"},
		{refusal[CursorCommit], `{"table":"t","cursor":"c","offsets":{"0":-1}}`, quiver.BadCommand, "not negative"},
		{refusal[CursorReset], `{"table":"t","cursor":"c"}`, quiver.BadCommand, "where to"},
		{refusal[CursorReset], `{"table":"t","cursor":"c","to":"yesterday"}`, quiver.BadCommand, "no position"},
		{refusal[CursorList], `{"cursor":"c"}`, quiver.BadCommand, "names no table"},
	} {
		err := c.parse([]byte(c.body))
		if quiver.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.body, err)
		}
	}
}

func refusal[T any, P request[T]](body []byte) error {
	_, err := ParseAction[T, P](body)
	return err
}
