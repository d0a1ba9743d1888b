package scan

import (
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/quiverlog/quiver/internal/buf"
)

// BenchmarkScan reads batches of several sizes, as they lie, by column, with system columns. The source loads each
// batch as the log does, checksums included, from memory.
func BenchmarkScan(b *testing.B) {
	for _, rows := range []int{1, 100, 50_000} {
		table := testTable(b, 1)
		source := newBucket(b, table, 0)
		rng := rand.New(rand.NewPCG(1, 1))
		total := 0
		for total < 100_000 {
			source.put(randomRows(rng, rows, 1)...)
			total += rows
		}
		for _, columns := range [][]string{table.Schema.Names(), {"id"}, {"id", "__offset", "__timestamp"}, {}} {
			name := "batches of " + strconv.Itoa(rows) + "/"
			for _, c := range columns {
				name += c + " "
			}
			b.Run(name, func(b *testing.B) { benchScan(b, source, columns, total) })
		}
	}
}

func benchScan(b *testing.B, source *bucket, names []string, rows int) {
	buf.SetPoison(false)
	defer buf.SetPoison(true)
	columns, err := Select(source.table.Schema, names, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ranges, err := Resolve(b.Context(), source.table, []Source{source}, Position{}, Position{}, false)
		if err != nil {
			b.Fatal(err)
		}
		s, err := Open(Spec{Table: source.table, Sources: []Source{source}, Ranges: ranges, Columns: columns}, Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			c, err := s.Next(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			c.Batch.Release()
		}
		s.Close()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
