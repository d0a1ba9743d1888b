package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// benchTable is a key and six values, about 100 bytes a row.
func benchTable(b testing.TB) Config {
	s, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "b", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "c", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "d", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "e", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true}, {Name: "f", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	}, nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	return Config{Schema: s, Key: []quiver.ColumnID{1}}
}

func benchRows(c Config, r *rand.Rand, n, keys int) *Rows {
	rb := array.NewRecordBuilder(memory.DefaultAllocator, c.Schema.Arrow())
	defer rb.Release()
	for range n {
		rb.Field(0).(*array.Int64Builder).Append(r.Int64N(int64(keys)))
		rb.Field(1).(*array.Int64Builder).Append(r.Int64())
		rb.Field(2).(*array.Float64Builder).Append(r.Float64())
		rb.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("some text of row %d", r.IntN(1e6)))
		rb.Field(4).(*array.StringBuilder).Append("and a few bytes more of it")
		rb.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(r.Int64N(1e15)))
		rb.Field(6).(*array.Int32Builder).Append(r.Int32())
	}
	return &Rows{Len: n, Columns: rb.NewRecordBatch().Columns()}
}

func benchTablet(b testing.TB, o Options) (*Store, *Tablet, Config) {
	c := benchTable(b)
	dir, err := OpenDir(fs.Disk(), b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	store, err := dir.Open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	t, err := store.Tablet(testBucket, c)
	if err != nil {
		b.Fatal(err)
	}
	return store, t, c
}

func fillBench(b testing.TB, t *Tablet, c Config, r *rand.Rand, rows, keys int) (end quiver.Offset) {
	for range rows / 4096 {
		end = upsertBench(b, t, benchRows(c, r, 4096, keys), end)
	}
	return end
}

func upsertBench(b testing.TB, t *Tablet, rows *Rows, end quiver.Offset) quiver.Offset {
	change, err := t.Prepare(rows, nil)
	if err != nil {
		b.Fatal(err)
	}
	for {
		columns, err := change.Piece(3 << 20)
		if err != nil {
			b.Fatal(err)
		}
		if columns == nil {
			break
		}
	}
	n := quiver.Offset(change.Len())
	t.Stage(change, end)
	if err := t.Advance(end+n, 1); err != nil {
		b.Fatal(err)
	}
	return end + n
}

// BenchmarkUpsert is one row of batches of 4,096: encoded, looked up, decided, its changelog built, staged and applied.
func BenchmarkUpsert(b *testing.B) {
	for _, keys := range []int{10_000, 200_000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			_, t, c := benchTablet(b, Options{})
			r := rand.New(rand.NewPCG(1, 2))
			end := fillBench(b, t, c, r, 2*keys, keys)
			batches := make([]*Rows, 16)
			for i := range batches {
				batches[i] = benchRows(c, r, 4096, keys)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 4096 {
				end = upsertBench(b, t, batches[i/4096%len(batches)], end)
			}
		})
	}
}

// BenchmarkGet is one key of lookups of 1,000, beside bare Pebble.
func BenchmarkGet(b *testing.B) {
	const keys = 100_000
	store, t, c := benchTablet(b, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	fillBench(b, t, c, r, 2*keys, keys)
	asked := make([][]arrow.Array, 64)
	for i := range asked {
		asked[i] = benchKeys(r, 1000, keys)
	}
	b.Run("tablet", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += 1000 {
			a, err := t.Get(context.Background(), asked[i/1000%len(asked)], allPlaces(c.Schema))
			if err != nil {
				b.Fatal(err)
			}
			a.Release()
		}
	})
	b.Run("pebble", func(b *testing.B) {
		encoded, err := t.current().codec.encodeKeys(t.rows, inputsOf(asked[0]), 1000)
		if err != nil {
			b.Fatal(err)
		}
		for i := range b.N {
			_, closer, err := store.engine.db.Get(encoded[i%len(encoded)])
			if err == nil {
				_ = closer.Close()
			} else if !errors.Is(err, pebble.ErrNotFound) {
				b.Fatal(err)
			}
		}
	})
}

func benchKeys(r *rand.Rand, n, keys int) []arrow.Array {
	ids := array.NewInt64Builder(memory.DefaultAllocator)
	defer ids.Release()
	for range n {
		ids.Append(r.Int64N(int64(keys)))
	}
	return []arrow.Array{ids.NewArray()}
}
