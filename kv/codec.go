package kv

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/quiverlog/quiver"
)

// errRow means that stored bytes are no row. What was stored had its checksums, so it is damage, or a bug.
var errRow = errors.New("kv: a stored row is not as it should be")

// Where the header of a row stands.
const (
	atSchema  = 0
	atOffset  = 4
	rowHeader = 12
)

// row is one row as it is stored, without its key.
type row []byte

func (r row) schema() quiver.SchemaID {
	return quiver.SchemaID(binary.LittleEndian.Uint32(r[atSchema:]))
}

// offset is that of the last change of the row: its version.
func (r row) offset() quiver.Offset { return quiver.Offset(binary.LittleEndian.Uint64(r[atOffset:])) }

func (r row) setOffset(o quiver.Offset) { binary.LittleEndian.PutUint64(r[atOffset:], uint64(o)) }

// sameValues says that two rows of one schema have the same values.
func (r row) sameValues(other row) bool { return string(r[rowHeader:]) == string(other[rowHeader:]) }

// valueColumn is one column outside the key.
type valueColumn struct {
	place int // in the schema
	field arrow.Field
	kind  kind
	width int
	at    int // kindFixed, kindBool: where the value stands in a row; isVar: its number among these
}

// codec writes and reads the rows of one schema. It is immutable.
type codec struct {
	schema *quiver.Schema
	keys   []keyColumn
	values []valueColumn
	ofKey  []int // by place in the schema: the number among keys, -1: none
	ofVal  []int // likewise among values
	ends   int   // where the ends of values of any length stand
	start  int   // where their bytes start
	vars   int
	nested []int   // the numbers of nested values
	absent []value // of each value column: what a row has that does not say: the default, or null
}

// value is one value as it stands in a row.
type value struct {
	raw  []byte
	null bool
}

// newCodec makes the codec of a table's schema whose primary key has the columns given.
func newCodec(s *quiver.Schema, key []quiver.ColumnID) (*codec, error) {
	c := &codec{schema: s}
	for _, id := range key {
		place := s.Index(id)
		if place < 0 {
			return nil, quiver.Errorf(quiver.Internal, "kv: the schema has no column with id %d of the primary key", id)
		}
		c.keys = append(c.keys, newKeyColumn(place, s.Columns()[place].Field))
	}
	fixed := 0
	for place, column := range s.Columns() {
		n := slices.Index(key, column.ID)
		c.ofKey = append(c.ofKey, n)
		if n >= 0 {
			c.ofVal = append(c.ofVal, -1)
			continue
		}
		c.ofVal = append(c.ofVal, len(c.values))
		v := valueColumn{place: place, field: column.Field}
		v.kind, v.width = kindOf(column.Field.Type)
		if v.kind.isVar() {
			v.at = c.vars
			c.vars++
		} else {
			v.at = fixed
			fixed += v.width
		}
		if v.kind == kindNested {
			c.nested = append(c.nested, len(c.values))
		}
		c.values = append(c.values, v)
		absent, err := absentValue(column)
		if err != nil {
			return nil, err
		}
		c.absent = append(c.absent, absent)
	}
	nulls := int(bitutil.BytesForBits(int64(len(c.values))))
	for i := range c.values {
		if !c.values[i].kind.isVar() {
			c.values[i].at += rowHeader + nulls
		}
	}
	c.ends = rowHeader + nulls + fixed
	c.start = c.ends + 4*c.vars
	return c, nil
}

// check says whether bytes can be a row of this schema.
func (c *codec) check(r row) error {
	if len(r) < c.start {
		return errRow
	}
	last := c.start
	for i := range c.vars {
		end := c.start + int(binary.LittleEndian.Uint32(r[c.ends+4*i:]))
		if end < last || end > len(r) {
			return errRow
		}
		last = end
	}
	if last != len(r) {
		return errRow
	}
	return nil
}

// get gives the value of a column, by its number among the values, of a row that was checked.
func (c *codec) get(r row, i int) value {
	if bitutil.BitIsSet(r[rowHeader:], i) {
		return value{null: true}
	}
	v := &c.values[i]
	if !v.kind.isVar() {
		return value{raw: r[v.at : v.at+v.width]}
	}
	from := uint32(0)
	if v.at > 0 {
		from = binary.LittleEndian.Uint32(r[c.ends+4*(v.at-1):])
	}
	until := binary.LittleEndian.Uint32(r[c.ends+4*v.at:])
	return value{raw: r[c.start+int(from) : c.start+int(until)]}
}

// compose makes a row of values, given by their number.
func (c *codec) compose(get func(i int) value) row {
	size := c.start
	for i := range c.values {
		if v := get(i); c.values[i].kind.isVar() && !v.null {
			size += len(v.raw)
		}
	}
	r := make(row, c.start, size)
	c.begin(r)
	for i := range c.values {
		v, column := get(i), &c.values[i]
		switch {
		case v.null:
			bitutil.SetBit(r[rowHeader:], i)
		case column.kind.isVar():
			r = append(r, v.raw...)
		default:
			copy(r[column.at:], v.raw)
		}
		if column.kind.isVar() {
			binary.LittleEndian.PutUint32(r[c.ends+4*column.at:], uint32(len(r)-c.start))
		}
	}
	return r
}

// begin writes the header of a row.
func (c *codec) begin(r row) {
	binary.LittleEndian.PutUint32(r[atSchema:], uint32(c.schema.ID()))
}

// encode makes the rows of n values in each column; a nil input stands for the column's default, or nulls. All rows
// share one piece of memory. It is errTooLarge if they would have more than most bytes.
func (c *codec) encode(columns []*input, n, most int) ([]row, error) {
	rows, err := c.allocate(columns, n, most)
	if err != nil {
		return nil, err
	}
	for i := range c.values {
		switch v, in := &c.values[i], columns[i]; {
		case v.kind.isVar():
		case in == nil:
			c.fillAbsent(rows, i)
		default:
			c.encodeFixed(rows, i, in)
		}
	}
	if c.vars > 0 {
		for r := range rows {
			c.encodeVars(rows[r], columns, r)
		}
	}
	return rows, nil
}

// errTooLarge means that rows take more memory than there is for them.
var errTooLarge = errors.New("kv: the rows are too large")

// allocate gives each row its memory, with its header and no value yet.
func (c *codec) allocate(columns []*input, n, most int) ([]row, error) {
	sizes := make([]int, n)
	total := 0
	for r := range n {
		sizes[r] = c.start
		for i := range c.values {
			if c.values[i].kind.isVar() {
				sizes[r] += len(c.input(columns, i, r).raw)
			}
		}
		if total += sizes[r]; total > most {
			return nil, errTooLarge
		}
	}
	arena := make([]byte, total)
	rows := make([]row, n)
	for r, size := range sizes {
		rows[r], arena = arena[:size:size], arena[size:]
		c.begin(rows[r])
	}
	return rows, nil
}

// input gives a value of a column that may not have been sent.
func (c *codec) input(columns []*input, i, r int) value {
	in := columns[i]
	switch {
	case in == nil:
		return c.absent[i]
	case in.null(r):
		return value{null: true}
	}
	return value{raw: in.raw(r)}
}

func (c *codec) fillAbsent(rows []row, i int) {
	absent := c.absent[i]
	for _, r := range rows {
		if absent.null {
			bitutil.SetBit(r[rowHeader:], i)
		} else {
			copy(r[c.values[i].at:], absent.raw)
		}
	}
}

// encodeFixed writes one fixed-width column of all rows.
func (c *codec) encodeFixed(rows []row, i int, in *input) {
	at := c.values[i].at
	for n, r := range rows {
		if in.null(n) {
			bitutil.SetBit(r[rowHeader:], i)
			continue
		}
		copy(r[at:], in.raw(n))
	}
}

// encodeVars writes all columns of any length of one row.
func (c *codec) encodeVars(r row, columns []*input, n int) {
	at := c.start
	for i := range c.values {
		column := &c.values[i]
		if !column.kind.isVar() {
			continue
		}
		v := c.input(columns, i, n)
		if v.null {
			bitutil.SetBit(r[rowHeader:], i)
		}
		at += copy(r[at:], v.raw)
		binary.LittleEndian.PutUint32(r[c.ends+4*column.at:], uint32(at-c.start))
	}
}

// encodeKeys makes the key of each row, behind a prefix. The keys share one piece of memory. A null in a key column is
// SCHEMA_MISMATCH.
func (c *codec) encodeKeys(prefix []byte, columns []*input, n int) ([][]byte, error) {
	return encodeKeys(c.keys, prefix, columns, n)
}

func encodeKeys(keys []keyColumn, prefix []byte, columns []*input, n int) ([][]byte, error) {
	size := n * len(prefix)
	for i, in := range columns {
		size += in.size(n)
		if keys[i].code == keyText {
			size += 2 * n // their ends
		}
	}
	arena := make([]byte, 0, size)
	ends := make([]int, n)
	for r := range n {
		arena = append(arena, prefix...)
		for i := range columns {
			if columns[i].null(r) {
				return nil, quiver.Errorf(quiver.SchemaMismatch, "row %d: column %q is part of the primary key and is null", r, keys[i].field.Name).
					Advise("give every key a value")
			}
			arena = keys[i].append(arena, columns[i].raw(r))
		}
		ends[r] = len(arena)
	}
	out := make([][]byte, n)
	from := 0
	for r, end := range ends {
		out[r], from = arena[from:end:end], end
	}
	return out, nil
}
