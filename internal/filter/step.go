package filter

import (
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// step narrows a selection to the rows that a predicate takes. It looks at no value of a word of which no row is
// selected, so what stands behind another step costs less.
type step interface {
	narrow(r *run, sel selection)
	cost() int // roughly what a row costs; only compared
}

// kernel is a test of the values of one column, none of which is null where a row is selected.
type kernel interface {
	narrow(values arrow.Array, sel selection)
	cost() int
}

// run is one call of Rows, with memory that the next one uses again.
type run struct {
	ctx  context.Context
	rec  arrow.RecordBatch
	free []selection
}

var runs = sync.Pool{New: func() any { return new(run) }}

func newRun(ctx context.Context, rec arrow.RecordBatch) *run {
	r := runs.Get().(*run)
	r.ctx, r.rec = ctx, rec
	return r
}

func (r *run) end() {
	r.ctx, r.rec = nil, nil
	runs.Put(r)
}

// borrow gives a selection of some words, whose bits are not set to anything.
func (r *run) borrow(words int) selection {
	if n := len(r.free); n > 0 {
		s := r.free[n-1]
		r.free = r.free[:n-1]
		if cap(s) >= words {
			return s[:words]
		}
	}
	return make(selection, words)
}

func (r *run) giveBack(s selection) { r.free = append(r.free, s) }

// allSteps narrows by one step after the other, the cheap ones first.
type allSteps []step

func (s allSteps) narrow(r *run, sel selection) {
	for i, part := range s {
		if i > 0 && (sel.empty() || r.ctx.Err() != nil) {
			return
		}
		part.narrow(r, sel)
	}
}

func (s allSteps) cost() int { return sum(s) }

// anySteps asks each step only about the rows that none before it took.
type anySteps []step

func (s anySteps) narrow(r *run, sel selection) {
	rest, taken := r.borrow(len(sel)), r.borrow(len(sel))
	defer r.giveBack(rest)
	defer r.giveBack(taken)
	clear(taken)
	for _, part := range s {
		copy(rest, sel)
		rest.subtract(taken)
		if rest.empty() || r.ctx.Err() != nil {
			break
		}
		part.narrow(r, rest)
		taken.add(rest)
	}
	copy(sel, taken)
}

func (s anySteps) cost() int { return sum(s) }

func sum(steps []step) int {
	total := 0
	for _, s := range steps {
		total += s.cost()
	}
	return total
}

// nullStep takes the rows in which a column is null, or with not the others.
type nullStep struct {
	ref *ref
	not bool
}

func (s nullStep) narrow(r *run, sel selection) {
	if s.not {
		r.valid(s.ref, sel)
		return
	}
	valid := r.borrow(len(sel))
	defer r.giveBack(valid)
	copy(valid, sel)
	r.valid(s.ref, valid)
	sel.subtract(valid)
}

func (s nullStep) cost() int { return 1 }

// valueStep narrows to the rows in which a column is not null and its value passes a kernel.
type valueStep struct {
	ref    *ref
	kernel kernel
}

func (s valueStep) narrow(r *run, sel selection) {
	values := r.valid(s.ref, sel)
	if s.ref.encoded(values) {
		narrowEncoded(values, s.kernel, sel)
		return
	}
	s.kernel.narrow(values, sel)
}

func (s valueStep) cost() int { return s.kernel.cost() }

// valid drops the rows in which a column, or a struct around it, is null, and gives the column.
func (r *run) valid(f *ref, sel selection) arrow.Array {
	values := r.rec.Column(f.place)
	dropNulls(values, sel)
	for _, place := range f.path {
		values = values.(*array.Struct).Field(place)
		dropNulls(values, sel)
	}
	return values
}

func dropNulls(values arrow.Array, sel selection) {
	if values.DataType().ID() == arrow.NULL {
		clear(sel)
	} else if values.NullN() > 0 {
		sel.keep(values.NullBitmapBytes(), values.Data().Offset(), 0)
	}
}
