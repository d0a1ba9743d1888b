package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver/flight"
)

// Flight streams without the stock codec: messages as they are, for what only counts bytes or was encoded before.

// tally is what a read saw.
type tally struct {
	messages int
	rows     int64
	bytes    int64 // of whole messages
}

// openGet redeems a ticket. What comes is received as rawIn.
func openGet(ctx context.Context, conn *grpc.ClientConn, ticket any) (grpc.ClientStream, error) {
	text, err := json.Marshal(ticket)
	if err != nil {
		return nil, err
	}
	return afl.NewFlightServiceClient(conn).DoGet(ctx, &afl.Ticket{Ticket: text})
}

// getRaw reads a table and looks at nothing but the range that each message tells.
func getRaw(ctx context.Context, conn *grpc.ClientConn, ticket any) (t tally, err error) {
	stream, err := openGet(ctx, conn, ticket)
	if err != nil {
		return t, err
	}
	for {
		var in rawIn
		err := stream.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		t.messages++
		t.bytes += int64(in.parts.Len())
		fields, err := parseFlightData(in.parts)
		if err == nil && len(fields.metadata) > 0 {
			var info struct{ From, Until int64 }
			err = json.Unmarshal(fields.metadata, &info)
			t.rows += info.Until - info.From
		}
		fields.close()
		in.free()
		if err != nil {
			return t, err
		}
	}
}

// getDecoded reads a table into record batches, with the client that programs use.
func getDecoded(ctx context.Context, client *flight.Client, ticket any, see func(arrow.RecordBatch)) (t tally, err error) {
	text, err := json.Marshal(ticket)
	if err != nil {
		return t, err
	}
	command, err := flight.ParseTicket(text)
	if err != nil {
		return t, err
	}
	scanner, err := client.Scan(ctx, *command)
	if err != nil {
		return t, err
	}
	defer scanner.Close()
	t.messages++ // the schema
	for scanner.Next() {
		t.messages++
		t.rows += scanner.Batch().NumRows()
		if see != nil {
			see(scanner.Batch())
		}
	}
	t.bytes = scanner.Bytes()
	return t, scanner.Err()
}

// flightFields are the fields of a FlightData; the body is still to be read.
type flightFields struct {
	header, metadata []byte
	body             int
	rest             *mem.Reader
}

// close gives back the message's memory, on which the reader holds references of its own.
func (f *flightFields) close() { _ = f.rest.Close() }

// parseFlightData reads what stands before the body. The body is expected to come last, as every sender of Arrow puts
// it.
func parseFlightData(parts mem.BufferSlice) (f flightFields, err error) {
	f.rest = parts.Reader()
	for f.rest.Remaining() > 0 {
		tag, err := binary.ReadUvarint(f.rest)
		if err != nil {
			return f, err
		}
		size, err := binary.ReadUvarint(f.rest)
		if err != nil {
			return f, err
		}
		number, kind := protowire.DecodeTag(tag)
		if kind != protowire.BytesType || size > uint64(f.rest.Remaining()) {
			return f, fmt.Errorf("field %d of a FlightData is not what it should be", number)
		}
		if number == fieldBody {
			f.body = int(size)
			return f, nil
		}
		value := make([]byte, size)
		if _, err := io.ReadFull(f.rest, value); err != nil {
			return f, err
		}
		switch number {
		case fieldHeader:
			f.header = value
		case fieldMetadata:
			f.metadata = value
		}
	}
	return f, nil
}

// putStream is a put of pre-encoded messages.
type putStream struct {
	grpc.ClientStream
	acked *int // batches, as far as answers were read
}

// openPut opens a put and sends the schema.
func openPut(ctx context.Context, conn *grpc.ClientConn, descriptor *afl.FlightDescriptor, schema *arrow.Schema) (putStream, error) {
	stream, err := afl.NewFlightServiceClient(conn).DoPut(ctx)
	if err != nil {
		return putStream{}, err
	}
	where, err := proto.Marshal(descriptor)
	if err != nil {
		return putStream{}, err
	}
	first := frame{head: flightData(where, nil, encodeSchema(schema), 0)}
	return putStream{stream, new(int)}, stream.SendMsg(first.out())
}

// send sends a batch.
func (p putStream) send(f *frame) error { return p.SendMsg(f.out()) }

// answer waits for the next answer and gives how many more batches it acknowledges: what Quiver's answer tells, or one
// where the answer tells nothing. io.EOF is the end of a put that went well.
func (p putStream) answer() (more int, err error) {
	var in rawIn
	if err := p.RecvMsg(&in); err != nil {
		return 0, err
	}
	message := in.parts.Materialize()
	in.free()
	_, _, tag := protowire.ConsumeTag(message)
	text, n := protowire.ConsumeBytes(message[max(tag, 0):]) // app_metadata is the only field
	if tag < 0 || n < 0 {
		return 0, fmt.Errorf("an answer is no PutResult: %q", message)
	}
	total := struct{ Batches int }{Batches: *p.acked + 1}
	if bytes.HasPrefix(text, []byte("{")) {
		if err := json.Unmarshal(text, &total); err != nil {
			return 0, err
		}
	}
	more = total.Batches - *p.acked
	*p.acked = total.Batches
	return more, nil
}

// finish ends the put and waits until everything is durable.
func (p putStream) finish() error {
	if err := p.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := p.answer(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// putAll puts the frames and waits until they are durable.
func putAll(ctx context.Context, conn *grpc.ClientConn, descriptor *afl.FlightDescriptor, schema *arrow.Schema, frames []frame) error {
	stream, err := openPut(ctx, conn, descriptor, schema)
	if err != nil {
		return err
	}
	for i := range frames {
		if err := stream.send(&frames[i]); errors.Is(err, io.EOF) {
			break // the answer says why
		} else if err != nil {
			return err
		}
	}
	return stream.finish()
}

// pathOf names a table for a put.
func pathOf(names ...string) *afl.FlightDescriptor {
	return &afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: names}
}
