package scan

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// System is a system column: one that is not stored with the rows but made when they are read.
type System int8

// The system columns of a log table. None of them is ever null.
const (
	UserColumn      System = iota // no system column: one of the table's own
	BucketColumn                  // __bucket, int32
	OffsetColumn                  // __offset, int64
	TimestampColumn               // __timestamp, timestamp[ms, tz=UTC]: when the row was appended
	PartitionColumn               // __partition, utf8: '' on tables without partitions
)

// systemFields are the system columns as readers see them, by System.
var systemFields = [...]arrow.Field{
	BucketColumn:    {Name: "__bucket", Type: arrow.PrimitiveTypes.Int32},
	OffsetColumn:    {Name: "__offset", Type: arrow.PrimitiveTypes.Int64},
	TimestampColumn: {Name: "__timestamp", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}},
	PartitionColumn: {Name: "__partition", Type: arrow.BinaryTypes.String},
}

// systemBytes is what a row of each system column takes, about.
var systemBytes = [...]int{BucketColumn: 4, OffsetColumn: 8, TimestampColumn: 8, PartitionColumn: 4}

// Column is one column of a scan's output: one of the table's own, by id, or a system column.
type Column struct {
	ID     quiver.ColumnID // if System is UserColumn
	System System
}

// ParseSystem finds a system column by its name.
func ParseSystem(name string) (System, bool) {
	for s := BucketColumn; int(s) < len(systemFields); s++ {
		if systemFields[s].Name == name {
			return s, true
		}
	}
	return UserColumn, false
}

// Select resolves the names of a scan command. columns names user and system columns in the order wanted (nil: all
// of the table's, empty: none); system names system columns that follow behind. A system column named twice appears
// once, in its place among system; so does the change type of a changelog. Names that do not exist are refused, with the nearest one that does.
func Select(schema *quiver.Schema, columns, system []string) ([]Column, error) {
	var out []Column
	if columns == nil {
		for _, c := range schema.Columns() {
			if c.ID != quiver.ChangeTypeID || !slices.Contains(system, quiver.ChangeTypeColumn) {
				out = append(out, Column{ID: c.ID})
			}
		}
	}
	for _, name := range columns {
		c, err := selectOne(schema, name)
		switch {
		case err != nil:
			return nil, err
		case c.made() && (slices.Contains(system, name) || slices.Contains(out, c)):
			continue
		case slices.Contains(out, c):
			return nil, quiver.Errorf(quiver.BadCommand, "column %s is named twice", strconv.Quote(name)).
				Advise("name it once")
		}
		out = append(out, c)
	}
	for _, name := range system {
		c, err := selectOne(schema, name)
		if err != nil || !c.made() {
			return nil, unknownColumn("system column", name, systemNames())
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

// made says that the column is no column of a table's own.
func (c Column) made() bool { return c.System != UserColumn || c.ID == quiver.ChangeTypeID }

func selectOne(schema *quiver.Schema, name string) (Column, error) {
	if s, ok := ParseSystem(name); ok {
		return Column{System: s}, nil
	}
	if c, ok := schema.ByName(name); ok {
		return Column{ID: c.ID}, nil
	}
	known := systemNames()
	for _, c := range schema.Columns() {
		known = append(known, c.Field.Name)
	}
	return Column{}, unknownColumn("column", name, known)
}

func unknownColumn(kind, name string, known []string) error {
	err := quiver.Errorf(quiver.BadCommand, "there is no %s %s", kind, strconv.Quote(name))
	if near := quiver.Nearest(name, known); near != "" {
		return err.Advise(fmt.Sprintf("did you mean %s?", strconv.Quote(near)))
	}
	return err.Advise("see table.describe")
}

func systemNames() []string {
	var names []string
	for s := BucketColumn; int(s) < len(systemFields); s++ {
		names = append(names, systemFields[s].Name)
	}
	return names
}

// OutputSchema is what readers of these columns see: the table's metadata, its fields without ids, in the order of
// the columns.
func OutputSchema(schema *quiver.Schema, columns []Column) (*arrow.Schema, error) {
	table := schema.Arrow()
	fields := make([]arrow.Field, 0, len(columns))
	for _, c := range columns {
		if c.System != UserColumn {
			fields = append(fields, systemFields[c.System])
			continue
		}
		at := place(schema, c.ID)
		if at < 0 {
			return nil, quiver.Errorf(quiver.BadCommand, "there is no column with id %d", c.ID)
		}
		field := table.Field(at)
		if c.ID == quiver.ChangeTypeID {
			field.Type = record.ChangeTypeType
		}
		fields = append(fields, field)
	}
	metadata := table.Metadata()
	return arrow.NewSchema(fields, &metadata), nil
}

// place is where a top-level column stands in its schema, -1 if it does not.
func place(schema *quiver.Schema, id quiver.ColumnID) int {
	return slices.IndexFunc(schema.Columns(), func(c quiver.Column) bool { return c.ID == id })
}
