package record

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// ParseSchema reads the Schema message of a client's stream, without prefix, as it stands in FlightData.data_header.
// It is bounded as quiver.ParseSchemaMessage is. The ids are those of the dictionaries, as InputLayout takes them;
// nil if there are none. The error is MALFORMED_BATCH.
func ParseSchema(fb []byte) (s *arrow.Schema, ids []int64, err error) {
	if s, err = quiver.ParseSchemaMessage(fb); err != nil {
		return nil, nil, err
	}
	scan := schemaScan{fb: flatbuf{b: fb}}
	if t, ok := scan.schema(); ok {
		at, n := scan.fb.vector(t, schemaFields, 4)
		scan.fields(at, n, 0)
	}
	if scan.fb.bad {
		return nil, nil, quiver.Errorf(quiver.MalformedBatch, "the schema message cannot be read: %v", errFlatbuffer)
	}
	return s, scan.ids, nil
}

// schemaScan looks for what the general reader of Schema messages does not give: where the metadata stands, and the
// numbers of the dictionaries.
type schemaScan struct {
	fb  flatbuf
	ids []int64
	met int // fields
}

// Places of the fields of the tables Message, Schema, Field and DictionaryEncoding.
const (
	messageHeader = 2

	schemaFields = 1
	schemaCustom = 2

	fieldDictionary = 4
	fieldChildren   = 5

	dictionaryID = 0
)

// schema is the Schema table of the message.
func (s *schemaScan) schema() (t fbTable, ok bool) {
	t, ok = s.fb.child(s.fb.root(), messageHeader)
	if !ok {
		s.fb.refuse()
	}
	return t, ok
}

// fields collects the numbers of the dictionaries of a vector of fields, depth first, one before those within it.
// Fields may refer to one another and be met many times, so they are counted as met.
func (s *schemaScan) fields(vector, n, depth int) {
	for i := 0; i < n && !s.fb.bad; i++ {
		if s.met++; s.met > maxFields || depth >= 2*maxDepth { // what is too deep for a table is told by its layout
			s.fb.refuse()
			return
		}
		t := s.fb.element(vector, i)
		if d, ok := s.fb.child(t, fieldDictionary); ok {
			s.ids = append(s.ids, s.fb.int64(d, dictionaryID, 0))
		}
		at, children := s.fb.vector(t, fieldChildren, 4)
		s.fields(at, children, depth+1)
	}
}

// segmentText is the range of a segment's identity in its Schema message.
func segmentText(fb []byte) (from, until int, err error) {
	s := schemaScan{fb: flatbuf{b: fb}}
	t, _ := s.schema()
	m := message{}
	m.custom, m.customs = s.fb.vector(t, schemaCustom, 4)
	m.fb = s.fb
	from, until, ok := m.value(keySegment)
	if !ok {
		return 0, 0, fmt.Errorf("the schema does not name its segment")
	}
	return from, until, nil
}
