package kv

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// input reads the values of one Arrow array as they stand in rows.
type input struct {
	kind    kind
	width   int
	arr     arrow.Array
	offset  int    // of the array within its buffers
	valid   []byte // bitmap; nil: no value is null
	values  []byte // kindFixed, kindBool: the buffer
	ends32  []int32
	ends64  []int64
	bytes   []byte // kindVar: the buffer; kindNested: all values, one behind the other
	scratch []int  // kindNested: where each value starts in bytes
}

// newInput prepares an array of a stored type. Nested values are written out at once.
func newInput(arr arrow.Array) *input {
	in := &input{arr: arr, offset: arr.Data().Offset()}
	in.kind, in.width = kindOf(arr.DataType())
	buffers := arr.Data().Buffers()
	if len(buffers) > 0 && buffers[0] != nil && arr.NullN() > 0 {
		in.valid = buffers[0].Bytes()
	}
	switch in.kind {
	case kindBool, kindFixed:
		if buffers[1] != nil {
			in.values = buffers[1].Bytes()
		}
	case kindVar32:
		in.ends32 = arrow.Int32Traits.CastFromBytes(bytesOf(buffers, 1))
		in.bytes = bytesOf(buffers, 2)
	case kindVar64:
		in.ends64 = arrow.Int64Traits.CastFromBytes(bytesOf(buffers, 1))
		in.bytes = bytesOf(buffers, 2)
	case kindNested:
		in.scratch = make([]int, 1, arr.Len()+1)
		for i := range arr.Len() {
			if !arr.IsNull(i) {
				in.bytes = appendNested(in.bytes, arr, i)
			}
			in.scratch = append(in.scratch, len(in.bytes))
		}
	}
	return in
}

// null says whether a value is null.
func (in *input) null(i int) bool {
	if in.kind == kindNull {
		return true
	}
	return in.valid != nil && !bitutil.BitIsSet(in.valid, in.offset+i)
}

// size is the bytes of the first n values together, or a little more.
func (in *input) size(n int) int {
	switch in.kind {
	case kindBool, kindFixed:
		return n * in.width
	case kindVar32:
		if len(in.ends32) > in.offset+n {
			return int(in.ends32[in.offset+n] - in.ends32[in.offset])
		}
	case kindVar64:
		if len(in.ends64) > in.offset+n {
			return int(in.ends64[in.offset+n] - in.ends64[in.offset])
		}
	}
	return 0
}

var boolBytes = [2][]byte{{0}, {1}}

// raw gives the bytes of a value that is not null.
func (in *input) raw(i int) []byte {
	switch in.kind {
	case kindBool:
		if bitutil.BitIsSet(in.values, in.offset+i) {
			return boolBytes[1]
		}
		return boolBytes[0]
	case kindFixed:
		at := (in.offset + i) * in.width
		return in.values[at : at+in.width]
	case kindVar32:
		at := in.offset + i
		return in.bytes[in.ends32[at]:in.ends32[at+1]]
	case kindVar64:
		at := in.offset + i
		return in.bytes[in.ends64[at]:in.ends64[at+1]]
	case kindNested:
		return in.bytes[in.scratch[i]:in.scratch[i+1]]
	}
	return nil
}

// appendNested writes one value of any type, which is not null.
//
//	fixed-width, bool     its bytes
//	text, binary          uvarint length, bytes
//	null                  nothing
//	list, map             uvarint number of elements, then each element
//	fixed-size list       each element
//	struct                each field
//
// Elements and fields are written as 0 if they are null, else as 1 and the value.
func appendNested(dst []byte, arr arrow.Array, i int) []byte {
	switch a := arr.(type) {
	case *array.Struct:
		for f := range a.NumField() {
			dst = appendMaybe(dst, a.Field(f), i)
		}
		return dst
	case array.ListLike: // maps too: their elements are structs of key and value
		from, until := a.ValueOffsets(i)
		if _, fixed := arr.DataType().(*arrow.FixedSizeListType); !fixed {
			dst = binary.AppendUvarint(dst, uint64(until-from))
		}
		for j := from; j < until; j++ {
			dst = appendMaybe(dst, a.ListValues(), int(j))
		}
		return dst
	}
	in := newInput(arr)
	if in.kind == kindNull {
		return dst
	}
	raw := in.raw(i)
	if in.kind.isVar() {
		dst = binary.AppendUvarint(dst, uint64(len(raw)))
	}
	return append(dst, raw...)
}

func appendMaybe(dst []byte, arr arrow.Array, i int) []byte {
	if arr.IsNull(i) {
		return append(dst, 0)
	}
	return appendNested(append(dst, 1), arr, i)
}
