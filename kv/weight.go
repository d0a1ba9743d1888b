package kv

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// What a row takes in Arrow's layout may be much more than what is stored of it: a null is one bit or one byte in a row,
// and in a fixed-size list it takes as many values as the list has. Whatever bounds memory counts the former.

// weight is about what a row takes in Arrow's layout, in bytes, and at least what it takes as it is stored.
func (c *codec) weight(r row) int {
	n := len(r)
	if n < c.start {
		return n // the head of one
	}
	for _, i := range c.nested {
		v := c.get(r, i)
		n += max(nestedWeight(v, c.values[i].field.Type)-len(v.raw), 0)
	}
	return n
}

// EmptyWeight is about what a row takes in Arrow's layout of which only the key is known: its defaults, and nulls.
func EmptyWeight(schema *quiver.Schema, key []quiver.ColumnID) (int, error) {
	c, err := newCodec(schema, key)
	if err != nil {
		return 0, err
	}
	return c.weight(c.compose(func(i int) value { return c.absent[i] })), nil
}

// nestedWeight is what a nested value takes in Arrow's layout.
func nestedWeight(v value, dt arrow.DataType) int {
	if v.null {
		return nullWeight(dt)
	}
	w := weigher{rest: v.raw}
	w.value(dt)
	return w.bytes
}

// nullWeight is what a null takes in Arrow's layout, beside its bit.
func nullWeight(dt arrow.DataType) int {
	switch t := dt.(type) {
	case *arrow.FixedSizeListType:
		return int(t.Len()) * max(nullWeight(t.Elem()), 1)
	case *arrow.StructType:
		n := 0
		for _, f := range t.Fields() {
			n += nullWeight(f.Type)
		}
		return n
	}
	return flatWeight(kindOf(dt))
}

// flatWeight is what any value takes, beside its bytes where these may be of any length.
func flatWeight(k kind, width int) int {
	switch k {
	case kindNull:
		return 0
	case kindBool, kindFixed:
		return width
	case kindVar64:
		return 8
	}
	return 4
}

// weigher walks over what appendNested wrote. What does not fit ends it: whoever decodes the value says so.
type weigher struct {
	rest  []byte
	bytes int
}

func (w *weigher) take(n int) {
	if n < 0 || n > len(w.rest) {
		n = len(w.rest)
	}
	w.rest = w.rest[n:]
}

func (w *weigher) count() int {
	n, size := binary.Uvarint(w.rest)
	if size <= 0 || n > math.MaxInt32 {
		w.rest = nil
		return 0
	}
	w.rest = w.rest[size:]
	return int(n)
}

func (w *weigher) value(dt arrow.DataType) {
	switch t := dt.(type) {
	case *arrow.StructType:
		for _, f := range t.Fields() {
			w.maybe(f.Type)
		}
	case *arrow.FixedSizeListType:
		w.elements(int(t.Len()), t.Elem())
	case *arrow.MapType:
		w.bytes += 4
		for range w.count() {
			if len(w.rest) == 0 {
				return
			}
			w.take(1)
			w.maybe(t.KeyType())
			w.maybe(t.ItemType())
		}
	case arrow.ListLikeType:
		w.bytes += 8
		w.elements(w.count(), t.Elem())
	default:
		k, width := kindOf(dt)
		w.bytes += flatWeight(k, width)
		if k.isVar() {
			width = w.count()
			w.bytes += width
		}
		w.take(width)
	}
}

// elements walks over elements of one type; flat ones of a fixed width are the many.
func (w *weigher) elements(n int, dt arrow.DataType) {
	k, width := kindOf(dt)
	if k.isVar() {
		for range n {
			if len(w.rest) == 0 {
				return
			}
			w.maybe(dt)
		}
		return
	}
	w.bytes += n * max(width, 1)
	for range n {
		if len(w.rest) == 0 {
			return
		}
		if w.rest[0] == 0 {
			w.rest = w.rest[1:]
		} else {
			w.take(1 + width)
		}
	}
}

func (w *weigher) maybe(dt arrow.DataType) {
	if len(w.rest) == 0 {
		return
	}
	present := w.rest[0] != 0
	w.take(1)
	if !present {
		w.bytes += nullWeight(dt)
		return
	}
	w.value(dt)
}
