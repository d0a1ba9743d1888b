package tabular

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// Limits and defaults.
const (
	DefaultBatchRows = 65_536
	InferBytes       = 16 << 20 // of the beginning of a text, from which types are inferred
	MaxRow           = 64 << 20 // bytes of text of one row
	maxBatchText     = 16 << 20 // bytes of text that end a batch
)

// linger is how long rows of a live source wait for others before their batch is given out.
const linger = 200 * time.Millisecond

// Reader gives the batches of one file or stream, in order.
type Reader interface {
	// Schema is that of every batch.
	Schema() *arrow.Schema
	// Next gives the next batch, which the caller releases, or io.EOF. An error ends the reading.
	Next() (arrow.RecordBatch, error)
	// Close frees what the reader holds.
	Close() error
}

// ReadOptions say how a table is read. The zero value infers everything.
type ReadOptions struct {
	Name      string        // of the file, for errors
	Format    Format        // "": by extension, then by how the data begins
	Schema    *arrow.Schema // of the table the rows are for; nil: inferred. Of CSV and Arrow some columns may be missing
	Defaults  map[string]json.RawMessage
	BatchRows int  // 0: DefaultBatchRows
	Live      bool // give out rows that arrived a while ago although the batch is not full
	NoHeader  bool // CSV: the first line is a row; columns are those of Schema, or f0, f1, …
	Delimiter byte // CSV: 0 is a comma, or a tab in TSV
	Mem       memory.Allocator
}

func (o ReadOptions) withDefaults() ReadOptions {
	if o.BatchRows == 0 {
		o.BatchRows = DefaultBatchRows
	}
	if o.Mem == nil {
		o.Mem = memory.DefaultAllocator
	}
	if o.Delimiter == 0 {
		o.Delimiter = ','
		if o.Format == TSV {
			o.Delimiter = '\t'
		}
	}
	return o
}

// Open reads a file. What cannot be opened is an error that names it.
func Open(path string, o ReadOptions) (Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, fmt.Errorf("%s is a directory; name the files in it", path)
	}
	if o.Name == "" {
		o.Name = path
	}
	if o.Format == "" {
		o.Format = FormatOf(path)
	}
	r, err := newReader(file, o)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &fileReader{Reader: r, file: file}, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the file %s may not be read by this user", path)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// fileReader closes the file behind a reader.
type fileReader struct {
	Reader
	file *os.File
}

func (r *fileReader) Close() error { return errors.Join(r.Reader.Close(), r.file.Close()) }

// NewReader reads a stream, such as standard input.
func NewReader(r io.Reader, o ReadOptions) (Reader, error) { return newReader(r, o) }

// newReader chooses the reader of the format. Formats with an end that tells what is in front of it need to be read
// at any place: a stream of one is copied to a file first.
func newReader(r io.Reader, o ReadOptions) (Reader, error) {
	buffered := bufio.NewReaderSize(r, chunkSize)
	begin, err := buffered.Peek(len(arrowFileMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	switch format := sniff(begin); {
	case format == Parquet || format == ArrowFile:
		at, free, err := seekable(r, buffered)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.Name, err)
		}
		if format == Parquet {
			return newParquetReader(at, free, o.withDefaults())
		}
		return newArrowFileReader(at, free, o.withDefaults())
	case o.Format == Parquet:
		return nil, notThat(o, "Parquet file")
	}
	return newStreamReader(buffered, o)
}

// newStreamReader reads what is read from its beginning to its end.
func newStreamReader(r io.Reader, o ReadOptions) (Reader, error) {
	src := newSource(r)
	head := &again{rest: src}
	if o.Format == "" {
		begin, _, err := src.prefix(4096, true)
		if err != nil {
			src.close()
			return nil, fmt.Errorf("read %s: %w", o.Name, err)
		}
		head.begin = begin
		if o.Format = sniff(begin); o.Format == "" && namesColumn(begin, o.Schema) {
			o.Format = CSV // of one column: no delimiter tells it
		}
		if o.Format == "" || o.Format == Parquet || o.Format == ArrowFile {
			src.close()
			if len(begin) == 0 {
				return nil, fmt.Errorf("%s is empty", o.Name)
			}
			return nil, fmt.Errorf("the format of %s cannot be told from its name or its beginning; give --format, csv or another", o.Name)
		}
	}
	reader, err := openStream(head, o.withDefaults())
	if err != nil {
		src.close()
		return nil, err
	}
	return reader, nil
}

func openStream(head *again, o ReadOptions) (Reader, error) {
	switch o.Format {
	case CSV, TSV:
		return newCSVReader(head, o)
	case NDJSON, JSON:
		return newJSONReader(head, o)
	case Arrow, ArrowFile:
		return newArrowReader(head, o)
	}
	return nil, unknownFormat(string(o.Format), InputFormats)
}

func notThat(o ReadOptions, what string) error {
	return fmt.Errorf("%s is no %s; give the --format it has", o.Name, what)
}

// readerAt is what formats with a footer are read from.
type readerAt interface {
	io.ReaderAt
	io.Reader
	io.Seeker
}

// seekable gives the file itself, or a copy of the stream in a file without a name. Nothing may have been taken from
// buffered yet.
func seekable(r io.Reader, buffered *bufio.Reader) (readerAt, func(), error) {
	if file, ok := r.(readerAt); ok {
		if _, err := file.Seek(0, io.SeekStart); err == nil {
			return file, func() {}, nil
		}
	}
	copied, err := os.CreateTemp("", "quiver-*")
	if err != nil {
		return nil, nil, err
	}
	_ = os.Remove(copied.Name()) // it lives as long as it is open
	if _, err := io.Copy(copied, buffered); err != nil {
		return nil, nil, errors.Join(err, copied.Close())
	}
	if _, err := copied.Seek(0, io.SeekStart); err != nil {
		return nil, nil, errors.Join(err, copied.Close())
	}
	return copied, func() { _ = copied.Close() }, nil
}

// rowError is what is wrong with one row: SCHEMA_MISMATCH, with file, line and column.
func rowError(o ReadOptions, line int, column, format string, args ...any) *quiver.Error {
	subject := fmt.Sprintf("%s, line %d", o.Name, line)
	if column != "" {
		subject += fmt.Sprintf(", column %q", column)
	}
	return quiver.Errorf(quiver.SchemaMismatch, format, args...).On(subject)
}

// clip shortens what stands in a file, so that no error grows with it.
func clip(text []byte) string {
	const most = 40
	if len(text) <= most {
		return string(text)
	}
	return string(text[:most]) + "…"
}
