package server

import (
	"context"
	"errors"
	"io"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/flight/internal/intake"
)

// tap counts a call as it begins. One that is refused gets its status here: no interceptor sees it, and gRPC would tell
// PERMISSION_DENIED of an error that is none of its own. Of a call that it refuses so early it tells code and text only.
func (s *Service) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	ctx, err := s.intake.Tap(ctx, info)
	return ctx, flight.ToStatus(err)
}

// guardUnary gives unary calls their status and keeps their panics from ending the server.
func (s *Service) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer func() { err = s.leave(ctx, info.FullMethod, recover(), err) }()
	s.enter(ctx, info.FullMethod)
	intake.From(ctx).Took()
	if s.isDraining() {
		return nil, errDraining()
	}
	return handle(ctx, req)
}

// guardStream does the same for streams.
func (s *Service) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ctx := stream.Context()
	defer func() { err = s.leave(ctx, info.FullMethod, recover(), err) }()
	s.enter(ctx, info.FullMethod)
	if s.isDraining() {
		return errDraining()
	}
	return handle(srv, countedStream{stream, intake.From(ctx)})
}

// countedStream tells the intake which messages were taken, and which are on their way out.
type countedStream struct {
	grpc.ServerStream
	held *intake.Stream
}

// SendMsg sends a message. One with a body waits until there is memory for it among what readers have not taken yet.
func (c countedStream) SendMsg(m any) error {
	out, ok := m.(*codec.Out)
	if !ok || out.Owner == nil || c.held == nil {
		return c.ServerStream.SendMsg(m)
	}
	on := &sending{Owner: out.Owner, stream: c.held, bytes: messageCost}
	for _, part := range out.Body {
		on.bytes += int64(len(part))
	}
	if err := c.held.Hold(on.bytes); err != nil {
		return err
	}
	out.Owner = on
	return c.ServerStream.SendMsg(out)
}

// sending is the owner of a body on its way out.
type sending struct {
	codec.Owner
	stream *intake.Stream
	bytes  int64
}

// Release gives the body back, and its bytes to who waits for memory.
func (s *sending) Release() {
	s.Owner.Release()
	s.stream.Let(s.bytes)
}

// RecvMsg takes a message. The error of a stream that was given up says why.
func (c countedStream) RecvMsg(m any) error {
	c.held.Await()
	err := c.ServerStream.RecvMsg(m)
	if err == nil {
		c.held.Took()
		return nil
	}
	c.held.Heard()
	if why := c.held.GivenUp(); why != nil {
		return why
	}
	return err
}

func (s *Service) isDraining() bool { return s.serving.Err() != nil }

// enter counts a call that begins; leave follows.
func (s *Service) enter(ctx context.Context, method string) {
	s.calls.begin()
	intake.From(ctx).Begin()
	s.metrics.began(method)
}

// leave turns what a call ended with into a status.
func (s *Service) leave(ctx context.Context, method string, panicked any, err error) error {
	defer s.calls.end()
	held := intake.From(ctx)
	defer held.End()
	if why := held.GivenUp(); why != nil && err != nil && quiver.ReasonOf(err) == "" {
		err = why // that the context ended is what became of it
	}
	if panicked != nil {
		err = s.panicked(method, panicked)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	s.metrics.failed(method, err)
	if _, known := errors.AsType[*quiver.Error](err); !known && !isGRPC(err) && !errors.Is(err, context.Canceled) {
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
