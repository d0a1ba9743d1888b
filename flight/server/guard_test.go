package server

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/quiverlog/quiver/flight/internal/intake"
)

// TestRefusedCallsMayBeTriedAgain begins a call where none may run: what gRPC tells is no PERMISSION_DENIED.
func TestRefusedCallsMayBeTriedAgain(t *testing.T) {
	s := &Service{intake: intake.New(intake.Options{})}
	_, err := s.tap(context.Background(), &tap.Info{FullMethodName: "/arrow.flight.protocol.FlightService/DoPut"})
	if st, ok := status.FromError(err); !ok || st.Code() != codes.Unavailable {
		t.Errorf("the status is %v", st)
	}
}
