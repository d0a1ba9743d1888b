package quiver

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// The columns that the server makes. None of them is ever null, and no column of a table may have their name.
const (
	BucketColumn     = "__bucket"      // int32
	OffsetColumn     = "__offset"      // int64
	TimestampColumn  = "__timestamp"   // timestamp[ms, tz=UTC]: when the row was appended
	PartitionColumn  = "__partition"   // string: "dt=2026-11-22/region=eu", "" on unpartitioned tables
	ChangeTypeColumn = "__change_type" // dictionary<int8, string>: see ChangeType
)

// Further reserved names: what a lookup answers, and what a conditional put sends.
const (
	KeyIndexColumn       = "__key_index"       // int64
	ExpectedOffsetColumn = "__expected_offset" // int64
)

// systemFields are the system columns as they are served, in the order in which they are documented.
var systemFields = []arrow.Field{
	{Name: BucketColumn, Type: arrow.PrimitiveTypes.Int32},
	{Name: OffsetColumn, Type: arrow.PrimitiveTypes.Int64},
	{Name: TimestampColumn, Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}},
	{Name: PartitionColumn, Type: arrow.BinaryTypes.String},
	{Name: ChangeTypeColumn, Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
}

// SystemField gives a system column, as it is served, by its name.
func SystemField(name string) (arrow.Field, bool) {
	for _, f := range systemFields {
		if f.Name == name {
			return f, true
		}
	}
	return arrow.Field{}, false
}

// SystemColumns lists the names of the system columns.
func SystemColumns() []string {
	names := make([]string, len(systemFields))
	for i, f := range systemFields {
		names[i] = f.Name
	}
	return names
}

// IsReserved says whether a name is one of the columns that the server makes or reads.
func IsReserved(column string) bool {
	_, system := SystemField(column)
	return system || column == KeyIndexColumn || column == ExpectedOffsetColumn
}

// ChangeType says what a row of a log does to its table. It is stored as this int8, which is the index into the
// dictionary it is served with.
type ChangeType int8

// The change types. Their numbers are stored and never change.
const (
	Append       ChangeType = iota // "+A": a row of a log table
	Insert                         // "+I": a key that was not there
	UpdateBefore                   // "-U": the row that an update replaces
	UpdateAfter                    // "+U": the row that an update leaves
	Delete                         // "-D": the row that is gone
)

var changeTypeWords = []string{"+A", "+I", "-U", "+U", "-D"}

// ChangeTypeWords lists the words for change types, each at the place of its number: the dictionary of the column.
func ChangeTypeWords() []string { return append([]string(nil), changeTypeWords...) }

// String gives the word for the change type, "+A".
func (c ChangeType) String() string {
	if c < 0 || int(c) >= len(changeTypeWords) {
		return fmt.Sprintf("ChangeType(%d)", int8(c))
	}
	return changeTypeWords[c]
}
