package server

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// TestKeysAreShort refuses keys above the limit, whose columns count together.
func TestKeysAreShort(t *testing.T) {
	schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.BinaryTypes.LargeBinary}}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	table := &quiver.Table{Schema: schema, PrimaryKey: []quiver.ColumnID{1, 2, 3}}
	if !textInKey(table) || textInKey(&quiver.Table{Schema: schema, PrimaryKey: []quiver.ColumnID{2}}) {
		t.Error("keys of text are not told from others")
	}
	for _, c := range []struct {
		a, b int
		want bool
	}{{0, 0, true}, {maxKey, 0, true}, {0, maxKey + 1, false}, {maxKey / 2, maxKey / 2, true}, {maxKey / 2, maxKey/2 + 1, false}} {
		a, n, b := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator), array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.LargeBinary)
		a.AppendValues([]string{"x", strings.Repeat("a", c.a)}, nil)
		n.AppendValues([]int64{1, 2}, nil)
		b.Append([]byte("y"))
		b.Append(make([]byte, c.b))
		err := checkKeys(table, []arrow.Array{a.NewArray(), n.NewArray(), b.NewArray()})
		if c.want != (err == nil) || err != nil && (quiver.ReasonOf(err) != quiver.SchemaMismatch || !strings.Contains(err.Error(), "row 1")) {
			t.Errorf("%d and %d bytes: %v", c.a, c.b, err)
		}
	}
}
