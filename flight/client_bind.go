package flight

import (
	"fmt"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// binder binds builders to places: a Go value is copied to its place and then taken from there into its builder, by a
// function that was made once and knows both. So no row is looked at with reflection and nothing is allocated for one,
// but for what the builders grow by.
//
//	row -> slot            one assignment
//	slot.Field -> builder  one function each; lists and maps copy each element to a slot of theirs first
//
// A value that does not fit leaves null, or anything, in its builder, so that all columns stay equally long, and sets
// fault: whoever appends the row drops it then.
type binder struct {
	size  int   // bytes of variable length that were appended
	fault error // the first value of the row that does not fit
}

// take is what takes a value from its place into its builder.
type take func()

// pointerTo gives a typed pointer to a place, whatever name its type has.
func pointerTo[T any](place reflect.Value) *T {
	return place.Addr().Convert(reflect.TypeFor[*T]()).Interface().(*T)
}

// appender is a builder of plain values.
type valueBuilder[T any] interface {
	Append(T)
	AppendNull()
}

// direct binds a place to the builder of its very type.
func direct[T any](place reflect.Value, b valueBuilder[T]) take {
	p := pointerTo[T](place)
	return func() { b.Append(*p) }
}

func (k *binder) fail(name, format string, args ...any) {
	if k.fault == nil {
		k.fault = fmt.Errorf("column %q: %s", name, fmt.Sprintf(format, args...))
	}
}

// bind binds a place to a builder. typeFor has accepted the two.
func (k *binder) bind(name string, place reflect.Value, b array.Builder) take {
	t := place.Type()
	if e, ok := b.(*array.ExtensionBuilder); ok {
		b = e.Builder
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return k.pointer(name, place, b)
	case isLeaf(t):
		return k.leaf(name, place, b)
	}
	switch t.Kind() {
	case reflect.Bool:
		return direct[bool](place, b.(*array.BooleanBuilder))
	case reflect.String:
		return k.text(name, place, b)
	case reflect.Float32:
		if b, ok := b.(*array.Float64Builder); ok {
			p := pointerTo[float32](place)
			return func() { b.Append(float64(*p)) }
		}
		return direct[float32](place, b.(*array.Float32Builder))
	case reflect.Float64:
		return direct[float64](place, b.(*array.Float64Builder))
	case reflect.Struct:
		return k.structure(name, place, b.(*array.StructBuilder))
	case reflect.Slice, reflect.Array:
		return k.list(name, place, b)
	case reflect.Map:
		return k.mapping(name, place, b.(*array.MapBuilder))
	default:
		return k.integer(name, place, b)
	}
}

// pointer binds a place that may hold nil.
func (k *binder) pointer(name string, place reflect.Value, b array.Builder) take {
	slot := reflect.New(place.Type().Elem()).Elem()
	value := k.bind(name, slot, b)
	return func() {
		if place.IsNil() {
			b.AppendNull()
			return
		}
		slot.Set(place.Elem())
		value()
	}
}

// text binds a string. Text that is not UTF-8 would be refused by the server together with its whole batch.
func (k *binder) text(name string, place reflect.Value, b array.Builder) take {
	p := pointerTo[string](place)
	builder := b.(interface {
		Append(string)
		AppendNull()
	})
	return func() {
		if !utf8.ValidString(*p) {
			k.fail(name, "the text is not UTF-8")
			b.AppendNull()
			return
		}
		k.size += len(*p)
		builder.Append(*p)
	}
}

// integer binds an integer.
func (k *binder) integer(name string, place reflect.Value, b array.Builder) take {
	switch b := b.(type) {
	case *array.Int8Builder:
		return integerInto[int8](k, name, place, b)
	case *array.Int16Builder:
		return integerInto[int16](k, name, place, b)
	case *array.Int32Builder:
		return integerInto[int32](k, name, place, b)
	case *array.Int64Builder:
		return integerInto[int64](k, name, place, b)
	case *array.Uint8Builder:
		return integerInto[uint8](k, name, place, b)
	case *array.Uint16Builder:
		return integerInto[uint16](k, name, place, b)
	case *array.Uint32Builder:
		return integerInto[uint32](k, name, place, b)
	case *array.Uint64Builder:
		return integerInto[uint64](k, name, place, b)
	}
	panic(fmt.Sprintf("flight: no integer goes into a %T", b))
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// integerInto binds an integer of any Go type. Where it is not the builder's own type, it is looked at whether it fits.
func integerInto[T integer](k *binder, name string, place reflect.Value, b valueBuilder[T]) take {
	if place.Kind() == reflect.TypeFor[T]().Kind() {
		return direct(place, b)
	}
	refuse := func(n any) {
		k.fail(name, "%d does not fit into its type", n)
		b.AppendNull()
	}
	if place.CanInt() {
		return func() {
			n := place.Int()
			if v := T(n); int64(v) != n || (v < 0) != (n < 0) {
				refuse(n)
			} else {
				b.Append(v)
			}
		}
	}
	return func() {
		n := place.Uint()
		if v := T(n); uint64(v) != n || v < 0 {
			refuse(n)
		} else {
			b.Append(v)
		}
	}
}

// leaf binds values of the types in fills.
func (k *binder) leaf(name string, place reflect.Value, b array.Builder) take {
	switch place.Type() {
	case typeTime:
		return k.time(name, place, b)
	case typeDuration:
		return k.duration(name, place, b)
	case typeBytes:
		return k.bytes(name, place, b)
	}
	switch b := b.(type) {
	case *array.Decimal128Builder:
		p, most := pointerTo[decimal128.Num](place), b.Type().(*arrow.Decimal128Type).Precision
		return func() {
			if !p.FitsInPrecision(most) {
				k.fail(name, "the decimal has more than %d digits", most)
			}
			b.Append(*p)
		}
	case *array.Decimal256Builder:
		p, most := pointerTo[decimal256.Num](place), b.Type().(*arrow.Decimal256Type).Precision
		return func() {
			if !p.FitsInPrecision(most) {
				k.fail(name, "the decimal has more than %d digits", most)
			}
			b.Append(*p)
		}
	case *array.Float16Builder:
		return direct[float16.Num](place, b)
	case *array.TimestampBuilder:
		return direct[arrow.Timestamp](place, b)
	case *array.DurationBuilder:
		return direct[arrow.Duration](place, b)
	case *array.Time32Builder:
		return direct[arrow.Time32](place, b)
	case *array.Time64Builder:
		return direct[arrow.Time64](place, b)
	case *array.Date32Builder:
		return direct[arrow.Date32](place, b)
	case *array.Date64Builder:
		return direct[arrow.Date64](place, b)
	case *array.MonthIntervalBuilder:
		return direct[arrow.MonthInterval](place, b)
	case *array.DayTimeIntervalBuilder:
		return direct[arrow.DayTimeInterval](place, b)
	case *array.MonthDayNanoIntervalBuilder:
		return direct[arrow.MonthDayNanoInterval](place, b)
	}
	panic(fmt.Sprintf("flight: no %v goes into a %T", place.Type(), b))
}

// time binds an instant: to a timestamp, cut to its unit, or to the day that it falls on where it is.
func (k *binder) time(name string, place reflect.Value, b array.Builder) take {
	p := pointerTo[time.Time](place)
	switch b := b.(type) {
	case *array.Date32Builder:
		return func() { b.Append(arrow.Date32(daysOf(*p))) }
	case *array.Date64Builder:
		return func() { b.Append(arrow.Date64(daysOf(*p) * (24 * time.Hour).Milliseconds())) }
	case *array.TimestampBuilder:
		ticks := map[arrow.TimeUnit]func(time.Time) int64{
			arrow.Second: time.Time.Unix, arrow.Millisecond: time.Time.UnixMilli,
			arrow.Microsecond: time.Time.UnixMicro, arrow.Nanosecond: time.Time.UnixNano,
		}[b.Type().(*arrow.TimestampType).Unit]
		if b.Type().(*arrow.TimestampType).Unit != arrow.Nanosecond {
			return func() { b.Append(arrow.Timestamp(ticks(*p))) }
		}
		return func() {
			n := p.UnixNano()
			if !time.Unix(0, n).Equal(*p) {
				k.fail(name, "%v cannot be told in nanoseconds", p)
			}
			b.Append(arrow.Timestamp(n))
		}
	}
	panic(fmt.Sprintf("flight: no time goes into a %T", b))
}

// daysOf is the number of a time's day, on the calendar of its own zone.
func daysOf(t time.Time) int64 {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / int64((24 * time.Hour).Seconds())
}

// duration binds a length of time, or a time of day, cut to its unit.
func (k *binder) duration(name string, place reflect.Value, b array.Builder) take {
	p := pointerTo[time.Duration](place)
	ofDay := func(d time.Duration) time.Duration {
		if d < 0 || d >= 24*time.Hour {
			k.fail(name, "%v is no time of day", d)
			return 0
		}
		return d
	}
	switch b := b.(type) {
	case *array.DurationBuilder:
		unit := b.Type().(*arrow.DurationType).Unit.Multiplier()
		return func() { b.Append(arrow.Duration(*p / unit)) }
	case *array.Time32Builder:
		unit := b.Type().(*arrow.Time32Type).Unit.Multiplier()
		return func() { b.Append(arrow.Time32(ofDay(*p) / unit)) }
	case *array.Time64Builder:
		unit := b.Type().(*arrow.Time64Type).Unit.Multiplier()
		return func() { b.Append(arrow.Time64(ofDay(*p) / unit)) }
	}
	panic(fmt.Sprintf("flight: no duration goes into a %T", b))
}

// bytes binds bytes; nil is null.
func (k *binder) bytes(name string, place reflect.Value, b array.Builder) take {
	p := pointerTo[[]byte](place)
	width := -1
	if b, ok := b.(*array.FixedSizeBinaryBuilder); ok {
		width = b.Type().(*arrow.FixedSizeBinaryType).ByteWidth
	}
	builder := b.(interface{ Append([]byte) })
	return func() {
		switch {
		case *p == nil:
			b.AppendNull()
		case width >= 0 && len(*p) != width:
			k.fail(name, "%d bytes, the column has %d each", len(*p), width)
			b.AppendNull()
		default:
			k.size += len(*p)
			builder.Append(*p)
		}
	}
}

// structure binds a struct. Fields of the column that the Go type does not have are null.
func (k *binder) structure(name string, place reflect.Value, b *array.StructBuilder) take {
	fields, err := structFields(place.Type())
	if err != nil {
		panic("flight: typeFor let it pass: " + err.Error())
	}
	st := b.Type().(*arrow.StructType)
	takes := make([]take, st.NumFields())
	for i := range takes {
		takes[i] = b.FieldBuilder(i).AppendNull
	}
	for _, f := range fields {
		at, _ := st.FieldIdx(f.name)
		takes[at] = k.bind(name+"."+f.name, place.FieldByIndex(f.index), b.FieldBuilder(at))
	}
	return func() {
		b.Append(true)
		for _, t := range takes {
			t()
		}
	}
}

// listBuilder is what the builders of lists have in common.
type listBuilder interface {
	array.Builder
	Append(bool)
	ValueBuilder() array.Builder
}

// list binds a slice, of which nil is null, or an array.
func (k *binder) list(name string, place reflect.Value, b array.Builder) take {
	if b, ok := b.(*array.FixedSizeBinaryBuilder); ok {
		return func() { b.Append(place.Bytes()) }
	}
	lists := b.(listBuilder)
	fixed := -1
	if t, ok := b.Type().(*arrow.FixedSizeListType); ok {
		fixed = int(t.Len())
	}
	elem := reflect.New(place.Type().Elem()).Elem()
	value := k.bind(name, elem, lists.ValueBuilder())
	nilable := place.Kind() == reflect.Slice
	width := int(elem.Type().Size())
	return func() {
		n := place.Len()
		switch {
		case nilable && place.IsNil():
			lists.AppendNull()
			return
		case fixed >= 0 && n != fixed:
			k.fail(name, "%d values, the column has %d each", n, fixed)
			lists.AppendNull()
			return
		case n > math.MaxInt32:
			k.fail(name, "%d values in one list", n)
			lists.AppendNull()
			return
		}
		lists.Append(true)
		k.size += n * width
		for i := range n {
			elem.Set(place.Index(i))
			value()
		}
	}
}

// mapping binds a map, of which nil is null.
func (k *binder) mapping(name string, place reflect.Value, b *array.MapBuilder) take {
	key, item := reflect.New(place.Type().Key()).Elem(), reflect.New(place.Type().Elem()).Elem()
	takeKey, takeItem := k.bind(name+".key", key, b.KeyBuilder()), k.bind(name+".value", item, b.ItemBuilder())
	width := int(key.Type().Size() + item.Type().Size())
	entries := new(reflect.MapIter)
	return func() {
		if place.IsNil() {
			b.AppendNull()
			return
		}
		b.Append(true)
		k.size += place.Len() * width
		entries.Reset(place)
		for entries.Next() {
			key.SetIterKey(entries)
			item.SetIterValue(entries)
			takeKey()
			takeItem()
		}
		entries.Reset(reflect.Value{})
	}
}
