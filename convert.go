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

// misfit tells why a field cannot become one of a table's: `column "a.item" is string, the table has int64`.
type misfit struct {
	path string // of the nested field that does not fit, "" for the column itself
	text string
}

// in gives the same misfit as seen from one field further up.
func (m *misfit) in(f arrow.Field) *misfit {
	if m.path == "" {
		return &misfit{f.Name, m.text}
	}
	return &misfit{f.Name + "." + m.path, m.text}
}

// column names the field of a column that does not fit.
func (m *misfit) column(name string) string {
	if m.path == "" {
		return name
	}
	return name + "." + m.path
}

// convert says how values of one field become values of another, which is a table's and hence normalised. cast is
// false if the bytes are the same; bad says why it cannot be.
func convert(from, to arrow.Field, how matching) (cast bool, bad *misfit) {
	if how == byID && from.Nullable && !to.Nullable {
		return false, &misfit{text: "may be null by now"}
	}
	switch t := from.Type.(type) {
	case *arrow.DictionaryType:
		from.Type = t.ValueType
		_, bad = convert(from, to, how)
		return true, bad
	case *arrow.RunEndEncodedType:
		from.Type = t.Encoded()
		_, bad = convert(from, to, how)
		return true, bad
	case arrow.ExtensionType:
		from.Type = t.StorageType()
		return convert(from, to, how)
	}
	switch shape := shapeOf(to.Type); {
	case from.Type.ID() == arrow.NULL && to.Type.ID() != arrow.NULL:
		if !to.Nullable {
			return false, &misfit{text: "is null, and may not be"}
		}
		return true, nil
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
func convertElements(from, to arrow.DataType, how matching) (cast bool, bad *misfit) {
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
		innerCast, bad := convert(inner[i], f, how)
		if bad != nil {
			return false, bad.in(f)
		}
		cast = cast || innerCast
	}
	return cast, nil
}

// convertStruct pairs the fields of two structs.
func convertStruct(from, to arrow.DataType, how matching) (cast bool, bad *misfit) {
	sources, bad := structFields(from, how)
	if bad != nil {
		return false, bad
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
			return false, &misfit{f.Name, "is missing, and may not be null"}
		case !ok:
			cast = true
			continue
		}
		inner, bad := convert(source.Field, f, how)
		if bad != nil {
			return false, bad.in(f)
		}
		cast = cast || inner || source.place != i
	}
	for _, f := range fieldsOf(from) {
		if _, unknown := sources[structKey(f, how)]; unknown && how == byName {
			return false, &misfit{f.Name, "is not in the table" + suggest(f.Name, names)}
		}
	}
	return cast, nil
}

type structField struct {
	arrow.Field
	place int
}

func structFields(dt arrow.DataType, how matching) (fields map[string]structField, bad *misfit) {
	fields = make(map[string]structField)
	for i, f := range fieldsOf(dt) {
		key := structKey(f, how)
		if _, twice := fields[key]; twice {
			return nil, &misfit{f.Name, "is there twice"}
		}
		fields[key] = structField{f, i}
	}
	return fields, nil
}

func structKey(f arrow.Field, how matching) string {
	if how == byName {
		return f.Name
	}
	id, _ := f.Metadata.GetValue(FieldIDKey)
	return id
}

func mismatch(from, to arrow.DataType) *misfit {
	return &misfit{text: fmt.Sprintf("is %s, the table has %s", shortType(from), shortType(to))}
}

func convertFlat(from, to arrow.DataType) (cast bool, bad *misfit) {
	switch {
	case sameBytes(from, to):
		return false, nil
	case widens(from, to):
		return true, nil
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
