package tabular

import (
	"io"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
)

// Writer writes batches of one schema.
type Writer interface {
	// Write writes one batch, which it does not keep.
	Write(batch arrow.RecordBatch) error
	// Flush writes out what was held back, such as the first rows of a table.
	Flush() error
	// Close writes the end. It does not close what is written to.
	Close() error
}

// WriteOptions say how a table is written.
type WriteOptions struct {
	Width int // of the terminal, in characters; 0: lines may be as long as they are
}

// NewWriter starts writing in a format of OutputFormats.
func NewWriter(w io.Writer, format Format, schema *arrow.Schema, o WriteOptions) (Writer, error) {
	switch format {
	case Table:
		return newTableWriter(w, schema, o), nil
	case JSON, NDJSON:
		return newJSONWriter(w, schema, format == JSON), nil
	case CSV:
		return newCSVWriter(w, schema)
	case Arrow:
		return newArrowWriter(w, schema)
	case Parquet:
		return newParquetWriter(w, schema)
	}
	return nil, unknownFormat(string(format), OutputFormats)
}

// CountRows is the line that ends a table: "1 row", "1,200 rows".
func CountRows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return FormatCount(n) + " rows"
}

// FormatCount writes a number with commas between thousands.
func FormatCount(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	out := []byte(sign)
	for i := range len(text) {
		if i > 0 && (len(text)-i)%3 == 0 {
			out = append(out, ',')
		}
		out = append(out, text[i])
	}
	return string(out)
}
