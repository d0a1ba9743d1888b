package tabular

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/quiverlog/quiver"
)

// parquetReader gives the rows of a Parquet file, one row group after the other.
type parquetReader struct {
	options ReadOptions
	file    *file.Reader
	rows    pqarrow.RecordReader
	schema  *arrow.Schema
	free    func()
	pieces
}

func newParquetReader(at readerAt, free func(), o ReadOptions) (_ Reader, err error) {
	defer guard(o, &err)
	r := &parquetReader{options: o, free: free}
	r.pieces.rows = o.BatchRows
	if err := r.open(at); err != nil {
		free()
		return nil, unreadable(o, "Parquet file", err)
	}
	return r, nil
}

func (r *parquetReader) open(at readerAt) (err error) {
	properties := parquet.NewReaderProperties(r.options.Mem)
	properties.BufferedStreamEnabled = true // else a whole row group is held
	if r.file, err = file.NewParquetReader(at, file.WithReadProps(properties)); err != nil {
		return err
	}
	if err := checkStoredSchema(r.file.MetaData().KeyValueMetadata()); err != nil {
		return err
	}
	batch := pqarrow.ArrowReadProperties{BatchSize: int64(r.options.BatchRows)}
	reader, err := pqarrow.NewFileReader(r.file, batch, r.options.Mem)
	if err != nil {
		return err
	}
	if r.schema, err = reader.Schema(); err != nil {
		return err
	}
	r.rows, err = reader.GetRecordReader(context.Background(), nil, nil)
	return err
}

func (r *parquetReader) Schema() *arrow.Schema { return withoutFieldIDs(r.schema) }

// withoutFieldIDs drops the ids that a Parquet file gives its columns: they are not those of a table.
func withoutFieldIDs(s *arrow.Schema) *arrow.Schema {
	fields := s.Fields()
	for i := range fields {
		fields[i].Metadata = arrow.Metadata{}
	}
	return arrow.NewSchema(fields, nil)
}

func (r *parquetReader) Next() (batch arrow.RecordBatch, err error) {
	defer guard(r.options, &err)
	return r.pieces.next(func() (arrow.RecordBatch, error) {
		batch, err := r.rows.Read()
		if errors.Is(err, io.EOF) || err == nil && batch == nil {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.options.Name, err)
		}
		batch.Retain()
		return batch, nil
	})
}

func (r *parquetReader) Close() error {
	r.pieces.release()
	r.rows.Release()
	err := r.file.Close()
	r.free()
	return err
}

// rowGroupRows is how many rows a row group of a written file has.
const rowGroupRows = 122_880

// parquetWriter writes a Parquet file, compressed with zstd.
type parquetWriter struct {
	w *pqarrow.FileWriter
}

func newParquetWriter(w io.Writer, schema *arrow.Schema) (_ Writer, err error) {
	if bad := notInParquet(schema); len(bad) > 0 {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "Parquet cannot hold the columns %s", columnNames(bad)).
			Advise("leave them out with --columns, or write arrow")
	}
	properties := parquet.NewWriterProperties(
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithAllocator(memory.DefaultAllocator))
	out, err := pqarrow.NewFileWriter(schema, keepOpen{w}, properties, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, fmt.Errorf("write Parquet: %w", err)
	}
	return &parquetWriter{out}, nil
}

// notInParquet lists the columns whose types the format, or its writer, does not have.
func notInParquet(schema *arrow.Schema) (bad []arrow.Field) {
	var fits func(dt arrow.DataType) bool
	fits = func(dt arrow.DataType) bool {
		switch t := dt.(type) {
		case *arrow.MonthIntervalType, *arrow.DayTimeIntervalType, *arrow.MonthDayNanoIntervalType, *arrow.DurationType, arrow.UnionType, *arrow.RunEndEncodedType:
			return false
		case *arrow.StructType:
			if t.NumFields() == 0 {
				return false
			}
		case arrow.ExtensionType:
			return fits(t.StorageType())
		}
		if nested, ok := dt.(arrow.NestedType); ok {
			for _, f := range nested.Fields() {
				if !fits(f.Type) {
					return false
				}
			}
		}
		return true
	}
	for _, f := range schema.Fields() {
		if !fits(f.Type) {
			bad = append(bad, f)
		}
	}
	return bad
}

// keepOpen keeps the Parquet writer from closing what it writes to.
type keepOpen struct{ io.Writer }

func (w *parquetWriter) Write(batch arrow.RecordBatch) error { return w.w.WriteBuffered(batch) }

// Flush does nothing: a Parquet file is of use only when it is whole.
func (w *parquetWriter) Flush() error { return nil }

func (w *parquetWriter) Close() error { return w.w.Close() }
