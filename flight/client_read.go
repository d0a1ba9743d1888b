package flight

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// rowPlan is how rows of a schema become values of a struct type: the other way round as binder.
type rowPlan struct {
	schema *arrow.Schema
	names  []string
	places []int // columns
	fields [][]int
	gives  []give
}

// give sets a place to a value of an array of the type that it was made for. What it sets holds no memory of the array.
type give func(arr arrow.Array, i int, place reflect.Value) error

func newRowPlan(t reflect.Type, schema *arrow.Schema) (*rowPlan, error) {
	fields, err := structFields(t)
	if err != nil {
		return nil, err
	}
	p := &rowPlan{schema: schema}
	var faults []string
	for _, f := range fields {
		at := schema.FieldIndices(f.name)
		if len(at) != 1 {
			faults = append(faults, fmt.Sprintf("column %q is not among those read: %s", f.name, strings.Join(names(schema), ", ")))
			continue
		}
		g, err := giveFor(f.goes, schema.Field(at[0]).Type)
		if err != nil {
			faults = append(faults, fmt.Sprintf("column %q: %v", f.name, err))
			continue
		}
		p.names, p.places = append(p.names, f.name), append(p.places, at[0])
		p.fields, p.gives = append(p.fields, f.index), append(p.gives, g)
	}
	if faults != nil {
		return nil, structFault(t, faults)
	}
	return p, nil
}

func names(schema *arrow.Schema) []string {
	all := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		all[i] = f.Name
	}
	return all
}

func (p *rowPlan) fits(schema *arrow.Schema) bool {
	return p.schema == schema || sameFields(p.schema, schema)
}

// read sets a struct to a row.
func (p *rowPlan) read(batch arrow.RecordBatch, i int, place reflect.Value) error {
	for n, g := range p.gives {
		if err := g(batch.Column(p.places[n]), i, place.FieldByIndex(p.fields[n])); err != nil {
			return quiver.Errorf(quiver.SchemaMismatch, "column %q: %v", p.names[n], err).On("Go type " + place.Type().String())
		}
	}
	return nil
}

// giveFor plans how values of an Arrow type become values of a Go type. They are those that go the other way, too.
func giveFor(t reflect.Type, dt arrow.DataType) (give, error) {
	if e, ok := dt.(arrow.ExtensionType); ok {
		g, err := giveFor(t, e.StorageType())
		return func(arr arrow.Array, i int, place reflect.Value) error {
			return g(arr.(array.ExtensionArray).Storage(), i, place)
		}, err
	}
	if _, err := typeFor(t, dt); err != nil {
		return nil, err
	}
	var g give
	var err error
	switch {
	case t.Kind() == reflect.Pointer:
		if g, err = giveFor(t.Elem(), dt); err != nil {
			return nil, err
		}
		inner := g
		g = func(arr arrow.Array, i int, place reflect.Value) error {
			value := reflect.New(t.Elem())
			place.Set(value)
			return inner(arr, i, value.Elem())
		}
	case isLeaf(t):
		g = giveLeaf(t, dt)
	default:
		g, err = giveKind(t, dt)
	}
	if err != nil {
		return nil, err
	}
	return func(arr arrow.Array, i int, place reflect.Value) error {
		if arr.IsValid(i) {
			return g(arr, i, place)
		}
		if !isNullable(t) {
			return fmt.Errorf("a value is null, which a Go %v cannot be; make the field a pointer", t)
		}
		place.SetZero()
		return nil
	}, nil
}

// valuer is an array of plain values.
type valuer[T any] interface{ Value(int) T }

// giveLeaf plans the types in fills.
func giveLeaf(t reflect.Type, dt arrow.DataType) give {
	switch t {
	case typeTime:
		return giveTime(dt)
	case typeDuration:
		return giveDuration(dt)
	case typeBytes:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			value := arr.(valuer[[]byte]).Value(i)
			place.SetBytes(append(make([]byte, 0, len(value)), value...))
			return nil
		}
	}
	return func(arr arrow.Array, i int, place reflect.Value) error {
		value := reflect.ValueOf(arr).MethodByName("Value").Call([]reflect.Value{reflect.ValueOf(i)})[0]
		place.Set(value.Convert(t))
		return nil
	}
}

func giveTime(dt arrow.DataType) give {
	switch dt := dt.(type) {
	case *arrow.TimestampType:
		zone, err := dt.GetZone()
		if err != nil || zone == nil {
			zone = time.UTC
		}
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, arr.(*array.Timestamp).Value(i).ToTime(dt.Unit).In(zone))
			return nil
		}
	case *arrow.Date32Type:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, arr.(*array.Date32).Value(i).ToTime())
			return nil
		}
	default:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, arr.(*array.Date64).Value(i).ToTime())
			return nil
		}
	}
}

// setTo sets a place to a value of its type, whatever name that has.
func setTo[T any](place reflect.Value, value T) { *pointerTo[T](place) = value }

func giveDuration(dt arrow.DataType) give {
	switch dt := dt.(type) {
	case *arrow.DurationType:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, time.Duration(arr.(*array.Duration).Value(i))*dt.Unit.Multiplier())
			return nil
		}
	case *arrow.Time32Type:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, time.Duration(arr.(*array.Time32).Value(i))*dt.Unit.Multiplier())
			return nil
		}
	default:
		unit := dt.(*arrow.Time64Type).Unit.Multiplier()
		return func(arr arrow.Array, i int, place reflect.Value) error {
			setTo(place, time.Duration(arr.(*array.Time64).Value(i))*unit)
			return nil
		}
	}
}

// giveKind plans the types that are told by their kind.
func giveKind(t reflect.Type, dt arrow.DataType) (give, error) {
	switch t.Kind() {
	case reflect.Bool:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			place.SetBool(arr.(*array.Boolean).Value(i))
			return nil
		}, nil
	case reflect.String:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			place.SetString(strings.Clone(arr.(valuer[string]).Value(i)))
			return nil
		}, nil
	case reflect.Float32, reflect.Float64:
		return func(arr arrow.Array, i int, place reflect.Value) error {
			if f, ok := arr.(*array.Float32); ok {
				place.SetFloat(float64(f.Value(i)))
			} else {
				place.SetFloat(arr.(*array.Float64).Value(i))
			}
			return nil
		}, nil
	case reflect.Struct:
		return giveStruct(t, dt.(*arrow.StructType))
	case reflect.Slice, reflect.Array:
		return giveList(t, dt)
	case reflect.Map:
		return giveMap(t, dt.(*arrow.MapType))
	default:
		return giveInteger, nil
	}
}

// giveInteger gives an integer that fits.
func giveInteger(arr arrow.Array, i int, place reflect.Value) error {
	var signed int64
	var unsigned uint64
	isUnsigned := false
	switch arr := arr.(type) {
	case *array.Int8:
		signed = int64(arr.Value(i))
	case *array.Int16:
		signed = int64(arr.Value(i))
	case *array.Int32:
		signed = int64(arr.Value(i))
	case *array.Int64:
		signed = arr.Value(i)
	case *array.Uint8:
		signed = int64(arr.Value(i))
	case *array.Uint16:
		signed = int64(arr.Value(i))
	case *array.Uint32:
		signed = int64(arr.Value(i))
	case *array.Uint64:
		unsigned = arr.Value(i)
		signed, isUnsigned = int64(unsigned), true
	}
	if place.CanInt() {
		if isUnsigned && signed < 0 || place.OverflowInt(signed) {
			return fmt.Errorf("%s does not fit into a Go %v", arr.ValueStr(i), place.Type())
		}
		place.SetInt(signed)
		return nil
	}
	if !isUnsigned {
		unsigned = uint64(signed)
	}
	if !isUnsigned && signed < 0 || place.OverflowUint(unsigned) {
		return fmt.Errorf("%s does not fit into a Go %v", arr.ValueStr(i), place.Type())
	}
	place.SetUint(unsigned)
	return nil
}

func giveStruct(t reflect.Type, dt *arrow.StructType) (give, error) {
	fields, err := structFields(t)
	if err != nil {
		return nil, err
	}
	places := make([]int, len(fields))
	gives := make([]give, len(fields))
	for n, f := range fields {
		at, ok := dt.FieldIdx(f.name)
		if !ok {
			return nil, fmt.Errorf("there is no field %q in %s", f.name, quiver.FormatType(dt))
		}
		places[n] = at
		if gives[n], err = giveFor(f.goes, dt.Field(at).Type); err != nil {
			return nil, err
		}
	}
	return func(arr arrow.Array, i int, place reflect.Value) error {
		s := arr.(*array.Struct)
		for n, g := range gives {
			if err := g(s.Field(places[n]), i, place.FieldByIndex(fields[n].index)); err != nil {
				return fmt.Errorf("%s: %w", fields[n].name, err)
			}
		}
		return nil
	}, nil
}

func giveList(t reflect.Type, dt arrow.DataType) (give, error) {
	if dt.ID() == arrow.FIXED_SIZE_BINARY {
		return func(arr arrow.Array, i int, place reflect.Value) error {
			reflect.Copy(place, reflect.ValueOf(arr.(*array.FixedSizeBinary).Value(i)))
			return nil
		}, nil
	}
	g, err := giveFor(t.Elem(), dt.(arrow.ListLikeType).Elem())
	if err != nil {
		return nil, err
	}
	return func(arr arrow.Array, i int, place reflect.Value) error {
		list := arr.(array.ListLike)
		from, until := list.ValueOffsets(i)
		n := int(until - from)
		if t.Kind() == reflect.Slice {
			place.Set(reflect.MakeSlice(t, n, n))
		} else if n != t.Len() {
			return fmt.Errorf("a list has %d values, a Go %v has %d", n, t, t.Len())
		}
		for k := range n {
			if err := g(list.ListValues(), int(from)+k, place.Index(k)); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func giveMap(t reflect.Type, dt *arrow.MapType) (give, error) {
	key, err := giveFor(t.Key(), dt.KeyType())
	if err != nil {
		return nil, err
	}
	item, err := giveFor(t.Elem(), dt.ItemType())
	if err != nil {
		return nil, err
	}
	return func(arr arrow.Array, i int, place reflect.Value) error {
		m := arr.(*array.Map)
		from, until := m.ValueOffsets(i)
		made := reflect.MakeMapWithSize(t, int(until-from))
		for n := int(from); n < int(until); n++ {
			k, v := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			if err := key(m.Keys(), n, k); err != nil {
				return err
			}
			if err := item(m.Items(), n, v); err != nil {
				return err
			}
			made.SetMapIndex(k, v)
		}
		place.Set(made)
		return nil
	}, nil
}
