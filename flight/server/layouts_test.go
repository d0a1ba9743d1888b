package server

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Schemas come and go with their tables; their layouts do not stay for ever.
func TestLayoutsAreBounded(t *testing.T) {
	fields := make([]arrow.Field, 2000)
	for i := range fields {
		fields[i] = arrow.Field{Name: fmt.Sprint("c", i), Type: arrow.PrimitiveTypes.Int64}
	}
	var l layouts
	for range 2 * layoutColumns / len(fields) {
		schema, err := quiver.NewSchema(1, arrow.NewSchema(fields, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		layout, err := l.of(schema)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := l.of(schema); err != nil || again != layout {
			t.Fatalf("the layout was made twice (%v)", err)
		}
		if l.columns > layoutColumns || len(l.bySchema)*len(fields) != l.columns {
			t.Fatalf("%d layouts are kept, said to have %d columns", len(l.bySchema), l.columns)
		}
	}
}
