package scan

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// systemArray makes a system column for the rows of the pieces, which lie one behind the other in one bucket. Its
// values are written straight into a buffer; nothing of the user's columns is looked at.
func systemArray(column System, pieces []piece, bucket int32) arrow.Array {
	rows := 0
	for i := range pieces {
		rows += pieces[i].rows
	}
	dt := systemFields[column].Type
	switch column {
	case BucketColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int32Traits.CastToBytes, fill(make([]int32, rows), bucket)))
	case OffsetColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int64Traits.CastToBytes, offsets(pieces, rows)))
	case TimestampColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int64Traits.CastToBytes, timestamps(pieces, rows)))
	case PartitionColumn:
		// Every value is '': all offsets are 0.
		return makeArray(dt, rows, memory.NewBufferBytes(make([]byte, 4*(rows+1))), memory.NewBufferBytes(nil))
	default:
		panic("scan: no system column")
	}
}

// makeArray is an array without nulls over the given buffers.
func makeArray(dt arrow.DataType, rows int, buffers ...*memory.Buffer) arrow.Array {
	data := array.NewData(dt, rows, append([]*memory.Buffer{nil}, buffers...), nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func bytesOf[T any](cast func([]T) []byte, values []T) *memory.Buffer {
	return memory.NewBufferBytes(cast(values))
}

func offsets(pieces []piece, rows int) []int64 {
	values := make([]int64, 0, rows)
	for i := range pieces {
		for row := range int64(pieces[i].rows) {
			values = append(values, int64(pieces[i].from)+row)
		}
	}
	return values
}

// timestamps is exact by the row: each has that of the batch it was stored in.
func timestamps(pieces []piece, rows int) []int64 {
	values := make([]int64, rows)
	at := 0
	for i := range pieces {
		fill(values[at:at+pieces[i].rows], pieces[i].timestamp)
		at += pieces[i].rows
	}
	return values
}

func fill[T any](values []T, v T) []T {
	for i := range values {
		values[i] = v
	}
	return values
}
