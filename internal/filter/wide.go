package filter

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// wide is an integer of 256 bits in two's complement, the lowest word first.
type wide [4]uint64

func wideOf(n int64) wide {
	sign := uint64(n >> 63)
	return wide{uint64(n), sign, sign, sign}
}

// wideOfBig gives an integer that fits.
func wideOfBig(n *big.Int) wide {
	var w wide
	abs := new(big.Int).Abs(n)
	for i := range w {
		w[i] = new(big.Int).And(new(big.Int).Rsh(abs, uint(64*i)), new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	}
	if n.Sign() < 0 {
		return w.negative()
	}
	return w
}

func (w wide) big() *big.Int {
	abs := w
	if w.sign() < 0 {
		abs = w.negative()
	}
	n := new(big.Int)
	for i := 3; i >= 0; i-- {
		n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(abs[i]))
	}
	if w.sign() < 0 {
		n.Neg(n)
	}
	return n
}

func (w wide) sign() int {
	switch {
	case int64(w[3]) < 0:
		return -1
	case w == wide{}:
		return 0
	}
	return 1
}

func (w wide) negative() wide {
	var borrow uint64
	var n wide
	for i := range w {
		n[i], borrow = bits.Sub64(0, w[i], borrow)
	}
	return n
}

func (w wide) cmp(v wide) int {
	if w[3] != v[3] {
		return compare(int64(w[3]), int64(v[3]))
	}
	for i := 2; i >= 0; i-- {
		if w[i] != v[i] {
			return compare(w[i], v[i])
		}
	}
	return 0
}

func compare[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// times multiplies by a positive number. Where the product does not fit it says so: its absolute value is then
// beyond that of every number that does.
func (w wide) times(m wide) (product wide, fits bool) {
	if m == (wide{1}) {
		return w, true
	}
	a := w
	if w.sign() < 0 {
		a = w.negative()
	}
	for i := range a {
		var carry uint64
		for j := range m {
			high, low := bits.Mul64(a[i], m[j])
			if i+j > 3 {
				if high|low != 0 {
					return wide{}, false
				}
				continue
			}
			var c uint64
			low, c = bits.Add64(low, carry, 0)
			high += c
			product[i+j], c = bits.Add64(product[i+j], low, 0)
			carry = high + c
		}
		if carry != 0 {
			return wide{}, false
		}
	}
	if int64(product[3]) < 0 {
		return wide{}, false
	}
	if w.sign() < 0 {
		product = product.negative()
	}
	return product, true
}

// short gives the number if it fits 64 bits.
func (w wide) short() (int64, bool) {
	sign := uint64(int64(w[0]) >> 63)
	return int64(w[0]), w[1] == sign && w[2] == sign && w[3] == sign
}

// float gives the number with an error of a few units in the last place.
func (w wide) float() float64 {
	abs := w
	if w.sign() < 0 {
		abs = w.negative()
	}
	f := 0.0
	for i := 3; i >= 0; i-- {
		f = f*(1<<64) + float64(abs[i])
	}
	if w.sign() < 0 {
		return -f
	}
	return f
}

// wideAt gives access to the values of a column of an exact type as they lie in memory.
func wideAt(values arrow.Array, l layout) func(row int) wide {
	switch l.bits {
	case 128:
		v := raw[[2]uint64](values)
		return func(row int) wide {
			sign := uint64(int64(v[row][1]) >> 63)
			return wide{v[row][0], v[row][1], sign, sign}
		}
	case 256:
		v := raw[[4]uint64](values)
		return func(row int) wide { return v[row] }
	}
	at := integerAt(values, l)
	if l.bits == 64 && !l.signed {
		return func(row int) wide { return wide{uint64(at(row))} }
	}
	return func(row int) wide { return wideOf(at(row)) }
}

// integerAt gives access to integers of up to 64 bits; those of an unsigned 64-bit type by their bits.
func integerAt(values arrow.Array, l layout) func(row int) int64 {
	switch {
	case l.bits == 8 && l.signed:
		return integers(raw[int8](values))
	case l.bits == 8:
		return integers(raw[uint8](values))
	case l.bits == 16 && l.signed:
		return integers(raw[int16](values))
	case l.bits == 16:
		return integers(raw[uint16](values))
	case l.bits == 32 && l.signed:
		return integers(raw[int32](values))
	case l.bits == 32:
		return integers(raw[uint32](values))
	}
	return integers(raw[int64](values))
}

func integers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](v []T) func(row int) int64 {
	return func(row int) int64 { return int64(v[row]) }
}

// floatAt gives access to the values of a column of floats.
func floatAt(values arrow.Array) func(row int) float64 {
	switch v := values.(type) {
	case *array.Float16:
		return func(row int) float64 { return float64(v.Value(row).Float32()) }
	case *array.Float32:
		return func(row int) float64 { return float64(v.Value(row)) }
	}
	v := raw[float64](values)
	return func(row int) float64 { return v[row] }
}
