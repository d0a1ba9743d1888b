package quiver

import (
	"github.com/apache/arrow-go/v18/arrow"
)

// MappedColumn says where one column of the result comes from.
type MappedColumn struct {
	Source int    // its place in the source's columns; -1: filled with Column.Default, or else with nulls
	Column Column // as the result has it
	Cast   bool   // the source's bytes are not those of the result: decode, cast, encode
}

// Mapping says how the columns of one schema become those of another.
//
// It is the only place where schemas are matched: puts match by name (MapInput), reads by column id (MapColumns).
// What a Cast has to do follows from the two types alone: lists by their element, maps by key and value, structs by
// the names of their fields (a field that the source lacks is null), flat types by value. A value that does not fit
// is SCHEMA_MISMATCH, and so is a null where the result is required.
type Mapping struct {
	columns []MappedColumn
	sources int // columns of the source
}

// Columns lists the result's columns in order. The slice is shared: do not change it.
func (m *Mapping) Columns() []MappedColumn { return m.columns }

// Raw says that the source's bytes suffice: columns are at most left out or put in another order.
func (m *Mapping) Raw() bool {
	for _, c := range m.columns {
		if c.Source < 0 || c.Cast {
			return false
		}
	}
	return true
}

// Identity says that there is nothing to do at all: the source's columns, all of them, in their order.
func (m *Mapping) Identity() bool {
	if len(m.columns) != m.sources {
		return false
	}
	for i, c := range m.columns {
		if c.Source != i || c.Cast {
			return false
		}
	}
	return true
}

// Arrow is the schema of the result as users see it: without field ids and metadata of the schema.
func (m *Mapping) Arrow() *arrow.Schema {
	fields := make([]arrow.Field, len(m.columns))
	for i, c := range m.columns {
		fields[i] = withoutFieldIDs(c.Column.Field)
	}
	return arrow.NewSchema(fields, nil)
}

func withoutFieldIDs(f arrow.Field) arrow.Field {
	f.Metadata = normalizeMetadata(f.Metadata, nil)
	f.Type = mapFields(f.Type, withoutFieldIDs)
	return f
}

// MapColumns maps what is stored under one schema of a table to what is read under another, by column id.
//
// The columns chosen are top-level ones of the reader's schema, in the order wanted; nil stands for all of them, an
// empty slice for none. A column that was added after the stored rows is filled with its default, one that was
// dropped since with nulls. A type that cannot become the reader's is SCHEMA_CHANGED, an id that the reader's
// schema does not have BAD_COMMAND.
func MapColumns(stored, reader *Schema, cols []ColumnID) (*Mapping, error) {
	if cols == nil {
		cols = make([]ColumnID, len(reader.columns))
		for i, c := range reader.columns {
			cols[i] = c.ID
		}
	}
	m := &Mapping{columns: make([]MappedColumn, 0, len(cols)), sources: len(stored.columns)}
	var faults faultList
	for _, id := range cols {
		c, ok := reader.Column(id)
		if !ok {
			return nil, Errorf(BadCommand, "the schema has no column with id %d", id)
		}
		mapped := MappedColumn{Source: stored.Index(id), Column: c}
		if mapped.Source >= 0 {
			cast, bad := convert(stored.columns[mapped.Source].Field, c.Field, byID)
			if bad != nil {
				faults.add("column %s %s", quote(bad.column(c.Field.Name)), bad.text)
			}
			mapped.Cast = cast
		} else {
			if stored.id > reader.id { // dropped since, not added later
				mapped.Column.Default = nil
			}
			if !c.Field.Nullable && mapped.Column.Default == nil {
				faults.add("column %s was dropped, and it may not be null", quote(c.Field.Name))
			}
		}
		m.columns = append(m.columns, mapped)
	}
	return m, faults.error(SchemaChanged)
}

// MapInput maps the columns that a client sends to those of the table, by name.
//
// A column that the client does not send takes its default, else null if it may be null. Beyond equal types, these
// are taken: smaller integers for larger ones, float for double, integers up to int32 for double, decimals of
// a smaller precision, null for whatever may be null, timestamps of another unit (both zoned or both not; whether
// digits are lost is seen at the values), and every layout of the same values. A nullable field is taken for a
// required column; a null in it is refused when it is seen.
//
// Everything that does not fit is named in one error, SCHEMA_MISMATCH.
func MapInput(client *arrow.Schema, table *Schema) (*Mapping, error) {
	var faults faultList
	if !client.IsNativeEndian() {
		return nil, Errorf(SchemaMismatch, "the schema is big-endian; only little-endian data is taken")
	}
	places := clientColumns(client, table, &faults)
	m := &Mapping{columns: make([]MappedColumn, 0, len(table.columns)), sources: client.NumFields()}
	for _, c := range table.columns {
		mapped := MappedColumn{Source: -1, Column: c}
		if i, ok := places[c.Field.Name]; ok {
			cast, bad := convert(client.Field(i), c.Field, byName)
			if bad != nil {
				faults.add("column %s %s", quote(bad.column(c.Field.Name)), bad.text)
			}
			mapped.Source, mapped.Cast = i, cast
		} else if !c.Field.Nullable && c.Default == nil {
			faults.add("column %s is missing, has no default and may not be null", quote(c.Field.Name))
		}
		m.columns = append(m.columns, mapped)
	}
	if err := faults.error(SchemaMismatch); err != nil {
		return nil, err
	}
	return m, nil
}

// clientColumns gives the place of each of the client's columns, and names those that are unknown or sent twice.
func clientColumns(client *arrow.Schema, table *Schema, faults *faultList) map[string]int {
	places := make(map[string]int, client.NumFields())
	for i, f := range client.Fields() {
		if _, twice := places[f.Name]; twice {
			faults.add("column %s is sent twice", quote(f.Name))
		} else if _, known := table.byName[f.Name]; !known {
			hint := ""
			if !faults.full() {
				hint = suggest(f.Name, table.Names())
			}
			faults.add("column %s is not in the table%s", quote(f.Name), hint)
		}
		places[f.Name] = i
	}
	return places
}
