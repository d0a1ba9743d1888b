package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// output builds one Arrow array from values as they stand in rows. It is used by one goroutine, for one array.
type output struct {
	kind   kind
	width  int
	dt     arrow.DataType
	expect int // about how many rows there will be
	rows   int
	nulls  int
	valid  []byte // bitmap; nil: no value was null so far
	values []byte // fixed-width values, or the bytes of text
	ends32 []int32
	ends64 []int64
	nested array.Builder
	bytes  int // of nested values
}

// newOutput makes the output of a stored type, with room for about so many rows.
func newOutput(dt arrow.DataType, rows int) *output {
	o := &output{}
	o.begin(dt, rows)
	return o
}

// begin makes it the output of a stored type, with room for about so many rows.
func (o *output) begin(dt arrow.DataType, rows int) {
	*o = output{dt: dt, expect: rows}
	o.kind, o.width = kindOf(dt)
	switch o.kind {
	case kindFixed, kindBool:
		o.values = make([]byte, 0, rows*o.width)
	case kindVar32:
		o.ends32 = make([]int32, 1, rows+1)
	case kindVar64:
		o.ends64 = make([]int64, 1, rows+1)
	case kindNested:
		o.nested = array.NewBuilder(memory.DefaultAllocator, dt)
	}
}

// null adds a null.
func (o *output) null() {
	if o.kind == kindNested {
		o.nested.AppendNull()
		o.rows++
		o.bytes += nullWeight(o.dt)
		return
	}
	if o.valid == nil {
		o.valid = make([]byte, bitutil.BytesForBits(int64(o.rows+1)), cap(o.ends32)/8+64)
		for i := range o.rows {
			bitutil.SetBit(o.valid, i)
		}
	}
	o.nulls++
	if o.kind == kindFixed || o.kind == kindBool {
		o.values = append(o.values, make([]byte, o.width)...)
	}
	o.next(false)
}

// add adds a value that is not null. The bytes are copied.
func (o *output) add(raw []byte) error {
	if o.kind == kindNested {
		d := nestedDecoder{rest: raw}
		d.value(o.nested, o.dt)
		o.rows++
		o.bytes += max(len(raw), nestedWeight(value{raw: raw}, o.dt))
		return d.end()
	}
	if o.kind == kindVar32 && len(o.values)+len(raw) > math.MaxInt32 {
		return errColumn
	}
	o.makeRoom(len(raw))
	o.values = append(o.values, raw...)
	o.next(true)
	return nil
}

// errColumn means that a column has more text than its offsets reach to.
var errColumn = errors.New("kv: a column has more than 2^31 bytes")

// firstRoom is the most bytes that a column takes at once beyond as many as it has.
const firstRoom = 1 << 20

// makeRoom makes room for n bytes more, and for the rows that are still to come if those are like the ones so far.
func (o *output) makeRoom(n int) {
	if len(o.values)+n <= cap(o.values) {
		return
	}
	left := (len(o.values) + n) / (o.rows + 1) * max(o.expect-o.rows, 0)
	o.values = slices.Grow(o.values, max(n, min(left+left/16, max(firstRoom, len(o.values)))))
}

// next ends a value.
func (o *output) next(valid bool) {
	if o.valid != nil {
		if need := int(bitutil.BytesForBits(int64(o.rows + 1))); need > len(o.valid) {
			o.valid = append(o.valid, 0)
		}
		bitutil.SetBitTo(o.valid, o.rows, valid)
	}
	o.rows++
	switch o.kind {
	case kindVar32:
		o.ends32 = append(o.ends32, int32(len(o.values)))
	case kindVar64:
		o.ends64 = append(o.ends64, int64(len(o.values)))
	}
}

// size is about the bytes that were added.
func (o *output) size() int { return len(o.values) + o.bytes }

// finish gives the array. The output is done.
func (o *output) finish() arrow.Array {
	var valid *memory.Buffer
	if o.valid != nil {
		valid = memory.NewBufferBytes(o.valid)
	}
	var buffers []*memory.Buffer
	switch o.kind {
	case kindNested:
		defer o.nested.Release()
		return o.nested.NewArray()
	case kindNull:
		return array.NewNull(o.rows)
	case kindBool:
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(packBools(o.values))}
	case kindFixed:
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(o.values)}
	case kindVar32:
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(o.ends32)), memory.NewBufferBytes(o.values)}
	case kindVar64:
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(o.ends64)), memory.NewBufferBytes(o.values)}
	}
	data := array.NewData(o.dt, o.rows, buffers, nil, o.nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func packBools(bools []byte) []byte {
	bits := make([]byte, bitutil.BytesForBits(int64(len(bools))))
	for i, b := range bools {
		bitutil.SetBitTo(bits, i, b != 0)
	}
	return bits
}

// nestedDecoder reads what appendNested wrote. Stored bytes are ours and were checked; that they fit all the same is
// looked at, so that damage is an error and no panic.
type nestedDecoder struct {
	rest []byte
	err  error
}

func (d *nestedDecoder) fail() {
	if d.err == nil {
		d.err = errRow
	}
	d.rest = nil
}

func (d *nestedDecoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail()
	}
	return d.err
}

// take gives the next n bytes; zeros after a failure.
func (d *nestedDecoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail()
		return make([]byte, min(max(n, 0), 32))
	}
	raw := d.rest[:n]
	d.rest = d.rest[n:]
	return raw
}

// count reads a number of things, of which each takes a byte at least where per is 1.
func (d *nestedDecoder) count() int {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return int(n)
}

// value reads one value into a builder.
func (d *nestedDecoder) value(b array.Builder, dt arrow.DataType) {
	switch t := dt.(type) {
	case *arrow.StructType:
		sb := b.(*array.StructBuilder)
		sb.Append(true)
		for i, f := range t.Fields() {
			d.maybe(sb.FieldBuilder(i), f.Type)
		}
	case *arrow.FixedSizeListType:
		lb := b.(*array.FixedSizeListBuilder)
		lb.Append(true)
		for range int(t.Len()) {
			d.maybe(lb.ValueBuilder(), t.Elem())
		}
	case *arrow.MapType:
		mb := b.(*array.MapBuilder)
		mb.Append(true)
		for range d.count() {
			d.entry(mb, t)
		}
	case arrow.ListLikeType:
		lb := b.(array.ListLikeBuilder)
		lb.Append(true)
		for range d.count() {
			d.maybe(lb.ValueBuilder(), t.Elem())
		}
	default:
		d.flat(b, dt)
	}
}

// entry reads an element of a map, which is a struct of key and value and never null.
func (d *nestedDecoder) entry(mb *array.MapBuilder, t *arrow.MapType) {
	if d.take(1)[0] != 1 {
		d.fail()
	}
	d.maybe(mb.KeyBuilder(), t.KeyType())
	d.maybe(mb.ItemBuilder(), t.ItemType())
}

func (d *nestedDecoder) maybe(b array.Builder, dt arrow.DataType) {
	if d.take(1)[0] == 0 {
		b.AppendNull()
		return
	}
	d.value(b, dt)
}

// flat reads one flat value.
func (d *nestedDecoder) flat(b array.Builder, dt arrow.DataType) {
	k, width := kindOf(dt)
	switch {
	case k == kindNull:
		b.AppendNull()
		return
	case k.isVar():
		width = d.count()
	}
	raw := d.take(width)
	if d.err != nil {
		b.AppendNull()
		return
	}
	appendFlat(b, raw)
}

// appendFlat adds one flat value to a builder.
func appendFlat(b array.Builder, raw []byte) {
	le := binary.LittleEndian
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(raw[0] != 0)
	case *array.Int8Builder:
		b.Append(int8(raw[0]))
	case *array.Uint8Builder:
		b.Append(raw[0])
	case *array.Int16Builder:
		b.Append(int16(le.Uint16(raw)))
	case *array.Uint16Builder:
		b.Append(le.Uint16(raw))
	case *array.Int32Builder:
		b.Append(int32(le.Uint32(raw)))
	case *array.Uint32Builder:
		b.Append(le.Uint32(raw))
	case *array.Int64Builder:
		b.Append(int64(le.Uint64(raw)))
	case *array.Uint64Builder:
		b.Append(le.Uint64(raw))
	case *array.Float16Builder:
		b.Append(float16.FromLEBytes(raw))
	case *array.Float32Builder:
		b.Append(arrow.Float32Traits.CastFromBytes(raw)[0])
	case *array.Float64Builder:
		b.Append(arrow.Float64Traits.CastFromBytes(raw)[0])
	case *array.StringBuilder:
		b.Append(string(raw))
	case *array.LargeStringBuilder:
		b.Append(string(raw))
	case *array.BinaryBuilder:
		b.Append(raw)
	case *array.FixedSizeBinaryBuilder:
		b.Append(raw)
	case *array.Decimal128Builder:
		b.Append(decimal128.New(int64(le.Uint64(raw[8:])), le.Uint64(raw)))
	case *array.Decimal256Builder:
		b.Append(decimal256.New(le.Uint64(raw[24:]), le.Uint64(raw[16:]), le.Uint64(raw[8:]), le.Uint64(raw)))
	case *array.Date32Builder:
		b.Append(arrow.Date32(le.Uint32(raw)))
	case *array.Date64Builder:
		b.Append(arrow.Date64(le.Uint64(raw)))
	case *array.Time32Builder:
		b.Append(arrow.Time32(le.Uint32(raw)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(le.Uint64(raw)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(le.Uint64(raw)))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(le.Uint64(raw)))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(le.Uint32(raw)))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: int32(le.Uint32(raw)), Milliseconds: int32(le.Uint32(raw[4:]))})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: int32(le.Uint32(raw)), Days: int32(le.Uint32(raw[4:])), Nanoseconds: int64(le.Uint64(raw[8:]))})
	default:
		panic(fmt.Sprintf("kv: no column is built by %T", b)) // a bug: tables have no other types
	}
}

func bytesOf(buffers []*memory.Buffer, i int) []byte {
	if buffers[i] == nil {
		return nil
	}
	return buffers[i].Bytes()
}
