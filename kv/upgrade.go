package kv

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// upgrade brings rows of one schema up to another one of the same table, by column id: a column that was added has its
// default or is null, one that was dropped is gone, one that was widened is widened. It also goes the other way, for
// readers that began under an older schema.
type upgrade struct {
	from, to *codec
	steps    []upgradeStep // of each value column of to
	back     bool          // to an older schema: what is not there was dropped
}

// upgradeStep makes the values of one column.
type upgradeStep struct {
	source  int     // the number among from's values; -1: there is none
	convert convert // nil: the bytes are the same
}

// convert turns one value into one of another type.
type convert func(raw []byte) ([]byte, error)

func newUpgrade(from, to *codec) (*upgrade, error) {
	u := &upgrade{from: from, to: to, steps: make([]upgradeStep, len(to.values)), back: from.schema.ID() > to.schema.ID()}
	for i := range to.values {
		id := to.schema.Columns()[to.values[i].place].ID
		u.steps[i].source = -1
		place := from.schema.Index(id)
		if place < 0 {
			continue
		}
		u.steps[i].source = from.ofVal[place]
		if u.steps[i].source < 0 {
			return nil, quiver.Errorf(quiver.Internal, "kv: column %d was part of the primary key and is not any more", id)
		}
		var err error
		u.steps[i].convert, err = newConvert(from.values[u.steps[i].source].field, to.values[i].field)
		if err != nil {
			return nil, err
		}
	}
	return u, nil
}

// row brings one row up.
func (u *upgrade) row(r row) (row, error) {
	var failed error
	up := u.to.compose(func(i int) value {
		step := &u.steps[i]
		switch {
		case step.source >= 0:
		case u.back:
			return value{null: true}
		default:
			return u.to.absent[i]
		}
		v := u.from.get(r, step.source)
		if v.null || step.convert == nil {
			return v
		}
		raw, err := step.convert(v.raw)
		if err != nil {
			failed = err
		}
		return value{raw: raw}
	})
	up.setOffset(r.offset())
	return up, failed
}

// newConvert plans how the values of a column become those of another type; nil if there is nothing to do.
func newConvert(from, to arrow.Field) (convert, error) {
	if quiver.FormatType(from.Type) == quiver.FormatType(to.Type) && !nestedDiffers(from.Type, to.Type) {
		return nil, nil
	}
	if from.Type.ID() == arrow.NULL {
		return nil, nil // nothing but nulls
	}
	if k, _ := kindOf(to.Type); k != kindNested {
		return newWiden(from.Type, to.Type)
	}
	t, err := newTranscoder(from.Type, to.Type)
	if err != nil {
		return nil, err
	}
	return func(raw []byte) ([]byte, error) {
		d := nestedDecoder{rest: raw}
		out := t.value(&d, nil)
		return out, d.end()
	}, nil
}

// nestedDiffers says that two types of one text have other fields all the same: one that was dropped and made anew.
func nestedDiffers(from, to arrow.DataType) bool {
	a, b := childrenOf(from), childrenOf(to)
	if len(a) != len(b) {
		return true
	}
	for i := range a {
		before, _ := quiver.FieldID(a[i])
		after, _ := quiver.FieldID(b[i])
		if before != after || nestedDiffers(a[i].Type, b[i].Type) {
			return true
		}
	}
	return false
}

// childrenOf gives the fields below a nested type, of a map its key and value.
func childrenOf(dt arrow.DataType) []arrow.Field {
	switch t := dt.(type) {
	case *arrow.MapType:
		return []arrow.Field{t.KeyField(), t.ItemField()}
	case arrow.NestedType:
		return t.Fields()
	}
	return nil
}

// newWiden plans the widening of a flat type.
func newWiden(from, to arrow.DataType) (convert, error) {
	_, width := kindOf(to)
	a, b := from.ID(), to.ID()
	switch {
	case narrower(from, to):
		return nil, typeChanged(from, to)
	case a == arrow.TIMESTAMP && b == arrow.TIMESTAMP:
		return newFiner(from.(*arrow.TimestampType).Unit, to.(*arrow.TimestampType).Unit), nil
	case a == b: // a larger precision of a decimal, another name of a zone
		return nil, nil
	case a == arrow.FLOAT32 && b == arrow.FLOAT64:
		return func(raw []byte) ([]byte, error) { return float64Bytes(float64(float32Of(raw))), nil }, nil
	case b == arrow.FLOAT64 && arrow.IsUnsignedInteger(a):
		return func(raw []byte) ([]byte, error) { return float64Bytes(float64(unsigned(raw))), nil }, nil
	case b == arrow.FLOAT64 && arrow.IsInteger(a):
		return func(raw []byte) ([]byte, error) { return float64Bytes(float64(signed(raw))), nil }, nil
	case arrow.IsInteger(b) && arrow.IsUnsignedInteger(a):
		return func(raw []byte) ([]byte, error) { return putInteger(unsigned(raw), width), nil }, nil
	case arrow.IsInteger(b) && arrow.IsInteger(a):
		return func(raw []byte) ([]byte, error) { return putInteger(uint64(signed(raw)), width), nil }, nil
	case a == arrow.DECIMAL128 && b == arrow.DECIMAL256:
		return widenDecimal, nil
	case isText(a) && isText(b), isBinary(a) && isBinary(b):
		return nil, nil
	}
	return nil, typeChanged(from, to)
}

// typeChanged is the error of a reader that began before a column got another type.
func typeChanged(from, to arrow.DataType) error {
	return quiver.Errorf(quiver.SchemaChanged, "a column is %s by now, and is read as %s", quiver.FormatType(from), quiver.FormatType(to)).
		Advise("read again")
}

// narrower says that a type of the same kind cannot hold all values: it is that of an older schema.
func narrower(from, to arrow.DataType) bool {
	switch to := to.(type) {
	case *arrow.TimestampType:
		f, ok := from.(*arrow.TimestampType)
		return ok && to.Unit.Multiplier() > f.Unit.Multiplier()
	case arrow.DecimalType:
		f, ok := from.(arrow.DecimalType)
		return ok && f.GetPrecision() > to.GetPrecision()
	}
	if arrow.IsInteger(from.ID()) && arrow.IsInteger(to.ID()) {
		_, before := kindOf(from)
		_, after := kindOf(to)
		return before > after
	}
	return false
}

// newFiner plans how timestamps of one unit become those of a finer one; nil if the units are the same.
func newFiner(from, to arrow.TimeUnit) convert {
	if from == to {
		return nil
	}
	factor := int64(from.Multiplier() / to.Multiplier())
	return func(raw []byte) ([]byte, error) {
		v, ok := multiplyInt(signed(raw), factor)
		if !ok {
			return nil, quiver.Errorf(quiver.SchemaChanged, "a timestamp that was stored in %s does not fit into %s", from, to)
		}
		return putInteger(uint64(v), len(raw)), nil
	}
}

func isText(id arrow.Type) bool   { return id == arrow.STRING || id == arrow.LARGE_STRING }
func isBinary(id arrow.Type) bool { return id == arrow.BINARY || id == arrow.LARGE_BINARY }

func float64Bytes(v float64) []byte { return putInteger(math.Float64bits(v), 8) }

// widenDecimal repeats the sign.
func widenDecimal(raw []byte) ([]byte, error) {
	wide := make([]byte, 32)
	copy(wide, raw)
	if raw[15]&0x80 != 0 {
		for i := 16; i < 32; i++ {
			wide[i] = 0xff
		}
	}
	return wide, nil
}

// transcoder rewrites nested values, as appendNested writes them, from one type to another.
type transcoder struct {
	from, to arrow.DataType
	widen    convert      // of flat values; nil: none
	children []transcoder // of each field of to; those of structs by sources
	sources  []int        // of structs: the place of each field in from, -1: null
}

func newTranscoder(from, to arrow.DataType) (transcoder, error) {
	t := transcoder{from: from, to: to}
	var err error
	if from.ID() == arrow.NULL {
		return t, nil
	}
	targets, sources := childrenOf(to), childrenOf(from)
	if len(targets) == 0 {
		t.widen, err = newWiden(from, to)
		return t, err
	}
	_, isStruct := to.(*arrow.StructType)
	for i, f := range targets {
		source := i
		if isStruct {
			source = sourceOf(sources, f)
		}
		var child transcoder
		if source >= 0 {
			child, err = newTranscoder(sources[source].Type, f.Type)
			if err != nil {
				return t, err
			}
		}
		t.sources = append(t.sources, source)
		t.children = append(t.children, child)
	}
	return t, nil
}

// sourceOf finds a field by its id.
func sourceOf(sources []arrow.Field, f arrow.Field) int {
	want, _ := quiver.FieldID(f)
	for i := range sources {
		if id, _ := quiver.FieldID(sources[i]); id == want {
			return i
		}
	}
	return -1
}

// value reads one value and appends it in the other type.
func (t *transcoder) value(d *nestedDecoder, dst []byte) []byte {
	switch to := t.to.(type) {
	case *arrow.StructType:
		return t.fields(d, dst)
	case *arrow.FixedSizeListType:
		return t.elements(d, dst, int(to.Len()))
	case *arrow.MapType:
		n := d.count()
		dst = binary.AppendUvarint(dst, uint64(n))
		for range n {
			dst = append(dst, d.take(1)[0])
			for i := range t.children {
				dst = t.children[i].maybe(d, dst)
			}
		}
		return dst
	case arrow.ListLikeType:
		n := d.count()
		return t.elements(d, binary.AppendUvarint(dst, uint64(n)), n)
	}
	return t.flat(d, dst)
}

func (t *transcoder) elements(d *nestedDecoder, dst []byte, n int) []byte {
	for range n {
		if d.err != nil {
			break
		}
		dst = t.children[0].maybe(d, dst)
	}
	return dst
}

func (t *transcoder) maybe(d *nestedDecoder, dst []byte) []byte {
	if d.take(1)[0] == 0 || t.from.ID() == arrow.NULL { // of nulls nothing stands behind
		return append(dst, 0)
	}
	return t.value(d, append(dst, 1))
}

// fields reads a struct and appends the fields of the other one.
func (t *transcoder) fields(d *nestedDecoder, dst []byte) []byte {
	sources := childrenOf(t.from)
	spans := make([][]byte, len(sources))
	for i := range sources {
		before := d.rest
		d.skipMaybe(sources[i].Type)
		spans[i] = before[:len(before)-len(d.rest)]
	}
	if d.err != nil {
		return dst
	}
	for i, source := range t.sources {
		if source < 0 {
			dst = append(dst, 0)
			continue
		}
		inner := nestedDecoder{rest: spans[source]}
		dst = t.children[i].maybe(&inner, dst)
		if inner.end() != nil {
			d.fail()
		}
	}
	return dst
}

func (t *transcoder) flat(d *nestedDecoder, dst []byte) []byte {
	k, width := kindOf(t.from)
	if k == kindNull {
		return dst
	}
	if k.isVar() {
		width = d.count()
	}
	raw := d.take(width)
	if t.widen != nil && d.err == nil {
		var err error
		if raw, err = t.widen(raw); err != nil {
			d.err, d.rest = err, nil
		}
	}
	if k.isVar() {
		dst = binary.AppendUvarint(dst, uint64(len(raw)))
	}
	return append(dst, raw...)
}

// skip moves over one value.
func (d *nestedDecoder) skip(dt arrow.DataType) {
	switch t := dt.(type) {
	case *arrow.StructType:
		for _, f := range t.Fields() {
			d.skipMaybe(f.Type)
		}
	case *arrow.FixedSizeListType:
		for range int(t.Len()) {
			d.skipMaybe(t.Elem())
		}
	case *arrow.MapType:
		for range d.count() {
			d.take(1)
			d.skipMaybe(t.KeyType())
			d.skipMaybe(t.ItemType())
		}
	case arrow.ListLikeType:
		for range d.count() {
			d.skipMaybe(t.Elem())
		}
	default:
		k, width := kindOf(dt)
		if k.isVar() {
			width = d.count()
		}
		d.take(width)
	}
}

func (d *nestedDecoder) skipMaybe(dt arrow.DataType) {
	if d.err == nil && d.take(1)[0] != 0 {
		d.skip(dt)
	}
}
