package tabular

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/quiverlog/quiver"
)

// arrowReader gives the batches of an Arrow stream as they are, large ones in pieces of BatchRows.
type arrowReader struct {
	options ReadOptions
	source  *source
	reader  *aipc.Reader
	pieces
}

func newArrowReader(head *again, o ReadOptions) (_ Reader, err error) {
	defer guard(o, &err)
	reader, err := aipc.NewReaderFromMessageReader(&messages{in: head, mem: o.Mem}, aipc.WithAllocator(limited{o.Mem}), aipc.WithDelayReadSchema(false))
	if err != nil {
		return nil, notArrow(o, err)
	}
	r := &arrowReader{options: o, source: head.rest, reader: reader}
	r.pieces.rows = o.BatchRows
	return r, nil
}

func notArrow(o ReadOptions, err error) error { return unreadable(o, "Arrow stream or file", err) }

// unreadable is the error of a file that is damaged, or was made to do harm. What the checks find has a reason already.
func unreadable(o ReadOptions, what string, err error) error {
	var found *quiver.Error
	if !errors.As(err, &found) {
		return fmt.Errorf("%s is no %s that can be read: %w", o.Name, what, err)
	}
	hint := "it is damaged or cut short: write it again from what it was made of"
	if found.Reason == quiver.BatchTooLarge {
		hint = "write it again in smaller batches: write_table(t, max_chunksize=65536)"
	}
	return quiver.Errorf(found.Reason, "it is no %s that can be read: %s", what, found.Detail).On(o.Name).Advise(hint)
}

// guard makes an error of a panic: the reader of the Arrow library panics on some damaged files.
func guard(o ReadOptions, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s is damaged: %v", o.Name, p)
	}
}

func (r *arrowReader) Schema() *arrow.Schema { return r.reader.Schema() }

func (r *arrowReader) Next() (batch arrow.RecordBatch, err error) {
	defer guard(r.options, &err)
	return r.pieces.next(func() (arrow.RecordBatch, error) {
		batch, err := r.reader.Read()
		if errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil {
			return nil, notArrow(r.options, err)
		}
		batch.Retain()
		return batch, nil
	})
}

func (r *arrowReader) Close() error {
	r.pieces.release()
	r.reader.Release()
	r.source.close()
	return nil
}

// arrowFileReader gives the batches of an Arrow file.
type arrowFileReader struct {
	options ReadOptions
	reader  *aipc.FileReader
	free    func()
	at      int
	pieces
}

func newArrowFileReader(at readerAt, free func(), o ReadOptions) (_ Reader, err error) {
	defer guard(o, &err)
	if err := checkFile(at); err != nil {
		free()
		return nil, notArrow(o, err)
	}
	reader, err := aipc.NewFileReader(at, aipc.WithAllocator(limited{o.Mem}))
	if err != nil {
		free()
		return nil, notArrow(o, err)
	}
	r := &arrowFileReader{options: o, reader: reader, free: free}
	r.pieces.rows = o.BatchRows
	return r, nil
}

func (r *arrowFileReader) Schema() *arrow.Schema { return r.reader.Schema() }

func (r *arrowFileReader) Next() (batch arrow.RecordBatch, err error) {
	defer guard(r.options, &err)
	return r.pieces.next(func() (arrow.RecordBatch, error) {
		if r.at == r.reader.NumRecords() {
			return nil, io.EOF
		}
		batch, err := r.reader.RecordBatchAt(r.at)
		if err != nil {
			return nil, notArrow(r.options, err)
		}
		r.at++
		return batch, nil
	})
}

func (r *arrowFileReader) Close() error {
	r.pieces.release()
	r.free()
	return r.reader.Close()
}

// pieces cuts batches into such of at most rows rows.
type pieces struct {
	rows  int
	batch arrow.RecordBatch // the one being cut, nil: none
	from  int64
}

// next gives a piece of the batch at hand, or of the next one that more gives.
func (p *pieces) next(more func() (arrow.RecordBatch, error)) (arrow.RecordBatch, error) {
	for p.batch == nil {
		batch, err := more()
		if err != nil {
			return nil, err
		}
		if batch.NumRows() <= int64(p.rows) {
			return batch, nil
		}
		p.batch, p.from = batch, 0
	}
	until := min(p.from+int64(p.rows), p.batch.NumRows())
	piece := p.batch.NewSlice(p.from, until)
	if p.from = until; until == p.batch.NumRows() {
		p.release()
	}
	return piece, nil
}

func (p *pieces) release() {
	if p.batch != nil {
		p.batch.Release()
		p.batch = nil
	}
}

// arrowWriter writes an Arrow stream.
type arrowWriter struct {
	w *aipc.Writer
}

func newArrowWriter(w io.Writer, schema *arrow.Schema) (Writer, error) {
	return &arrowWriter{aipc.NewWriter(w, aipc.WithSchema(schema))}, nil
}

func (w *arrowWriter) Write(batch arrow.RecordBatch) error { return w.w.Write(batch) }

// Flush does nothing: every batch is written at once.
func (w *arrowWriter) Flush() error { return nil }

func (w *arrowWriter) Close() error { return w.w.Close() }

// columnNames is for errors that list columns.
func columnNames(fields []arrow.Field) string {
	text := ""
	for i, f := range fields {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", f.Name, quiver.FormatType(f.Type))
	}
	return text
}
