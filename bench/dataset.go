package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// dataset is a seeded generator: the same batches for every system and on every machine.
type dataset struct {
	name    string
	schema  *arrow.Schema
	batch   int // rows of a batch
	batches int
	fill    func(b *array.RecordBuilder, rng *rand.Rand, first, rows int)
}

// rows is the number of rows of the whole set.
func (d *dataset) rows() int { return d.batch * d.batches }

// generate gives the i-th batch. The caller releases it.
func (d *dataset) generate(i int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, d.schema)
	defer b.Release()
	b.Reserve(d.batch)
	d.fill(b, rand.New(rand.NewPCG(1, uint64(i))), i*d.batch, d.batch)
	return b.NewRecordBatch()
}

// bid is D1: the bids of NEXMark, about 120 bytes a row.
func bid(batch, batches int) *dataset {
	fields := []arrow.Field{
		{Name: "auction", Type: arrow.PrimitiveTypes.Int64},
		{Name: "bidder", Type: arrow.PrimitiveTypes.Int64},
		{Name: "price", Type: arrow.PrimitiveTypes.Int64},
		{Name: "channel", Type: arrow.BinaryTypes.String},
		{Name: "url", Type: arrow.BinaryTypes.String},
		{Name: "date_time", Type: &arrow.TimestampType{Unit: arrow.Millisecond}},
		{Name: "extra", Type: arrow.BinaryTypes.String},
	}
	return &dataset{name: "bid", schema: arrow.NewSchema(fields, nil), batch: batch, batches: batches, fill: fillBid}
}

// channels are what a bid came through, as NEXMark has them.
var channels = []string{"Google", "Facebook", "Baidu", "Apple"}

func fillBid(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
	const start = 1_700_000_000_000 // milliseconds
	extra := make([]byte, 0, 32)
	for row := first; row < first+rows; row++ {
		channel := rng.IntN(10_000)
		name := channels[channel%len(channels)]
		if channel >= len(channels) {
			name = fmt.Sprintf("channel-%d", channel)
		}
		extra = extra[:0]
		for range rng.IntN(24) {
			extra = append(extra, byte('a'+rng.IntN(26)))
		}
		b.Field(0).(*array.Int64Builder).Append(1000 + int64(row/100) - rng.Int64N(100))
		b.Field(1).(*array.Int64Builder).Append(1000 + rng.Int64N(int64(row/50)+1000))
		b.Field(2).(*array.Int64Builder).Append(100 + rng.Int64N(10_000_000))
		b.Field(3).(*array.StringBuilder).Append(name)
		b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("https://www.nexmark.com/item.htm?channel=%d", channel))
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(start + int64(row)/10))
		b.Field(6).(*array.StringBuilder).Append(string(extra))
	}
}

// The columns of wide100, in the order of the schema.
const (
	wideInts   = 30 // int64
	wideFloats = 30 // float64
	wideSmall  = 20 // int32
	wideTexts  = 20 // utf8, 5 to 6 bytes
)

// wide100 is D4: a hundred columns, about 750 bytes a row.
func wide100(batch, batches int) *dataset {
	var fields []arrow.Field
	add := func(prefix string, n int, t arrow.DataType) {
		for i := range n {
			fields = append(fields, arrow.Field{Name: fmt.Sprintf("%s%02d", prefix, i), Type: t})
		}
	}
	add("i", wideInts, arrow.PrimitiveTypes.Int64)
	add("f", wideFloats, arrow.PrimitiveTypes.Float64)
	add("s", wideSmall, arrow.PrimitiveTypes.Int32)
	add("t", wideTexts, arrow.BinaryTypes.String)
	return &dataset{name: "wide100", schema: arrow.NewSchema(fields, nil), batch: batch, batches: batches, fill: fillWide}
}

// Projections of wide100: all kinds of its columns, and one alone.
var (
	tenColumns = []string{"i00", "i10", "i20", "f00", "f10", "f20", "s00", "s10", "t00", "t10"}
	oneColumn  = []string{"i07"}
)

func fillWide(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
	for c, builder := range b.Fields() {
		switch column := builder.(type) {
		case *array.Int64Builder:
			for row := range rows {
				column.Append(int64(first+row)*int64(c+1) + rng.Int64N(1000))
			}
		case *array.Float64Builder:
			for range rows {
				column.Append(rng.NormFloat64() * 100)
			}
		case *array.Int32Builder:
			for range rows {
				column.Append(rng.Int32N(1 << 20))
			}
		case *array.StringBuilder:
			column.ReserveData(6 * rows)
			for range rows {
				column.Append(fmt.Sprintf("v%d", 1000+rng.IntN(99_000)))
			}
		}
	}
}

// int32s is one int32 column.
func int32s(batch, batches int) *dataset {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int32}}, nil)
	return &dataset{name: "int32", schema: schema, batch: batch, batches: batches, fill: func(b *array.RecordBuilder, rng *rand.Rand, _, rows int) {
		column := b.Field(0).(*array.Int32Builder)
		for range rows {
			column.UnsafeAppend(rng.Int32())
		}
	}}
}
