package server

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// valueAt gives a value of a key column in the Go type that quiver.ParseDefault gives for its type; nil for a null.
func valueAt(arr arrow.Array, i int) any {
	if arr.IsNull(i) {
		return nil
	}
	switch a := arr.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int8:
		return a.Value(i)
	case *array.Int16:
		return a.Value(i)
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Uint8:
		return a.Value(i)
	case *array.Uint16:
		return a.Value(i)
	case *array.Uint32:
		return a.Value(i)
	case *array.Uint64:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	case *array.LargeString:
		return a.Value(i)
	case *array.Binary:
		return a.Value(i)
	case *array.LargeBinary:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i)
	case *array.Decimal256:
		return a.Value(i)
	case *array.Date32:
		return a.Value(i)
	case *array.Date64:
		return a.Value(i)
	case *array.Time32:
		return a.Value(i)
	case *array.Time64:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	}
	panic(fmt.Sprintf("server: no key column is %s", arr.DataType())) // a bug: tables have no other keys
}

// appendValue adds a value, as valueAt gives it, to a builder of its type.
func appendValue(b array.Builder, v any) {
	switch v := v.(type) {
	case bool:
		b.(*array.BooleanBuilder).Append(v)
	case int8:
		b.(*array.Int8Builder).Append(v)
	case int16:
		b.(*array.Int16Builder).Append(v)
	case int32:
		b.(*array.Int32Builder).Append(v)
	case int64:
		b.(*array.Int64Builder).Append(v)
	case uint8:
		b.(*array.Uint8Builder).Append(v)
	case uint16:
		b.(*array.Uint16Builder).Append(v)
	case uint32:
		b.(*array.Uint32Builder).Append(v)
	case uint64:
		b.(*array.Uint64Builder).Append(v)
	case string:
		b.(interface{ Append(string) }).Append(v)
	case []byte:
		b.(interface{ Append([]byte) }).Append(v)
	case decimal128.Num:
		b.(*array.Decimal128Builder).Append(v)
	case decimal256.Num:
		b.(*array.Decimal256Builder).Append(v)
	case arrow.Date32:
		b.(*array.Date32Builder).Append(v)
	case arrow.Date64:
		b.(*array.Date64Builder).Append(v)
	case arrow.Time32:
		b.(*array.Time32Builder).Append(v)
	case arrow.Time64:
		b.(*array.Time64Builder).Append(v)
	case arrow.Timestamp:
		b.(*array.TimestampBuilder).Append(v)
	default:
		panic(fmt.Sprintf("server: no key has a value of %T", v))
	}
}
