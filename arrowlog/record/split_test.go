package record

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// TestSplitBoundsWhatAReaderMustHold cuts a batch that compresses to next to nothing.
func TestSplitBoundsWhatAReaderMustHold(t *testing.T) {
	const rows = 8 << 20
	schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLayout(schema)
	if err != nil {
		t.Fatal(err)
	}
	builder := array.NewInt64Builder(memory.DefaultAllocator)
	defer builder.Release()
	builder.AppendValues(make([]int64, rows), nil)
	column := builder.NewArray()
	defer column.Release()
	record := array.NewRecordBatch(schema.Stored(), []arrow.Array{column}, rows)
	defer record.Release()
	b, err := Encode(l, record, Zstd)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	pieces, err := b.Split(3 << 20)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, piece := range pieces {
		if n := piece.plainSize(); n > maxPlain || piece.Compression() != Zstd {
			t.Errorf("a piece of %d rows takes %d bytes decompressed, as %v", piece.Rows(), n, piece.Compression())
		}
		total += piece.Rows()
		piece.Release()
	}
	if total != rows || len(pieces) < 4 {
		t.Errorf("%d pieces hold %d rows of %d", len(pieces), total, rows)
	}
}
