package quiver

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// matching says how the fields of two structs are paired.
type matching int8

const (
	byName matching = iota // a client's: nested fields go by name, like columns
	byID                   // two schemas of one table: nested fields go by id, their names may have changed
)

// convert says how values of one field become values of another, which is a table's and hence normalised. cast is
// false if the bytes are the same; fault says why it cannot be, or is "".
func convert(from, to arrow.Field, how matching) (cast bool, fault string) {
	if how == byID && from.Nullable && !to.Nullable {
		return false, "it may be null by now"
	}
	switch t := from.Type.(type) {
	case *arrow.DictionaryType:
		from.Type = t.ValueType
		_, fault = convert(from, to, how)
		return true, fault
	case *arrow.RunEndEncodedType:
		from.Type = t.Encoded()
		_, fault = convert(from, to, how)
		return true, fault
	case arrow.ExtensionType:
		from.Type = t.StorageType()
		return convert(from, to, how)
	}
	switch shape := shapeOf(to.Type); {
	case from.Type.ID() == arrow.NULL && to.Type.ID() != arrow.NULL:
		if !to.Nullable {
			return false, "it is null, and may not be"
		}
		return true, ""
	case shape == shapeFlat || shape != shapeOf(from.Type):
		return convertFlat(from.Type, to.Type)
	case shape == shapeStruct:
		return convertStruct(from.Type, to.Type, how)
	default:
		return convertElements(from.Type, to.Type, how)
	}
}

// shape groups types that hold each other's values if what is nested in them does.
type shape int8

const (
	shapeFlat shape = iota
	shapeList       // of any length, whatever its layout
	shapeFixedList
	shapeStruct
	shapeMap
)

func shapeOf(dt arrow.DataType) shape {
	switch dt.ID() {
	case arrow.LIST, arrow.LARGE_LIST, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW:
		return shapeList
	case arrow.FIXED_SIZE_LIST:
		return shapeFixedList
	case arrow.STRUCT:
		return shapeStruct
	case arrow.MAP:
		return shapeMap
	}
	return shapeFlat
}

// convertElements converts lists and maps of one shape, whose fields go by their place: the names of elements, keys
// and values mean nothing.
func convertElements(from, to arrow.DataType, how matching) (cast bool, fault string) {
	switch t := to.(type) {
	case *arrow.FixedSizeListType:
		if from.(*arrow.FixedSizeListType).Len() != t.Len() {
			return false, mismatch(from, to)
		}
	case *arrow.MapType:
		if t.KeysSorted && !from.(*arrow.MapType).KeysSorted {
			return false, mismatch(from, to)
		}
	}
	cast = from.ID() != to.ID()
	inner := fieldsOf(from)
	for i, f := range fieldsOf(to) {
		innerCast, fault := convert(inner[i], f, how)
		if fault != "" {
			return false, nestedFault(f, fault)
		}
		cast = cast || innerCast
	}
	return cast, ""
}

// convertStruct pairs the fields of two structs.
func convertStruct(from, to arrow.DataType, how matching) (cast bool, fault string) {
	sources, fault := structFields(from, how)
	if fault != "" {
		return false, fault
	}
	fields := fieldsOf(to)
	cast = len(sources) != len(fields)
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
		key := structKey(f, how)
		source, ok := sources[key]
		delete(sources, key)
		switch {
		case !ok && !f.Nullable:
			return false, nestedFault(f, "it is missing, and may not be null")
		case !ok:
			cast = true
			continue
		}
		inner, fault := convert(source.Field, f, how)
		if fault != "" {
			return false, nestedFault(f, fault)
		}
		cast = cast || inner || source.place != i
	}
	for _, f := range fieldsOf(from) {
		if _, unknown := sources[structKey(f, how)]; unknown && how == byName {
			return false, fmt.Sprintf("the table has no nested field %s%s", quote(f.Name), suggest(f.Name, names))
		}
	}
	return cast, ""
}

type structField struct {
	arrow.Field
	place int
}

func structFields(dt arrow.DataType, how matching) (fields map[string]structField, fault string) {
	fields = make(map[string]structField)
	for i, f := range fieldsOf(dt) {
		key := structKey(f, how)
		if _, twice := fields[key]; twice {
			return nil, fmt.Sprintf("nested field %s is there twice", quote(f.Name))
		}
		fields[key] = structField{f, i}
	}
	return fields, ""
}

func structKey(f arrow.Field, how matching) string {
	if how == byName {
		return f.Name
	}
	id, _ := f.Metadata.GetValue(FieldIDKey)
	return id
}

func nestedFault(f arrow.Field, fault string) string {
	return fmt.Sprintf("nested field %s: %s", quote(f.Name), fault)
}

func mismatch(from, to arrow.DataType) string {
	return fmt.Sprintf("it is %s, the table has %s", shortType(from), shortType(to))
}

func convertFlat(from, to arrow.DataType) (cast bool, fault string) {
	switch {
	case sameBytes(from, to):
		return false, ""
	case widens(from, to):
		return true, ""
	}
	return false, mismatch(from, to)
}

// sameBytes says that values of two flat types are stored alike. The name of a time zone is not in the values.
func sameBytes(from, to arrow.DataType) bool {
	a, ok := from.(*arrow.TimestampType)
	b, both := to.(*arrow.TimestampType)
	if ok && both {
		return a.Unit == b.Unit && (a.TimeZone == "") == (b.TimeZone == "")
	}
	return arrow.TypeEqual(from, to)
}

// widens says that every value of one flat type has its equal in the other, or, for timestamps, that it may.
func widens(from, to arrow.DataType) bool {
	switch to := to.(type) {
	case *arrow.TimestampType:
		f, ok := from.(*arrow.TimestampType)
		return ok && (f.TimeZone == "") == (to.TimeZone == "")
	case *arrow.StringType, *arrow.LargeStringType:
		return isOneOf(from, arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW)
	case *arrow.BinaryType, *arrow.LargeBinaryType:
		return isOneOf(from, arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW)
	case *arrow.Float64Type:
		return isOneOf(from, arrow.FLOAT32, arrow.INT8, arrow.INT16, arrow.INT32, arrow.UINT8, arrow.UINT16)
	case arrow.DecimalType:
		f, ok := from.(arrow.DecimalType)
		return ok && isOneOf(from, arrow.DECIMAL128, arrow.DECIMAL256) && f.BitWidth() <= to.BitWidth() &&
			f.GetScale() == to.GetScale() && f.GetPrecision() <= to.GetPrecision()
	}
	return widensInteger(from, to)
}

// widensInteger says that an integer type is larger and takes the sign of the other.
func widensInteger(from, to arrow.DataType) bool {
	if !arrow.IsInteger(from.ID()) || !arrow.IsInteger(to.ID()) {
		return false
	}
	larger := to.(arrow.FixedWidthDataType).BitWidth() > from.(arrow.FixedWidthDataType).BitWidth()
	return larger && (arrow.IsUnsignedInteger(from.ID()) || arrow.IsSignedInteger(to.ID()))
}

func isOneOf(dt arrow.DataType, ids ...arrow.Type) bool { return slices.Contains(ids, dt.ID()) }
