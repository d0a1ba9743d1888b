package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	stock "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// rawCodec sends and receives bytes as they are; other messages go through the stock codec.
type rawCodec struct{ stock encoding.CodecV2 }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(stock.Name)} }

func (c rawCodec) Name() string { return stock.Name }

// rawOut is a message as it goes out.
type rawOut struct{ parts mem.BufferSlice }

// rawIn is a message as it came in: whoever received it calls free.
type rawIn struct{ parts mem.BufferSlice }

func (in *rawIn) free() { in.parts.Free(); in.parts = nil }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*rawOut); ok {
		return out.parts, nil
	}
	return c.stock.Marshal(v)
}

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*rawIn); ok {
		data.Ref()
		in.parts = data
		return nil
	}
	return c.stock.Unmarshal(data, v)
}

// ioBuffer is the read and write buffer of every tuned connection, as Quiver's server has it.
const ioBuffer = 256 << 10

// maxMessage is the largest message clients take.
const maxMessage = 512 << 20

// dial connects our own client: pass-through codec, large buffers.
func dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newRawCodec()), grpc.MaxCallRecvMsgSize(maxMessage)))
}

// rawService is the service of G: streams of raw messages, nothing else.
var rawService = grpc.ServiceDesc{
	ServiceName: "bench.Raw",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{
		{StreamName: "Get", Handler: rawGet, ServerStreams: true, ClientStreams: true},
		{StreamName: "Put", Handler: rawPut, ServerStreams: true, ClientStreams: true},
	},
}

// rawRequest asks for messages.
type rawRequest struct {
	Messages int `json:"messages"`
	Size     int `json:"size"`
}

// ringBytes is how much distinct memory the floors send: far more than the caches hold.
const ringBytes = 256 << 20

// ring is memory to send pieces of.
type ring struct {
	bytes []byte
	at    int
}

func newRing(size int) *ring {
	r := &ring{bytes: make([]byte, size)}
	for i := 0; i < len(r.bytes); i += 64 {
		r.bytes[i] = byte(i >> 6)
	}
	return r
}

// next gives the next n bytes, from the start again when they do not fit.
func (r *ring) next(n int) []byte {
	if r.at+n > len(r.bytes) {
		r.at = 0
	}
	r.at += n
	return r.bytes[r.at-n : r.at]
}

var sent = newRing(0) // of the process that serves; made by servePassthrough

// rawGet sends as many messages as the first one asks for.
func rawGet(_ any, stream grpc.ServerStream) error {
	var in rawIn
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	text := in.parts.Materialize()
	in.free()
	var request rawRequest
	if err := json.Unmarshal(text, &request); err != nil {
		return err
	}
	for range request.Messages {
		body := mem.SliceBuffer(sent.next(request.Size))
		if err := stream.SendMsg(&rawOut{mem.BufferSlice{body}}); err != nil {
			return err
		}
	}
	return nil
}

// rawPut takes messages, drops them, and tells how many bytes there were.
func rawPut(_ any, stream grpc.ServerStream) error {
	total := 0
	for {
		var in rawIn
		err := stream.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return stream.SendMsg(&rawOut{mem.BufferSlice{mem.SliceBuffer(fmt.Appendf(nil, "%d", total))}})
		}
		if err != nil {
			return err
		}
		total += in.parts.Len()
		in.free()
	}
}

// servePassthrough is the server of G. It ends with the context.
func servePassthrough(ctx context.Context, announce func(address string)) error {
	sent = newRing(ringBytes)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(newRawCodec()), grpc.MaxRecvMsgSize(maxMessage),
		grpc.ReadBufferSize(ioBuffer), grpc.WriteBufferSize(ioBuffer))
	s.RegisterService(&rawService, nil)
	context.AfterFunc(ctx, s.Stop)
	announce(listener.Addr().String())
	return s.Serve(listener)
}

// rawStream opens a stream of G.
func rawStream(ctx context.Context, conn *grpc.ClientConn, name string) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true}
	return conn.NewStream(ctx, desc, "/bench.Raw/"+name)
}

// passthroughGet receives n messages of a size and gives the bytes.
func passthroughGet(ctx context.Context, conn *grpc.ClientConn, messages, size int) (int64, error) {
	stream, err := rawStream(ctx, conn, "Get")
	if err != nil {
		return 0, err
	}
	request, err := json.Marshal(rawRequest{messages, size})
	if err != nil {
		return 0, err
	}
	if err := stream.SendMsg(&rawOut{mem.BufferSlice{mem.SliceBuffer(request)}}); err != nil {
		return 0, err
	}
	if err := stream.CloseSend(); err != nil {
		return 0, err
	}
	var total int64
	for {
		var in rawIn
		err := stream.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
		total += int64(in.parts.Len())
		in.free()
	}
}

// passthroughPut sends the frames and waits for the answer.
func passthroughPut(ctx context.Context, conn *grpc.ClientConn, frames []frame) error {
	stream, err := rawStream(ctx, conn, "Put")
	if err != nil {
		return err
	}
	for _, f := range frames {
		if err := stream.SendMsg(f.out()); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var in rawIn
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	in.free()
	return nil
}

// out is the frame as a message.
func (f *frame) out() *rawOut {
	return &rawOut{mem.BufferSlice{mem.SliceBuffer(f.head), mem.SliceBuffer(f.body)}}
}
