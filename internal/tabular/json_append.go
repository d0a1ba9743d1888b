package tabular

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// jsonAppender appends one value, valid JSON without white space around it.
type jsonAppender func(value []byte) error

// jsonMisfit is why a value does not fit, and where within its column.
type jsonMisfit struct {
	path string
	text string
}

func (m jsonMisfit) Error() string { return m.text }

// in gives the misfit as seen from one level further up.
func (m jsonMisfit) in(name string) jsonMisfit {
	if m.path != "" {
		name += "." + m.path
	}
	return jsonMisfit{name, m.text}
}

func within(name string, err error) error {
	var m jsonMisfit
	if errors.As(err, &m) {
		return m.in(name)
	}
	return jsonMisfit{name, err.Error()}
}

var errNull = errors.New("null stands where no null may be")

// newJSONAppender gives the appender for a field.
func newJSONAppender(f arrow.Field, b array.Builder) jsonAppender {
	inner := newJSONValue(f, b)
	return func(value []byte) error {
		if value[0] != 'n' {
			return inner(value)
		}
		if !f.Nullable {
			return errNull
		}
		b.AppendNull()
		return nil
	}
}

// newJSONValue gives the appender for values that are not null.
func newJSONValue(f arrow.Field, b array.Builder) jsonAppender {
	if text := newTextAppender(b); text != nil {
		return newJSONFlat(f.Type, text)
	}
	switch b := b.(type) {
	case *array.StructBuilder:
		return newJSONStruct(b)
	case *array.MapBuilder:
		return newJSONMap(b)
	case *array.ListBuilder:
		return newJSONList(b, b.ValueBuilder(), f.Type.(*arrow.ListType).ElemField(), -1)
	case *array.LargeListBuilder:
		return newJSONList(b, b.ValueBuilder(), f.Type.(*arrow.LargeListType).ElemField(), -1)
	case *array.FixedSizeListBuilder:
		t := f.Type.(*arrow.FixedSizeListType)
		return newJSONList(b, b.ValueBuilder(), t.ElemField(), int(t.Len()))
	}
	return func([]byte) error {
		return fmt.Errorf("values of type %s cannot be read from text", quiver.FormatType(f.Type))
	}
}

// newJSONFlat takes a value of a flat type: a string takes numbers and words as they are written, a number may stand in
// quotes.
func newJSONFlat(dt arrow.DataType, text textAppender) jsonAppender {
	id := dt.ID()
	isText := id == arrow.STRING || id == arrow.LARGE_STRING
	isNumber := arrow.IsInteger(id) || arrow.IsFloating(id) || arrow.IsDecimal(id) || id == arrow.DURATION || id == arrow.INTERVAL_MONTHS
	isObject := id == arrow.INTERVAL_DAY_TIME || id == arrow.INTERVAL_MONTH_DAY_NANO
	return func(value []byte) error {
		kind := jsonKind(value)
		fits := kind == "a string" && id != arrow.BOOL ||
			kind == "a number" && (isNumber || isText) ||
			kind == "a boolean" && (id == arrow.BOOL || isText) ||
			kind == "an object" && isObject
		if !fits {
			return fmt.Errorf("%s stands where %s is expected", kind, quiver.FormatType(dt))
		}
		bare := value
		if kind == "a string" {
			bare = unquote(value)
		}
		if err := text(bare); err != nil {
			return fmt.Errorf("%s %w", clip(value), err)
		}
		return nil
	}
}

func jsonKind(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// jsonObject takes the members of objects, by name.
type jsonObject struct {
	names   []string
	index   map[string]int
	append  []jsonAppender
	missing []func() error
	round   int   // of the object at hand
	seen    []int // the round in which a member was there last
}

func newJSONObject(fields []arrow.Field, builder func(i int) array.Builder) *jsonObject {
	o := &jsonObject{index: make(map[string]int, len(fields)), seen: make([]int, len(fields))}
	for i, f := range fields {
		b := builder(i)
		o.names = append(o.names, f.Name)
		o.index[f.Name] = i
		o.append = append(o.append, newJSONAppender(f, b))
		o.missing = append(o.missing, func() error {
			if !f.Nullable {
				return errors.New("it is missing, and may not be null")
			}
			b.AppendNull()
			return nil
		})
	}
	return o
}

func (o *jsonObject) take(value []byte) error {
	o.round++
	err := eachJSON(value, func(name, value []byte) error {
		i, ok := o.index[string(name)]
		switch {
		case !ok:
			return jsonMisfit{clip(name), "there is no such column" + suggest(clip(name), o.names)}
		case o.seen[i] == o.round:
			return jsonMisfit{o.names[i], "it is there twice"}
		}
		o.seen[i] = o.round
		if err := o.append[i](value); err != nil {
			return within(o.names[i], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, round := range o.seen {
		if round == o.round {
			continue
		}
		if err := o.missing[i](); err != nil {
			return within(o.names[i], err)
		}
	}
	return nil
}

func newJSONStruct(b *array.StructBuilder) jsonAppender {
	object := newJSONObject(b.Type().(*arrow.StructType).Fields(), b.FieldBuilder)
	return func(value []byte) error {
		if value[0] != '{' {
			return fmt.Errorf("%s stands where an object is expected", jsonKind(value))
		}
		b.Append(true)
		return object.take(value)
	}
}

// listBuilder is a builder of any list.
type listBuilder interface{ Append(bool) }

// newJSONList takes arrays, of exactly length items unless that is negative.
func newJSONList(b listBuilder, items array.Builder, item arrow.Field, length int) jsonAppender {
	take := newJSONAppender(item, items)
	return func(value []byte) error {
		if value[0] != '[' {
			return fmt.Errorf("%s stands where an array is expected", jsonKind(value))
		}
		b.Append(true)
		n := 0
		err := eachJSON(value, func(_, value []byte) error {
			n++
			return take(value)
		})
		switch {
		case err != nil:
			return within(item.Name, err)
		case length >= 0 && n != length:
			return fmt.Errorf("the array has %d items, the column holds %d", n, length)
		}
		return nil
	}
}

// newJSONMap takes an object, whose names are keys, or an array of {"key": …, "value": …}.
func newJSONMap(b *array.MapBuilder) jsonAppender {
	t := b.Type().(*arrow.MapType)
	keyText := newTextAppender(b.KeyBuilder())
	item := newJSONAppender(t.ItemField(), b.ItemBuilder())
	entry := newJSONObject([]arrow.Field{{Name: "key", Type: t.KeyType()}, {Name: "value", Type: t.ItemType(), Nullable: t.ItemField().Nullable}},
		func(i int) array.Builder { return []array.Builder{b.KeyBuilder(), b.ItemBuilder()}[i] })
	return func(value []byte) error {
		b.Append(true)
		switch {
		case value[0] == '{' && keyText != nil:
			return eachJSON(value, func(name, value []byte) error {
				if err := keyText(name); err != nil {
					return fmt.Errorf("the key %q %w", clip(name), err)
				}
				if err := item(value); err != nil {
					return within(clip(name), err)
				}
				return nil
			})
		case value[0] == '[':
			return eachJSON(value, func(_, value []byte) error {
				if value[0] != '{' {
					return fmt.Errorf("%s stands where an object with key and value is expected", jsonKind(value))
				}
				return entry.take(value)
			})
		}
		return fmt.Errorf("%s stands where a map is expected", jsonKind(value))
	}
}
