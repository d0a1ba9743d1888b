package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

func TestSchemaText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"id int64 not null, price decimal128(12, 2) default 0", `[{"name":"id","type":"int64","nullable":false},{"name":"price","type":"decimal128(12, 2)","default":0}]`},
		{"a int default -1 not null", `[{"name":"a","type":"int32","nullable":false,"default":-1}]`},
		{`"Unit price" decimal(5,1) null, s text default 'it''s, so'`, `[{"name":"Unit price","type":"decimal128(5, 1)","nullable":true},{"name":"s","type":"string","default":"it's, so"}]`},
		{"l list<item: struct<a: int64, b: string not null>>, m map<string, int32>", `[{"name":"l","type":"list<item: struct<a: int64, b: string not null>>"},{"name":"m","type":"map<string, int32>"}]`},
		{"at timestamp[us, tz=UTC] DEFAULT \"2026-01-01T00:00:00Z\" NOT NULL", `[{"name":"at","type":"timestamp[us, tz=UTC]","nullable":false,"default":"2026-01-01T00:00:00Z"}]`},
		{"a int64 default null", `[{"name":"a","type":"int64","default":null}]`},
	} {
		columns, err := parseSchema(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var got strings.Builder
		encoder := json.NewEncoder(&got)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(columns); err != nil || strings.TrimSpace(got.String()) != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.text, got.String(), c.want)
		}
	}
	for text, want := range map[string]string{
		"":                        "a column is missing",
		"id":                      `column "id" has no type; write "id int64"`,
		"id int64,":               "a column is missing",
		"id int65":                `column "id": type "int65", position 0: there is no type "int65", did you mean "int64"?`,
		"id int64 default x":      `column "id": default: "x" is no number`,
		"id int64 not null maybe": `"not null maybe" cannot be understood`,
		`"id int64`:               "a quote is not closed",
		"id not null":             `column "id" has no type`,
		"id int64 not null null":  `"not null" cannot be understood`,
		"s string default 'a'b'":  "is written twice",
		"d decimal128(40, 2)":     "the precision of decimal128",
	} {
		if _, err := parseSchema(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzSchemaText feeds any text to the parser: what it takes, the columns of a table take too, types and all.
func FuzzSchemaText(f *testing.F) {
	for _, text := range []string{"id int64 not null, price decimal128(12, 2) default 0", `"a b" list<item: string> default null`, "a int default 'x'", "a,b", `"`, "a int64 default {\"a\":1}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		columns, err := parseSchema(text)
		if err != nil {
			return
		}
		for _, c := range columns {
			if _, err := quiver.ParseType(c.Type); err != nil {
				t.Fatalf("%q gives the type %q: %v", text, c.Type, err)
			}
			if c.Default != nil && !json.Valid(c.Default) {
				t.Fatalf("%q gives the default %q", text, c.Default)
			}
		}
	})
}
