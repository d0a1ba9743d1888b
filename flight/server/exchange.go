package server

import (
	"errors"
	"io"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// DoExchange takes lookups, which need a primary-key table. It says so, or what is wrong with the command.
func (s *Service) DoExchange(stream afl.FlightService_DoExchangeServer) error {
	var in codec.In
	defer in.Reset()
	if err := codec.Recv(stream, &in); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	descriptor, err := parseDescriptor(in.Descriptor)
	if err != nil {
		return err
	}
	if descriptor.Lookup == nil {
		return quiver.Errorf(quiver.BadCommand, "an exchange takes lookups only").Advise(`use DoGet to read and DoPut to write`)
	}
	return nil
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
