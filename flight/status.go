package flight

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// This is the only file that knows gRPC codes.

// errorDomain is the domain of every ErrorInfo that we send.
const errorDomain = "quiver"

// metaOutcome is the key of ErrorInfo's metadata that tells the outcome: "not done", "unknown" or "done".
const metaOutcome = "outcome"

// Statuses travel in headers, and gRPC's C++ core, pyarrow's, takes 8 KiB of them, with every byte that is not ASCII
// written as three and the whole status once more in base64. So what we send is bounded.
const (
	maxStatusText  = 1200
	keepStatusTail = 400 // of a text cut short, its end stays: that is what a put tells is durable
	maxMetaValue   = 120
	maxMetaValues  = 10
)

var codeOfClass = map[quiver.Class]codes.Code{
	quiver.ClassInvalid:         codes.InvalidArgument,
	quiver.ClassNotFound:        codes.NotFound,
	quiver.ClassExists:          codes.AlreadyExists,
	quiver.ClassOutOfRange:      codes.OutOfRange,
	quiver.ClassPrecondition:    codes.FailedPrecondition,
	quiver.ClassExhausted:       codes.ResourceExhausted,
	quiver.ClassUnavailable:     codes.Unavailable,
	quiver.ClassUnauthenticated: codes.Unauthenticated,
	quiver.ClassDenied:          codes.PermissionDenied,
	quiver.ClassDataLoss:        codes.DataLoss,
	quiver.ClassInternal:        codes.Internal,
}

// ToStatus makes the gRPC error that a call ends with. Its text is the error's own, "REASON: …", and an ErrorInfo
// carries reason, outcome and the error's metadata. It is never Cancelled, which pyarrow turns into KeyboardInterrupt.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*quiver.Error](err); !ok {
		if st, ok := status.FromError(err); ok && passes(st.Code()) {
			return err // gRPC's own, such as the end of a stream
		}
	}
	e := asError(err)
	st := status.New(codeOf(e), clipText(e.Error()))
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{
		Reason: string(e.Reason), Domain: errorDomain, Metadata: statusMeta(e),
	})
	if err != nil {
		return st.Err() // an ErrorInfo always marshals
	}
	return detailed.Err()
}

// passes says whether a status that gRPC made itself may reach the client as it is.
func passes(code codes.Code) bool {
	return code != codes.Canceled && code != codes.Unknown && code != codes.OK
}

// codeOf gives the code of an error: by its reason's class, and Unimplemented for parts of the protocol that are not
// served.
func codeOf(e *quiver.Error) codes.Code {
	if status.Code(e.Err) == codes.Unimplemented {
		return codes.Unimplemented
	}
	if info, ok := quiver.Reasons[e.Reason]; ok {
		return codeOfClass[info.Class]
	}
	return codes.Internal
}

func statusMeta(e *quiver.Error) map[string]string {
	meta := map[string]string{metaOutcome: e.Outcome.String()}
	for _, key := range slices.Sorted(maps.Keys(e.Meta)) {
		if len(meta) == maxMetaValues {
			break
		}
		value := e.Meta[key]
		meta[key] = strings.ToValidUTF8(value[:min(len(value), maxMetaValue)], "")
	}
	return meta
}

// clipText makes a text fit into a status: valid UTF-8, cut in its middle if it is long.
func clipText(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= maxStatusText {
		return text
	}
	head, tail := maxStatusText-keepStatusTail, len(text)-keepStatusTail
	for !utf8.RuneStart(text[head]) {
		head--
	}
	for !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + " … " + text[tail:]
}

// asError finds the error of ours in a chain, or makes one of what it is.
func asError(err error) *quiver.Error {
	if own, ok := errors.AsType[*quiver.Error](err); ok {
		return own
	}
	tooLarge, isTooLarge := errors.AsType[*codec.TooLargeError](err)
	malformed, isMalformed := errors.AsType[*codec.MalformedError](err)
	switch {
	case isTooLarge && tooLarge.IsCommand():
		return quiver.Errorf(quiver.BadCommand, "%v", tooLarge)
	case isTooLarge:
		return quiver.Errorf(quiver.BatchTooLarge, "%v", tooLarge).
			Advise("send smaller batches: write_table(t, max_chunksize=65536)")
	case isMalformed:
		return quiver.Errorf(quiver.MalformedBatch, "%v", malformed)
	case isCancelled(err):
		return quiver.Errorf(quiver.ServerDraining, "the call was ended before its work was done").WithOutcome(quiver.Unknown)
	default:
		return quiver.Errorf(quiver.Internal, "%v", err).Because(err)
	}
}

// isCancelled says whether a call was given up: by its client, which reads no answer, or by a server that stops.
func isCancelled(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return status.Code(err) == codes.Canceled
}

// FromStatus gives the error that a server's status stands for, for clients. A status without a reason means that
// the connection broke; it is returned as it is, and the outcome of what was asked for is unknown.
func FromStatus(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	reason, text, found := strings.Cut(st.Message(), ": ")
	e := &quiver.Error{Reason: quiver.Reason(reason), Outcome: quiver.Unknown, Detail: text, Err: err}
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.Domain != errorDomain {
			continue
		}
		e.Reason = quiver.Reason(info.Reason)
		e.Detail = strings.TrimPrefix(st.Message(), info.Reason+": ")
		e.Outcome = parseOutcome(info.Metadata[metaOutcome])
		e.Meta = maps.Clone(info.Metadata)
		delete(e.Meta, metaOutcome)
		return e
	}
	if _, known := quiver.Reasons[e.Reason]; !found || !known {
		return err
	}
	return e
}

func parseOutcome(text string) quiver.Outcome {
	for _, o := range []quiver.Outcome{quiver.NotDone, quiver.Done} {
		if text == o.String() {
			return o
		}
	}
	return quiver.Unknown
}

// ClassOf gives the class of an error that a server ended a call with, for clients: of its reason if it is a known one,
// else of its code, so that reasons of newer servers are acted upon rightly. ok is false if the connection broke.
func ClassOf(err error) (class quiver.Class, ok bool) {
	if info, known := quiver.Reasons[quiver.ReasonOf(err)]; known {
		return info.Class, true
	}
	if quiver.ReasonOf(err) == "" {
		return quiver.ClassInternal, false
	}
	code := status.Code(err)
	for class, c := range codeOfClass {
		if c == code {
			return class, true
		}
	}
	return quiver.ClassInternal, true
}
