package kv

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// Change is what a batch does to a bucket: its part of the changelog, and what it leaves of each key.
type Change struct {
	Bytes int // about what the rows found for it and its changelog take

	shape     *shape
	rows      int     // of the changelog
	entries   []entry // of the changelog that were not given yet
	mutations []mutation
	inserted  int64 // rows that there are more, or fewer, afterwards
	size      int   // about what the mutations take in a Pebble batch

	from, until quiver.Offset // once it is staged
	continued   bool          // it is applied together with the next one
}

// entry is one row of the changelog.
type entry struct {
	what   quiver.ChangeType
	key    []byte
	row    row
	weight int // of key and row
}

// Len is the number of changelog rows. A change without any changes nothing.
func (c *Change) Len() int { return c.rows }

// Piece builds the next piece of the changelog: so many rows as take about maxBytes, at least one; nil when all were
// given. It is the columns of the table's schema in its order, and behind them the change types as int8. The caller
// releases them. What was given is forgotten, so that a large changelog is not in memory twice.
func (c *Change) Piece(maxBytes int) ([]arrow.Array, error) {
	if len(c.entries) == 0 {
		return nil, nil
	}
	n, bytes := 0, 0
	for n < len(c.entries) && (n == 0 || bytes+c.entries[n].weight <= maxBytes) {
		bytes += c.entries[n].weight
		n++
	}
	outputs := newOutputs(c.shape.codec, n)
	types := make([]int8, n)
	for i := range n {
		e := &c.entries[i]
		types[i] = int8(e.what)
		if err := outputs.add(e.key[rowPrefix:], e.row); err != nil {
			return nil, err
		}
		*e = entry{}
	}
	c.entries = c.entries[n:]
	columns := outputs.finish()
	return append(columns, int8Array(types)), nil
}

func int8Array(values []int8) arrow.Array {
	data := array.NewData(arrow.PrimitiveTypes.Int8, len(values),
		[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int8Traits.CastToBytes(values))}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// outputs builds columns of a schema from keys and rows.
type outputs struct {
	codec   *codec
	columns []*output // by place in the schema; nil: not wanted
	keyed   bool      // some column of the key is wanted
	scratch []byte
}

// newOutputs builds all columns, or those at the places given.
func newOutputs(c *codec, rows int, places ...int) *outputs {
	o := &outputs{codec: c, columns: make([]*output, len(c.ofKey))}
	if places == nil {
		for place := range c.ofKey {
			places = append(places, place)
		}
	}
	all := make([]output, len(places))
	for i, place := range places {
		if o.columns[place] == nil {
			o.columns[place] = &all[i]
			all[i].begin(c.schema.Columns()[place].Field.Type, rows)
		}
		o.keyed = o.keyed || c.ofKey[place] >= 0
	}
	return o
}

// add adds one row, which was checked and is of the codec's schema. key has no prefix.
func (o *outputs) add(key []byte, r row) error {
	if o.keyed {
		if err := o.addKey(key); err != nil {
			return err
		}
	}
	for i := range o.codec.values {
		out := o.columns[o.codec.values[i].place]
		if out == nil {
			continue
		}
		v := o.codec.get(r, i)
		if v.null {
			out.null()
		} else if err := out.add(v.raw); err != nil {
			return err
		}
	}
	return nil
}

func (o *outputs) addKey(key []byte) (err error) {
	for i := range o.codec.keys {
		k := &o.codec.keys[i]
		var raw []byte
		if raw, key, err = k.take(key, o.scratch); err != nil {
			return err
		}
		o.scratch = raw
		if out := o.columns[k.place]; out != nil {
			if err := out.add(raw); err != nil {
				return err
			}
		}
	}
	if len(key) > 0 {
		return errRow
	}
	return nil
}

// size is about the bytes of all columns so far.
func (o *outputs) size() int {
	n := 0
	for _, out := range o.columns {
		if out != nil {
			n += out.size()
		}
	}
	return n
}

// finish gives the columns that are wanted, by place in the schema.
func (o *outputs) finish() []arrow.Array {
	columns := make([]arrow.Array, 0, len(o.columns))
	for _, out := range o.columns {
		if out != nil {
			columns = append(columns, out.finish())
		}
	}
	return columns
}

// keyText writes a key for an error: (17, "eu").
func (c *codec) keyText(key []byte) string {
	o := newOutputs(c, 1)
	var texts []string
	if err := o.addKey(key); err != nil {
		return fmt.Sprintf("%x", key)
	}
	for i := range c.keys {
		arr := o.columns[c.keys[i].place].finish()
		text := arr.ValueStr(0)
		if len(text) > maxKeyText {
			text = text[:maxKeyText] + "…"
		}
		texts = append(texts, text)
		arr.Release()
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

// maxKeyText bounds a key's column in an error.
const maxKeyText = 64
