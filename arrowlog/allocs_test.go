//go:build !race

// The race detector has pools forget what they hold, at random: what is counted here drifts with it.

package arrowlog

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver/arrowlog/record"
)

// TestAppendAllocations: an append costs so many allocations, whatever its rows, and a row of its own a few.
func TestAppendAllocations(t *testing.T) {
	w, l, _ := benchWorld(t, tenColumns())
	defer w.close()
	for _, c := range []struct {
		rows int
		most float64
	}{{1, 50}, {10_000, 50}} {
		proto := tenColumnBatch(t, w.layout, c.rows+1)
		got := testing.AllocsPerRun(50, func() {
			batch, err := proto.Slice(0, c.rows)
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Stage([]*record.Batch{batch}, anonymous(c.rows))
			if err == nil {
				err = l.Sync(t.Context(), s.Until)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		proto.Release()
		if got > c.most {
			t.Errorf("an append of %d rows takes %v allocations, at most %v were expected", c.rows, got, c.most)
		}
	}
}

// TestReadAllocations: a read costs so many allocations a batch, whatever its rows; a projection as many as it has
// columns, whatever the table has.
func TestReadAllocations(t *testing.T) {
	const units = 100
	for _, c := range []struct {
		name   string
		schema *arrow.Schema
		rows   int
		cols   []int
		most   float64 // of a batch
	}{
		{"all columns", tenColumns(), 1000, nil, 9},
		{"all columns, small batches", tenColumns(), 10, nil, 1},
		{"1 of 10", tenColumns(), 1000, []int{2}, 18},
		{"1 of 100", hundredColumns(), 100, []int{52}, 18},
		{"10 of 100", hundredColumns(), 100, []int{2, 12, 22, 32, 42, 52, 62, 72, 82, 92}, 36},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := filledWith(t, c.schema, units, c.rows)
			defer w.close()
			l, err := w.disk.Log(bucket, w.config)
			if err != nil {
				t.Fatal(err)
			}
			got := testing.AllocsPerRun(10, func() {
				r := l.Read(0, l.Durable(), reading(c.cols))
				defer r.Close()
				for {
					batch, err := r.Next()
					if errors.Is(err, io.EOF) {
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					batch.Release()
				}
			}) / units
			if got > c.most {
				t.Errorf("a batch takes %v allocations, at most %v were expected", got, c.most)
			}
		})
	}
}
