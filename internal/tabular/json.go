package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// jsonReader makes batches of the objects of NDJSON or JSON.
type jsonReader struct {
	options ReadOptions
	source  *source
	live    live
	scan    *jsonScanner
	schema  *arrow.Schema
	builder *array.RecordBuilder
	row     *jsonObject
	given   bool // types are given, not inferred
	err     error
}

func newJSONReader(head *again, o ReadOptions) (Reader, error) {
	r := &jsonReader{options: o, source: head.rest, given: o.Schema != nil}
	if o.Schema != nil {
		r.schema = plainSchema(o.Schema)
	} else {
		begin, whole, err := readBeginning(head, o)
		if err != nil {
			return nil, err
		}
		if r.schema, err = inferJSON(begin, whole, o); err != nil {
			return nil, err
		}
		head.begin = begin
	}
	r.live = head
	r.scan = newJSONScanner(head)
	r.builder = array.NewRecordBuilder(o.Mem, r.schema)
	r.row = newJSONObject(r.schema.Fields(), r.builder.Field)
	for i, f := range r.schema.Fields() {
		if value, ok := o.Defaults[f.Name]; ok && len(value) > 0 && value[0] != 'n' {
			take := r.row.append[i]
			r.row.missing[i] = func() error { return take(value) }
		}
	}
	return r, nil
}

// plainSchema gives the layouts that texts are read into: no dictionaries, no views.
func plainSchema(s *arrow.Schema) *arrow.Schema {
	fields := s.Fields()
	for i := range fields {
		fields[i].Type = quiver.Normalize(fields[i].Type)
	}
	return arrow.NewSchema(fields, nil)
}

// inferJSON gives the columns that the rows of the beginning have in common.
func inferJSON(begin []byte, whole bool, o ReadOptions) (*arrow.Schema, error) {
	scan := newJSONScanner(bytes.NewReader(begin))
	scan.cut = !whole
	shape, fields := newJSONShape(), 0
	for {
		row, err := scan.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, rowError(o, scan.line, "", "%v", err)
		}
		if err := shape.add(row, 0, &fields); err != nil {
			return nil, misfitError(o, scan.line, err).Advise("give the types with --schema")
		}
	}
	if len(shape.names) == 0 {
		return nil, fmt.Errorf("%s has no row with a column", o.Name)
	}
	return arrow.NewSchema(shape.fields(), nil), nil
}

func misfitError(o ReadOptions, line int, err error) *quiver.Error {
	var m jsonMisfit
	if errors.As(err, &m) {
		return rowError(o, line, m.path, "%s", m.text)
	}
	return rowError(o, line, "", "%v", err)
}

func (r *jsonReader) Schema() *arrow.Schema { return r.schema }

// Next reads rows until the batch is full, or what has arrived is read and the source is live.
func (r *jsonReader) Next() (arrow.RecordBatch, error) {
	rows, size := 0, 0
	for r.err == nil && rows < r.options.BatchRows && size < maxBatchText {
		if r.options.Live && rows > 0 && !r.scan.buffered() && !r.live.ready(linger) {
			break
		}
		row, err := r.scan.next()
		if err != nil {
			r.err = r.fault(err)
			break
		}
		if err := r.row.take(row); err != nil {
			r.err = r.misfit(err)
			break
		}
		rows++
		size += len(row)
	}
	if rows == 0 || r.err != nil && !errors.Is(r.err, io.EOF) {
		return nil, r.err
	}
	return r.builder.NewRecordBatch(), nil
}

func (r *jsonReader) fault(err error) error {
	var bad jsonFault
	switch {
	case errors.As(err, &bad):
		return rowError(r.options, r.scan.line, "", "%v", err)
	case errors.Is(err, io.EOF):
		return err
	}
	return fmt.Errorf("read %s: %w", r.options.Name, err)
}

func (r *jsonReader) misfit(err error) error {
	e := misfitError(r.options, r.scan.line, err)
	if !r.given {
		return e.Advise(hintInferred)
	}
	return e
}

func (r *jsonReader) Close() error {
	r.source.close()
	r.builder.Release()
	return nil
}
