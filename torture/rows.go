package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// A row of the log tables tells whose it is, and proves that it is whole: check is a function of the four numbers before
// it, and text one of check. clients.py makes the same rows.
var rowColumns = []quiver.ColumnSpec{
	{Name: "client", Type: "int32", Nullable: new(bool)},
	{Name: "put", Type: "int64", Nullable: new(bool)},
	{Name: "row", Type: "int32", Nullable: new(bool)},
	{Name: "of", Type: "int32", Nullable: new(bool)},
	{Name: "check", Type: "int64", Nullable: new(bool)},
	{Name: "text", Type: "string"},
	{Name: "part", Type: "int64", Nullable: new(bool)},
}

var rowSchema = arrow.NewSchema([]arrow.Field{
	{Name: "client", Type: arrow.PrimitiveTypes.Int32},
	{Name: "put", Type: arrow.PrimitiveTypes.Int64},
	{Name: "row", Type: arrow.PrimitiveTypes.Int32},
	{Name: "of", Type: arrow.PrimitiveTypes.Int32},
	{Name: "check", Type: arrow.PrimitiveTypes.Int64},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "part", Type: arrow.PrimitiveTypes.Int64},
}, nil)

// parts is into how many partitions a partitioned log table is divided: a put lies in that of its number.
const parts = 3

func partOf(put int64) int64 { return put % parts }

// logRow is one row.
type logRow struct {
	client, row, of int32
	put, check      int64
}

// checkOf is what check is to be.
func checkOf(client int32, put int64, row, of int32) int64 {
	x := uint64(client)*0x9E3779B97F4A7C15 + uint64(put)*0xBF58476D1CE4E5B9 + uint64(row)*0x94D049BB133111EB + uint64(of)
	x ^= x >> 31
	x *= 0x7FB5D329728EA185
	x ^= x >> 27
	return int64(x >> 1)
}

// textOf is what text is to be; every seventh row has none.
func textOf(check, put int64) (text string, ok bool) {
	return strings.Repeat(strconv.FormatInt(check, 10), int(1+put%3*8)), check%7 != 3
}

// makePut makes the rows of one put.
func makePut(client int32, put int64, rows int32) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, rowSchema)
	defer b.Release()
	for row := range rows {
		check := checkOf(client, put, row, rows)
		b.Field(0).(*array.Int32Builder).Append(client)
		b.Field(1).(*array.Int64Builder).Append(put)
		b.Field(2).(*array.Int32Builder).Append(row)
		b.Field(3).(*array.Int32Builder).Append(rows)
		b.Field(4).(*array.Int64Builder).Append(check)
		if text, ok := textOf(check, put); ok {
			b.Field(5).(*array.StringBuilder).Append(text)
		} else {
			b.Field(5).AppendNull()
		}
		b.Field(6).(*array.Int64Builder).Append(partOf(put))
	}
	return b.NewRecordBatch()
}

// eachRow gives the rows of a batch that was read, each checked.
func eachRow(batch arrow.RecordBatch, see func(logRow) error) error {
	if batch.NumCols() < 7 {
		return fmt.Errorf("changed: a batch has the schema %s", batch.Schema())
	}
	client, ok0 := batch.Column(0).(*array.Int32)
	put, ok1 := batch.Column(1).(*array.Int64)
	row, ok2 := batch.Column(2).(*array.Int32)
	of, ok3 := batch.Column(3).(*array.Int32)
	check, ok4 := batch.Column(4).(*array.Int64)
	text, ok5 := batch.Column(5).(*array.String)
	part, ok6 := batch.Column(6).(*array.Int64)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return fmt.Errorf("changed: a batch has the schema %s", batch.Schema())
	}
	for i := range int(batch.NumRows()) {
		r := logRow{client: client.Value(i), put: put.Value(i), row: row.Value(i), of: of.Value(i), check: check.Value(i)}
		want, some := textOf(r.check, r.put)
		if r.check != checkOf(r.client, r.put, r.row, r.of) || text.IsValid(i) != some || some && text.Value(i) != want || part.Value(i) != partOf(r.put) {
			return fmt.Errorf("changed: a row of %s has other values than it was sent with: %+v %q", name(r.client, r.put), r, text.ValueStr(i))
		}
		if err := see(r); err != nil {
			return err
		}
	}
	return nil
}

// chain is a hash over all rows of a bucket up to an offset.
func chain(before uint64, r logRow) uint64 { return (before ^ uint64(r.check)) * 0x9E3779B97F4A7C15 }

// name names a put.
func name(client int32, put int64) string { return fmt.Sprintf("put %d of client %d", put, client) }
