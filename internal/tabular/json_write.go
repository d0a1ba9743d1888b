package tabular

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
)

// jsonWriter writes one object a row: a line each, or all in one array.
type jsonWriter struct {
	w     io.Writer
	names [][]byte // `"name":` of each column, with the comma in front
	array bool
	rows  int64
	buf   []byte
}

func newJSONWriter(w io.Writer, schema *arrow.Schema, array bool) *jsonWriter {
	j := &jsonWriter{w: w, array: array}
	for i, f := range schema.Fields() {
		var name []byte
		if i > 0 {
			name = append(name, ',')
		}
		j.names = append(j.names, append(appendQuoted(name, f.Name), ':'))
	}
	return j
}

// writeAt is how many bytes are gathered for one write.
const writeAt = 64 << 10

func (j *jsonWriter) Write(batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		switch {
		case !j.array:
		case j.rows == 0:
			j.buf = append(j.buf, "[\n"...)
		default:
			j.buf = append(j.buf, ",\n"...)
		}
		j.buf = append(j.buf, '{')
		for c, name := range j.names {
			j.buf = appendJSON(append(j.buf, name...), batch.Column(c), row)
		}
		j.buf = append(j.buf, '}')
		if !j.array {
			j.buf = append(j.buf, '\n')
		}
		j.rows++
		if len(j.buf) >= writeAt {
			if err := j.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *jsonWriter) Flush() error {
	_, err := j.w.Write(j.buf)
	j.buf = j.buf[:0]
	return err
}

func (j *jsonWriter) Close() error {
	switch {
	case j.array && j.rows == 0:
		j.buf = append(j.buf, "[]\n"...)
	case j.array:
		j.buf = append(j.buf, "\n]\n"...)
	}
	return j.Flush()
}
