package quiver

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTableSpec(t *testing.T) {
	good := func() TableSpec {
		return TableSpec{Database: "shop", Name: "orders", Schema: schemaOf(t, "struct<id: int64 not null, price: double>"),
			Defaults: map[string]any{"price": 1.5}, Buckets: 4, Options: map[string]string{"compression": "lz4"}, Comment: "all of them"}
	}
	table, err := good().Table(12, 1763800000000)
	if err != nil {
		t.Fatal(err)
	}
	if table.ID != 12 || table.Path() != "shop.orders" || table.Schema.ID() != 1 || table.Buckets != 4 ||
		table.Options.Compression != "lz4" || table.Comment != "all of them" || table.Created != 1763800000000 {
		t.Errorf("%+v", table)
	}
	if price, _ := table.Schema.ByName("price"); price.Default != 1.5 {
		t.Error(price)
	}
	for name, c := range map[string]struct {
		change func(*TableSpec)
		reason Reason
		text   string
	}{
		"database":  {func(s *TableSpec) { s.Database = "a b" }, BadName, "database name"},
		"table":     {func(s *TableSpec) { s.Name = "" }, BadName, "table name"},
		"no schema": {func(s *TableSpec) { s.Schema = nil }, BadCommand, "a table needs a schema"},
		"key":       {func(s *TableSpec) { s.PrimaryKey = []string{"price"} }, BadCommand, `primary_key: column "price" has type double`},
		"key without partition": {func(s *TableSpec) {
			s.PrimaryKey, s.Schema, s.PartitionBy, s.Defaults = []string{"id"}, schemaOf(t, "struct<id: int64, day: string>"), []string{"day"}, nil
		}, BadCommand, "has to contain the columns of partition_by"},
		"bucket key": {func(s *TableSpec) { s.BucketKey = []string{"pricee", "id", "id"} }, BadCommand,
			`bucket_key: there is no column "pricee", did you mean "price"?; bucket_key: column "id" is there twice`},
		"partitions": {func(s *TableSpec) { s.PartitionBy = []string{"price"} }, BadCommand, `partition_by: column "price" has type double`},
		"both":       {func(s *TableSpec) { s.PartitionBy, s.BucketKey = []string{"id"}, []string{"id"} }, BadCommand, "take another column"},
		"wide key":   {func(s *TableSpec) { s.BucketKey = make([]string, MaxKeyColumns+1) }, BadCommand, "at most 16"},
		"buckets":    {func(s *TableSpec) { s.Buckets = -1 }, BadCommand, "buckets: -1 does not lie between 1 and 100000"},
		"many":       {func(s *TableSpec) { s.Buckets = MaxBuckets + 1 }, BadCommand, "buckets"},
		"comment":    {func(s *TableSpec) { s.Comment = strings.Repeat("x", maxComment+1) }, BadCommand, "comment"},
		"option":     {func(s *TableSpec) { s.Options = map[string]string{"x": "1"} }, BadOption, "there is no option \"x\""},
		"column":     {func(s *TableSpec) { s.Schema = schemaOf(t, "struct<__offset: int8>") }, BadName, "__offset"},
		"default":    {func(s *TableSpec) { s.Defaults = map[string]any{"id": "x"} }, SchemaMismatch, "default of column \"id\""},
	} {
		spec := good()
		c.change(&spec)
		if _, err := spec.Table(1, 0); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spec := good()
	spec.Schema = schemaOf(t, "struct<id: int64, dt: date32[day], region: string>")
	spec.Defaults = nil
	spec.BucketKey, spec.PartitionBy = []string{"region", "id"}, []string{"dt", "region"}
	if table, err = spec.Table(1, 0); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(table.BucketKey, []ColumnID{3, 1}) || !slices.Equal(table.PartitionBy, []ColumnID{2, 3}) ||
		!slices.Equal(table.ColumnNames(table.PartitionBy), []string{"dt", "region"}) || !table.Partitioned() {
		t.Errorf("%+v", table)
	}
	spec = good()
	spec.Buckets = 0
	if table, err = spec.Table(1, 0); err != nil || table.Buckets != 1 {
		t.Error(table, err)
	}
}

func TestParseColumns(t *testing.T) {
	var columns []ColumnSpec
	text := `[{"name":"id","type":"int64","nullable":false},{"name":"price","type":"decimal128(12, 2)","default":"1.50"},
		{"name":"tag","type":"dictionary<values=string, indices=int8, ordered=0>","default":"x"},{"name":"n","type":"int8","default":null}]`
	if err := json.Unmarshal([]byte(text), &columns); err != nil {
		t.Fatal(err)
	}
	schema, defaults, err := ParseColumns(columns)
	if err != nil {
		t.Fatal(err)
	}
	if got := schemaText(schema); got != "struct<id: int64 not null, price: decimal128(12, 2), tag: dictionary<values=string, indices=int8, ordered=0>, n: int8>" {
		t.Error(got)
	}
	s, err := NewSchema(1, schema, defaults)
	if err != nil || len(defaults) != 2 {
		t.Fatal(defaults, err)
	}
	if tag, _ := s.ByName("tag"); tag.Default != "x" {
		t.Error(tag)
	}
	columns[0].Type, columns[1].Default = "itn64", []byte(`"1.555"`)
	_, _, err = ParseColumns(columns)
	want := `BAD_COMMAND: column "id": type "itn64", position 0: there is no type "itn64", did you mean "int64"?; ` +
		`column "price": default: "1.555" is no decimal128(12, 2): it has more than 2 digits behind the point`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, _, err := ParseColumns(make([]ColumnSpec, MaxColumns+1)); ReasonOf(err) != BadCommand {
		t.Error(err)
	}
}
