package filter

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// System columns come in other layouts too: the same value in all rows as one run, change types as places in a
// dictionary. A kernel looks at each of the few values once.

// encoded says whether the values of a column lie elsewhere than in their rows.
func (r *ref) encoded(values arrow.Array) bool {
	switch values.DataType().ID() {
	case arrow.DICTIONARY, arrow.RUN_END_ENCODED:
		return true
	case arrow.INT8: // a change type as it is stored: the place of its word
		return r.system == quiver.ChangeTypeColumn
	}
	return false
}

// changeTypes is the dictionary of __change_type.
var changeTypes = func() arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(quiver.ChangeTypeWords(), nil)
	return b.NewArray()
}()

// narrowEncoded asks a kernel about each distinct value, and gives the answers to its rows.
func narrowEncoded(values arrow.Array, k kernel, sel selection) {
	switch v := values.(type) {
	case *array.Dictionary:
		answers := answer(v.Dictionary(), k)
		sel.each(func(row int) bool { return answers.has(v.GetValueIndex(row)) })
	case *array.Int8:
		answers := answer(changeTypes, k)
		sel.each(func(row int) bool { return answers.has(int(v.Value(row))) })
	case *array.RunEndEncoded:
		narrowRuns(v, k, sel)
	}
}

// narrowRuns walks the runs and the rows side by side.
func narrowRuns(v *array.RunEndEncoded, k kernel, sel selection) {
	answers := answer(v.Values(), k)
	run, offset := v.GetPhysicalOffset(), v.Offset()
	sel.each(func(row int) bool {
		for runEnd(v, run) <= offset+row {
			run++
		}
		return answers.has(run)
	})
}

func runEnd(v *array.RunEndEncoded, run int) int {
	switch ends := v.RunEndsArr().(type) {
	case *array.Int16:
		return int(ends.Value(run))
	case *array.Int32:
		return int(ends.Value(run))
	case *array.Int64:
		return int(ends.Value(run))
	}
	return 0
}

// answer runs a kernel over some values.
func answer(values arrow.Array, k kernel) selection {
	s := make(selection, wordsOf(values.Len()))
	if values.Len() > 0 {
		s.fill(values.Len())
		dropNulls(values, s)
		k.narrow(values, s)
	}
	return s
}

func (s selection) has(row int) bool {
	return uint(row)/64 < uint(len(s)) && s[row/64]>>(row%64)&1 == 1
}

// distinct gives the array that holds the values of a column, and where in it the value of each row lies.
func (r *ref) distinct(values arrow.Array) (arrow.Array, func(row int) int) {
	if !r.encoded(values) {
		return values, func(row int) int { return row }
	}
	switch v := values.(type) {
	case *array.Dictionary:
		return v.Dictionary(), v.GetValueIndex
	case *array.RunEndEncoded:
		return v.Values(), v.GetPhysicalIndex
	}
	return changeTypes, func(row int) int { return int(values.(*array.Int8).Value(row)) }
}
