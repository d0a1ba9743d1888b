package kv

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

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

// CheckKey refuses a column that cannot be part of a primary key, SCHEMA_MISMATCH: one that may be null, or whose
// values have no order that is the same everywhere.
func CheckKey(c quiver.Column) error {
	if c.Field.Nullable {
		return quiver.Errorf(quiver.SchemaMismatch, "column %q is part of the primary key and may not be null", c.Field.Name)
	}
	if !keyed(c.Field.Type) {
		return quiver.Errorf(quiver.SchemaMismatch, "column %q is %s, which cannot be part of a primary key", c.Field.Name, c.Field.Type).
			Advise("take integers, bool, text, binary, decimals, dates, times or timestamps")
	}
	return nil
}

// keyed says that keys may have the type.
func keyed(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY,
		arrow.DECIMAL128, arrow.DECIMAL256, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP:
		return true
	}
	return false
}
