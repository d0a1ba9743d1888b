package filter

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// predicate is a bound condition that asks one thing only: is it true? Neither false nor null is.
//
// In three-valued logic "not" goes inwards: not (a and b) is not a or not b, with nulls too. Behind that, only tests
// are negated, and since a test is null exactly if one of its columns is, a row is taken by
//
//	all     if every part takes it
//	any     if one part takes it
//	test    if no column is null, and the test holds, or if negated does not hold
//
// which needs one bit a row, not two.
type predicate interface{}

type (
	all   []predicate
	some  []predicate
	never struct{} // takes no row
	each  struct{} // takes every row

	// test is a question about the values of one row.
	test struct {
		not  bool
		what question
	}
	// question is one of compareValue, comparePair, memberOf, isNull, isLike.
	question interface {
		refs() []*ref
	}
	// compareValue compares a column with a literal; op is not opNotEqual: that is opEqual, negated.
	compareValue struct {
		ref   *ref
		op    op
		value value
	}
	// comparePair compares two columns; op is opEqual, opLess or opLessEqual: the others swap the columns.
	comparePair struct {
		left, right *ref
		op          op
	}
	// memberOf says that a column has one of some values, which are sorted and distinct.
	memberOf struct {
		ref    *ref
		values []value
	}
	// isNull is the one question that is never null itself.
	isNull struct{ ref *ref }
	isLike struct {
		ref     *ref
		pattern *pattern
	}
)

func (q compareValue) refs() []*ref { return []*ref{q.ref} }
func (q comparePair) refs() []*ref  { return []*ref{q.left, q.right} }
func (q memberOf) refs() []*ref     { return []*ref{q.ref} }
func (q isNull) refs() []*ref       { return []*ref{q.ref} }
func (q isLike) refs() []*ref       { return []*ref{q.ref} }

// ref is a column, or a field nested in one.
type ref struct {
	id     quiver.ColumnID // of the top-level column; 0 for system columns
	system string          // the name of a system column
	top    arrow.DataType  // of the top-level column
	path   []int           // the places of the nested fields that lead to it
	dt     arrow.DataType  // of what it leads to
	class  class
	name   string // as it is written in a filter
	place  int    // of the top-level column among those that Rows gets
}

func (r *ref) isFloat() bool { return arrow.IsFloating(r.dt.ID()) }

// fixed gives the predicate that has the same answer for all rows.
func fixed(truth bool) predicate {
	if truth {
		return each{}
	}
	return never{}
}

// join makes all or any of some parts, as simple as they allow.
func join(parts []predicate, or bool) predicate {
	kept := make([]predicate, 0, len(parts))
	for _, p := range parts {
		switch p := p.(type) {
		case each:
			if or {
				return p
			}
			continue
		case never:
			if !or {
				return p
			}
			continue
		case all:
			if !or {
				kept = append(kept, p...)
				continue
			}
		case some:
			if or {
				kept = append(kept, p...)
				continue
			}
		}
		kept = append(kept, p)
	}
	switch {
	case len(kept) == 0:
		return fixed(!or)
	case len(kept) == 1:
		return kept[0]
	case or:
		return some(kept)
	}
	return all(kept)
}

// walk visits every question.
func walk(p predicate, visit func(question)) {
	switch p := p.(type) {
	case all:
		for _, part := range p {
			walk(part, visit)
		}
	case some:
		for _, part := range p {
			walk(part, visit)
		}
	case test:
		visit(p.what)
	}
}
