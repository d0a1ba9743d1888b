package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// lineitem is D2: the columns and the ranges of TPC-H's lineitem, about 170 bytes a row as Arrow has them.
func lineitem(batch, batches int) *dataset {
	money := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	fields := []arrow.Field{
		{Name: "l_orderkey", Type: arrow.PrimitiveTypes.Int64},
		{Name: "l_partkey", Type: arrow.PrimitiveTypes.Int64},
		{Name: "l_suppkey", Type: arrow.PrimitiveTypes.Int64},
		{Name: "l_linenumber", Type: arrow.PrimitiveTypes.Int32},
		{Name: "l_quantity", Type: money}, {Name: "l_extendedprice", Type: money},
		{Name: "l_discount", Type: money}, {Name: "l_tax", Type: money},
		{Name: "l_returnflag", Type: arrow.BinaryTypes.String}, {Name: "l_linestatus", Type: arrow.BinaryTypes.String},
		{Name: "l_shipdate", Type: arrow.FixedWidthTypes.Date32},
		{Name: "l_commitdate", Type: arrow.FixedWidthTypes.Date32},
		{Name: "l_receiptdate", Type: arrow.FixedWidthTypes.Date32},
		{Name: "l_shipinstruct", Type: arrow.BinaryTypes.String}, {Name: "l_shipmode", Type: arrow.BinaryTypes.String},
		{Name: "l_comment", Type: arrow.BinaryTypes.String},
	}
	return &dataset{name: "lineitem", schema: arrow.NewSchema(fields, nil), batch: batch, batches: batches, fill: fillLineitem}
}

// Words of TPC-H.
var (
	shipInstructs = []string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}
	shipModes     = []string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}
	commentWords  = strings.Fields("furiously carefully quickly blithely slyly final express regular special pending ironic bold deposits requests accounts packages theodolites instructions foxes ideas pinto beans sleep haggle wake nag use about above according across against along after the")
)

func fillLineitem(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
	const linesOfOrder, parts, suppliers = 4, 200_000, 10_000
	const start, current = 8035, 9298 // days: 1992-01-01 and 1995-06-17
	integer := func(c int, v int64) { b.Field(c).(*array.Int64Builder).Append(v) }
	cents := func(c int, v int64) { b.Field(c).(*array.Decimal128Builder).Append(decimal128.FromI64(v)) }
	day := func(c int, v int) { b.Field(c).(*array.Date32Builder).Append(arrow.Date32(v)) }
	word := func(c int, v string) { b.Field(c).(*array.StringBuilder).Append(v) }
	for row := first; row < first+rows; row++ {
		part, quantity := 1+rng.Int64N(parts), 1+rng.Int64N(50)
		ship := start + rng.IntN(2400)
		receipt := ship + 1 + rng.IntN(30)
		integer(0, 1+int64(row/linesOfOrder)*linesOfOrder)
		integer(1, part)
		integer(2, 1+(part+rng.Int64N(4)*(suppliers/4+1))%suppliers)
		b.Field(3).(*array.Int32Builder).Append(int32(1 + row%linesOfOrder))
		cents(4, quantity*100)
		cents(5, quantity*(90_000+part/10%20_001+100*(part%1000)))
		cents(6, rng.Int64N(11))
		cents(7, rng.Int64N(9))
		flag, status := "N", "O"
		if receipt <= current {
			flag = []string{"R", "A"}[rng.IntN(2)]
		}
		if ship <= current {
			status = "F"
		}
		word(8, flag)
		word(9, status)
		day(10, ship)
		day(11, ship-30+rng.IntN(60))
		day(12, receipt)
		word(13, shipInstructs[rng.IntN(len(shipInstructs))])
		word(14, shipModes[rng.IntN(len(shipModes))])
		word(15, comment(rng, 10+rng.IntN(34)))
	}
}

// comment is words, cut to so many letters.
func comment(rng *rand.Rand, letters int) string {
	text := make([]byte, 0, letters+16)
	for len(text) < letters {
		text = append(text, commentWords[rng.IntN(len(commentWords))]...)
		text = append(text, ' ')
	}
	return string(text[:letters])
}

// omb20 is D3: 8 int32, 6 int64 and 6 texts of a given length; 2 KB a row are 317 letters, the 230 bytes that the peers
// were measured with are 21.
func omb20(batch, batches, letters int) *dataset {
	var fields []arrow.Field
	add := func(prefix string, n int, t arrow.DataType) {
		for i := range n {
			fields = append(fields, arrow.Field{Name: fmt.Sprint(prefix, i), Type: t})
		}
	}
	add("i", 8, arrow.PrimitiveTypes.Int32)
	add("l", 6, arrow.PrimitiveTypes.Int64)
	add("s", 6, arrow.BinaryTypes.String)
	fill := func(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
		text := make([]byte, letters)
		for c, builder := range b.Fields() {
			for row := first; row < first+rows; row++ {
				switch column := builder.(type) {
				case *array.Int32Builder:
					column.Append(rng.Int32N(1_000_000))
				case *array.Int64Builder:
					column.Append(int64(row)*int64(c) + rng.Int64N(1000))
				case *array.StringBuilder:
					for i := range text {
						text[i] = byte('a' + rng.IntN(26))
					}
					column.Append(string(text))
				}
			}
		}
	}
	return &dataset{name: fmt.Sprint("omb20-", letters), schema: arrow.NewSchema(fields, nil), batch: batch, batches: batches, fill: fill}
}

// The texts of omb20.
const (
	longTexts  = 317 // 2 KB a row
	shortTexts = 21  // 230 bytes a row
)

// taxi is D6: 19 columns with many repeats and nulls, about 150 bytes a row.
func taxi(batch, batches int) *dataset {
	moment, integer, double, text := &arrow.TimestampType{Unit: arrow.Microsecond}, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String
	var fields []arrow.Field
	add := func(t arrow.DataType, names ...string) {
		for _, name := range names {
			fields = append(fields, arrow.Field{Name: name, Type: t, Nullable: true})
		}
	}
	add(integer, "VendorID")
	add(moment, "tpep_pickup_datetime", "tpep_dropoff_datetime")
	add(double, "passenger_count", "trip_distance", "RatecodeID")
	add(text, "store_and_fwd_flag")
	add(integer, "PULocationID", "DOLocationID", "payment_type")
	add(double, "fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount", "congestion_surcharge", "airport_fee")
	return &dataset{name: "taxi", schema: arrow.NewSchema(fields, nil), batch: batch, batches: batches, fill: fillTaxi}
}

func fillTaxi(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
	const start = 1_700_000_000_000_000 // µs
	for row := first; row < first+rows; row++ {
		pickup := start + int64(row)*250_000 + rng.Int64N(60_000_000)
		took := int64(120+rng.ExpFloat64()*700) * 1_000_000
		miles := float64(int(rng.ExpFloat64()*300)) / 100
		unknown := rng.IntN(20) == 0 // the meter did not tell
		fare := 3 + float64(int(miles*25))/10
		tip := float64(rng.IntN(20)) / 2
		reals := []float64{float64(1 + rng.IntN(10)/8), miles, 1}
		money := []float64{fare, []float64{0, 0.5, 1, 2.5}[rng.IntN(4)], 0.5, tip, 0, 1, fare + tip + 4, 2.5, 0}
		c := 0
		next := func() array.Builder { c++; return b.Field(c - 1) }
		next().(*array.Int64Builder).Append(1 + rng.Int64N(2))
		next().(*array.TimestampBuilder).Append(arrow.Timestamp(pickup))
		next().(*array.TimestampBuilder).Append(arrow.Timestamp(pickup + took))
		for i, v := range reals {
			appendReal(next(), v, unknown && i != 1)
		}
		if flag := next().(*array.StringBuilder); unknown {
			flag.AppendNull()
		} else {
			flag.Append("N")
		}
		for _, v := range []int64{1 + rng.Int64N(265), 1 + rng.Int64N(265), 1 + rng.Int64N(2)} {
			next().(*array.Int64Builder).Append(v)
		}
		for i, v := range money {
			appendReal(next(), v, unknown && i >= 7)
		}
	}
}

func appendReal(b array.Builder, v float64, null bool) {
	if null {
		b.AppendNull()
		return
	}
	b.(*array.Float64Builder).Append(v)
}
