// Package codec passes Arrow bodies through gRPC without marshalling them.
//
// The stock protobuf codec copies every body into one contiguous message on the way out, and into a fresh,
// garbage-collected slice on the way in. This one knows the wire form of the two messages that carry data and
// leaves every other message to the stock codec:
//
//	FlightData   out  Out: the small fields are written into one small slice, body parts are handed to the
//	                  transport as they lie, and their owner is told when the transport is done with them
//	             in   In: the body is copied once, from the transport's chunks into a pooled buffer that starts
//	                  on 64 bytes; the other fields into slices of their own
//	PutResult    both PutResult
//
// It bears the name "proto", so any Flight client talks to it. A server takes it with grpc.ForceServerCodecV2,
// a client of ours with grpc.ForceCodecV2.
//
// The bytes of a FlightData, in the order in which Out writes them:
//
//	0a    len  descriptor      field 1     a client's first message only
//	1a    len  app_metadata    field 3     before the header: small things first
//	12    len  data_header     field 2     the Message flatbuffer, no prefix
//	c2 3e len  data_body       field 1000  last, so that it can be a list of parts
//
// Laws:
//
//  1. Ownership moves with Send: the owner of an Out is released exactly once, whether the message left, failed or
//     was never marshalled. SendMsg returns before the bytes have left; only that release tells that they have.
//  2. A received message is never trusted: lengths are checked against what is there before anything is
//     allocated, and nothing larger than the limits is.
//  3. What a client did wrong stays in In.Err and does not become a gRPC status here: grpc-go would turn any
//     error of a codec into Internal, and the handler could not tell what was durable before it.
//  4. What is accepted means the same as it means to the stock codec: the last one wins, unknown fields are
//     skipped, repeated descriptors merge.
//
// Traps of grpc-go that this package hides: a mem.Buffer of 1 KiB or less never calls its pool back, so such parts
// are copied; messages that are queued for a stream or connection that ends may be dropped without a word, so their
// owners are released by the garbage collector at the latest (see lease); stats handlers, binary logs and compressors materialise messages again, so a server that uses
// this codec has none of them.
package codec
