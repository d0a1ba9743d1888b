package record

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// ChangeTypeType is the change type as it is served. Its indices are what is stored, an int8 for each row.
var ChangeTypeType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}

// indexes says whether values of a stored type are the indices of a dictionary that is served for them.
func (s *slot) indexes(stored arrow.DataType) bool {
	return s.kind == kindDictionary && s.width == 1 && stored.ID() == arrow.INT8
}

// Message is a message that is sent as it is: a flatbuffer without prefix, and its body.
type Message struct {
	Header, Body []byte
}

// ServedChangeTypes is the dictionary of the change types, to be sent once behind a schema that has them and no other
// dictionary.
var ServedChangeTypes = sync.OnceValue(func() Message {
	words := array.NewStringBuilder(memory.DefaultAllocator)
	defer words.Release()
	words.AppendValues(quiver.ChangeTypeWords(), nil)
	dictionary := words.NewArray()
	defer dictionary.Release()
	indices := array.NewInt8Builder(memory.DefaultAllocator)
	defer indices.Release()
	none := indices.NewArray()
	defer none.Release()
	column := array.NewDictionaryArray(ChangeTypeType, none, dictionary)
	defer column.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: quiver.ChangeTypeColumn, Type: ChangeTypeType}}, nil)
	rows := array.NewRecordBatch(schema, []arrow.Array{column}, 0)
	defer rows.Release()
	var stream bytes.Buffer
	w := aipc.NewWriter(&stream, aipc.WithSchema(schema))
	if err := w.Write(rows); err != nil {
		panic("record: the dictionary of change types cannot be written: " + err.Error())
	}
	b := stream.Bytes()
	for {
		size := int(binary.LittleEndian.Uint32(b[4:])) // behind the continuation marker
		header := b[8 : 8+size]
		m, err := parseMessage(header)
		if err != nil {
			panic("record: the dictionary of change types cannot be read: " + err.Error())
		}
		body := int(m.bodyLen)
		if KindOf(header) == KindDictionary {
			return Message{Header: header, Body: b[8+size : 8+size+body]}
		}
		b = b[8+size+body:]
	}
})
