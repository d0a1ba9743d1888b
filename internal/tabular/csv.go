package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// live is what a text is read from.
type live interface {
	io.Reader
	ready(time.Duration) bool
}

// csvReader makes batches of the rows of CSV.
type csvReader struct {
	options ReadOptions
	source  *source
	live    live
	scan    *csvScanner
	schema  *arrow.Schema
	builder *array.RecordBuilder
	columns []csvColumn
	given   bool // types are given, not inferred
	err     error
}

// csvColumn takes the fields of one column.
type csvColumn struct {
	name     string
	text     textAppender
	json     jsonAppender // instead of text, for nested types
	null     func()
	nullable bool
	isText   bool // only an empty field without quotes is null
}

func newCSVReader(head *again, o ReadOptions) (Reader, error) {
	begin, whole, err := readBeginning(head, o)
	if err != nil {
		return nil, err
	}
	names, err := csvHeader(begin, whole, o)
	if err != nil {
		return nil, err
	}
	r := &csvReader{options: o, source: head.rest, given: o.Schema != nil}
	if o.Schema != nil {
		r.schema, err = csvTarget(names, o)
	} else {
		r.schema, err = inferCSV(begin, whole, names, o)
	}
	if err != nil {
		return nil, err
	}
	head.begin = begin
	r.live = head
	r.scan = newCSVScanner(head, o.Delimiter)
	r.scan.single = len(names) == 1
	if !o.NoHeader {
		if _, err := r.scan.next(); err != nil && !errors.Is(err, io.EOF) {
			return nil, r.fault("", err)
		}
	}
	r.builder = array.NewRecordBuilder(o.Mem, r.schema)
	for i, f := range r.schema.Fields() {
		r.columns = append(r.columns, newCSVColumn(f, r.builder.Field(i)))
	}
	return r, nil
}

// readBeginning reads what types are inferred from; where they are given, just enough for the header.
func readBeginning(head *again, o ReadOptions) (begin []byte, whole bool, err error) {
	n := InferBytes
	if o.Schema != nil {
		n = chunkSize
	}
	n -= min(n, len(head.begin))
	more, whole, err := head.rest.prefix(n, true)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", o.Name, err)
	}
	return append(head.begin, more...), whole, nil
}

// csvHeader gives the names of the columns. As in pandas, one without a name is called by its place.
func csvHeader(begin []byte, whole bool, o ReadOptions) ([]string, error) {
	scan := newCSVScanner(bytes.NewReader(begin), o.Delimiter)
	scan.cut = !whole
	row, err := scan.next()
	if errors.Is(err, io.EOF) && o.NoHeader && o.Schema != nil {
		return fieldNames(o.Schema), nil
	}
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s has no line; the first one names the columns", o.Name)
	}
	if err != nil {
		return nil, rowError(o, scan.line, "", "%v", err)
	}
	names := make([]string, len(row))
	seen := make(map[string]bool, len(row))
	for i, field := range row {
		switch {
		case o.NoHeader && o.Schema != nil && i < o.Schema.NumFields():
			names[i] = o.Schema.Field(i).Name
		case o.NoHeader:
			names[i] = fmt.Sprintf("f%d", i)
		case len(field.text) == 0:
			names[i] = fmt.Sprintf("Unnamed: %d", i)
		default:
			names[i] = string(field.text)
		}
		if seen[names[i]] {
			return nil, rowError(o, scan.line, names[i], "the header names it twice")
		}
		seen[names[i]] = true
	}
	return names, nil
}

func fieldNames(s *arrow.Schema) []string {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return names
}

// csvTarget gives the columns of a file for a table: those in the header, with the table's types.
func csvTarget(names []string, o ReadOptions) (*arrow.Schema, error) {
	if o.NoHeader && len(names) != o.Schema.NumFields() {
		return nil, rowError(o, 1, "", "has %d fields, the table has %d columns", len(names), o.Schema.NumFields())
	}
	fields := make([]arrow.Field, len(names))
	var unknown []string
	for i, name := range names {
		at := o.Schema.FieldIndices(name)
		if len(at) == 0 {
			unknown = append(unknown, fmt.Sprintf("%q%s", name, suggest(name, fieldNames(o.Schema))))
			continue
		}
		fields[i] = o.Schema.Field(at[0])
		fields[i].Type = quiver.Normalize(fields[i].Type)
	}
	if len(unknown) > 0 {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "the table has no column %s", strings.Join(unknown, ", ")).
			On(o.Name + ", line 1").Advise("rename it in the header, or add it with table alter")
	}
	return arrow.NewSchema(fields, nil), nil
}

func suggest(name string, known []string) string {
	if near := quiver.Nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// inferCSV gives every column the type that its values in the beginning have in common.
func inferCSV(begin []byte, whole bool, names []string, o ReadOptions) (*arrow.Schema, error) {
	found := make([]kinds, len(names))
	for i := range found {
		found[i] = allKinds
	}
	scan := newCSVScanner(bytes.NewReader(begin), o.Delimiter)
	scan.cut = !whole
	for first := !o.NoHeader; ; first = false {
		row, err := scan.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, rowError(o, scan.line, "", "%v", err)
		}
		if first {
			continue
		}
		for i, field := range row[:min(len(row), len(found))] {
			if found[i] != kindString && !isNullWord(field.text) {
				found[i] &= kindsOf(field.text, found[i])
			}
		}
	}
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		fields[i] = arrow.Field{Name: name, Type: found[i].typeOf(), Nullable: true}
	}
	return arrow.NewSchema(fields, nil), nil
}

func newCSVColumn(f arrow.Field, b array.Builder) csvColumn {
	c := csvColumn{name: f.Name, text: newTextAppender(b), null: b.AppendNull, nullable: f.Nullable}
	switch f.Type.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY:
		c.isText = true
	case arrow.FIXED_SIZE_BINARY:
		c.isText = f.Type.(*arrow.FixedSizeBinaryType).ByteWidth == 0
	}
	if c.text == nil {
		c.json = newJSONAppender(f, b)
	}
	return c
}

// append takes one field of a row.
func (c *csvColumn) append(field csvField) error {
	null := len(field.text) == 0 && !field.quoted
	if !c.isText {
		null = isNullWord(field.text)
	}
	switch {
	case null && !c.nullable:
		return errors.New("is null, and the column may not be null")
	case null:
		c.null()
		return nil
	case c.text != nil:
		return c.text(field.text)
	}
	return c.nested(field.text)
}

// nested takes a list, struct or map, which CSV has in JSON.
func (c *csvColumn) nested(text []byte) error {
	value, rest, err := takeJSON(text)
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("is no JSON")
	}
	return c.json(value)
}

func (r *csvReader) Schema() *arrow.Schema { return r.schema }

// Next reads rows until the batch is full, or what has arrived is read and the source is live.
func (r *csvReader) Next() (arrow.RecordBatch, error) {
	rows, size := 0, 0
	for r.err == nil && rows < r.options.BatchRows && size < maxBatchText {
		if r.options.Live && rows > 0 && !r.scan.buffered() && !r.live.ready(linger) {
			break
		}
		n, err := r.row()
		if err != nil {
			r.err = err
			break
		}
		rows++
		size += n
	}
	if rows == 0 || r.err != nil && !errors.Is(r.err, io.EOF) {
		return nil, r.err
	}
	return r.builder.NewRecordBatch(), nil
}

// row takes one row and gives the bytes of its text.
func (r *csvReader) row() (size int, err error) {
	row, err := r.scan.next()
	if errors.Is(err, io.EOF) {
		return 0, err
	}
	if err != nil {
		return 0, r.fault("", err)
	}
	if len(row) != len(r.columns) {
		return 0, rowError(r.options, r.scan.line, "", "it has %d fields, the header has %d", len(row), len(r.columns)).
			Advise("put a field that holds a delimiter in double quotes")
	}
	for i, field := range row {
		size += len(field.text) + 1
		if err := r.columns[i].append(field); err != nil {
			return 0, r.valueError(r.columns[i].name, field.text, err)
		}
	}
	return size, nil
}

func (r *csvReader) fault(column string, err error) error {
	var bad csvFault
	if errors.As(err, &bad) {
		return rowError(r.options, r.scan.line, column, "%v", err)
	}
	return fmt.Errorf("read %s: %w", r.options.Name, err)
}

func (r *csvReader) valueError(column string, text []byte, why error) error {
	if errors.Is(why, errNoText) {
		return rowError(r.options, r.scan.line, column, "the text is not UTF-8").Advise("convert the file first: iconv -f latin1 -t utf-8")
	}
	e := rowError(r.options, r.scan.line, column, "%q %v", clip(text), why)
	if !r.given {
		return e.Advise(hintInferred)
	}
	return e
}

const hintInferred = "the type comes from the rows before; give the types with --schema"

func (r *csvReader) Close() error {
	r.source.close()
	r.builder.Release()
	return nil
}
