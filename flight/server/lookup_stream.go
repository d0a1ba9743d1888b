package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/kv"
)

// send sends one answer in as many batches as its size asks for.
func (l *lookup) send(stream grpc.ServerStream, a *kv.Answer, names []bucketName, last bool) error {
	batch, err := l.shape.batch(a, names, nil)
	if err != nil {
		return err
	}
	pieces := []*record.Batch{batch}
	if batch.Rows() > 0 {
		pieces, err = batch.Split(l.maxBytes())
		batch.Release()
		if err != nil {
			return err
		}
	}
	for i, piece := range pieces {
		header, body := piece.Served()
		metadata := fmt.Appendf(nil, `{"request":%d,"last":%t}`, l.request, last && i == len(pieces)-1)
		if err := codec.Send(stream, &codec.Out{Metadata: metadata, Header: header, Body: body, Owner: piece}); err != nil {
			for _, left := range pieces[i+1:] {
				left.Release()
			}
			return err
		}
	}
	return nil
}

// single answers the keys of a ticket.
func (s *Service) single(ctx context.Context, c *flight.LookupCommand, stream grpc.ServerStream) error {
	l, err := s.newLookup(c)
	if err != nil {
		return err
	}
	columns, err := l.ticketKeys()
	if err != nil {
		return about(l.table.Path(), err)
	}
	defer func() {
		for _, column := range columns {
			column.Release()
		}
	}()
	if err := sendSchemaMessage(stream, l.shape.schema); err != nil {
		return err
	}
	return l.answers(ctx, func(a *kv.Answer, names []bucketName, last bool) error { return l.send(stream, a, names, last) }, columns)
}

// exchange answers key batches until the client has sent its last.
func (l *lookup) exchange(ctx context.Context, stream grpc.ServerStream, in *codec.In) error {
	if err := sendSchemaMessage(stream, l.shape.schema); err != nil {
		return err
	}
	var input *record.Input
	defer func() {
		if input != nil {
			input.Close()
		}
	}()
	header := slices.Clone(in.Header) // the first message may bring the schema along
	for {
		if len(header) > 0 {
			var err error
			if input, err = l.message(ctx, stream, input, header, in); err != nil {
				return about(l.table.Path(), err)
			}
		}
		in.Reset()
		err := codec.Recv(stream, in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header = in.Header
	}
}

// message takes the schema of the keys, a dictionary, or a batch of keys.
func (l *lookup) message(ctx context.Context, stream grpc.ServerStream, input *record.Input, header []byte, in *codec.In) (*record.Input, error) {
	if input == nil {
		client, dictionaries, err := record.ParseSchema(header)
		if err != nil {
			return nil, err
		}
		if l.keys, err = l.keySchema(client); err != nil {
			return nil, err
		}
		layout, err := record.NewLayout(l.keys)
		if err != nil {
			return nil, err
		}
		return record.NewInput(client, dictionaries, l.keys, layout, l.service.limits)
	}
	switch record.KindOf(header) {
	case record.KindDictionary:
		return input, input.Dictionary(header, in.Body)
	case record.KindBatch:
		return input, l.batch(ctx, stream, input, in)
	default:
		return input, quiver.Errorf(quiver.MalformedBatch, "a message in the middle of the stream holds no record batch")
	}
}

// batch answers one batch of keys.
func (l *lookup) batch(ctx context.Context, stream grpc.ServerStream, input *record.Input, in *codec.In) error {
	batch, err := input.Batch(in.Header, in.Body)
	if err != nil {
		return err
	}
	defer batch.Release()
	rec, err := batch.Decode()
	if err != nil {
		return err
	}
	defer rec.Release()
	columns := make([]arrow.Array, 0, rec.NumCols())
	for _, id := range l.table.PrimaryKey {
		if at := l.keys.Index(id); at >= 0 {
			columns = append(columns, rec.Column(at))
		}
	}
	if l.command.InsertMissing {
		if err := checkKeys(l.table, columns); err != nil {
			return err
		}
	}
	err = l.answers(ctx, func(a *kv.Answer, names []bucketName, last bool) error { return l.send(stream, a, names, last) }, columns)
	l.request++
	return err
}
