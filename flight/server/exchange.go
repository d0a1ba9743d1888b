package server

import (
	"context"
	"errors"
	"io"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// DoExchange answers lookups: batches of keys in, rows out, in order. A client that says nothing does not hold up a
// drain: what waits for it runs on a goroutine of its own, and ends with the call.
func (s *Service) DoExchange(stream afl.FlightService_DoExchangeServer) error {
	ctx, cancel := s.stopped(stream.Context())
	defer cancel()
	done := make(chan error, 1)
	s.lookups.Go(func() { done <- s.exchange(ctx, stream) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// exchange takes the command and answers its lookups.
func (s *Service) exchange(ctx context.Context, stream afl.FlightService_DoExchangeServer) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = s.panicked("DoExchange", what) // no interceptor guards this goroutine
		}
	}()
	var in codec.In
	held := int64(0)
	in.Admit = func(bytes int) error {
		s.keys.Release(held)
		held = 0
		if int64(bytes) > s.options.MaxMessage {
			return &codec.TooLargeError{What: "data_body", Size: bytes, Limit: int(s.options.MaxMessage)}
		}
		if err := s.keys.Acquire(ctx, int64(bytes)); err != nil {
			return err
		}
		held = int64(bytes)
		return nil
	}
	defer func() {
		in.Reset()
		s.keys.Release(held)
	}()
	if err := codec.Recv(stream, &in); err != nil && !errors.Is(err, io.EOF) {
		return exchangeError(err)
	}
	descriptor, err := parseDescriptor(in.Descriptor)
	if err != nil {
		return err
	}
	if descriptor.Lookup == nil {
		return quiver.Errorf(quiver.BadCommand, "an exchange takes lookups only").Advise(`use DoGet to read and DoPut to write`)
	}
	if descriptor.Lookup.Keys != nil {
		return quiver.Errorf(quiver.BadCommand, "\"keys\" is for tickets; an exchange takes keys as batches").Advise("leave it out")
	}
	l, err := s.newLookup(descriptor.Lookup)
	if err != nil {
		return err
	}
	return exchangeError(l.exchange(ctx, stream, &in))
}

// exchangeError turns what the codec refused into what the client is told.
func exchangeError(err error) error {
	var tooLarge *codec.TooLargeError
	var malformed *codec.MalformedError
	switch {
	case errors.As(err, &tooLarge):
		return quiver.Errorf(quiver.BatchTooLarge, "%v", tooLarge).Advise("send fewer keys at a time")
	case errors.As(err, &malformed):
		return quiver.Errorf(quiver.MalformedBatch, "%v", err)
	}
	return err
}

// parseDescriptor reads the descriptor of a stream's first message.
func parseDescriptor(raw []byte) (*flight.Descriptor, error) {
	if raw == nil {
		return nil, quiver.Errorf(quiver.BadCommand, "the first message has no descriptor").Advise("name the table in the descriptor")
	}
	var descriptor afl.FlightDescriptor
	if err := proto.Unmarshal(raw, &descriptor); err != nil {
		return nil, quiver.Errorf(quiver.BadCommand, "the descriptor is no protobuf message: %v", err)
	}
	return flight.ParseDescriptor(&descriptor)
}
