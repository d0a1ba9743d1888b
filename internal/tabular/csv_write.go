package tabular

import (
	"bytes"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// csvWriter writes CSV with a header. Null is an empty field, the empty string a pair of quotes; nested values are in
// JSON, binary is in base64.
type csvWriter struct {
	w   io.Writer
	buf []byte
	at  []byte // the text of one value
}

func newCSVWriter(w io.Writer, schema *arrow.Schema) (Writer, error) {
	if schema.NumFields() == 0 {
		return nil, quiver.Errorf(quiver.BadCommand, "CSV has no rows without columns").Advise("name some with --columns, or take -o ndjson")
	}
	c := &csvWriter{w: w}
	for i, f := range schema.Fields() {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.field([]byte(f.Name))
	}
	c.buf = append(c.buf, '\n')
	return c, nil
}

func (c *csvWriter) Write(batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		for i, column := range batch.Columns() {
			if i > 0 {
				c.buf = append(c.buf, ',')
			}
			c.value(column, row)
		}
		c.buf = append(c.buf, '\n')
		if len(c.buf) >= writeAt {
			if err := c.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *csvWriter) value(a arrow.Array, i int) {
	if a.IsNull(i) {
		return
	}
	for {
		if dictionary, ok := a.(*array.Dictionary); ok {
			a, i = dictionary.Dictionary(), dictionary.GetValueIndex(i)
			continue
		}
		break
	}
	text, kind, ok := appendFlat(c.at[:0], a, i, ' ')
	switch {
	case !ok:
		text = appendNested(text[:0], a, i)
	case kind == escaped && len(text) == 0:
		c.buf = append(c.buf, '"', '"')
		return
	}
	c.at = text
	if len(text) == 0 { // no bytes at all, which are no null
		c.buf = append(c.buf, '"', '"')
		return
	}
	c.field(text)
}

// field writes a text, in quotes if it needs them.
func (c *csvWriter) field(text []byte) {
	if !bytes.ContainsAny(text, ",\"\r\n") && len(text) > 0 && text[0] != ' ' {
		c.buf = append(c.buf, text...)
		return
	}
	c.buf = append(c.buf, '"')
	for _, b := range text {
		if b == '"' {
			c.buf = append(c.buf, '"')
		}
		c.buf = append(c.buf, b)
	}
	c.buf = append(c.buf, '"')
}

func (c *csvWriter) Flush() error {
	_, err := c.w.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *csvWriter) Close() error { return c.Flush() }
