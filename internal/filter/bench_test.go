package filter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/scalar"

	"github.com/quiverlog/quiver"
)

const benchRows = 1 << 16

func benchTable(tb testing.TB) (*quiver.Schema, map[string]arrow.Array) {
	r := rand.New(rand.NewPCG(1, 1))
	columns := []struct {
		name  string
		dt    arrow.DataType
		value func(row int) any
	}{
		{"i64", arrow.PrimitiveTypes.Int64, func(int) any { return r.Int64N(1000) }},
		{"j64", arrow.PrimitiveTypes.Int64, func(int) any { return r.Int64N(1000) }},
		{"i32", arrow.PrimitiveTypes.Int32, func(int) any { return int32(r.IntN(1000)) }},
		{"i8", arrow.PrimitiveTypes.Int8, func(int) any { return int8(r.IntN(100)) }},
		{"n64", arrow.PrimitiveTypes.Int64, func(row int) any {
			if row%5 == 0 {
				return nil
			}
			return r.Int64N(1000)
		}},
		{"u64", arrow.PrimitiveTypes.Uint64, func(int) any { return r.Uint64N(1000) }},
		{"f64", arrow.PrimitiveTypes.Float64, func(int) any { return r.Float64() * 1000 }},
		{"f32", arrow.PrimitiveTypes.Float32, func(int) any { return r.Float32() * 1000 }},
		{"d", &arrow.Decimal128Type{Precision: 12, Scale: 2}, func(int) any { return decimal128.FromI64(r.Int64N(100000)) }},
		{"e", &arrow.Decimal128Type{Precision: 12, Scale: 4}, func(int) any { return decimal128.FromI64(r.Int64N(10000000)) }},
		{"s", arrow.BinaryTypes.String, func(int) any { return fmt.Sprintf("region-%d", r.IntN(120)) }},
		{"b", arrow.FixedWidthTypes.Boolean, func(int) any { return r.IntN(2) == 0 }},
	}
	fields := make([]arrow.Field, len(columns))
	arrays := map[string]arrow.Array{}
	for i, c := range columns {
		values := make([]any, benchRows)
		for row := range values {
			values[row] = c.value(row)
		}
		arrays[c.name] = buildColumn(c.dt, values)
		fields[i] = arrow.Field{Name: c.name, Type: c.dt, Nullable: true}
	}
	schema, err := quiver.NewSchema(1, arrow.NewSchema(fields, nil), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return schema, arrays
}

// BenchmarkRows finds rows in batches of 65,536; MB/s stand for million rows a second.
func BenchmarkRows(b *testing.B) {
	schema, arrays := benchTable(b)
	for _, text := range []string{
		"i64 > 990", "i64 > 500", "i64 = 7", "n64 > 990", "i32 between 10 and 20", "i8 = 3", "u64 <= 5.5",
		"i64 in (1, 5, 17, 400)", "i64 in (1, 5, 17, 400000000)", "f64 > 990", "f32 > 990.5", "d > 990.25",
		"s = 'region-7'", "s < 'region-15'", "s in ('region-7', 'region-9')", "s like 'region-1%'", "s like '%gion-1_'",
		"i64 < j64", "d < e", "i64 < f64", "b", "i64 is not null",
		"i64 > 990 and s like '%1'", "i64 > 990 or f64 < 10", "i64 >= 5 and i64 < 8",
	} {
		b.Run(text, func(b *testing.B) {
			f := bind(b, schema, text)
			m := &modelTable{schema: schema, arrays: arrays}
			rec := m.batch(f, 0, benchRows)
			b.SetBytes(benchRows)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Rows(context.Background(), rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkArrowCompute is what Arrow's own kernels take for the like.
func BenchmarkArrowCompute(b *testing.B) {
	_, arrays := benchTable(b)
	for _, c := range []struct {
		column string
		value  any
	}{{"i64", int64(990)}, {"i32", int32(990)}, {"f64", 990.0}, {"s", "region-15"}} {
		b.Run(c.column, func(b *testing.B) {
			value := compute.NewDatum(scalar.MakeScalar(c.value))
			b.SetBytes(benchRows)
			b.ReportAllocs()
			for b.Loop() {
				out, err := compute.CallFunction(context.Background(), "greater", nil, compute.NewDatumWithoutOwning(arrays[c.column]), value)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
		})
	}
}

// BenchmarkMayMatch asks the statistics of one batch.
func BenchmarkMayMatch(b *testing.B) {
	schema, _ := benchTable(b)
	f := bind(b, schema, "i64 > 5000 and s = 'x' and f64 < 10")
	stats := quiver.ColumnStats{Min: int64(1), Max: int64(10000)}
	b.ReportAllocs()
	for b.Loop() {
		f.MayMatch(1000, func(quiver.ColumnID) (quiver.ColumnStats, bool) { return stats, true }, nil)
	}
}

func bind(tb testing.TB, schema *quiver.Schema, text string) *Filter {
	tb.Helper()
	e, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := e.Bind(schema)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}
