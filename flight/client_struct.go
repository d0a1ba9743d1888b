package flight

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/quiverlog/quiver"
)

// The columns of a Go struct: its exported fields, by their tags.
//
//	ID     int64                                                     column "ID", required
//	Price  decimal128.Num `arrow:"price,type=decimal128(12, 2)"`     the type is always the last part of a tag
//	Note   *string        `arrow:"note"`                             a pointer: null where it is nil
//	Secret string         `arrow:"-"`                                no column
//	Common                                                           a struct without a tag that is embedded: its fields
//
// A field without type= takes the type that the table has for the column, if values of its Go type can stand there, else
// the type that its Go type has by itself (goTypes).

// tagKey is the key of the tags.
const tagKey = "arrow"

// structField is one column of a struct.
type structField struct {
	name  string
	index []int
	goes  reflect.Type
	typ   arrow.DataType // of the tag, or nil
}

// structFields lists the columns of a struct type. The error names all faults.
func structFields(t reflect.Type) ([]structField, error) {
	var fields []structField
	var faults []string
	seen := make(map[string]bool)
	var walk func(t reflect.Type, index []int)
	walk = func(t reflect.Type, index []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			at := append(index[:len(index):len(index)], i)
			tag, tagged := f.Tag.Lookup(tagKey)
			if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && !isLeaf(f.Type) {
				walk(f.Type, at)
				continue
			}
			if !f.IsExported() || tag == "-" {
				continue
			}
			field := structField{name: f.Name, index: at, goes: f.Type}
			if err := field.parseTag(tag); err != nil {
				faults = append(faults, fmt.Sprintf("field %s: %v", f.Name, err))
			}
			if seen[field.name] {
				faults = append(faults, fmt.Sprintf("field %s: there is another column %q", f.Name, field.name))
			}
			seen[field.name] = true
			fields = append(fields, field)
		}
	}
	walk(t, nil)
	if len(fields) == 0 {
		faults = append(faults, "it has no exported field")
	}
	if faults != nil {
		return nil, structFault(t, faults)
	}
	return fields, nil
}

// parseTag reads `name,type=…`; either part may be missing.
func (f *structField) parseTag(tag string) error {
	name, rest, more := strings.Cut(tag, ",")
	if name != "" {
		f.name = name
	}
	if !more {
		return nil
	}
	text, ok := strings.CutPrefix(rest, "type=")
	if !ok {
		return fmt.Errorf("the tag has %q where type=… is known", rest)
	}
	typ, err := quiver.ParseType(text)
	f.typ = typ
	return err
}

func structFault(t reflect.Type, faults []string) error {
	return quiver.Errorf(quiver.SchemaMismatch, "%s", strings.Join(faults, "; ")).On("Go type " + t.String())
}

// Types of values that are no numbers or texts as Go has them.
var (
	typeTime     = reflect.TypeFor[time.Time]()
	typeDuration = reflect.TypeFor[time.Duration]()
	typeBytes    = reflect.TypeFor[[]byte]()
)

// goTypes gives the Arrow type of Go types that are not told by their kind.
var goTypes = map[reflect.Type]arrow.DataType{
	typeTime:                                      &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	typeDuration:                                  arrow.FixedWidthTypes.Duration_ns,
	typeBytes:                                     arrow.BinaryTypes.Binary,
	reflect.TypeFor[float16.Num]():                arrow.FixedWidthTypes.Float16,
	reflect.TypeFor[decimal128.Num]():             nil, // its type has to be told: precision and scale
	reflect.TypeFor[decimal256.Num]():             nil,
	reflect.TypeFor[arrow.Timestamp]():            nil, // its unit has to be told
	reflect.TypeFor[arrow.Duration]():             nil,
	reflect.TypeFor[arrow.Time32]():               nil,
	reflect.TypeFor[arrow.Time64]():               nil,
	reflect.TypeFor[arrow.Date32]():               arrow.FixedWidthTypes.Date32,
	reflect.TypeFor[arrow.Date64]():               arrow.FixedWidthTypes.Date64,
	reflect.TypeFor[arrow.MonthInterval]():        arrow.FixedWidthTypes.MonthInterval,
	reflect.TypeFor[arrow.DayTimeInterval]():      arrow.FixedWidthTypes.DayTimeInterval,
	reflect.TypeFor[arrow.MonthDayNanoInterval](): arrow.FixedWidthTypes.MonthDayNanoInterval,
}

// fills says which Arrow types the values of such Go types can stand in.
var fills = map[reflect.Type][]arrow.Type{
	typeTime:                                      {arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64},
	typeDuration:                                  {arrow.DURATION, arrow.TIME32, arrow.TIME64},
	typeBytes:                                     {arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY},
	reflect.TypeFor[float16.Num]():                {arrow.FLOAT16},
	reflect.TypeFor[decimal128.Num]():             {arrow.DECIMAL128},
	reflect.TypeFor[decimal256.Num]():             {arrow.DECIMAL256},
	reflect.TypeFor[arrow.Timestamp]():            {arrow.TIMESTAMP},
	reflect.TypeFor[arrow.Duration]():             {arrow.DURATION},
	reflect.TypeFor[arrow.Time32]():               {arrow.TIME32},
	reflect.TypeFor[arrow.Time64]():               {arrow.TIME64},
	reflect.TypeFor[arrow.Date32]():               {arrow.DATE32},
	reflect.TypeFor[arrow.Date64]():               {arrow.DATE64},
	reflect.TypeFor[arrow.MonthInterval]():        {arrow.INTERVAL_MONTHS},
	reflect.TypeFor[arrow.DayTimeInterval]():      {arrow.INTERVAL_DAY_TIME},
	reflect.TypeFor[arrow.MonthDayNanoInterval](): {arrow.INTERVAL_MONTH_DAY_NANO},
}

// isLeaf says whether a struct type stands for one value.
func isLeaf(t reflect.Type) bool {
	_, ok := fills[t]
	return ok
}

var integers = []arrow.Type{arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64}

// kinds gives, for the kinds of plain Go values, their own Arrow type and all that they can stand in.
var kinds = map[reflect.Kind]struct {
	own   arrow.DataType
	fills []arrow.Type
}{
	reflect.Bool:    {arrow.FixedWidthTypes.Boolean, []arrow.Type{arrow.BOOL}},
	reflect.Int:     {arrow.PrimitiveTypes.Int64, integers},
	reflect.Int8:    {arrow.PrimitiveTypes.Int8, integers},
	reflect.Int16:   {arrow.PrimitiveTypes.Int16, integers},
	reflect.Int32:   {arrow.PrimitiveTypes.Int32, integers},
	reflect.Int64:   {arrow.PrimitiveTypes.Int64, integers},
	reflect.Uint:    {arrow.PrimitiveTypes.Uint64, integers},
	reflect.Uint8:   {arrow.PrimitiveTypes.Uint8, integers},
	reflect.Uint16:  {arrow.PrimitiveTypes.Uint16, integers},
	reflect.Uint32:  {arrow.PrimitiveTypes.Uint32, integers},
	reflect.Uint64:  {arrow.PrimitiveTypes.Uint64, integers},
	reflect.Float32: {arrow.PrimitiveTypes.Float32, []arrow.Type{arrow.FLOAT32, arrow.FLOAT64}},
	reflect.Float64: {arrow.PrimitiveTypes.Float64, []arrow.Type{arrow.FLOAT64}},
	reflect.String:  {arrow.BinaryTypes.String, []arrow.Type{arrow.STRING, arrow.LARGE_STRING}},
}

// typeFor gives the Arrow type that values of a Go type are written as: the wanted one, which is nil where none is, or
// the Go type's own.
func typeFor(t reflect.Type, want arrow.DataType) (arrow.DataType, error) {
	if t.Kind() == reflect.Pointer {
		return typeFor(t.Elem(), want)
	}
	if want != nil && want.ID() == arrow.EXTENSION {
		want = want.(arrow.ExtensionType).StorageType()
	}
	if ids, ok := fills[t]; ok {
		return oneOf(t, goTypes[t], ids, want)
	}
	if k, ok := kinds[t.Kind()]; ok {
		return oneOf(t, k.own, k.fills, want)
	}
	switch t.Kind() {
	case reflect.Struct:
		return structType(t, want)
	case reflect.Slice, reflect.Array:
		return listType(t, want)
	case reflect.Map:
		return mapType(t, want)
	default:
		return nil, fmt.Errorf("values of the Go type %v have no Arrow type", t)
	}
}

func oneOf(t reflect.Type, own arrow.DataType, ids []arrow.Type, want arrow.DataType) (arrow.DataType, error) {
	switch {
	case want == nil && own == nil:
		return nil, fmt.Errorf("the Go type %v needs type=… in its tag", t)
	case want == nil:
		return own, nil
	}
	for _, id := range ids {
		if want.ID() == id {
			return want, nil
		}
	}
	return nil, cannotFill(t, want)
}

func cannotFill(t reflect.Type, want arrow.DataType) error {
	return fmt.Errorf("values of the Go type %v cannot stand in a column of type %s", t, quiver.FormatType(want))
}

func structType(t reflect.Type, want arrow.DataType) (arrow.DataType, error) {
	fields, err := structFields(t)
	if err != nil {
		return nil, err
	}
	if want == nil {
		columns := make([]arrow.Field, len(fields))
		for i := range fields {
			if columns[i], err = fields[i].column(nil); err != nil {
				return nil, err
			}
		}
		return arrow.StructOf(columns...), nil
	}
	st, ok := want.(*arrow.StructType)
	if !ok {
		return nil, cannotFill(t, want)
	}
	for i := range fields {
		at, ok := st.FieldIdx(fields[i].name)
		if !ok {
			return nil, fmt.Errorf("there is no field %q in %s", fields[i].name, quiver.FormatType(want))
		}
		if _, err := typeFor(fields[i].goes, st.Field(at).Type); err != nil {
			return nil, err
		}
	}
	return want, nil
}

func listType(t reflect.Type, want arrow.DataType) (arrow.DataType, error) {
	if t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8 && (want == nil || want.ID() == arrow.FIXED_SIZE_BINARY) {
		if want != nil && want.(*arrow.FixedSizeBinaryType).ByteWidth != t.Len() {
			return nil, cannotFill(t, want)
		}
		return &arrow.FixedSizeBinaryType{ByteWidth: t.Len()}, nil
	}
	if want == nil {
		elem, err := typeFor(t.Elem(), nil)
		switch {
		case err != nil:
			return nil, err
		case t.Kind() == reflect.Array:
			return arrow.FixedSizeListOf(int32(t.Len()), elem), nil
		default:
			return arrow.ListOf(elem), nil
		}
	}
	var elem arrow.DataType
	switch w := want.(type) {
	case *arrow.ListType:
		elem = w.Elem()
	case *arrow.LargeListType:
		elem = w.Elem()
	case *arrow.FixedSizeListType:
		if t.Kind() == reflect.Array && t.Len() != int(w.Len()) {
			return nil, cannotFill(t, want)
		}
		elem = w.Elem()
	default:
		return nil, cannotFill(t, want)
	}
	_, err := typeFor(t.Elem(), elem)
	return want, err
}

func mapType(t reflect.Type, want arrow.DataType) (arrow.DataType, error) {
	var key, item arrow.DataType
	if want != nil {
		m, ok := want.(*arrow.MapType)
		if !ok {
			return nil, cannotFill(t, want)
		}
		key, item = m.KeyType(), m.ItemType()
	}
	key, err := typeFor(t.Key(), key)
	if err != nil {
		return nil, err
	}
	if item, err = typeFor(t.Elem(), item); err != nil || want != nil {
		return want, err
	}
	return arrow.MapOf(key, item), nil
}

// column is the field's column. The wanted type is the table's, nil if it has no such column.
func (f *structField) column(want arrow.DataType) (arrow.Field, error) {
	if f.typ != nil {
		want = f.typ
	}
	typ, err := typeFor(f.goes, want)
	return arrow.Field{Name: f.name, Type: typ, Nullable: isNullable(f.goes)}, err
}

// isNullable says whether a Go value may be nil, which is null.
func isNullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return true
	default:
		return false
	}
}

// structSchema gives the schema that values of a struct type are written in. The table's schema is nil if there is no
// table yet. The error names all faults.
func structSchema(t reflect.Type, table *arrow.Schema) (*arrow.Schema, []structField, error) {
	fields, err := structFields(t)
	if err != nil {
		return nil, nil, err
	}
	var faults []string
	columns := make([]arrow.Field, len(fields))
	for i := range fields {
		var want arrow.DataType
		if table != nil {
			if at := table.FieldIndices(fields[i].name); len(at) == 1 {
				want = table.Field(at[0]).Type
			}
		}
		if columns[i], err = fields[i].column(want); err != nil {
			faults = append(faults, fmt.Sprintf("column %q: %v", fields[i].name, err))
		}
	}
	if faults != nil {
		return nil, nil, structFault(t, faults)
	}
	return arrow.NewSchema(columns, nil), fields, nil
}
