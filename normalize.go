package quiver

import (
	"cmp"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// Metadata keys with a meaning of their own.
const (
	// FieldIDKey holds, on every field of a stored schema, its ColumnID in decimal digits; Parquet readers know it.
	FieldIDKey = "PARQUET:field_id"

	extensionNameKey     = "ARROW:extension:name"
	extensionMetadataKey = "ARROW:extension:metadata"
)

// droppedMetadata are the keys that are not kept of what a client sends: pandas's column layout is that of one
// frame, and the others are the server's own or speak of another file.
var droppedMetadata = map[string]bool{"pandas": true, "quiver": true, "ARROW:schema": true, FieldIDKey: true}

// Normalize gives the plain layout of a type, nested ones too: a dictionary becomes the type of its values, so does
// a run-end encoded type, views become strings, binaries and lists, and an extension type its storage type.
//
// The values stay the same. Field metadata of nested extension types gets their name and parameters; that of a
// top-level one is on its column's field (see NewSchema). Union types stay as they are.
func Normalize(dt arrow.DataType) arrow.DataType {
	return normalizeField(arrow.Field{Type: dt}, 1).Type
}

// normalizeField normalises a field's type and metadata, and those of the fields nested in it.
func normalizeField(f arrow.Field, depth int) arrow.Field {
	var extension arrow.ExtensionType
	for unwrapping := true; unwrapping && depth <= 2*MaxNesting; depth++ {
		switch t := f.Type.(type) {
		case arrow.ExtensionType:
			if extension == nil {
				extension = t
			}
			f.Type = t.StorageType()
		case *arrow.DictionaryType:
			f.Type = t.ValueType
		case *arrow.RunEndEncodedType:
			f.Type = t.Encoded()
		default:
			unwrapping = false
		}
	}
	f.Metadata = normalizeMetadata(f.Metadata, extension)
	if depth <= 2*MaxNesting {
		f.Type = normalizeType(f.Type, depth)
	}
	return f
}

func normalizeType(dt arrow.DataType, depth int) arrow.DataType {
	nested := func(f arrow.Field) arrow.Field { return normalizeField(f, depth) }
	switch t := dt.(type) {
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String
	case *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary
	case *arrow.ListViewType:
		return arrow.ListOfField(nested(t.ElemField()))
	case *arrow.LargeListViewType:
		return arrow.LargeListOfField(nested(t.ElemField()))
	}
	return mapFields(dt, nested)
}

// mapFields gives the type with every field directly below it replaced. The fields of a map are its key and its
// value; the struct between them is the map's own. Types without fields, and unions, come back as they are.
func mapFields(dt arrow.DataType, replace func(arrow.Field) arrow.Field) arrow.DataType {
	switch t := dt.(type) {
	case *arrow.ListType:
		return arrow.ListOfField(replace(t.ElemField()))
	case *arrow.LargeListType:
		return arrow.LargeListOfField(replace(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), replace(t.ElemField()))
	case *arrow.StructType:
		fields := t.Fields()
		for i, f := range fields {
			fields[i] = replace(f)
		}
		return arrow.StructOf(fields...)
	case *arrow.MapType:
		key := replace(t.KeyField())
		key.Nullable = false
		m := arrow.MapOfFields(key, replace(t.ItemField()))
		m.KeysSorted = t.KeysSorted
		return m
	}
	return dt
}

// fieldsOf lists the fields directly below a type, as mapFields visits them.
func fieldsOf(dt arrow.DataType) []arrow.Field {
	switch t := dt.(type) {
	case *arrow.MapType:
		return []arrow.Field{t.KeyField(), t.ItemField()}
	case arrow.ExtensionType:
		return fieldsOf(t.StorageType())
	case *arrow.DictionaryType:
		return []arrow.Field{{Name: "values", Type: t.ValueType, Nullable: true}}
	case arrow.NestedType:
		return t.Fields()
	}
	return nil
}

// normalizeMetadata keeps what is to be kept of a client's metadata and adds what names an extension type. Keys come
// out sorted and once, the last one of several having won.
func normalizeMetadata(md arrow.Metadata, extension arrow.ExtensionType) arrow.Metadata {
	if md.Len() == 0 && extension == nil {
		return arrow.Metadata{}
	}
	type pair struct{ key, value string }
	pairs := make([]pair, 0, md.Len()+2)
	for i, key := range md.Keys() {
		if !droppedMetadata[key] {
			pairs = append(pairs, pair{key, md.Values()[i]})
		}
	}
	if extension != nil {
		pairs = append(pairs, pair{extensionNameKey, extension.ExtensionName()},
			pair{extensionMetadataKey, extension.Serialize()})
	}
	slices.Reverse(pairs)
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	pairs = slices.CompactFunc(pairs, func(a, b pair) bool { return a.key == b.key })
	keys, values := make([]string, len(pairs)), make([]string, len(pairs))
	for i, p := range pairs {
		keys[i], values[i] = p.key, p.value
	}
	return arrow.NewMetadata(keys, values)
}

// NullColumns lists the columns whose type is null, nested ones by dotted path. A table made from the schema of its
// first batch must not have any: a null column cannot be given values later.
func NullColumns(s *arrow.Schema) []string {
	var found []string
	var visit func(prefix string, f arrow.Field, depth int)
	visit = func(prefix string, f arrow.Field, depth int) {
		f = normalizeField(f, depth)
		if f.Type.ID() == arrow.NULL {
			found = append(found, prefix+f.Name)
			return
		}
		if depth > MaxNesting {
			return
		}
		for _, child := range fieldsOf(f.Type) {
			visit(prefix+f.Name+".", child, depth+1)
		}
	}
	for _, f := range s.Fields() {
		visit("", f, 1)
	}
	return found
}
