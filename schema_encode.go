package quiver

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// schemaVersion is the version of the durable form of a schema.
const schemaVersion = 1

// durableSchema is the durable form of a Schema, as the metadata store keeps it.
type durableSchema struct {
	Version  int                        `json:"version"`
	ID       SchemaID                   `json:"id"`
	Last     ColumnID                   `json:"last_column"`
	Columns  []ColumnID                 `json:"columns"` // the ids of all fields, depth first
	Defaults map[string]json.RawMessage `json:"defaults,omitempty"`
	Arrow    []byte                     `json:"arrow"` // Schema message with its prefix, without field ids
}

// Encode gives the durable form: a JSON object with the IPC schema message, the ids and the defaults.
func (s *Schema) Encode() []byte {
	d := durableSchema{Version: schemaVersion, ID: s.id, Last: s.lastColumn, Arrow: FormatSchemaMessage(s.arrow)}
	for _, c := range s.columns {
		d.Columns = appendIDs(d.Columns, c.Field)
		if c.Default == nil {
			continue
		}
		if d.Defaults == nil {
			d.Defaults = make(map[string]json.RawMessage)
		}
		text, err := FormatDefault(c.Field.Type, c.Default)
		if err != nil {
			panic("quiver: a schema holds a default that does not fit its column: " + err.Error())
		}
		d.Defaults[c.Field.Name] = text
	}
	return jsonText(d)
}

// appendIDs lists the ids of a field and all below it.
func appendIDs(ids []ColumnID, f arrow.Field) []ColumnID {
	id, _ := FieldID(f)
	ids = append(ids, id)
	for _, child := range fieldsOf(f.Type) {
		ids = appendIDs(ids, child)
	}
	return ids
}

// DecodeSchema reads what Encode gave. Whatever it is given, it gives a valid schema or an error: INTERNAL, since
// only our own metadata is read by it.
func DecodeSchema(text []byte) (*Schema, error) {
	s, err := decodeSchema(text)
	if err != nil {
		return nil, Errorf(Internal, "the stored schema cannot be read: %v", err).Because(err)
	}
	return s, nil
}

func decodeSchema(text []byte) (*Schema, error) {
	var d durableSchema
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if d.Version != schemaVersion {
		return nil, fmt.Errorf("its version is %d, this program reads %d", d.Version, schemaVersion)
	}
	user, err := ParseSchemaMessage(d.Arrow)
	if err != nil {
		return nil, err
	}
	plain, err := normalizeSchema(user)
	if err != nil {
		return nil, err
	}
	if err := checkIDs(plain, d.Columns, d.Last); err != nil {
		return nil, err
	}
	defaults := make(map[string]any, len(d.Defaults))
	for name, text := range d.Defaults {
		fields, ok := plain.FieldsByName(name)
		if !ok {
			return nil, fmt.Errorf("column %s has a default and is missing", quote(name))
		}
		if defaults[name], err = ParseDefault(fields[0].Type, text); err != nil {
			return nil, err
		}
	}
	return newSchema(d.ID, plain, defaults, &idGiver{given: d.Columns, last: d.Last})
}

// checkIDs checks that every field has an id of its own, none above the last one given out.
func checkIDs(plain *arrow.Schema, ids []ColumnID, last ColumnID) error {
	seen := make(map[ColumnID]bool, len(ids))
	for _, id := range ids {
		if id < 1 || id > last || seen[id] {
			return fmt.Errorf("column id %d is there twice or out of range", id)
		}
		seen[id] = true
	}
	fields := 0
	for _, f := range plain.Fields() {
		fields += countFields(f)
	}
	if fields != len(ids) {
		return fmt.Errorf("there are %d fields and %d ids", fields, len(ids))
	}
	return nil
}

func countFields(f arrow.Field) int {
	n := 1
	for _, child := range fieldsOf(f.Type) {
		n += countFields(child)
	}
	return n
}

// SchemaFromStored makes the schema of what a segment has: its fields bear their ids. It knows no defaults, since
// stored rows need none, and its last column is the highest in it. The error is INTERNAL: the fields have no ids, or
// no table can have them. Of the columns of a segment there may be none.
func SchemaFromStored(id SchemaID, stored *arrow.Schema) (*Schema, error) {
	if stored.NumFields() == 0 {
		return &Schema{id: id, arrow: stored, stored: stored, changelog: new(changelogSchema)}, nil
	}
	if n := stored.NumFields() - 1; stored.Field(n).Name == ChangeTypeColumn {
		md := stored.Metadata()
		s, err := SchemaFromStored(id, arrow.NewSchema(stored.Fields()[:n], &md))
		if err != nil {
			return nil, err
		}
		return s.WithChangeType(), nil
	}
	var ids []ColumnID
	last := ColumnID(0)
	for _, f := range stored.Fields() {
		ids = appendIDs(ids, f)
	}
	for _, id := range ids {
		last = max(last, id)
	}
	plain, err := normalizeSchema(stored)
	if err == nil {
		err = checkIDs(plain, ids, last)
	}
	if err != nil {
		return nil, Errorf(Internal, "schema %d of stored rows cannot be read: %s", id, detailOf(err)).Because(err)
	}
	return newSchema(id, plain, nil, &idGiver{given: ids, last: last})
}
