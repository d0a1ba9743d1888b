package quiver

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, c := range []struct{ kind, name, fault string }{
		{"table", "orders", ""},
		{"table", "-_aZ09", ""},
		{"table", strings.Repeat("a", 255), ""},
		{"table", strings.Repeat("a", 256), "has 256 bytes, at most 255 are allowed"},
		{"table", "", `table name "" is empty`},
		{"database", "Größe", `database name "Größe" has 'ö'; take letters, digits, "_" and "-"`},
		{"table", "a.b", `has '.'`},
		{"table", "a/b", `has '/'`},
		{"column", "Größe, Unit price", ""},
		{"column", "__index_level_0__", ""},
		{"column", "__offset", `column name "__offset" is reserved for the server`},
		{"column", "__expected_offset", "is reserved"},
		{"column", "a\nb", "has control characters"},
		{"column", "a\u0085b", "has control characters"},
		{"column", "a\xff", "is not UTF-8"},
		{"writer", "__offset", ""},
		{"writer", "loader 7", ""},
	} {
		err := CheckName(c.kind, c.name)
		switch {
		case c.fault == "" && err != nil:
			t.Error(err)
		case c.fault != "" && (ReasonOf(err) != BadName || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s %.20q: got %v, want %s", c.kind, c.name, err, c.fault)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct{ path, database, table string }{
		{"shop.orders", "shop", "orders"}, {"orders", "default", "orders"},
		{"a.b.c", "", ""}, {".b", "", ""}, {"a.", "", ""}, {"", "", ""}, {"a b", "", ""},
	} {
		database, table, err := ParsePath(c.path)
		if database != c.database || table != c.table || (err == nil) != (c.table != "") {
			t.Errorf("%q: %q %q %v", c.path, database, table, err)
		}
	}
}

func TestSystemColumns(t *testing.T) {
	if got := strings.Join(SystemColumns(), " "); got != "__bucket __offset __timestamp __partition __change_type" {
		t.Error(got)
	}
	for name, want := range map[string]string{
		"__bucket": "int32", "__offset": "int64", "__timestamp": "timestamp[ms, tz=UTC]", "__partition": "string",
		"__change_type": "dictionary<values=string, indices=int8, ordered=0>",
	} {
		f, ok := SystemField(name)
		if !ok || f.Nullable || FormatType(f.Type) != want {
			t.Errorf("%s: %v", name, f)
		}
	}
	if _, ok := SystemField("__key_index"); ok || !IsReserved("__key_index") || IsReserved("__x") {
		t.Error("__key_index is reserved and no system column, __x is free")
	}
	for i, word := range ChangeTypeWords() {
		if ChangeType(i).String() != word {
			t.Errorf("%d is %s, want %s", i, ChangeType(i), word)
		}
	}
	if Delete.String() != "-D" || ChangeType(9).String() != "ChangeType(9)" {
		t.Error(Delete, ChangeType(9))
	}
}

func TestNearest(t *testing.T) {
	known := []string{"segment.bytes", "segment.age", "retention.time", "bucket.assignment", "min-isr", "tier"}
	for word, want := range map[string]string{
		"segment.byte": "segment.bytes", "segmnet.age": "segment.age", "Retention.Time": "retention.time",
		"min_isr": "min-isr", "teir": "tier", "tir": "tier", "x": "", "": "", "nothing like it": "",
		strings.Repeat("tier", 20): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	if got := (BucketID{Table: 12, Partition: 0, Bucket: 3}).String(); got != "12/0/3" {
		t.Error(got)
	}
}
