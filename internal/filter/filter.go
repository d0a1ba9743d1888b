package filter

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Filter is a condition bound to the columns of a table. It is immutable and may be used by many goroutines at once.
type Filter struct {
	columns []quiver.ColumnID
	system  []string
}

// Columns lists the top-level columns that Rows needs, in the order of the schema. The slice is shared: do not
// change it.
func (f *Filter) Columns() []quiver.ColumnID { return f.columns }

// System lists the names of the system columns that Rows needs. The slice is shared: do not change it.
func (f *Filter) System() []string { return f.system }

// Bind resolves the names of a condition against the columns of a table.
func (e *Expr) Bind(schema *quiver.Schema) (*Filter, error) {
	return nil, quiver.Errorf(quiver.BadFilter, "this server does not filter")
}

// Rows gives the rows for which the condition is true, ascending; nil stands for all of them. The slice is the caller's.
func (f *Filter) Rows(ctx context.Context, rec arrow.RecordBatch) ([]int32, error) {
	return nil, quiver.Errorf(quiver.BadFilter, "this server does not filter")
}

// MayMatch says whether the condition can be true of one of some rows, of which only statistics are known.
func (f *Filter) MayMatch(rows int64, column func(quiver.ColumnID) (quiver.ColumnStats, bool), system func(name string) (quiver.ColumnStats, bool)) bool {
	return true
}
