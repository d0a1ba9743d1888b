package codec

import (
	"google.golang.org/grpc/encoding"
	stock "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
)

// Codec is the pass-through codec. It is safe for concurrent use.
type Codec struct {
	limits Limits
	stock  encoding.CodecV2
}

var _ encoding.CodecV2 = (*Codec)(nil)

// New returns a codec that takes messages within the limits. gRPC's own limit (grpc.MaxRecvMsgSize) must stand above
// Limits.Message, since its status cannot be replaced: twice as high is what servers use.
func New(limits Limits) *Codec {
	return &Codec{limits: limits, stock: encoding.GetCodecV2(stock.Name)}
}

// Name is the name of the stock codec, which this one replaces on the wire.
func (c *Codec) Name() string { return stock.Name }

// Marshal lays Out and PutResult out for the transport and leaves the rest to the stock codec.
func (c *Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Out:
		return m.marshal()
	case *PutResult:
		return m.marshal(), nil
	default:
		return c.stock.Marshal(v)
	}
}

// Unmarshal parses In and PutResult and leaves the rest to the stock codec. What is wrong with a FlightData stands in
// In.Err, not in the error.
func (c *Codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *In:
		m.unmarshal(data, c.limits)
		return nil
	case *PutResult:
		return m.unmarshal(data)
	default:
		return c.stock.Unmarshal(data, v)
	}
}
