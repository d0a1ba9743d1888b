package filter

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/quiverlog/quiver"
)

// MayMatch says whether the condition can be true of one of some rows of which only statistics are known. False is
// certain; true is not.
//
// column gives the statistics of a top-level column, system those of a system column, false if there are none. They are in
// the Go types of the schema that the filter is bound to; a number of another type is taken by its value, anything
// else as not known. Of a column that is a struct only the number of nulls is looked at.
func (f *Filter) MayMatch(rows int64, column func(quiver.ColumnID) (quiver.ColumnStats, bool), system func(name string) (quiver.ColumnStats, bool)) bool {
	if rows <= 0 {
		return false
	}
	p := pruner{rows: rows, column: column, system: system}
	return p.may(f.predicate)
}

// pruner asks the statistics of some rows.
type pruner struct {
	rows   int64
	column func(quiver.ColumnID) (quiver.ColumnStats, bool)
	system func(name string) (quiver.ColumnStats, bool)
}

func (p *pruner) may(pred predicate) bool {
	switch pred := pred.(type) {
	case never:
		return false
	case all:
		return !slices.ContainsFunc(pred, func(part predicate) bool { return !p.may(part) })
	case some:
		return slices.ContainsFunc(pred, p.may)
	case test:
		return p.mayTest(pred)
	}
	return true
}

func (p *pruner) mayTest(t test) bool {
	if q, ok := t.what.(isNull); ok {
		nulls, known := p.nulls(q.ref)
		switch {
		case !known:
			return true
		case t.not:
			return nulls < p.rows
		}
		return nulls > 0 || len(q.ref.path) > 0
	}
	for _, r := range t.what.refs() {
		if nulls, known := p.nulls(r); known && nulls >= p.rows {
			return false
		}
	}
	switch q := t.what.(type) {
	case compareValue:
		r := p.span(q.ref)
		return t.not && r.nan || r.mayCompare(q.op, q.value, t.not)
	case memberOf:
		r := p.span(q.ref)
		return t.not && r.nan || r.mayContain(q.values, t.not)
	case comparePair:
		l, r := p.span(q.left), p.span(q.right)
		if q.left == q.right { // x = x and x <= x hold but for NaN, x < x never does
			return (q.op != opLess) != t.not || t.not && l.nan
		}
		return t.not && (l.nan || r.nan) || mayPair(l, q.op, r, t.not)
	case isLike:
		return p.span(q.ref).mayBeLike(q.pattern, t.not)
	}
	return true
}

func (p *pruner) stats(r *ref) (quiver.ColumnStats, bool) {
	if r.system != "" {
		return p.system(r.system)
	}
	return p.column(r.id)
}

// nulls counts the rows in which the top-level column is null.
func (p *pruner) nulls(r *ref) (int64, bool) {
	s, ok := p.stats(r)
	return s.Nulls, ok && s.Nulls >= 0
}

// span is what is known of the values of a column that are neither null nor NaN: they lie in [low, high].
type span struct {
	low, high *bound // nil: not known
	nan       bool   // there may be a NaN
}

// bound is an end of a span.
type bound struct {
	value
	infinite int // of a float: -1, 1; else 0
}

func (p *pruner) span(r *ref) span {
	s, ok := p.stats(r)
	if !ok || len(r.path) > 0 {
		return span{nan: r.isFloat()}
	}
	// Without bounds, a NaN that nobody counted would not be seen: there is no low and no high then.
	return span{low: boundOf(s.Min, r), high: boundOf(s.Max, r), nan: r.isFloat() && (s.NaN || s.Min == nil || s.Max == nil)}
}

func (b *bound) cmp(v value) int {
	if b.infinite != 0 {
		return b.infinite
	}
	return b.value.cmp(v)
}

func (b *bound) cmpBound(c *bound) int {
	if b.infinite != 0 || c.infinite != 0 {
		return cmp.Compare(b.infinite, c.infinite)
	}
	return b.value.cmp(c.value)
}

// atLeast says whether every value is v or above: low >= v; false if that is not known. The others are alike.
func (s span) atLeast(v value) bool { return s.low != nil && s.low.cmp(v) >= 0 }
func (s span) above(v value) bool   { return s.low != nil && s.low.cmp(v) > 0 }
func (s span) atMost(v value) bool  { return s.high != nil && s.high.cmp(v) <= 0 }
func (s span) below(v value) bool   { return s.high != nil && s.high.cmp(v) < 0 }

func (s span) mayCompare(o op, v value, not bool) bool {
	if not && o != opEqual { // without NaN, not < is >=
		o = [...]op{opLess: opGreaterEqual, opLessEqual: opGreater, opGreater: opLessEqual, opGreaterEqual: opLess}[o]
		not = false
	}
	switch {
	case o == opEqual && not:
		return !s.atLeast(v) || !s.atMost(v)
	case o == opEqual:
		return !s.above(v) && !s.below(v)
	case o == opLess:
		return !s.atLeast(v)
	case o == opLessEqual:
		return !s.above(v)
	case o == opGreater:
		return !s.atMost(v)
	}
	return !s.below(v)
}

// mayContain looks at sorted values.
func (s span) mayContain(values []value, not bool) bool {
	first := 0
	if s.low != nil {
		first, _ = slices.BinarySearchFunc(values, s.low, func(v value, low *bound) int { return -low.cmp(v) })
	}
	if first == len(values) {
		return not
	}
	v := values[first]
	if not { // unless all rows have this value
		return !s.atLeast(v) || !s.atMost(v)
	}
	return !s.below(v)
}

// mayPair compares two columns by opEqual, opLess or opLessEqual.
func mayPair(l span, o op, r span, not bool) bool {
	switch {
	case o == opEqual && not:
		return l.low == nil || l.high == nil || r.low == nil || r.high == nil ||
			l.low.cmpBound(l.high) != 0 || r.low.cmpBound(r.high) != 0 || l.low.cmpBound(r.low) != 0
	case o == opEqual:
		return !isBelow(l, r, true) && !isBelow(r, l, true)
	case not: // not <= is >, not < is >=: r below l, or r at most l
		return !isBelow(l, r, o == opLess)
	}
	return !isBelow(r, l, o == opLessEqual)
}

// isBelow says whether every value of l is known to be below every value of r, strictly or not.
func isBelow(l, r span, strictly bool) bool {
	if l.high == nil || r.low == nil {
		return false
	}
	c := l.high.cmpBound(r.low)
	return c < 0 || c == 0 && !strictly
}

// mayBeLike compares the bounds, of which long text may be cut, with what the pattern begins with.
func (s span) mayBeLike(p *pattern, not bool) bool {
	begins := func(b *bound) bool { return b != nil && strings.HasPrefix(b.text, p.prefix) }
	if not { // no row is unlike if all texts begin alike, and the pattern asks for no more
		return !p.open || !begins(s.low) || !begins(s.high)
	}
	if s.high != nil && s.high.text < p.prefix {
		return false
	}
	return s.low == nil || s.low.text <= p.prefix || begins(s.low)
}

// boundOf reads a statistic of a column; nil if it is not known, or no bound.
func boundOf(stat any, r *ref) *bound {
	if stat == nil {
		return nil
	}
	switch s := stat.(type) {
	case bool:
		if r.class == classBool {
			return &bound{value: value{class: classBool, truth: s}}
		}
		return nil
	case string:
		return textBound(s, r)
	case []byte:
		return textBound(string(s), r)
	}
	if r.class == classNumber {
		if f, ok := floatStat(stat); ok {
			return floatBound(f)
		}
	}
	return exactBound(stat, r)
}

func textBound(s string, r *ref) *bound {
	if r.class != classText && r.class != classBytes {
		return nil
	}
	return &bound{value: value{class: r.class, text: s}}
}

func floatStat(stat any) (float64, bool) {
	switch s := stat.(type) {
	case float16.Num:
		return float64(s.Float32()), true
	case float32:
		return float64(s), true
	case float64:
		return s, true
	}
	return 0, false
}

func floatBound(f float64) *bound {
	switch {
	case math.IsNaN(f):
		return nil
	case math.IsInf(f, 0):
		return &bound{value: value{class: classNumber}, infinite: cmp.Compare(f, 0)}
	}
	return &bound{value: value{class: classNumber, number: numberOf(f)}}
}

// exactBound reads a statistic that counts units of the column's type; numbers of any integer type count ones.
func exactBound(stat any, r *ref) *bound {
	l, ok := layoutOf(r.dt)
	raw, c := integerStat(stat)
	switch {
	case raw == nil || c != classNull && c != r.class && (c != classReading || r.class != classInstant):
		return nil
	case !ok && !r.isFloat(), c == classNull && r.class != classNumber:
		return nil
	case !ok || l.bits <= 64 && r.class == classNumber:
		l = layout{factor: 1}
	}
	if _, wide := r.dt.(arrow.DecimalType); wide != isDecimal(stat) {
		return nil
	}
	return &bound{value: value{class: r.class, number: l.number(raw)}}
}

func isDecimal(stat any) bool {
	switch stat.(type) {
	case decimal128.Num, decimal256.Num:
		return true
	}
	return false
}

// integerStat gives the integer in a statistic, and the class of its Go type: classNull for plain integers,
// classReading for both kinds of timestamps.
func integerStat(stat any) (*big.Int, class) {
	switch s := stat.(type) {
	case int8:
		return big.NewInt(int64(s)), classNull
	case int16:
		return big.NewInt(int64(s)), classNull
	case int32:
		return big.NewInt(int64(s)), classNull
	case int64:
		return big.NewInt(s), classNull
	case uint8:
		return big.NewInt(int64(s)), classNull
	case uint16:
		return big.NewInt(int64(s)), classNull
	case uint32:
		return big.NewInt(int64(s)), classNull
	case uint64:
		return new(big.Int).SetUint64(s), classNull
	case decimal128.Num:
		return s.BigInt(), classNumber
	case decimal256.Num:
		return s.BigInt(), classNumber
	case arrow.Date32:
		return big.NewInt(int64(s)), classDate
	case arrow.Date64:
		return big.NewInt(int64(s)), classDate
	case arrow.Time32:
		return big.NewInt(int64(s)), classTime
	case arrow.Time64:
		return big.NewInt(int64(s)), classTime
	case arrow.Timestamp:
		return big.NewInt(int64(s)), classReading
	case arrow.Duration:
		return big.NewInt(int64(s)), classDuration
	}
	return nil, classNull
}
