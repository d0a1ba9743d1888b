package record

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// ParseSchema reads the Schema message of a client's stream, without prefix, as it stands in FlightData.data_header.
// Nothing in it is believed: counts, depth and the length of all texts are bounded before anything is allocated.
// The ids are those of the dictionaries, as InputLayout takes them; nil if there are none. The error is
// SCHEMA_MISMATCH, or MALFORMED_BATCH for bytes that are no schema.
func ParseSchema(fb []byte) (s *arrow.Schema, ids []int64, err error) {
	scan, err := scanSchema(fb)
	if err != nil {
		return nil, nil, err
	}
	if s, err = decodeSchema(fb); err != nil {
		return nil, nil, quiver.Errorf(quiver.MalformedBatch, "%v", err)
	}
	return s, scan.ids, nil
}

// Limits of a schema message.
const (
	maxSchemaText  = 4 << 20 // bytes of all names, keys and values
	maxSchemaPairs = 64 << 10
)

// schemaScan goes over a Schema message with nothing but bounded reads, so that what is left for the general reader
// can be neither deep nor large: fields may refer to one another and be met many times, so they are counted as met.
type schemaScan struct {
	fb      flatbuf
	ids     []int64
	fields  int
	text    int
	pairs   int
	custom  int // the schema's own key-value pairs
	customs int
	err     error
}

// Places of the fields of the tables Schema, Field and DictionaryEncoding, and numbers of types.
const (
	schemaEndianness = 0
	schemaFields     = 1
	schemaCustom     = 2

	fieldName       = 0
	fieldTypeID     = 2
	fieldType       = 3
	fieldDictionary = 4
	fieldChildren   = 5
	fieldCustom     = 6

	typeTimestamp = 10
	typeUnion     = 14
)

var errSchema = errors.New("it is not a valid Schema message")

func scanSchema(fb []byte) (*schemaScan, error) {
	msg, err := parseMessage(fb)
	if err == nil && msg.kind != messageSchema {
		err = errSchema
	}
	if err != nil {
		return nil, quiver.Errorf(quiver.MalformedBatch, "schema: %v", err)
	}
	s := &schemaScan{fb: flatbuf{b: fb}}
	root := s.fb.root()
	t, ok := s.fb.child(root, 2)
	if !ok {
		return nil, quiver.Errorf(quiver.MalformedBatch, "schema: %v", errSchema)
	}
	s.schema(t)
	if s.fb.bad {
		return nil, quiver.Errorf(quiver.MalformedBatch, "schema: %v", errSchema)
	}
	if s.err != nil {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "schema: %v", s.err)
	}
	return s, nil
}

func (s *schemaScan) schema(t fbTable) {
	if s.fb.int16(t, schemaEndianness, 0) != 0 {
		s.refuse("it is big-endian")
	}
	s.custom, s.customs = s.metadata(t, schemaCustom)
	at, n := s.fb.vector(t, schemaFields, 4)
	if n > maxColumns {
		s.refuse("%d columns, at most %d are taken", n, maxColumns)
	}
	for i := 0; i < n && s.good(); i++ {
		s.field(s.fb.element(at, i), 0)
	}
}

func (s *schemaScan) good() bool { return s.err == nil && !s.fb.bad }

func (s *schemaScan) refuse(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// field goes over a field and those nested in it.
func (s *schemaScan) field(t fbTable, depth int) {
	if depth >= maxDepth {
		s.refuse("nested deeper than %d", maxDepth)
		return
	}
	if s.fields++; s.fields > maxFields {
		s.refuse("more than %d fields", maxFields)
		return
	}
	s.textField(t, fieldName)
	s.metadata(t, fieldCustom)
	typ, ok := s.fb.child(t, fieldType)
	if !ok {
		s.fb.refuse()
		return
	}
	switch s.fb.int8(t, fieldTypeID, 0) {
	case typeTimestamp:
		s.textField(typ, 1) // the time zone
	case typeUnion:
		s.refuse("unions are not taken")
		return
	}
	if d, ok := s.fb.child(t, fieldDictionary); ok {
		s.ids = append(s.ids, s.fb.int64(d, 0, 0))
	}
	at, n := s.fb.vector(t, fieldChildren, 4)
	for i := 0; i < n && s.good(); i++ {
		s.field(s.fb.element(at, i), depth+1)
	}
}

// textField counts a text.
func (s *schemaScan) textField(t fbTable, i int) {
	from, until := s.fb.text(t, i)
	if s.text += until - from; s.text > maxSchemaText {
		s.refuse("names and metadata of more than %d bytes", maxSchemaText)
	}
}

// metadata goes over the key-value pairs in a field and returns their vector.
func (s *schemaScan) metadata(t fbTable, i int) (at, n int) {
	at, n = s.fb.vector(t, i, 4)
	if s.pairs += n; s.pairs > maxSchemaPairs {
		s.refuse("more than %d metadata entries", maxSchemaPairs)
		return at, n
	}
	for k := 0; k < n && s.good(); k++ {
		kv := s.fb.element(at, k)
		s.textField(kv, 0)
		s.textField(kv, 1)
	}
	return at, n
}
