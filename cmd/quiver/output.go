package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/internal/tabular"
)

// format is what is written: what was asked for, else a table for a terminal and NDJSON for a pipe.
func (c *call) format() tabular.Format {
	if c.output != "" {
		format, _ := tabular.ParseOutput(c.output) // open checked it
		return format
	}
	if isTerminal(c.cmd.OutOrStdout()) {
		return tabular.Table
	}
	return tabular.NDJSON
}

// writer starts the output of a verb.
func (c *call) writer(schema *arrow.Schema) (tabular.Writer, error) {
	out := c.cmd.OutOrStdout()
	return tabular.NewWriter(out, c.format(), schema, tabular.WriteOptions{Width: widthOf(out)})
}

// widthOf is the width of a terminal, 0 of anything else.
func widthOf(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	file, _ := w.(*os.File)
	return max(0, terminalWidth(file))
}

// grid is a small result as a table: what a list verb prints.
type grid struct {
	fields []arrow.Field
	rows   [][]any
}

// The types of a grid's columns; nil is null.
var (
	textColumn = arrow.BinaryTypes.String                                       // string, *string
	intColumn  = arrow.PrimitiveTypes.Int64                                     // int64
	boolColumn = arrow.FixedWidthTypes.Boolean                                  // bool
	realColumn = arrow.PrimitiveTypes.Float64                                   // *float64
	timeColumn = &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"} // int64, Unix milliseconds
)

func newGrid(columns ...any) *grid {
	g := &grid{}
	for i := 0; i < len(columns); i += 2 {
		g.fields = append(g.fields, arrow.Field{Name: columns[i].(string), Type: columns[i+1].(arrow.DataType), Nullable: true})
	}
	return g
}

func (g *grid) add(row ...any) { g.rows = append(g.rows, row) }

// print writes the grid in the format asked for.
func (c *call) print(g *grid) error {
	schema := arrow.NewSchema(g.fields, nil)
	w, err := c.writer(schema)
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, row := range g.rows {
		for i, value := range row {
			appendCell(b.Field(i), value)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	if err := w.Write(batch); err != nil {
		return err
	}
	return w.Close()
}

func appendCell(b array.Builder, value any) {
	switch v := value.(type) {
	case nil:
		b.AppendNull()
	case *string:
		if v == nil {
			b.AppendNull()
			return
		}
		b.(*array.StringBuilder).Append(*v)
	case string:
		b.(*array.StringBuilder).Append(v)
	case bool:
		b.(*array.BooleanBuilder).Append(v)
	case *float64:
		if v == nil {
			b.AppendNull()
			return
		}
		b.(*array.Float64Builder).Append(*v)
	case int64:
		if at, ok := b.(*array.TimestampBuilder); ok {
			at.Append(arrow.Timestamp(v))
			return
		}
		b.(*array.Int64Builder).Append(v)
	case []timeBar:
		appendBars(b.(*array.ListBuilder), v)
	default:
		panic(fmt.Sprintf("quiver: no cell for %T", value))
	}
}
