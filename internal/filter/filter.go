package filter

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Filter is a condition bound to the columns of a table. It is immutable and may be used by many goroutines at once.
type Filter struct {
	predicate predicate
	step      step // what Rows does
	columns   []quiver.ColumnID
	system    []string
	needed    []*ref // one for each column that Rows gets
}

// Columns lists the top-level columns that Rows needs, in the order of the schema. The slice is shared: do not
// change it.
func (f *Filter) Columns() []quiver.ColumnID { return f.columns }

// System lists the names of the system columns that Rows needs, in the order of quiver.SystemColumns. The slice is
// shared: do not change it.
func (f *Filter) System() []string { return f.system }

// place orders the columns that are needed and tells every ref its place among them.
func (f *Filter) place(schema *quiver.Schema) {
	var refs []*ref
	walk(f.predicate, func(q question) {
		for _, r := range q.refs() {
			if !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
	})
	names := quiver.SystemColumns()
	order := func(r *ref) int {
		if r.system != "" {
			return schema.NumColumns() + slices.Index(names, r.system)
		}
		return schema.Index(r.id)
	}
	slices.SortStableFunc(refs, func(a, b *ref) int { return cmp.Compare(order(a), order(b)) })
	for i, r := range refs {
		if i == 0 || order(refs[i-1]) != order(r) {
			f.needed = append(f.needed, r)
			if r.system != "" {
				f.system = append(f.system, r.system)
			} else {
				f.columns = append(f.columns, r.id)
			}
		}
		r.place = len(f.needed) - 1
	}
}

// Rows gives the rows for which the condition is true, ascending; nil stands for all of them, an empty slice for
// none. The slice is the caller's.
//
// The batch has the columns of Columns, then those of System, in these orders and in the types of the schema that the
// filter is bound to; other columns may follow. System columns may also be dictionaries or run-end encoded, which
// costs no memory for one that is the same in all rows, and __change_type may be the int8 that is stored.
// The error is the context's, or says that the batch is not what it should be.
func (f *Filter) Rows(ctx context.Context, rec arrow.RecordBatch) ([]int32, error) {
	if err := f.check(rec); err != nil {
		return nil, err
	}
	rows := int(rec.NumRows())
	switch f.predicate.(type) {
	case each:
		return nil, ctx.Err()
	case never:
		return []int32{}, ctx.Err()
	}
	if rows == 0 {
		return nil, ctx.Err()
	}
	r := newRun(ctx, rec)
	defer r.end()
	sel := r.borrow(wordsOf(rows))
	defer r.giveBack(sel)
	sel.fill(rows)
	f.step.narrow(r, sel)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return sel.rows(rows), nil
}

// check compares a batch with what the filter needs.
func (f *Filter) check(rec arrow.RecordBatch) error {
	if rec.NumRows() > math.MaxInt32 {
		return quiver.Errorf(quiver.MalformedBatch, "a batch of %d rows cannot be filtered", rec.NumRows())
	}
	if int(rec.NumCols()) < len(f.needed) {
		return quiver.Errorf(quiver.SchemaChanged, "a batch of %d columns was filtered by %d", rec.NumCols(), len(f.needed))
	}
	for i, r := range f.needed {
		if dt := rec.Column(i).DataType(); !r.takes(dt) {
			return quiver.Errorf(quiver.SchemaChanged, "column %s is %s, and the filter was made for %s", r.name, shortType(dt), shortType(r.top))
		}
	}
	return nil
}

// takes says whether the values of a top-level column may come in a type.
func (r *ref) takes(dt arrow.DataType) bool {
	if r.system != "" {
		switch t := dt.(type) {
		case *arrow.DictionaryType:
			dt = t.ValueType
		case *arrow.RunEndEncodedType:
			dt = t.Encoded()
		case *arrow.Int8Type:
			return r.system == quiver.ChangeTypeColumn || r.top.ID() == arrow.INT8
		}
	}
	return dt.ID() == r.top.ID() && (dt == r.top || arrow.TypeEqual(dt, r.top))
}
