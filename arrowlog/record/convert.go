package record

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// A step turns normal values of one type into those of another: a widening, another width of offsets, fields in
// another order, or nothing. What may become what is decided by quiver.MapInput and quiver.MapColumns; a step only
// does it, and finds the values that do not fit.
type step struct {
	from, to *slot
	kind     stepKind
	widen    widenFunc
	sources  []int // of a struct: the place in the source of each field, -1: null
	children []step
}

type stepKind uint8

const (
	stepKeep    stepKind = iota // the values are those already
	stepNull                    // nulls of another type
	stepWiden                   // fixed-width values, one by one
	stepOffsets                 // binaries with offsets of another width
	stepLists                   // lists and maps: offsets, children
	stepFixed                   // fixed-size lists: children
	stepStruct                  // structs: fields
)

// newStep plans how values of the slot from, a normal one, become values of the slot to. Fields of structs are paired
// by the key.
func newStep(from, to *slot, key fieldKey) (step, error) {
	s := step{from: from, to: to}
	switch {
	case from.kind == kindNull && to.kind != kindNull:
		s.kind = stepNull
		return s, nil
	case to.kind == kindBool && from.kind == kindBool, to.kind == kindNull && from.kind == kindNull:
		return s, nil
	case to.kind == kindFixed && from.kind == kindFixed:
		if s.widen = widening(storage(from.typ), storage(to.typ)); s.widen != nil {
			s.kind = stepWiden
			return s, nil
		}
		if from.width == to.width {
			return s, nil
		}
	case to.kind == kindBinary32 || to.kind == kindBinary64:
		if from.kind == to.kind {
			return s, nil
		}
		if from.kind == kindBinary32 || from.kind == kindBinary64 {
			s.kind = stepOffsets
			return s, nil
		}
	case to.kind == kindStruct && from.kind == kindStruct:
		return s.nested(stepStruct, s.pair(key))
	case to.kind == kindFixedList && from.kind == kindFixedList && from.width == to.width:
		return s.nested(stepFixed, s.descend(key))
	case to.kind == kindMap && from.kind == kindMap:
		return s.nested(stepLists, s.descendMap(key))
	case (to.kind == kindList32 || to.kind == kindList64) && (from.kind == kindList32 || from.kind == kindList64):
		return s.nested(stepLists, s.descend(key))
	}
	return s, to.fail(quiver.SchemaMismatch, "it is %s, the table has %s", quiver.FormatType(from.typ), quiver.FormatType(to.typ))
}

// nested finishes the step of a nested type: there is nothing to do where nothing is to be done below it.
func (s step) nested(kind stepKind, err error) (step, error) {
	if err != nil {
		return s, err
	}
	nothing := s.from.kind == s.to.kind && len(s.from.children) == len(s.children)
	for i := range s.children {
		c := &s.children[i]
		nothing = nothing && c.kind == stepKeep && (c.to.nullable || !c.from.nullable) && (s.sources == nil || s.sources[i] == i)
	}
	if !nothing {
		s.kind = kind
	}
	return s, nil
}

// descend plans the one child.
func (s *step) descend(key fieldKey) error {
	child, err := newStep(&s.from.children[0], &s.to.children[0], key)
	s.children = []step{child}
	return err
}

// descendMap plans the entries of a map, whose key and value go by their place.
func (s *step) descendMap(key fieldKey) error {
	entries := step{from: &s.from.children[0], to: &s.to.children[0], sources: []int{0, 1}, children: make([]step, 2)}
	for i := range entries.children {
		var err error
		if entries.children[i], err = newStep(&entries.from.children[i], &entries.to.children[i], key); err != nil {
			return err
		}
	}
	child, err := entries.nested(stepStruct, nil)
	s.children = []step{child}
	return err
}

// pair plans the fields of a struct.
func (s *step) pair(key fieldKey) error {
	from, to := storage(s.from.typ).(*arrow.StructType).Fields(), storage(s.to.typ).(*arrow.StructType).Fields()
	places := make(map[string]int, len(from))
	for i, f := range from {
		places[key(f)] = i
	}
	s.sources, s.children = make([]int, len(to)), make([]step, len(to))
	for i, f := range to {
		at, ok := places[key(f)]
		if !ok {
			s.sources[i] = -1
			s.children[i] = step{to: &s.to.children[i], kind: stepNull}
			continue
		}
		var err error
		s.sources[i] = at
		if s.children[i], err = newStep(&s.from.children[at], &s.to.children[i], key); err != nil {
			return err
		}
	}
	return nil
}

// convert applies a step to values. Nulls in a required column are refused, nested ones unless their parent is null.
func (h *shaper) convert(s *step, v values) (values, error) {
	switch s.kind {
	case stepKeep:
		return v, nil
	case stepNull:
		return h.nulls(s.to, v.length)
	case stepStruct:
		return h.convertStruct(s, v)
	case stepFixed:
		inner, err := h.convert(&s.children[0], v.children[0].sliced(v.off*s.to.width, (v.off+v.length)*s.to.width))
		if err != nil {
			return values{}, err
		}
		out, err := h.withValidity(&v)
		if err != nil {
			return values{}, err
		}
		out.children = []values{inner}
		return out, s.to.children[0].excused(&inner, &out, s.to.width)
	case stepLists:
		return h.convertLists(s, v)
	}
	out, err := h.withValidity(&v)
	if err != nil {
		return values{}, err
	}
	if s.kind == stepOffsets {
		return h.convertOffsets(s, v, out)
	}
	if out.buffers[1], err = h.take(int64(v.length) * int64(s.to.width)); err != nil {
		return values{}, err
	}
	src := v.buffers[1][v.off*s.from.width : (v.off+v.length)*s.from.width]
	if at := s.widen(out.buffers[1], src, out.buffers[0]); at >= 0 {
		return values{}, s.to.fail(quiver.SchemaMismatch, "row %d does not fit from %s into %s without losing digits",
			at, quiver.FormatType(s.from.typ), quiver.FormatType(s.to.typ))
	}
	return out, nil
}

func (h *shaper) convertStruct(s *step, v values) (values, error) {
	out, err := h.withValidity(&v)
	if err != nil {
		return values{}, err
	}
	out.children = make([]values, len(s.children))
	for i := range s.children {
		inner := values{length: v.length, nulls: v.length}
		if at := s.sources[i]; at >= 0 {
			inner = v.children[at].sliced(v.off, v.off+v.length)
		}
		if out.children[i], err = h.convert(&s.children[i], inner); err != nil {
			return values{}, err
		}
		if err := s.to.children[i].excused(&out.children[i], &out, 1); err != nil {
			return values{}, err
		}
	}
	return out, nil
}

// excused checks that a required child is null only where its parent is; the parent has width child values each.
func (s *slot) excused(child, parent *values, width int) error {
	if s.nullable || child.countNulls() == 0 {
		return nil
	}
	for i := range child.length {
		if child.isNull(i) && (parent.nulls == 0 || !parent.isNull(i/width)) {
			return s.fail(quiver.SchemaMismatch, "value %d is null in a required column", i)
		}
	}
	return nil
}

func (h *shaper) convertLists(s *step, v values) (values, error) {
	first, last := v.bounds(s.from.kind.wide())
	inner, err := h.convert(&s.children[0], v.children[0].sliced(first, last))
	if err != nil {
		return values{}, err
	}
	if err := s.to.children[0].excused(&inner, &values{}, 1); err != nil {
		return values{}, err
	}
	out, err := h.withValidity(&v)
	if err != nil {
		return values{}, err
	}
	out.children = []values{inner}
	out.buffers[1], err = h.offsets(s, &v, first)
	return out, err
}

func (h *shaper) convertOffsets(s *step, v, out values) (values, error) {
	first, last := v.bounds(s.from.kind.wide())
	var err error
	out.buffers[1], err = h.offsets(s, &v, first)
	out.buffers[2] = v.buffers[2][first:last]
	return out, err
}

// offsets are the offsets of the values, less the first, in the width that the step leads to.
func (h *shaper) offsets(s *step, v *values, first int) ([]byte, error) {
	width := 4
	if s.to.kind.wide() {
		width = 8
	}
	dst, err := h.take(int64(v.length+1) * int64(width))
	if err != nil {
		return nil, err
	}
	wide := s.from.kind.wide()
	for i := range v.length {
		_, until := v.item(i, wide)
		if until -= first; until > math.MaxInt32 && width == 4 {
			return nil, s.to.tooLong(int64(until))
		}
		storeIndex(dst, i+1, width, int64(until))
	}
	return dst, nil
}

// nulls is n nulls of the slot. Below a null a required column is not null: it holds zeros.
func (h *shaper) nulls(s *slot, n int) (values, error) { return h.blank(s, n, true) }

func (h *shaper) blank(s *slot, n int, null bool) (v values, err error) {
	v.length = n
	if s.kind == kindNull {
		v.nulls = n
		return v, nil
	}
	if null && n > 0 {
		v.nulls = n
		if v.buffers[0], err = h.take(bitBytes(n)); err != nil {
			return v, err
		}
	}
	children := n
	switch s.kind {
	case kindBool:
		v.buffers[1], err = h.take(bitBytes(n))
	case kindFixed:
		v.buffers[1], err = h.take(int64(n) * int64(s.width))
	case kindBinary32, kindList32, kindMap:
		v.buffers[1], err = h.take(int64(n+1) * 4)
		children = 0
	case kindBinary64, kindList64:
		v.buffers[1], err = h.take(int64(n+1) * 8)
		children = 0
	case kindFixedList:
		if s.width > 0 && n > math.MaxInt32/s.width {
			return v, s.tooLong(math.MaxInt64)
		}
		children = n * s.width
	}
	for i := 0; i < len(s.children) && err == nil; i++ {
		var c values
		c, err = h.blank(&s.children[i], children, s.children[i].nullable)
		v.children = append(v.children, c)
	}
	return v, err
}

// repeated is n times one value, the first of v.
func (h *shaper) repeated(s *slot, v values, n int) (values, error) {
	picks, err := h.picks(n) // all are 0
	if err != nil {
		return values{}, err
	}
	return h.gather(s, v, picks)
}

// widenFunc converts fixed-width values. It returns the place of the first one that does not fit, -1 if all do; what
// is null in the bitmap (which may be nil) fits.
type widenFunc func(dst, src, valid []byte) int

// widening is the function from one fixed-width type to another, nil where the bytes are the same (or there is none).
func widening(from, to arrow.DataType) widenFunc {
	switch to := to.(type) {
	case *arrow.TimestampType:
		if f, ok := from.(*arrow.TimestampType); ok && f.Unit != to.Unit {
			return rescale(f.Unit, to.Unit)
		}
		return nil
	case *arrow.Decimal256Type:
		if from.ID() == arrow.DECIMAL128 {
			return widenDecimal
		}
		return nil
	}
	if from.ID() == to.ID() {
		return nil
	}
	switch to.ID() {
	case arrow.INT16:
		return widenTo[int16](from)
	case arrow.INT32:
		return widenTo[int32](from)
	case arrow.INT64:
		return widenTo[int64](from)
	case arrow.UINT16:
		return widenTo[uint16](from)
	case arrow.UINT32:
		return widenTo[uint32](from)
	case arrow.UINT64:
		return widenTo[uint64](from)
	case arrow.FLOAT64:
		return widenTo[float64](from)
	}
	return nil
}

type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// widenTo is the function from a number type to a larger one.
func widenTo[T number](from arrow.DataType) widenFunc {
	switch from.ID() {
	case arrow.INT8:
		return widen[T, int8]
	case arrow.INT16:
		return widen[T, int16]
	case arrow.INT32:
		return widen[T, int32]
	case arrow.UINT8:
		return widen[T, uint8]
	case arrow.UINT16:
		return widen[T, uint16]
	case arrow.UINT32:
		return widen[T, uint32]
	case arrow.FLOAT32:
		return widen[T, float32]
	}
	return nil
}

func widen[T, F number](dst, src, _ []byte) int {
	to, from := cast[T](dst), cast[F](src)
	for i, x := range from {
		to[i] = T(x)
	}
	return -1
}

// rescale is the function between two units of time.
func rescale(from, to arrow.TimeUnit) widenFunc {
	factor, finer := int64(1), from < to
	for u := min(from, to); u < max(from, to); u++ {
		factor *= 1000
	}
	return func(dst, src, valid []byte) int {
		out, in := cast[int64](dst), cast[int64](src)
		for i, x := range in {
			switch {
			case !bit(valid, int64(i)):
			case finer:
				if out[i] = x * factor; out[i]/factor != x {
					return i
				}
			default:
				if out[i] = x / factor; out[i]*factor != x {
					return i
				}
			}
		}
		return -1
	}
}

// widenDecimal extends the sign of 128-bit integers to 256 bits.
func widenDecimal(dst, src, _ []byte) int {
	for ; len(src) >= 16; src, dst = src[16:], dst[32:] {
		copy(dst, src[:16])
		sign := uint64(int64(binary.LittleEndian.Uint64(src[8:])) >> 63)
		binary.LittleEndian.PutUint64(dst[16:], sign)
		binary.LittleEndian.PutUint64(dst[24:], sign)
	}
	return -1
}

// requiredNull is the error for a null at a row of a required column.
func (s *slot) requiredNull(row int) error {
	return quiver.Errorf(quiver.SchemaMismatch, "row %d is null in a required column", row).
		On("column " + strconv.Quote(s.name)).Advise("leave those rows out, or give the column a value")
}
