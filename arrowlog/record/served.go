package record

import (
	"github.com/apache/arrow-go/v18/arrow"
)

// Served is the batch as it is sent to a reader: a Message flatbuffer without prefix and without custom metadata, for
// FlightData.data_header, and the parts of the body for data_body. The parts are the batch's own memory: not to be
// changed, and valid while the caller holds a reference.
func (b *Batch) Served() (header []byte, body [][]byte) {
	header = make([]byte, batchMessageSize(len(b.nodes), len(b.buffers)))
	b.putBatchMessage(header)
	return header, b.parts
}

// ServedSchema is the Schema message of a stream of served batches, without prefix, for FlightData.data_header.
func ServedSchema(s *arrow.Schema) ([]byte, error) { return schemaMessage(s) }
