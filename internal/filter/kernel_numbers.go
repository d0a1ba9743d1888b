package filter

import (
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// rangeKernel takes values in [low, high], or with flip those outside. Every comparison of an exact type with a
// literal is one, since the literal can be rounded to the type's unit: price > 1.5 is price in [2, most].
//
// It needs one comparison, since low <= v && v <= high is v-low <= high-low in unsigned numbers, for signed types too.
type rangeKernel struct {
	bits      int
	low, span [4]uint64 // two's complement, the lowest word first; high - low
	flip      uint64    // 0 or all ones
}

func (k *rangeKernel) cost() int { return 1 + k.bits/64 }

func (k *rangeKernel) narrow(values arrow.Array, sel selection) {
	switch k.bits {
	case 8:
		narrowRange(sel, raw[uint8](values), uint8(k.low[0]), uint8(k.span[0]), k.flip)
	case 16:
		narrowRange(sel, raw[uint16](values), uint16(k.low[0]), uint16(k.span[0]), k.flip)
	case 32:
		narrowRange(sel, raw[uint32](values), uint32(k.low[0]), uint32(k.span[0]), k.flip)
	case 64:
		narrowRange(sel, raw[uint64](values), k.low[0], k.span[0], k.flip)
	case 128:
		k.narrow128(raw[[2]uint64](values), sel)
	case 256:
		k.narrow256(raw[[4]uint64](values), sel)
	}
}

// raw gives the values of a fixed-width column as they lie in memory.
func raw[T any](values arrow.Array) []T {
	data := values.Data()
	b := data.Buffers()[1]
	if b == nil || b.Len() == 0 {
		return nil
	}
	var one T
	all := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b.Bytes()))), b.Len()/int(unsafe.Sizeof(one)))
	return all[data.Offset() : data.Offset()+data.Len()]
}

type unsigned interface {
	uint8 | uint16 | uint32 | uint64
}

func narrowRange[T unsigned](sel selection, values []T, low, span T, flip uint64) {
	for w := range sel {
		if sel[w] == 0 {
			continue
		}
		var word uint64
		if rest := values[w*64:]; len(rest) >= 64 {
			word = rangeWord((*[64]T)(rest), low, span)
		} else {
			for i, v := range rest {
				word |= bit(v-low <= span) << i
			}
		}
		sel[w] &= word ^ flip
	}
}

// rangeWord compares 64 values without a branch.
func rangeWord[T unsigned](v *[64]T, low, span T) (word uint64) {
	for i := 0; i < 64; i += 8 {
		b := bit(v[i]-low <= span) | bit(v[i+1]-low <= span)<<1 | bit(v[i+2]-low <= span)<<2 | bit(v[i+3]-low <= span)<<3 |
			bit(v[i+4]-low <= span)<<4 | bit(v[i+5]-low <= span)<<5 | bit(v[i+6]-low <= span)<<6 | bit(v[i+7]-low <= span)<<7
		word |= b << i
	}
	return word
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (k *rangeKernel) narrow128(values [][2]uint64, sel selection) {
	sel.words(k.flip, len(values), func(row int) uint64 {
		v := &values[row]
		d0, borrow := bits.Sub64(v[0], k.low[0], 0)
		d1, _ := bits.Sub64(v[1], k.low[1], borrow)
		_, borrow = bits.Sub64(k.span[0], d0, 0)
		_, borrow = bits.Sub64(k.span[1], d1, borrow)
		return 1 - borrow
	})
}

func (k *rangeKernel) narrow256(values [][4]uint64, sel selection) {
	sel.words(k.flip, len(values), func(row int) uint64 {
		v := &values[row]
		var d [4]uint64
		var borrow uint64
		for i := range d {
			d[i], borrow = bits.Sub64(v[i], k.low[i], borrow)
		}
		borrow = 0
		for i := range d {
			_, borrow = bits.Sub64(k.span[i], d[i], borrow)
		}
		return 1 - borrow
	})
}

// words narrows by a test of each row that gives 1 or 0, or with flip its opposite.
func (s selection) words(flip uint64, rows int, test func(row int) uint64) {
	for w := range s {
		if s[w] == 0 {
			continue
		}
		var word uint64
		for row := w * 64; row < min(rows, w*64+64); row++ {
			word |= test(row) << (row % 64)
		}
		s[w] &= word ^ flip
	}
}

// each narrows by a test that is asked about the selected rows only, ascending.
func (s selection) each(test func(row int) bool) {
	for w := range s {
		for rest := s[w]; rest != 0; rest &= rest - 1 {
			if at := bits.TrailingZeros64(rest); !test(w*64 + at) {
				s[w] &^= 1 << at
			}
		}
	}
}

// validKernel takes all values or none: what a comparison is that no value, or every value, of the type passes.
type validKernel struct{ take bool }

func (k validKernel) cost() int { return 0 }

func (k validKernel) narrow(_ arrow.Array, sel selection) {
	if !k.take {
		clear(sel)
	}
}

// floatKernel compares floats with a double, as IEEE 754 does: a NaN is neither below, equal to nor above anything.
// flip takes the opposite, NaN included.
type floatKernel struct {
	op    op // not opNotEqual
	value float64
	flip  uint64
}

func (k floatKernel) cost() int { return 3 }

func (k floatKernel) narrow(values arrow.Array, sel selection) {
	switch values.DataType().ID() {
	case arrow.FLOAT16:
		halves := values.(*array.Float16)
		sel.words(k.flip, halves.Len(), func(row int) uint64 {
			return bit(k.holds(float64(halves.Value(row).Float32())))
		})
	case arrow.FLOAT32:
		narrowFloats(sel, raw[float32](values), k)
	case arrow.FLOAT64:
		narrowFloats(sel, raw[float64](values), k)
	}
}

func (k floatKernel) holds(v float64) bool {
	switch k.op {
	case opEqual:
		return v == k.value
	case opLess:
		return v < k.value
	case opLessEqual:
		return v <= k.value
	case opGreater:
		return v > k.value
	}
	return v >= k.value
}

func narrowFloats[T float32 | float64](sel selection, values []T, k floatKernel) {
	for w := range sel {
		if sel[w] == 0 {
			continue
		}
		var word uint64
		if rest := values[w*64:]; len(rest) >= 64 {
			word = floatWord((*[64]T)(rest), k.op, k.value)
		} else {
			for i, v := range rest {
				word |= bit(k.holds(float64(v))) << i
			}
		}
		sel[w] &= word ^ k.flip
	}
}

// floatWord compares 64 values without a branch.
func floatWord[T float32 | float64](v *[64]T, o op, c float64) (word uint64) {
	switch o {
	case opEqual:
		for i := 0; i < 64; i += 4 {
			word |= pack(float64(v[i]) == c, float64(v[i+1]) == c, float64(v[i+2]) == c, float64(v[i+3]) == c) << i
		}
	case opLess:
		for i := 0; i < 64; i += 4 {
			word |= pack(float64(v[i]) < c, float64(v[i+1]) < c, float64(v[i+2]) < c, float64(v[i+3]) < c) << i
		}
	case opLessEqual:
		for i := 0; i < 64; i += 4 {
			word |= pack(float64(v[i]) <= c, float64(v[i+1]) <= c, float64(v[i+2]) <= c, float64(v[i+3]) <= c) << i
		}
	case opGreater:
		for i := 0; i < 64; i += 4 {
			word |= pack(float64(v[i]) > c, float64(v[i+1]) > c, float64(v[i+2]) > c, float64(v[i+3]) > c) << i
		}
	default:
		for i := 0; i < 64; i += 4 {
			word |= pack(float64(v[i]) >= c, float64(v[i+1]) >= c, float64(v[i+2]) >= c, float64(v[i+3]) >= c) << i
		}
	}
	return word
}

func pack(a, b, c, d bool) uint64 { return bit(a) | bit(b)<<1 | bit(c)<<2 | bit(d)<<3 }

// boolKernel takes true, false or both.
type boolKernel struct{ takesFalse, takesTrue bool }

func (k boolKernel) cost() int { return 1 }

func (k boolKernel) narrow(values arrow.Array, sel selection) {
	switch {
	case k.takesFalse && k.takesTrue:
	case !k.takesFalse && !k.takesTrue:
		clear(sel)
	default:
		sel.keep(bitmap(values), values.Data().Offset(), -bit(k.takesFalse))
	}
}

// bitmap gives the values of a boolean column; none if there is no value at all.
func bitmap(values arrow.Array) []byte {
	if b := values.Data().Buffers()[1]; b != nil {
		return b.Bytes()
	}
	return nil
}

// integerSet holds many integers of up to 64 bits, as they lie in memory.
type integerSet struct {
	bits int
	flip bool
	// Near ones: bit v-low, for v-low <= span.
	low, span uint64
	near      []uint64
	// Others: open addressing, each twice as many slots as values at least; 0 is an empty slot and has its own flag.
	slots []uint64
	shift uint
	zero  bool
}

const nearSpan = 1 << 16 // how far near integers lie from each other: 8 KiB of bits

// newIntegerSet makes a set of integers that are sorted as their type sorts them.
func newIntegerSet(bitWidth int, sorted []uint64, flip bool) *integerSet {
	mask := ^uint64(0) >> (64 - bitWidth)
	s := &integerSet{bits: bitWidth, flip: flip, low: sorted[0] & mask}
	s.span = (sorted[len(sorted)-1] - sorted[0]) & mask
	if s.span < nearSpan {
		s.near = make([]uint64, s.span/64+1)
		for _, v := range sorted {
			d := (v - sorted[0]) & mask
			s.near[d/64] |= 1 << (d % 64)
		}
		return s
	}
	size := bits.Len(uint(2 * len(sorted)))
	s.slots, s.shift = make([]uint64, 1<<size), uint(64-size)
	for _, v := range sorted {
		s.insert(v & mask)
	}
	return s
}

const spread = 0x9E3779B97F4A7C15 // 2^64 / the golden ratio: neighbours go far apart

func (s *integerSet) insert(v uint64) {
	if v == 0 {
		s.zero = true
		return
	}
	for i := v * spread >> s.shift; ; i = (i + 1) & uint64(len(s.slots)-1) {
		if s.slots[i] == 0 || s.slots[i] == v {
			s.slots[i] = v
			return
		}
	}
}

func (s *integerSet) has(v uint64) bool {
	if v == 0 {
		return s.zero
	}
	for i := v * spread >> s.shift; s.slots[i] != 0; i = (i + 1) & uint64(len(s.slots)-1) {
		if s.slots[i] == v {
			return true
		}
	}
	return false
}

func (s *integerSet) cost() int { return 5 }

func (s *integerSet) narrow(values arrow.Array, sel selection) {
	switch s.bits {
	case 8:
		narrowIntegers(sel, raw[uint8](values), s)
	case 16:
		narrowIntegers(sel, raw[uint16](values), s)
	case 32:
		narrowIntegers(sel, raw[uint32](values), s)
	case 64:
		narrowIntegers(sel, raw[uint64](values), s)
	}
}

func narrowIntegers[T unsigned](sel selection, values []T, s *integerSet) {
	if s.near == nil {
		sel.each(func(row int) bool { return s.has(uint64(values[row])) != s.flip })
		return
	}
	low, span, flip := T(s.low), T(s.span), -bit(s.flip)
	for w := range sel {
		if sel[w] == 0 {
			continue
		}
		var word uint64
		for i, v := range values[w*64 : min(w*64+64, len(values))] {
			if d := v - low; d <= span {
				word |= s.near[d/64] >> (d % 64) & 1 << i
			}
		}
		sel[w] &= word ^ flip
	}
}

// floatSet holds many doubles. A NaN is in none.
type floatSet struct {
	set  map[float64]struct{}
	flip bool
}

func (s *floatSet) cost() int { return 20 }

func (s *floatSet) narrow(values arrow.Array, sel selection) {
	has := func(v float64) bool {
		_, ok := s.set[v]
		return ok != s.flip
	}
	switch v := values.(type) {
	case *array.Float16:
		sel.each(func(row int) bool { return has(float64(v.Value(row).Float32())) })
	case *array.Float32:
		sel.each(func(row int) bool { return has(float64(v.Value(row))) })
	case *array.Float64:
		sel.each(func(row int) bool { return has(v.Value(row)) })
	}
}
