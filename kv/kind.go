package kv

import "github.com/apache/arrow-go/v18/arrow"

// kind says how the values of a type stand in a row.
type kind int8

const (
	kindNull   kind = iota // nothing stands for it
	kindBool               // one byte
	kindFixed              // as many bytes as in Arrow's buffer
	kindVar32              // bytes, in Arrow with int32 offsets
	kindVar64              // bytes, in Arrow with int64 offsets
	kindNested             // bytes, see appendNested
)

// kindOf gives the kind of a stored type, and for kindFixed the width of a value in bytes.
func kindOf(dt arrow.DataType) (k kind, width int) {
	switch t := dt.(type) {
	case *arrow.NullType:
		return kindNull, 0
	case *arrow.BooleanType:
		return kindBool, 1
	case *arrow.StringType, *arrow.BinaryType:
		return kindVar32, 0
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		return kindVar64, 0
	case arrow.FixedWidthDataType:
		if _, nested := dt.(arrow.NestedType); nested {
			return kindNested, 0
		}
		return kindFixed, t.Bytes()
	}
	return kindNested, 0
}

// isVar says that the values are of any length.
func (k kind) isVar() bool { return k >= kindVar32 }
