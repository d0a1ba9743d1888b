package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// benchRecord is the record that reference measurements use: of ten columns four are int64, four float64, two utf8 of
// about 20 bytes.
func benchRecord(columns, rows int, mark string) arrow.RecordBatch {
	r := rand.New(rand.NewPCG(1, 1))
	fields := make([]arrow.Field, columns)
	cols := make([]arrow.Array, columns)
	for i := range fields {
		typ := []arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64}[i%2]
		if i%5 == 4 {
			typ = arrow.BinaryTypes.String
		}
		fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: typ, Nullable: true}
		b := array.NewBuilder(memory.DefaultAllocator, typ)
		for range rows {
			if s, ok := b.(*array.StringBuilder); ok {
				s.Append(fmt.Sprintf("value%s-%014d", mark, r.Int64N(1e14)))
			} else {
				appendRandom(r, b, 0)
			}
		}
		cols[i] = b.NewArray()
		b.Release()
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, int64(rows))
}

func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name string
		rows int
		mark string
	}{{"1", 1, ""}, {"100", 100, ""}, {"4096", 4096, ""}, {"65536", 65536, ""}, {"65536/not-ascii", 65536, "é"}} {
		b.Run("rows="+c.name, func(b *testing.B) {
			rec := benchRecord(10, c.rows, c.mark)
			l := mustLayout(b, rec.Schema())
			m := streamOf(b, rec.Schema(), []arrow.RecordBatch{rec})[1]
			body := staged(m.body)
			defer body.Release()
			b.SetBytes(int64(len(m.body)))
			b.ReportAllocs()
			for b.Loop() {
				batch, err := Verify(l, m.meta, body, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				batch.Release()
			}
		})
	}
}

func BenchmarkVerifyDecimals(b *testing.B) {
	for _, t := range []arrow.DataType{&arrow.Decimal128Type{Precision: 38}, &arrow.Decimal256Type{Precision: 60}, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Date64} {
		b.Run(t.Name(), func(b *testing.B) {
			rec := randomRecord(rand.New(rand.NewPCG(2, 2)), memory.DefaultAllocator, column(t, false), 65536)
			l := mustLayout(b, rec.Schema())
			m := streamOf(b, rec.Schema(), []arrow.RecordBatch{rec})[1]
			body := staged(m.body)
			defer body.Release()
			b.SetBytes(int64(len(m.body)))
			for b.Loop() {
				batch, err := Verify(l, m.meta, body, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				batch.Release()
			}
		})
	}
}

func benchBatch(b testing.TB, columns, rows int) (*quiver.Schema, *Layout, *Batch) {
	b.Helper()
	rec := benchRecord(columns, rows, "")
	table, l := mustTable(b, rec.Schema())
	batch, err := Encode(l, rec, None)
	if err != nil {
		b.Fatal(err)
	}
	return table, l, batch
}

// Metadata of a batch whose body is summed already: what a change of producers costs.
func BenchmarkMetadata(b *testing.B) {
	for _, columns := range []int{10, 100} {
		b.Run(fmt.Sprintf("columns=%d", columns), func(b *testing.B) {
			_, _, batch := benchBatch(b, columns, 1)
			batch.Seal()
			b.ReportAllocs()
			for b.Loop() {
				batch.sealed.meta = nil
				batch.Seal()
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, rows := range []int{1, 4096} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			_, _, batch := benchBatch(b, 10, rows)
			b.SetBytes(batch.bodyLen)
			b.ReportAllocs()
			for b.Loop() {
				batch.sealed = seal{}
				batch.Seal()
			}
		})
	}
}

func BenchmarkStamp(b *testing.B) {
	_, _, batch := benchBatch(b, 10, 4096)
	batch.Seal()
	b.ReportAllocs()
	crc := uint32(0)
	for b.Loop() {
		crc = batch.Stamp(Stamp{BaseOffset: 1, Epoch: 2, Timestamp: 3, Previous: crc}, 9)
	}
}

func BenchmarkServed(b *testing.B) {
	_, _, batch := benchBatch(b, 10, 4096)
	b.ReportAllocs()
	for b.Loop() {
		batch.Served()
	}
}

func BenchmarkParseHeader(b *testing.B) {
	for _, columns := range []int{10, 100} {
		b.Run(fmt.Sprintf("columns=%d", columns), func(b *testing.B) {
			_, _, batch := benchBatch(b, columns, 1)
			batch.Stamp(Stamp{}, 1)
			meta, _ := batch.Stored()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseHeader(meta, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// 10 of 100 columns: picked from a loaded batch, and loaded by columns.
func BenchmarkProject(b *testing.B) {
	table, l, batch := benchBatch(b, 100, 4096)
	var ids []quiver.ColumnID
	var cols []int
	for i := 3; i < 100; i += 10 {
		ids, cols = append(ids, table.Columns()[i].ID), append(cols, i)
	}
	m, err := quiver.MapColumns(table, table, ids)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("project", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := batch.Project(m)
			if err != nil {
				b.Fatal(err)
			}
			p.Release()
		}
	})
	b.Run("project and serve", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := batch.Project(m)
			if err != nil {
				b.Fatal(err)
			}
			p.Served()
			p.Release()
		}
	})
	batch.Stamp(Stamp{}, 1)
	meta, body := batch.Stored()
	whole := bytes.Join(body, nil)
	stored, err := ParseHeader(meta, 1)
	if err != nil {
		b.Fatal(err)
	}
	regions, err := stored.Regions(l, cols)
	if err != nil {
		b.Fatal(err)
	}
	parts := make([]*buf.Buf, len(regions))
	size := int64(0)
	for i, r := range regions {
		parts[i] = buf.Wrap(whole[r.From:r.Until])
		size += r.Len()
	}
	b.Run("load columns", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			p, err := LoadColumns(l, stored, cols, parts)
			if err != nil {
				b.Fatal(err)
			}
			p.Release()
		}
	})
}
