package filter

import (
	"bytes"
	"math/bits"
	"runtime"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// bytesTest is a question about one text or binary value.
type bytesTest interface {
	match(value []byte) bool
}

// restAfter is how many bytes of text are looked at before others may run. A condition on long texts goes on for
// milliseconds, and there may be hundreds of calls that have microseconds to do.
const restAfter = 256 << 10

// bytesKernel takes the values that pass a test, or with flip the others.
type bytesKernel struct {
	test  bytesTest
	price int
	flip  bool
}

func (k bytesKernel) cost() int { return k.price }

func (k bytesKernel) narrow(values arrow.Array, sel selection) {
	at, looked := bytesAt(values), 0
	sel.each(func(row int) bool {
		text := at(row)
		if looked += len(text); looked >= restAfter {
			looked = 0
			runtime.Gosched()
		}
		return k.test.match(text) != k.flip
	})
}

// bytesAt gives access to the values of a text or binary column of any layout, or those of a decimal column.
func bytesAt(values arrow.Array) func(row int) []byte {
	switch v := values.(type) {
	case *array.String:
		offsets, data := v.ValueOffsets(), bufferBytes(v, 2)
		return func(row int) []byte { return data[offsets[row]:offsets[row+1]] }
	case *array.Binary:
		offsets, data := v.ValueOffsets(), bufferBytes(v, 2)
		return func(row int) []byte { return data[offsets[row]:offsets[row+1]] }
	case *array.LargeString:
		offsets, data := v.ValueOffsets(), bufferBytes(v, 2)
		return func(row int) []byte { return data[offsets[row]:offsets[row+1]] }
	case *array.LargeBinary:
		offsets, data := v.ValueOffsets(), bufferBytes(v, 2)
		return func(row int) []byte { return data[offsets[row]:offsets[row+1]] }
	}
	width := values.DataType().(arrow.FixedWidthDataType).Bytes()
	data, offset := bufferBytes(values, 1), values.Data().Offset()
	return func(row int) []byte { return data[(offset+row)*width : (offset+row+1)*width] }
}

// bufferBytes gives a buffer of a column; nil if there is none.
func bufferBytes(values arrow.Array, i int) []byte {
	if b := values.Data().Buffers()[i]; b != nil {
		return b.Bytes()
	}
	return nil
}

// equalKernel takes the values equal to one, or with flip the others. Lengths are compared first, without a branch.
type equalKernel struct {
	value []byte
	flip  bool
}

func (k equalKernel) cost() int { return 6 }

func (k equalKernel) narrow(values arrow.Array, sel selection) {
	switch v := values.(type) {
	case *array.String:
		narrowEqual(sel, v.ValueOffsets(), bufferBytes(v, 2), k)
	case *array.Binary:
		narrowEqual(sel, v.ValueOffsets(), bufferBytes(v, 2), k)
	case *array.LargeString:
		narrowEqual(sel, v.ValueOffsets(), bufferBytes(v, 2), k)
	case *array.LargeBinary:
		narrowEqual(sel, v.ValueOffsets(), bufferBytes(v, 2), k)
	default:
		at := bytesAt(values)
		sel.each(func(row int) bool { return bytes.Equal(at(row), k.value) != k.flip })
	}
}

func narrowEqual[T int32 | int64](sel selection, offsets []T, data []byte, k equalKernel) {
	flip := -bit(k.flip)
	size := T(len(k.value))
	for w := range sel {
		if sel[w] == 0 {
			continue
		}
		var word uint64
		if rest := offsets[w*64:]; len(rest) >= 65 {
			word = lengthWord((*[65]T)(rest), size)
		} else {
			for i := range len(rest) - 1 {
				word |= bit(rest[i+1]-rest[i] == size) << i
			}
		}
		word &= sel[w]
		for rest := word; rest != 0; rest &= rest - 1 {
			at := bits.TrailingZeros64(rest)
			begin := offsets[w*64+at]
			if !bytes.Equal(data[begin:begin+size], k.value) {
				word &^= 1 << at
			}
		}
		sel[w] &= word ^ flip
	}
}

// lengthWord compares the lengths of 64 values.
func lengthWord[T int32 | int64](offsets *[65]T, size T) (word uint64) {
	for i := range 64 {
		word |= bit(offsets[i+1]-offsets[i] == size) << i
	}
	return word
}

// orderTest compares by bytes.
type orderTest struct {
	op    op
	value []byte
}

func (t orderTest) match(v []byte) bool { return t.op.holds(bytes.Compare(v, t.value)) }

// bytesSet holds many values, decimals as they lie in memory too.
type bytesSet struct {
	set     map[string]struct{}
	lengths uint64 // bit min(length, 63) of the values there are
}

func newBytesSet(values [][]byte) *bytesSet {
	s := &bytesSet{set: make(map[string]struct{}, len(values))}
	for _, v := range values {
		s.set[string(v)] = struct{}{}
		s.lengths |= 1 << min(len(v), 63)
	}
	return s
}

func (s *bytesSet) match(v []byte) bool {
	if s.lengths>>min(len(v), 63)&1 == 0 {
		return false
	}
	_, ok := s.set[unsafe.String(unsafe.SliceData(v), len(v))]
	return ok
}
