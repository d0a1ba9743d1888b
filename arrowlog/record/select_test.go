package record

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// selectObvious is Select as anyone would write it: decode, take every row, encode. Arrow compute takes where it can;
// the types that it cannot take are concatenated, row by row.
func selectObvious(t testing.TB, b *Batch, rows []int32) *Batch {
	t.Helper()
	rec := decode(t, b)
	defer rec.Release()
	places := array.NewInt32Builder(memory.DefaultAllocator)
	defer places.Release()
	places.AppendValues(rows, nil)
	indices := places.NewArray()
	defer indices.Release()
	columns := make([]arrow.Array, rec.NumCols())
	defer releaseAll(columns)
	for i, c := range rec.Columns() {
		taken, err := compute.TakeArray(context.Background(), c, indices)
		if err != nil {
			taken = takeByConcatenation(t, c, rows)
		}
		columns[i] = taken
	}
	out, err := encodeColumns(b.layout, len(rows), columns, None)
	must(t, err)
	return out
}

func takeByConcatenation(t testing.TB, c arrow.Array, rows []int32) arrow.Array {
	t.Helper()
	parts := []arrow.Array{array.NewSlice(c, 0, 0)}
	for _, row := range rows {
		parts = append(parts, array.NewSlice(c, int64(row), int64(row)+1))
	}
	defer releaseAll(parts)
	out, err := array.Concatenate(parts, memory.DefaultAllocator)
	must(t, err)
	return out
}

// randomPlaces draws rows: a few or many, in runs or scattered, ascending or not.
func randomPlaces(r *rand.Rand, n int) []int32 {
	rows := []int32{}
	if n == 0 {
		return rows
	}
	switch r.IntN(5) {
	case 0: // all
		for i := range n {
			rows = append(rows, int32(i))
		}
	case 1: // in any order, some of them twice
		for range r.IntN(2 * n) {
			rows = append(rows, int32(r.IntN(n)))
		}
	case 2: // one run
		from := r.IntN(n)
		for i := from; i < from+r.IntN(n-from+1); i++ {
			rows = append(rows, int32(i))
		}
	case 3: // runs
		for i := range n {
			if i/10%3 != 0 {
				rows = append(rows, int32(i))
			}
		}
	default: // as a filter finds them
		share := 1 + r.IntN(10)
		for i := range n {
			if r.IntN(share) == 0 {
				rows = append(rows, int32(i))
			}
		}
	}
	return rows
}

func TestSelectIsTake(t *testing.T) {
	seeded(t, 600, func(t *testing.T, r *rand.Rand) {
		l := testLayout(t, randomSchema(r, r.IntN(4)))
		b := randomBatch(t, r, l, randomRows(r), randomCodec(r))
		defer b.Release()
		b.SetProducers(randomProducers(r, b.Rows()))
		rows := randomPlaces(r, b.Rows())
		got, err := b.Select(rows)
		must(t, err)
		defer got.Release()
		if got.Rows() != len(rows) || got.Compression() != None || got.Layout() != l {
			t.Fatalf("%d rows, compressed as %s", got.Rows(), got.Compression())
		}
		if len(got.producers) > 0 {
			t.Fatal("the selection has producers")
		}
		want := selectObvious(t, b, rows)
		defer want.Release()
		mustBeSound(t, "selected", got)
		mustPassAgain(t, "selected", got)
		g, w := decode(t, got), decode(t, want)
		defer g.Release()
		defer w.Release()
		mustEqual(t, "selected", g, w)
		if len(rows) != b.Rows() {
			mustHaveSameBody(t, got, want)
		}
	})
}

func TestSelectRefusesRowsThatAreNotThere(t *testing.T) {
	_, b := benchmarkBatch(t, 10)
	defer b.Release()
	for _, rows := range [][]int32{{10}, {-1}, {0, 1, 11}} {
		if got, err := b.Select(rows); quiver.ReasonOf(err) != quiver.Internal {
			t.Errorf("%v: %v, %v", rows, got, err)
		}
	}
}

// BenchmarkSelect selects every row that a filter of so many per cent lets pass, scattered, and the same in runs of 100.
func BenchmarkSelect(b *testing.B) {
	_, batch := benchmarkBatch(b, 65536)
	r := rand.New(rand.NewPCG(3, 3))
	for _, run := range []int{1, 100} {
		for _, percent := range []int{1, 10, 50} {
			var rows []int32
			for i := 0; i < batch.Rows(); i += run {
				if r.IntN(100) >= percent {
					continue
				}
				for k := i; k < min(i+run, batch.Rows()); k++ {
					rows = append(rows, int32(k))
				}
			}
			b.Run(fmt.Sprintf("runs=%d/percent=%d", run, percent), func(b *testing.B) {
				b.ReportAllocs()
				size := int64(0)
				for b.Loop() {
					out, err := batch.Select(rows)
					must(b, err)
					size = out.bodyLen
					out.Release()
				}
				b.SetBytes(size)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
			})
		}
	}
}

func BenchmarkSelectObvious(b *testing.B) {
	_, batch := benchmarkBatch(b, 65536)
	r := rand.New(rand.NewPCG(3, 3))
	var rows []int32
	for i := range batch.Rows() {
		if r.IntN(2) == 0 {
			rows = append(rows, int32(i))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		selectObvious(b, batch, rows).Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
}
