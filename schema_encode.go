package quiver

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
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
	if err := checkSchema(user); err != nil {
		return nil, err
	}
	defaults := make(map[string]any, len(d.Defaults))
	for name, text := range d.Defaults {
		f, ok := user.FieldsByName(name)
		if !ok {
			return nil, fmt.Errorf("column %s has a default and is missing", quote(name))
		}
		if defaults[name], err = ParseDefault(Normalize(f[0].Type), text); err != nil {
			return nil, err
		}
	}
	return newSchema(d.ID, user, defaults, d.Columns, d.Last)
}

// FormatSchemaMessage gives the IPC Schema message of a schema, with its prefix, as pyarrow's Schema.serialize does.
func FormatSchemaMessage(s *arrow.Schema) []byte {
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(s)).Close(); err != nil {
		panic("quiver: writing a schema to memory failed: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
}
