package codec

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// PutResult is one answer of a put: its app_metadata and nothing else. The bytes are copied on both ways.
type PutResult struct{ Metadata []byte }

func (p *PutResult) marshal() mem.BufferSlice {
	b := make([]byte, 0, sizeBytes(fieldPutMetadata, len(p.Metadata)))
	return mem.BufferSlice{mem.SliceBuffer(appendBytes(b, fieldPutMetadata, p.Metadata))}
}

func (p *PutResult) unmarshal(data mem.BufferSlice) error {
	p.Metadata = nil
	c := cursor{chunks: data, left: data.Len()}
	for c.left > 0 {
		num, typ, err := c.tag()
		if err != nil {
			return err
		}
		if num != fieldPutMetadata || typ != protowire.BytesType {
			if err := c.skip(num, typ, 0); err != nil {
				return err
			}
			continue
		}
		n, err := c.length()
		if err != nil {
			return err
		}
		if err := c.small(whatMetadata, n, Limits{}, &p.Metadata, 0); err != nil {
			return err
		}
	}
	return nil
}
