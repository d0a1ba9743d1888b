package tabular

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// FuzzFiles feeds any bytes to whatever opens a file, which looks at its first bytes: Arrow streams and files, Parquet,
// CSV, JSON. The Arrow library panics on some; that is an error to who reads.
func FuzzFiles(f *testing.F) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for n := range 5 {
		b.Field(0).(*array.Int64Builder).Append(int64(n))
		b.Field(1).(*array.StringBuilder).Append("text")
		b.Field(2).AppendNull()
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	for _, format := range []Format{Arrow, Parquet, CSV, NDJSON} {
		var out bytes.Buffer
		w, err := NewWriter(&out, format, schema, WriteOptions{})
		if err != nil {
			f.Fatal(err)
		}
		if err := errors.Join(w.Write(batch), w.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	var file bytes.Buffer
	w, err := aipc.NewFileWriter(&file, aipc.WithSchema(schema))
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	lying := lies(f)
	for _, name := range slices.Sorted(maps.Keys(lying)) {
		f.Add(lying[name])
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data), ReadOptions{Name: "f", Mem: bounded{memory.NewGoAllocator()}, BatchRows: 3})
		if err != nil {
			return
		}
		defer func() { _ = r.Close() }()
		for range 100 {
			batch, err := r.Next()
			if errors.Is(err, io.EOF) || err != nil {
				return
			}
			batch.Release()
		}
	})
}

// bounded refuses what a file of a few bytes does not need, as a machine with little memory would: by a panic.
type bounded struct{ memory.Allocator }

func (b bounded) Allocate(n int) []byte {
	if n > 64<<20 {
		panic("out of memory")
	}
	return b.Allocator.Allocate(n)
}

func (b bounded) Reallocate(n int, data []byte) []byte {
	if n > 64<<20 {
		panic("out of memory")
	}
	return b.Allocator.Reallocate(n, data)
}
