package filter

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// pairStep compares two columns in the rows in which neither is null.
type pairStep struct {
	left, right *ref
	op          op // opEqual, opLess or opLessEqual
	not         bool
}

func (s pairStep) cost() int { return 12 }

func (s pairStep) narrow(r *run, sel selection) {
	left, leftRow := s.left.distinct(r.valid(s.left, sel))
	right, rightRow := s.right.distinct(r.valid(s.right, sel))
	plain := left.Len() == right.Len() && !s.left.encoded(r.rec.Column(s.left.place)) && !s.right.encoded(r.rec.Column(s.right.place))
	if plain && s.narrowSame(left, right, sel) {
		return
	}
	compare := s.comparer(left, right)
	sel.each(func(row int) bool {
		c, ordered := compare(leftRow(row), rightRow(row))
		return (ordered && s.op.holds(c)) != s.not
	})
}

// narrowSame compares columns whose values lie in memory alike, without a call for each row; false if they do not.
func (s pairStep) narrowSame(left, right arrow.Array, sel selection) bool {
	l, ok := layoutOf(s.left.dt)
	r, ok2 := layoutOf(s.right.dt)
	switch {
	case s.left.dt.ID() == arrow.FLOAT64 && s.right.dt.ID() == arrow.FLOAT64:
		narrowPair(sel, raw[float64](left), raw[float64](right), s)
	case s.left.dt.ID() == arrow.FLOAT32 && s.right.dt.ID() == arrow.FLOAT32:
		narrowPair(sel, raw[float32](left), raw[float32](right), s)
	case !ok || !ok2 || l != r:
		return false
	case l.bits == 64 && l.signed:
		narrowPair(sel, raw[int64](left), raw[int64](right), s)
	case l.bits == 32 && l.signed:
		narrowPair(sel, raw[int32](left), raw[int32](right), s)
	default:
		return false
	}
	return true
}

func narrowPair[T int32 | int64 | float32 | float64](sel selection, left, right []T, s pairStep) {
	flip := -bit(s.not)
	switch s.op {
	case opEqual:
		sel.words(flip, len(left), func(row int) uint64 { return bit(left[row] == right[row]) })
	case opLess:
		sel.words(flip, len(left), func(row int) uint64 { return bit(left[row] < right[row]) })
	default:
		sel.words(flip, len(left), func(row int) uint64 { return bit(left[row] <= right[row]) })
	}
}

// comparer compares a value of one column with one of another; not ordered: one is NaN.
func (s pairStep) comparer(left, right arrow.Array) func(i, j int) (cmp int, ordered bool) {
	switch s.left.class {
	case classBool:
		l, r := boolAt(left), boolAt(right)
		return func(i, j int) (int, bool) { return truthNumber(l(i)) - truthNumber(r(j)), true }
	case classText, classBytes:
		l, r := bytesAt(left), bytesAt(right)
		return func(i, j int) (int, bool) { return bytes.Compare(l(i), r(j)), true }
	}
	l, leftExact := layoutOf(s.left.dt)
	r, rightExact := layoutOf(s.right.dt)
	switch {
	case leftExact && rightExact:
		return compareExact(wideAt(left, l), l, wideAt(right, r), r)
	case leftExact:
		compare := compareFloat(floatAt(right), wideAt(left, l), l)
		return func(i, j int) (int, bool) {
			c, ordered := compare(j, i)
			return -c, ordered
		}
	case rightExact:
		return compareFloat(floatAt(left), wideAt(right, r), r)
	}
	a, b := floatAt(left), floatAt(right)
	return func(i, j int) (int, bool) { return compareFloats(a(i), b(j)) }
}

func boolAt(values arrow.Array) func(row int) bool {
	all, offset := bitmap(values), values.Data().Offset()
	return func(row int) bool { return all[(offset+row)/8]>>((offset+row)%8)&1 == 1 }
}

func compareFloats(a, b float64) (int, bool) {
	switch {
	case a < b:
		return -1, true
	case a > b:
		return 1, true
	}
	return 0, a == b
}

// compareExact compares in the finer unit of the two. At most one side is multiplied, so if its product does not
// fit, it is beyond the other side, to the side of its sign.
func compareExact(left func(int) wide, l layout, right func(int) wide, r layout) func(i, j int) (int, bool) {
	leftTimes, rightTimes := commonUnit(l, r)
	leftShort, ok := leftTimes.short()
	rightShort, ok2 := rightTimes.short()
	short := ok && ok2
	return func(i, j int) (int, bool) {
		x, y := left(i), right(j)
		xShort, ok := x.short()
		yShort, ok2 := y.short()
		if short && ok && ok2 {
			return compareProducts(xShort, leftShort, yShort, rightShort), true
		}
		a, fits := x.times(leftTimes)
		if !fits {
			return x.sign(), true
		}
		b, fits := y.times(rightTimes)
		if !fits {
			return -y.sign(), true
		}
		return a.cmp(b), true
	}
}

// compareProducts compares a*b with c*d.
func compareProducts(a, b, c, d int64) int {
	high, low := product(a, b)
	high2, low2 := product(c, d)
	if high != high2 {
		return compare(high, high2)
	}
	return compare(low, low2)
}

// product multiplies to 128 bits in two's complement.
func product(a, b int64) (high int64, low uint64) {
	h, l := bits.Mul64(uint64(a), uint64(b))
	return int64(h) - a>>63&b - b>>63&a, l
}

// commonUnit gives what to multiply two columns with, so that both count the same.
func commonUnit(l, r layout) (left, right wide) {
	common := max(l.scale, r.scale)
	a := new(big.Int).Mul(powerOfTen(common-l.scale), big.NewInt(l.factor))
	b := new(big.Int).Mul(powerOfTen(common-r.scale), big.NewInt(r.factor))
	divisor := new(big.Int).GCD(nil, nil, a, b)
	return wideOfBig(a.Div(a, divisor)), wideOfBig(b.Div(b, divisor))
}

// compareFloat compares a float with an exact number by value. Where the doubles next to both lie apart, these
// decide; else the numbers are written out.
func compareFloat(float func(int) float64, exact func(int) wide, l layout) func(i, j int) (int, bool) {
	const apart = 1e-12 // far above the error of wide.float and the power of ten, relative to the larger one
	unit := math.Pow10(l.scale)
	plain := l.scale == 0
	return func(i, j int) (int, bool) {
		f, w := float(i), exact(j)
		if n, ok := w.short(); ok && plain && math.Abs(f) < 1<<63 {
			return compareInteger(f, n), true
		}
		near := w.float() / unit
		switch {
		case math.IsNaN(f):
			return 0, false
		case math.IsInf(f, 1):
			return 1, true
		case math.IsInf(f, -1):
			return -1, true
		case math.Abs(f-near) > apart*max(math.Abs(f), math.Abs(near)):
			return compareFloats(f, near)
		}
		return numberOf(f).cmp(l.number(w.big())), true
	}
}

// compareInteger compares a float below 2^63 with an integer.
func compareInteger(f float64, n int64) int {
	whole := int64(f) // without what is behind the point
	if whole != n {
		return compare(whole, n)
	}
	c, _ := compareFloats(f, float64(whole))
	return c
}
