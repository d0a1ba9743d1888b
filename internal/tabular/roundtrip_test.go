package tabular

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/quiverlog/quiver"
)

// checked is an allocator that must have everything back at the end.
func checked(t *testing.T) memory.Allocator {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

// readAll reads a stream and gives its batches as one, or the error.
func readAll(r Reader) (*arrow.Schema, arrow.Table, error) {
	defer r.Close()
	var batches []arrow.RecordBatch
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Schema(), array.NewTableFromRecords(r.Schema(), batches), nil
		}
		if err != nil {
			return nil, nil, err
		}
		batches = append(batches, b)
	}
}

func write(t *testing.T, format Format, o WriteOptions, batches ...arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, format, batches[0].Schema(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sameTables compares value by value; NaN is equal to NaN.
func sameTables(t *testing.T, got, want arrow.Table) {
	t.Helper()
	if got.NumRows() != want.NumRows() || got.NumCols() != want.NumCols() {
		t.Fatalf("got %d rows and %d columns, want %d and %d", got.NumRows(), got.NumCols(), want.NumRows(), want.NumCols())
	}
	for c := range int(want.NumCols()) {
		if got.Schema().Field(c).Name != want.Schema().Field(c).Name {
			t.Fatalf("column %d is %q, want %q", c, got.Schema().Field(c).Name, want.Schema().Field(c).Name)
		}
		a, b := flatten(t, got.Column(c)), flatten(t, want.Column(c))
		if typeText(a) != typeText(b) {
			t.Fatalf("column %d is %s, want %s", c, a.DataType(), b.DataType())
		}
		for i := range b.Len() {
			x, y := array.NewSlice(a, int64(i), int64(i+1)), array.NewSlice(b, int64(i), int64(i+1))
			if !array.ApproxEqual(x, y, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) && x.String() != y.String() { // it takes no infinite float16
				t.Errorf("column %d (%s), row %d: got %s, want %s", c, b.DataType(), i, x, y)
			}
			x.Release()
			y.Release()
		}
		a.Release()
		b.Release()
	}
}

// typeText is the type of an array. Parquet calls the items of lists "element", which means nothing.
func typeText(a arrow.Array) string {
	return strings.ReplaceAll(quiver.FormatType(a.DataType()), "<element: ", "<item: ")
}

func flatten(t *testing.T, column *arrow.Column) arrow.Array {
	t.Helper()
	chunks := column.Data().Chunks()
	if len(chunks) == 0 {
		return array.MakeArrayOfNull(memory.DefaultAllocator, column.DataType(), 0)
	}
	whole, err := array.Concatenate(chunks, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// otherInParquet are types that Parquet gives back as others of the same values (dates, times of seconds), and one that
// the library's writer refuses if it holds nulls.
var otherInParquet = regexp.MustCompile(`date64|(time32|timestamp)\[s|fixed_size_list`)

// TestRoundTrips writes random tables and reads them back.
func TestRoundTrips(t *testing.T) {
	for _, format := range []Format{Arrow, Parquet, CSV, NDJSON, JSON} {
		t.Run(string(format), func(t *testing.T) {
			r, mem := newRandom(t), checked(t)
			fits := func(dt arrow.DataType) bool {
				return format != Parquet || len(notInParquet(arrow.NewSchema([]arrow.Field{{Type: dt}}, nil))) == 0 &&
					!otherInParquet.MatchString(quiver.FormatType(dt))
			}
			for range 60 {
				batch := randomBatch(r, mem, 1+r.IntN(6), fits)
				data := write(t, format, WriteOptions{}, batch)
				options := ReadOptions{Name: "t", Format: format, BatchRows: 1 + r.IntN(50), Mem: mem, Live: r.IntN(2) == 0}
				if format == CSV || format == NDJSON || format == JSON {
					options.Schema = batch.Schema()
				}
				reader, err := NewReader(bytes.NewReader(data), options)
				if err != nil {
					t.Fatalf("%v\n%s", err, data)
				}
				_, got, err := readAll(reader)
				if err != nil {
					t.Fatalf("%v\n%s", err, data)
				}
				want := array.NewTableFromRecords(batch.Schema(), []arrow.RecordBatch{batch})
				sameTables(t, got, want)
				got.Release()
				want.Release()
				batch.Release()
				if t.Failed() {
					t.Fatalf("%.2000q", data)
				}
			}
		})
	}
}

// TestCompressedFiles reads what tools write, the format told by the name alone.
func TestCompressedFiles(t *testing.T) {
	dir := t.TempDir()
	text := []byte("id,name\n1,Ada\n2,Grace\n")
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	z, _ := zstd.NewWriter(&zst)
	for _, w := range []io.WriteCloser{g, z} {
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{"a.csv": text, "b.csv.gz": gz.Bytes(), "c.CSV.zst": zst.Bytes()} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		reader, err := Open(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		schema, table, err := readAll(reader)
		if err != nil || table.NumRows() != 2 || quiver.FormatType(schema.Field(0).Type) != "int64" {
			t.Errorf("%s: %v %v", name, schema, err)
		}
	}
}
