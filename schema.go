package quiver

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
)

// Limits of a schema.
const (
	MaxColumns  = 2000     // top-level columns
	MaxFields   = 10000    // columns and what is nested in them
	MaxMetadata = 64 << 10 // bytes of keys and values of the schema and all its fields together
)

// Column is one top-level column of a table.
//
// Field is the Arrow field as stored: normalised (no dictionary, view, run-end or extension types; see Normalize),
// with the user's metadata and, on it and on every nested field, its ColumnID under the key "PARQUET:field_id".
type Column struct {
	ID      ColumnID
	Field   arrow.Field
	Default any // nil: none; else the value in the Go type that ParseDefault gives for the field's type
}

// Schema is one version of a table's columns. It is immutable.
type Schema struct {
	id         SchemaID
	columns    []Column
	lastColumn ColumnID
	arrow      *arrow.Schema // as users see it
	stored     *arrow.Schema // with field ids
	byID       map[ColumnID]int
	byName     map[string]int
	changelog  *changelogSchema // see WithChangeType
}

// NewSchema makes the schema that a table with these columns has.
//
// Types are normalised, metadata that is not the table's is dropped, and every field gets an id: from 1, depth
// first, a list's element and a map's key and value included (the struct within a map has none, as in Iceberg).
// Defaults are by column name, in the Go types that ParseDefault gives; nil stands for none.
// All that is wrong is named at once: SCHEMA_MISMATCH, or BAD_NAME if it is names only.
func NewSchema(id SchemaID, user *arrow.Schema, defaults map[string]any) (*Schema, error) {
	plain, err := normalizeSchema(user)
	if err != nil {
		return nil, err
	}
	return newSchema(id, plain, defaults, &idGiver{fresh: true})
}

// normalizeSchema gives the schema as a table has it, or names everything for which no table can have it.
func normalizeSchema(user *arrow.Schema) (*arrow.Schema, error) {
	if n := user.NumFields(); n == 0 || n > MaxColumns {
		return nil, Errorf(SchemaMismatch, "a table has 1 to %d columns, not %d", MaxColumns, n)
	}
	if !user.IsNativeEndian() {
		return nil, Errorf(SchemaMismatch, "the schema is big-endian; only little-endian data is taken")
	}
	fields := user.Fields()
	for i, f := range fields {
		fields[i] = normalizeField(f, 1)
	}
	md := normalizeMetadata(user.Metadata(), nil)
	plain := arrow.NewSchema(fields, &md)
	if err := checkSchema(plain); err != nil {
		return nil, err
	}
	return plain, nil
}

// newSchema builds a schema of normalised and checked columns, whose fields get their ids depth first.
func newSchema(id SchemaID, plain *arrow.Schema, defaults map[string]any, ids *idGiver) (*Schema, error) {
	n := plain.NumFields()
	s := &Schema{id: id, arrow: plain, changelog: new(changelogSchema), columns: make([]Column, n), byID: make(map[ColumnID]int, n), byName: make(map[string]int, n)}
	stored := make([]arrow.Field, n)
	for i, f := range plain.Fields() {
		var columnID ColumnID
		stored[i], columnID = ids.give(f)
		s.columns[i] = Column{ID: columnID, Field: stored[i]}
		s.byID[columnID], s.byName[f.Name] = i, i
	}
	md := plain.Metadata()
	s.stored = arrow.NewSchema(stored, &md)
	s.lastColumn = ids.last
	if err := s.setDefaults(defaults); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Schema) setDefaults(defaults map[string]any) error {
	var faults faultList
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		i, ok := s.byName[name]
		switch value := defaults[name]; {
		case value == nil:
		case !ok:
			faults.add("there is no column %s to have a default", quote(name))
		case !fitsType(s.columns[i].Field.Type, value):
			faults.add("the default of column %s is no %s", quote(name), shortType(s.columns[i].Field.Type))
		default:
			s.columns[i].Default = value
		}
	}
	return faults.error(SchemaMismatch)
}

// idGiver hands out column ids depth first: those it was given, or fresh ones.
type idGiver struct {
	given []ColumnID
	fresh bool
	last  ColumnID // the highest one ever handed out
}

// give puts its id on a field, and theirs on all below it.
func (g *idGiver) give(f arrow.Field) (arrow.Field, ColumnID) {
	id := g.next()
	f.Metadata = withFieldID(f.Metadata, id)
	f.Type = mapFields(f.Type, func(child arrow.Field) arrow.Field {
		child, _ = g.give(child)
		return child
	})
	return f, id
}

func (g *idGiver) next() ColumnID {
	if g.fresh {
		g.last++
		return g.last
	}
	id := g.given[0]
	g.given = g.given[1:]
	return id
}

func withFieldID(md arrow.Metadata, id ColumnID) arrow.Metadata {
	keys := append(append(make([]string, 0, md.Len()+1), md.Keys()...), FieldIDKey)
	values := append(append(make([]string, 0, md.Len()+1), md.Values()...), strconv.Itoa(int(id)))
	return arrow.NewMetadata(keys, values)
}

// FieldID gives the ColumnID that a field of a stored schema bears.
func FieldID(f arrow.Field) (ColumnID, bool) {
	text, ok := f.Metadata.GetValue(FieldIDKey)
	id, err := strconv.ParseInt(text, 10, 32)
	return ColumnID(id), ok && err == nil && id > 0 && id < math.MaxInt32
}

// ID numbers this schema among those of its table.
func (s *Schema) ID() SchemaID { return s.id }

// Columns lists the columns in order. The slice is shared: do not change it.
func (s *Schema) Columns() []Column { return s.columns }

// NumColumns counts the columns.
func (s *Schema) NumColumns() int { return len(s.columns) }

// Column gives a top-level column by its id.
func (s *Schema) Column(id ColumnID) (Column, bool) {
	i, ok := s.byID[id]
	if !ok {
		return Column{}, false
	}
	return s.columns[i], true
}

// ByName gives a top-level column by its name.
func (s *Schema) ByName(name string) (Column, bool) {
	i, ok := s.byName[name]
	if !ok {
		return Column{}, false
	}
	return s.columns[i], true
}

// Index gives the place of a top-level column, or -1.
func (s *Schema) Index(id ColumnID) int {
	if i, ok := s.byID[id]; ok {
		return i
	}
	return -1
}

// Names lists the names of the columns in order.
func (s *Schema) Names() []string {
	names := make([]string, len(s.columns))
	for i, c := range s.columns {
		names[i] = c.Field.Name
	}
	return names
}

// LastColumn is the highest column id ever given out in the table, nested ones included. Ids are never reused.
func (s *Schema) LastColumn() ColumnID { return s.lastColumn }

// Metadata is the user's metadata of the schema.
func (s *Schema) Metadata() arrow.Metadata { return s.arrow.Metadata() }

// Arrow is the schema as users see it: without field ids.
func (s *Schema) Arrow() *arrow.Schema { return s.arrow }

// Stored is the schema as segments have it: with PARQUET:field_id on every field, nested ones too.
func (s *Schema) Stored() *arrow.Schema { return s.stored }
