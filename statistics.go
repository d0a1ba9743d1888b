package quiver

// ColumnStats is what is known of the values of one column in some rows. It bounds them: it may say less than is
// true, never more.
type ColumnStats struct {
	Nulls int64 // rows that are null; -1: not known
	// Min and Max are bounds in the Go types that ParseDefault gives for the column's type; nil: not known, or all rows
	// are null. They need not be values of the column: long text is cut. NaN lies within no bounds.
	Min, Max any
	NaN      bool // floats: there may be a NaN among the values
}
