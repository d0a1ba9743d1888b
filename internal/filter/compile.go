package filter

import (
	"cmp"
	"math"
	"math/big"
	"slices"
)

// compile makes the steps that find the rows which a predicate takes.
func compile(p predicate) step {
	switch p := p.(type) {
	case all:
		return allSteps(compileParts(joinRanges(p)))
	case some:
		return anySteps(compileParts(p))
	case test:
		return compileTest(p)
	}
	return allSteps(nil) // each and never, which Rows does not run
}

// compileParts compiles each part and puts the cheap ones first.
func compileParts(parts []predicate) []step {
	steps := make([]step, len(parts))
	for i, part := range parts {
		steps[i] = compile(part)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.cost(), b.cost()) })
	return steps
}

func compileTest(t test) step {
	switch q := t.what.(type) {
	case isNull:
		return nullStep{q.ref, t.not}
	case comparePair:
		return pairStep{q.left, q.right, q.op, t.not}
	case compareValue:
		return valueStep{q.ref, compareKernel(q, t.not)}
	case memberOf:
		return valueStep{q.ref, memberKernel(q, t.not)}
	case isLike:
		return valueStep{q.ref, bytesKernel{q.pattern, 40, t.not}}
	case within:
		return valueStep{q.ref, q.kernel(t.not)}
	}
	return allSteps(nil)
}

func compareKernel(q compareValue, not bool) kernel {
	switch q.ref.class {
	case classBool:
		return boolKernel{
			takesFalse: q.op.holds(value{class: classBool}.cmp(q.value)) != not,
			takesTrue:  q.op.holds(value{class: classBool, truth: true}.cmp(q.value)) != not,
		}
	case classText, classBytes:
		if q.op == opEqual {
			return equalKernel{[]byte(q.value.text), not}
		}
		return bytesKernel{orderTest{q.op, []byte(q.value.text)}, 15, not}
	}
	if q.ref.isFloat() {
		return compareFloatKernel(q.op, q.value.number, not)
	}
	w, _ := rangeOf(q)
	return w.kernel(not)
}

// within says that the values of a column, as they lie in memory, are in [low, high]. It is what comparisons of exact
// types with literals become, so that several of one column can be joined.
type within struct {
	ref       *ref
	low, high *big.Int // low > high: no value is
}

func (q within) refs() []*ref { return []*ref{q.ref} }

// rangeOf makes a range of the comparison of an exact column with a literal; false for other columns.
func rangeOf(q compareValue) (within, bool) {
	l, ok := layoutOf(q.ref.dt)
	if !ok {
		return within{}, false
	}
	floor, exact := q.value.number.in(l)
	low, high := l.limits()
	next := new(big.Int).Add(floor, big.NewInt(1))
	before := new(big.Int).Sub(floor, big.NewInt(1))
	switch {
	case q.op == opEqual && !exact:
		low, high = big.NewInt(1), new(big.Int)
	case q.op == opEqual:
		low, high = largest(low, floor), least(high, floor)
	case q.op == opLess && exact:
		high = least(high, before)
	case q.op == opLess, q.op == opLessEqual:
		high = least(high, floor)
	case q.op == opGreaterEqual && exact:
		low = largest(low, floor)
	default:
		low = largest(low, next)
	}
	return within{q.ref, low, high}, true
}

func least(a, b *big.Int) *big.Int {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}

func largest(a, b *big.Int) *big.Int {
	if a.Cmp(b) >= 0 {
		return a
	}
	return b
}

func (q within) kernel(not bool) kernel {
	l, _ := layoutOf(q.ref.dt)
	lowest, highest := l.limits()
	switch {
	case q.low.Cmp(q.high) > 0:
		return validKernel{take: not}
	case q.low.Cmp(lowest) <= 0 && q.high.Cmp(highest) >= 0:
		return validKernel{take: !not}
	}
	return &rangeKernel{bits: l.bits, low: bitsOf(q.low), span: bitsOf(new(big.Int).Sub(q.high, q.low)), flip: -bit(not)}
}

// bitsOf gives the two's complement of an integer between -2^255 and 2^256.
func bitsOf(n *big.Int) [4]uint64 {
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	return wideOfBig(n)
}

// joinRanges makes one range of several comparisons of one column, as in price >= 1 and price < 10.
func joinRanges(parts all) []predicate {
	joined := make([]predicate, 0, len(parts))
	places := map[*ref]int{}
	for _, p := range parts {
		t, ok := p.(test)
		q, ok2 := t.what.(compareValue)
		if !ok || !ok2 {
			joined = append(joined, p)
			continue
		}
		w, ok := rangeOf(q.positive(t.not))
		if !ok || t.not && q.op == opEqual {
			joined = append(joined, p)
		} else if i, ok := places[q.ref]; ok {
			before := joined[i].(test).what.(within)
			joined[i] = test{what: within{q.ref, largest(before.low, w.low), least(before.high, w.high)}}
		} else {
			places[q.ref] = len(joined)
			joined = append(joined, test{what: w})
		}
	}
	return joined
}

// positive gives the comparison that is true where this one negated is, of values that are all ordered.
func (q compareValue) positive(not bool) compareValue {
	if not && q.op != opEqual {
		q.op = [...]op{opLess: opGreaterEqual, opLessEqual: opGreater, opGreater: opLessEqual, opGreaterEqual: opLess}[q.op]
	}
	return q
}

// compareFloatKernel compares floats with a number, of which the double beside it stands for it if it is none itself.
func compareFloatKernel(o op, n number, not bool) kernel {
	low, high, exact := doublesAt(n)
	flip := -bit(not)
	switch {
	case exact:
		return floatKernel{o, low, flip}
	case o == opEqual:
		return validKernel{take: not}
	case o == opLess, o == opLessEqual:
		return floatKernel{opLessEqual, low, flip}
	}
	return floatKernel{opGreaterEqual, high, flip}
}

// doublesAt gives the greatest double that is not above a number, and the least one that is not below it.
func doublesAt(n number) (low, high float64, exact bool) {
	f := n.float
	if math.IsInf(f, 1) {
		return math.MaxFloat64, f, false
	}
	if math.IsInf(f, -1) {
		return f, -math.MaxFloat64, false
	}
	switch c := numberOf(f).cmp(n); {
	case c < 0:
		return f, math.Nextafter(f, math.Inf(1)), false
	case c > 0:
		return math.Nextafter(f, math.Inf(-1)), f, false
	}
	return f, f, true
}

func memberKernel(q memberOf, not bool) kernel {
	switch q.ref.class {
	case classBool:
		k := boolKernel{takesFalse: not, takesTrue: not}
		for _, v := range q.values {
			k.takesFalse = k.takesFalse != !v.truth
			k.takesTrue = k.takesTrue != v.truth
		}
		return k
	case classText, classBytes:
		values := make([][]byte, len(q.values))
		for i, v := range q.values {
			values[i] = []byte(v.text)
		}
		return bytesKernel{newBytesSet(values), 25, not}
	}
	if q.ref.isFloat() {
		set := make(map[float64]struct{}, len(q.values))
		for _, v := range q.values {
			if f, _, exact := doublesAt(v.number); exact {
				set[f] = struct{}{}
			}
		}
		return &floatSet{set, not}
	}
	return exactSet(q, not)
}

// exactSet holds the values that are in the type's unit and range; no other can be found.
func exactSet(q memberOf, not bool) kernel {
	l, _ := layoutOf(q.ref.dt)
	lowest, highest := l.limits()
	var small []uint64
	var large [][]byte
	for _, v := range q.values {
		n, exact := v.number.in(l)
		if !exact || n.Cmp(lowest) < 0 || n.Cmp(highest) > 0 {
			continue
		}
		w := bitsOf(n)
		if l.bits <= 64 {
			small = append(small, w[0])
		} else {
			large = append(large, littleEndian(w, l.bits/8))
		}
	}
	switch {
	case len(small) > 0:
		return newIntegerSet(l.bits, small, not)
	case len(large) > 0:
		return bytesKernel{newBytesSet(large), 25, not}
	}
	return validKernel{take: not}
}

// littleEndian writes the lowest bytes of a number as they lie in memory.
func littleEndian(words [4]uint64, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(words[i/8] >> (i % 8 * 8))
	}
	return b
}
