package quiver

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// maxSchemaMessage bounds a Schema message, in bytes.
const maxSchemaMessage = 16 << 20

// ParseSchemaMessage reads an Arrow IPC Schema message from anyone: with its prefix (pyarrow's Schema.serialize)
// or without (data_header in Flight). The error is MALFORMED_BATCH.
func ParseSchemaMessage(message []byte) (s *arrow.Schema, err error) {
	if len(message) > maxSchemaMessage {
		return nil, Errorf(MalformedBatch, "the schema message has %d bytes, at most %d are taken", len(message), maxSchemaMessage)
	}
	if !bytes.HasPrefix(message, []byte{0xff, 0xff, 0xff, 0xff}) {
		framed := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32((len(message)+7)&^7))
		framed = append(framed, message...)
		message = append(framed, make([]byte, -len(message)&7)...)
	}
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, Errorf(MalformedBatch, "the schema message cannot be read: %v", p)
		}
	}()
	r, err := ipc.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, Errorf(MalformedBatch, "the schema message cannot be read: %v", err)
	}
	defer r.Release()
	return r.Schema(), nil
}

var _ = fmt.Sprint
