package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// keyedSchema is that of D5: a key and six values, about 100 bytes a row.
var keyedSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "amount", Type: arrow.PrimitiveTypes.Int64},
	{Name: "score", Type: arrow.PrimitiveTypes.Float64},
	{Name: "name", Type: arrow.BinaryTypes.String},
	{Name: "city", Type: arrow.BinaryTypes.String},
	{Name: "changed", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	{Name: "visits", Type: arrow.PrimitiveTypes.Int32},
}, nil)

// keyedColumns is the same as a table is made of it.
var keyedColumns = []map[string]any{
	{"name": "id", "type": "int64"}, {"name": "amount", "type": "int64"}, {"name": "score", "type": "double"},
	{"name": "name", "type": "string"}, {"name": "city", "type": "string"}, {"name": "changed", "type": "timestamp[us]"},
	{"name": "visits", "type": "int32"},
}

// keyChoice gives the keys of rows [first, first+len(out)) of a set.
type keyChoice func(rng *rand.Rand, first int, out []int64)

// keyed is D5 with keys chosen in some way. Another version has the same keys with other values.
func keyed(name string, batch, batches int, choose keyChoice, version uint64) *dataset {
	return &dataset{name: name, schema: keyedSchema, batch: batch, batches: batches, fill: func(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
		keys := make([]int64, rows)
		choose(rng, first, keys)
		fillKeyed(b, rand.New(rand.NewPCG(2+version, uint64(first))), keys)
	}}
}

// cities are what rows of D5 have as a text that repeats.
var cities = []string{"Amsterdam", "Buenos Aires", "Copenhagen", "Johannesburg", "Reykjavik", "San Francisco", "Thessaloniki", "Yokohama"}

func fillKeyed(b *array.RecordBuilder, rng *rand.Rand, keys []int64) {
	b.Field(0).(*array.Int64Builder).AppendValues(keys, nil)
	for range keys {
		b.Field(1).(*array.Int64Builder).Append(rng.Int64N(1_000_000_000))
		b.Field(2).(*array.Float64Builder).Append(rng.NormFloat64())
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("customer number %08d of all", rng.IntN(100_000_000)))
		b.Field(4).(*array.StringBuilder).Append(cities[rng.IntN(len(cities))])
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + rng.Int64N(1e12)))
		b.Field(6).(*array.Int32Builder).Append(rng.Int32N(10_000))
	}
}

// everyKey gives every key once, in no order.
func everyKey(keys int) keyChoice {
	return func(_ *rand.Rand, first int, out []int64) {
		for i := range out {
			out[i] = oddMultiple(int64(first+i), int64(keys))
		}
	}
}

// oddMultiple is a one-to-one map of [0, keys) that tears neighbours apart; keys is a power of two.
func oddMultiple(i, keys int64) int64 { return i * 0x5851F42D4C957F2D & (keys - 1) }

// uniformKeys gives any key as often as any other.
func uniformKeys(keys int) keyChoice {
	return func(rng *rand.Rand, _ int, out []int64) {
		for i := range out {
			out[i] = rng.Int64N(int64(keys))
		}
	}
}

// zipfKeys gives few keys often, as YCSB does: the exponent is 0.99, and the popular ones are no neighbours.
func zipfKeys(keys int) keyChoice {
	z := newZipf(keys)
	return func(rng *rand.Rand, _ int, out []int64) {
		for i := range out {
			out[i] = oddMultiple(z.next(rng), int64(keys))
		}
	}
}

// zipf draws ranks below a number, rank r with a probability proportional to 1/(r+1)^0.99 (Gray et al., "Quickly
// generating billion-record synthetic databases", SIGMOD 1994).
type zipf struct {
	keys                   float64
	alpha, zeta, eta, half float64
}

const zipfExponent = 0.99

func newZipf(keys int) *zipf {
	z := &zipf{keys: float64(keys), alpha: 1 / (1 - zipfExponent)}
	for i := 1; i <= keys; i++ {
		z.zeta += math.Pow(float64(i), -zipfExponent)
	}
	z.half = math.Pow(0.5, zipfExponent)
	z.eta = (1 - math.Pow(2/z.keys, 1-zipfExponent)) / (1 - (1+z.half)/z.zeta)
	return z
}

func (z *zipf) next(rng *rand.Rand) int64 {
	u := rng.Float64()
	switch share := u * z.zeta; {
	case share < 1:
		return 0
	case share < 1+z.half:
		return 1
	}
	return min(int64(z.keys*math.Pow(z.eta*u-z.eta+1, z.alpha)), int64(z.keys)-1)
}
