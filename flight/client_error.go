package flight

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// callError is what a caller of the client gets for an error of a call: the server's own words, the end of the
// caller's context, or what the transport had to say.
func callError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var tooLarge *codec.TooLargeError
	if errors.As(err, &tooLarge) {
		return quiver.Errorf(quiver.BatchTooLarge, "the server sent a %v", tooLarge).
			Advise("raise MaxMessage, or ask for less with MaxBytes")
	}
	err = FromStatus(err)
	var own *quiver.Error
	if errors.As(err, &own) {
		return own
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return transportError(err)
}

// transportError tells in our words what gRPC itself ended a call with. Nothing tells what became of the call.
func transportError(err error) error {
	text := status.Convert(err).Message()
	switch status.Code(err) {
	case codes.Unimplemented:
		return quiver.Errorf(quiver.BadCommand, "the server does not serve this: %s", text).Because(err)
	case codes.ResourceExhausted:
		return quiver.Errorf(quiver.BatchTooLarge, "%s", text).Because(err).WithOutcome(quiver.Unknown)
	case codes.Unauthenticated:
		return quiver.Errorf(quiver.Unauthenticated, "%s", text).Because(err)
	case codes.PermissionDenied:
		return quiver.Errorf(quiver.PermissionDenied, "%s", text).Because(err)
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	default: // Unavailable; Canceled, Internal and Unknown are what a stream is that was cut
		return quiver.Errorf(quiver.Unreachable, "the server does not answer: %s", text).Because(err).
			Advise("check the address and that the server runs")
	}
}

// isRetriable says whether the same call may work a moment later.
func isRetriable(err error) bool {
	class, ok := ClassOf(err)
	return ok && class.Retriable()
}

// The times between two attempts.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 3 * time.Second
)

// outage is one row of failures without progress between them. The zero value has none.
type outage struct {
	since time.Time
	wait  time.Duration
}

// over forgets the failures: something worked.
func (o *outage) over() { *o = outage{} }

// next waits until the next attempt. It gives the error back if there is none: it is not one that passes, the time to
// get over it is used up, or the context ended, which is told instead.
func (o *outage) next(ctx context.Context, patience time.Duration, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !isRetriable(err) || patience < 0 {
		return err
	}
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.wait = now, retryFirst
	}
	wait := max(o.wait/2+rand.N(o.wait), retryAfter(err))
	if now.Add(wait).Sub(o.since) > patience {
		return err
	}
	o.wait = min(2*o.wait, retryMost)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryAfter is how long a server asked to be left alone.
func retryAfter(err error) time.Duration {
	var e *quiver.Error
	if !errors.As(err, &e) {
		return 0
	}
	ms, _ := metaNumber(e, "retry_after_ms")
	return time.Duration(min(ms, time.Hour.Milliseconds())) * time.Millisecond
}

// metaNumber gives a number of an error's metadata, if it is there.
func metaNumber(e *quiver.Error, key string) (n int64, ok bool) {
	n, err := strconv.ParseInt(e.Meta[key], 10, 64)
	return max(n, 0), err == nil
}
