package server

import (
	"context"
	"errors"
	"io"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// guardUnary gives unary calls their status and keeps their panics from ending the server.
func (s *Service) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer func() { err = s.leave(info.FullMethod, recover(), err) }()
	s.enter(info.FullMethod)
	if s.isDraining() {
		return nil, errDraining()
	}
	return handle(ctx, req)
}

// guardStream does the same for streams.
func (s *Service) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() { err = s.leave(info.FullMethod, recover(), err) }()
	s.enter(info.FullMethod)
	if s.isDraining() {
		return errDraining()
	}
	return handle(srv, stream)
}

func (s *Service) isDraining() bool { return s.serving.Err() != nil }

// enter counts a call that begins; leave follows.
func (s *Service) enter(method string) {
	s.calls.begin()
	s.metrics.began(method)
}

// leave turns what a call ended with into a status.
func (s *Service) leave(method string, panicked any, err error) error {
	defer s.calls.end()
	if panicked != nil {
		err = s.panicked(method, panicked)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	s.metrics.failed(method, err)
	var known *quiver.Error
	if !errors.As(err, &known) && !isGRPC(err) && !errors.Is(err, context.Canceled) {
		s.options.Logger.Error("a call failed for a reason that has no name", "method", method, "err", err)
	}
	return flight.ToStatus(err)
}

// panicked logs a panic, and gives what the call ends with.
func (s *Service) panicked(method string, what any) error {
	s.metrics.panics.Inc()
	s.options.Logger.Error("a call panicked", "method", method, "panic", what, "stack", string(debug.Stack()))
	return quiver.Errorf(quiver.Internal, "the server failed at this call").Advise("this is a bug: please report it with the server's log")
}

// isGRPC tells whether an error is gRPC's own, such as the end of a stream.
func isGRPC(err error) bool {
	_, ok := status.FromError(err)
	return ok
}
