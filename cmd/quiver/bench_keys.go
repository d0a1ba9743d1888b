package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/flight"
)

// drawKeys draws at most --keys of the keys that the table has, all with the same chance, and gives them in random order and
// often enough that any --batch-rows in a row are a random batch.
func (b *benching) drawKeys(ctx context.Context) (arrow.RecordBatch, error) {
	rows, err := b.countRows(ctx)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	drawn, err := b.sampleKeys(ctx, min(1, float64(b.keys)/float64(max(1, rows))), random)
	if err != nil {
		return nil, err
	}
	defer releaseAll(drawn)
	total := int64(0)
	for _, batch := range drawn {
		total += batch.NumRows()
	}
	if total == 0 {
		what := "table " + b.table.name
		if b.partition != "" {
			what += ", partition " + b.partition
		}
		return nil, fmt.Errorf("%s has no rows to look up; fill it, or leave --table out", what)
	}
	b.keys = min(b.keys, total)
	return shuffled(drawn, max(total, 2*int64(b.batch)), random)
}

// keysScanned reads the keys of all rows.
func (b *benching) keysScanned() flight.ScanCommand {
	command := flight.ScanCommand{Table: flight.Named(b.table.name), Columns: b.table.key}
	if b.partition != "" {
		command.Partition = &b.partition
	}
	return command
}

// countRows gives about how many keys there are: exactly, but for what is put meanwhile.
func (b *benching) countRows(ctx context.Context) (int64, error) {
	asked, cancel := b.ask(ctx)
	defer cancel()
	plan, err := b.client.Plan(asked, b.keysScanned())
	if err != nil {
		return 0, err
	}
	return plan.Rows, nil
}

// sampleKeys reads all keys of the table and keeps each with a chance.
func (b *benching) sampleKeys(ctx context.Context, chance float64, random *rand.Rand) (drawn []arrow.RecordBatch, err error) {
	defer func() {
		if err != nil {
			releaseAll(drawn)
			drawn = nil
		}
	}()
	s, err := b.client.Scan(ctx, b.keysScanned())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	shown := b.progress()
	defer func() { shown.stop() }()
	for batch, err := range s.Batches() {
		if err != nil {
			return drawn, err
		}
		shown.rows.Add(batch.NumRows())
		var rows []int64
		for row := range batch.NumRows() {
			if random.Float64() < chance {
				rows = append(rows, row)
			}
		}
		picked, err := pick([]arrow.RecordBatch{batch}, []int64{batch.NumRows()}, rows)
		if err != nil {
			return drawn, err
		}
		drawn = append(drawn, picked)
	}
	return drawn, nil
}

// shuffled draws n rows of batches, each time from all of them.
func shuffled(batches []arrow.RecordBatch, n int64, random *rand.Rand) (arrow.RecordBatch, error) {
	ends, total := make([]int64, len(batches)), int64(0)
	for i, batch := range batches {
		total += batch.NumRows()
		ends[i] = total
	}
	rows := make([]int64, n)
	for i := range rows {
		rows[i] = random.Int64N(total)
	}
	return pick(batches, ends, rows)
}

func releaseAll(batches []arrow.RecordBatch) {
	for _, batch := range batches {
		batch.Release()
	}
}

// pick copies rows, numbered over all batches, of which the i-th ends before row ends[i].
func pick(batches []arrow.RecordBatch, ends, rows []int64) (arrow.RecordBatch, error) {
	schema := batches[0].Schema()
	columns := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, column := range columns {
			if column != nil {
				column.Release()
			}
		}
	}()
	for c := range columns {
		var err error
		if columns[c], err = pickColumn(batches, c, ends, rows); err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(schema, columns, int64(len(rows))), nil
}

func pickColumn(batches []arrow.RecordBatch, column int, ends, rows []int64) (arrow.Array, error) {
	parts := make([]arrow.Array, 0, len(rows)+1)
	defer func() {
		for _, s := range parts {
			s.Release()
		}
	}()
	parts = append(parts, array.NewSlice(batches[0].Column(column), 0, 0)) // there may be no rows
	for _, row := range rows {
		n, _ := slices.BinarySearch(ends, row+1) // the first that ends behind it
		first := ends[n] - batches[n].NumRows()
		parts = append(parts, array.NewSlice(batches[n].Column(column), row-first, row-first+1))
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}
