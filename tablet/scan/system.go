package scan

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// systemArray makes a system column for the rows of the pieces, which lie one behind the other in one bucket. Its
// values are written straight into a buffer; nothing of the user's columns is looked at.
func systemArray(column System, pieces []piece, src Source) arrow.Array {
	rows := 0
	for i := range pieces {
		rows += pieces[i].rows
	}
	dt := systemFields[column].Type
	switch column {
	case BucketColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int32Traits.CastToBytes, fill(make([]int32, rows), src.ID().Bucket)))
	case OffsetColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int64Traits.CastToBytes, offsets(pieces, rows)))
	case TimestampColumn:
		return makeArray(dt, rows, bytesOf(arrow.Int64Traits.CastToBytes, timestamps(pieces, rows)))
	case PartitionColumn:
		ends, text := repeated(src.PartitionName(), rows)
		return makeArray(dt, rows, bytesOf(arrow.Int32Traits.CastToBytes, ends), memory.NewBufferBytes(text))
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
		p := &pieces[i]
		if p.offsets != nil {
			values = append(values, p.offsets...)
			continue
		}
		for row := range int64(p.rows) {
			values = append(values, int64(p.from)+row)
		}
	}
	return values
}

// timestamps is exact by the row: each has that of the batch it was stored in.
func timestamps(pieces []piece, rows int) []int64 {
	values := make([]int64, rows)
	at := 0
	for i := range pieces {
		p := &pieces[i]
		pieces[i].stamp(values[at : at+p.rows])
		at += p.rows
	}
	return values
}

// stamp fills in the timestamp of each row.
func (p *piece) stamp(values []int64) {
	if p.stamps == nil {
		fill(values, p.time)
		return
	}
	row := 0
	for _, s := range p.stamps {
		for ; row < len(values) && p.offset(row) < s.until; row++ {
			values[row] = s.timestamp
		}
	}
}

// repeated is a text for each of so many rows, with the offsets that it has in a string array.
func repeated(text string, rows int) (ends []int32, data []byte) {
	ends = make([]int32, rows+1)
	for i := range ends {
		ends[i] = int32(i * len(text))
	}
	return ends, bytes.Repeat([]byte(text), rows)
}

func fill[T any](values []T, v T) []T {
	for i := range values {
		values[i] = v
	}
	return values
}
