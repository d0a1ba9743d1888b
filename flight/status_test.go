package flight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// codesOfTheContract is the table of errors of the package doc.
var codesOfTheContract = map[codes.Code][]quiver.Reason{
	codes.InvalidArgument: {"SCHEMA_MISMATCH", "MALFORMED_BATCH", "BATCH_TOO_LARGE", "BAD_COMMAND", "BAD_NAME", "BAD_FILTER", "BAD_OPTION"},
	codes.NotFound:        {"TABLE_NOT_FOUND", "DATABASE_NOT_FOUND", "PARTITION_NOT_FOUND", "BUCKET_NOT_FOUND", "CURSOR_NOT_FOUND"},
	codes.AlreadyExists:   {"TABLE_EXISTS", "DATABASE_EXISTS"},
	codes.OutOfRange:      {"OFFSET_OUT_OF_RANGE", "OFFSET_TRUNCATED"},
	codes.FailedPrecondition: {"OUT_OF_ORDER_SEQUENCE", "SEQUENCE_REUSED", "FENCED_WRITER", "UNKNOWN_WRITER", "EXPECTED_OFFSET_MISMATCH",
		"CONDITION_FAILED", "TABLE_RECREATED", "SCHEMA_CHANGED", "DELETE_DISABLED"},
	codes.ResourceExhausted: {"DISK_FULL", "QUOTA_EXCEEDED"},
	codes.Unavailable:       {"LEADER_NOT_AVAILABLE", "NOT_ENOUGH_REPLICAS", "OVERLOADED", "REMOTE_STORAGE_UNAVAILABLE", "SERVER_DRAINING", "UNREACHABLE"},
	codes.Unauthenticated:   {"UNAUTHENTICATED"},
	codes.PermissionDenied:  {"PERMISSION_DENIED"},
	codes.DataLoss:          {"CORRUPT_RANGE"},
	codes.Internal:          {"INTERNAL"},
}

// TestEveryReason: each reason has the code of the contract, and comes back as it went.
func TestEveryReason(t *testing.T) {
	seen := 0
	for code, reasons := range codesOfTheContract {
		for _, reason := range reasons {
			seen++
			for _, outcome := range []quiver.Outcome{quiver.NotDone, quiver.Unknown, quiver.Done} {
				sent := quiver.Errorf(reason, "what happened").On("table shop.orders").Advise("what to do").
					Note("earliest", "5").WithOutcome(outcome)
				err := ToStatus(fmt.Errorf("on the way: %w", sent))
				if got := status.Code(err); got != code {
					t.Errorf("%s: code %v, want %v", reason, got, code)
				}
				if (code == codes.Unavailable) != quiver.Reasons[reason].Retriable() {
					t.Errorf("%s: Unavailable, and nothing else, means that the same again may work", reason)
				}
				want := string(reason) + ": table shop.orders: what happened; what to do"
				if got := status.Convert(err).Message(); got != want {
					t.Errorf("text %q", got)
				}
				var back *quiver.Error
				if !errors.As(FromStatus(err), &back) || back.Reason != reason || back.Outcome != outcome ||
					back.Error() != want || len(back.Meta) != 1 || back.Meta["earliest"] != "5" {
					t.Errorf("%s came back as %+v", reason, back)
				}
				if class, ok := ClassOf(FromStatus(err)); !ok || class != quiver.Reasons[reason].Class {
					t.Errorf("%s: class %v", reason, class)
				}
			}
		}
	}
	if seen != len(quiver.Reasons) {
		t.Errorf("%d reasons in the contract, %d in the table", seen, len(quiver.Reasons))
	}
	for class := quiver.ClassInvalid; class <= quiver.ClassInternal; class++ {
		if _, ok := codeOfClass[class]; !ok {
			t.Errorf("class %d has no code", class)
		}
	}
}

func TestErrorsOfOthers(t *testing.T) {
	for _, test := range []struct {
		err  error
		code codes.Code
		want string
	}{
		{errors.New("boom"), codes.Internal, "INTERNAL: boom"},
		{&codec.TooLargeError{What: "message", Size: 300, Limit: 256}, codes.InvalidArgument,
			"BATCH_TOO_LARGE: message of 300 bytes is above the limit of 256 bytes; send smaller batches: write_table(t, max_chunksize=65536)"},
		{&codec.TooLargeError{What: "app_metadata", Size: 300, Limit: 256}, codes.InvalidArgument, "BAD_COMMAND: app_metadata of 300 bytes"},
		{&codec.MalformedError{Err: errors.New("x")}, codes.InvalidArgument, "MALFORMED_BATCH: the message is no FlightData: x"},
		{context.Canceled, codes.Unavailable, "SERVER_DRAINING: "},
		{context.DeadlineExceeded, codes.Unavailable, "SERVER_DRAINING: "},
		{fmt.Errorf("send: %w", status.Error(codes.Canceled, "gone")), codes.Unavailable, "SERVER_DRAINING: "},
		{status.Error(codes.Unavailable, "transport is closing"), codes.Unavailable, "transport is closing"},
		{status.Error(codes.Unimplemented, "no such method"), codes.Unimplemented, "no such method"},
		{status.Error(codes.Unknown, "x"), codes.Internal, "INTERNAL: "},
	} {
		st := status.Convert(ToStatus(test.err))
		if st.Code() != test.code || !strings.HasPrefix(st.Message(), test.want) {
			t.Errorf("%v: %v", test.err, st)
		}
	}
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("no error became one")
	}
}

// TestBrokenConnectionsHaveNoReason: they come back as they are, and the caller can tell.
func TestBrokenConnectionsHaveNoReason(t *testing.T) {
	for _, err := range []error{
		status.Error(codes.Unavailable, "error reading from server: EOF"),
		status.Error(codes.Unavailable, "no colon"),
		errors.New("plain"),
	} {
		back := FromStatus(err)
		if _, ok := ClassOf(back); ok || quiver.ReasonOf(back) != "" {
			t.Errorf("%v has a reason: %v", err, back)
		}
	}
	// the text alone suffices, as behind proxies that drop details
	back := FromStatus(status.Error(codes.NotFound, "TABLE_NOT_FOUND: table a.b"))
	if quiver.ReasonOf(back) != quiver.TableNotFound || quiver.OutcomeOf(back) != quiver.Unknown {
		t.Error(back)
	}
}

// TestReasonsOfNewerServers are acted upon by their code.
func TestReasonsOfNewerServers(t *testing.T) {
	st, err := status.New(codes.Unavailable, "BREWING: tea").WithDetails(&errdetails.ErrorInfo{
		Reason: "BREWING", Domain: errorDomain, Metadata: map[string]string{"outcome": "not done"}})
	if err != nil {
		t.Fatal(err)
	}
	back := FromStatus(st.Err())
	class, ok := ClassOf(back)
	if !ok || !class.Retriable() || quiver.ReasonOf(back) != "BREWING" || quiver.OutcomeOf(back) != quiver.NotDone {
		t.Error(back, class)
	}
}

// TestStatusesFitIntoHeaders: whatever a text holds, C++ clients get it, and the end of it stays.
func TestStatusesFitIntoHeaders(t *testing.T) {
	for _, fill := range []string{"x", "ö", "語", "\xff"} {
		e := quiver.Errorf(quiver.SchemaMismatch, "%s", strings.Repeat(fill, 100_000)).Advise("durable: 2 batches; rest: unknown")
		for i := range 50 {
			e = e.Note(fmt.Sprint("key", i), strings.Repeat(fill, 1000))
		}
		st := status.Convert(ToStatus(e))
		if !strings.HasPrefix(st.Message(), "SCHEMA_MISMATCH: ") || !strings.HasSuffix(st.Message(), "rest: unknown") || !utf8.ValidString(st.Message()) {
			t.Errorf("text %q", st.Message())
		}
		wire, err := proto.Marshal(st.Proto())
		if err != nil {
			t.Fatal(err)
		}
		headers := len(wire)*4/3 + 3*len(st.Message())
		if fill == "x" {
			headers = len(wire)*4/3 + len(st.Message())
		}
		if headers > 8000 {
			t.Errorf("%q: %d bytes of headers", fill, headers)
		}
	}
}

// FuzzFromStatus: no text of a server makes the client panic or lose it.
func FuzzFromStatus(f *testing.F) {
	f.Add(uint32(5), "TABLE_NOT_FOUND: x", "TABLE_NOT_FOUND")
	f.Add(uint32(14), "", "")
	f.Fuzz(func(t *testing.T, code uint32, text, reason string) {
		st := status.New(codes.Code(code), text)
		if detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain}); err == nil {
			st = detailed
		}
		if back := FromStatus(st.Err()); back != nil && !strings.Contains(back.Error(), strings.TrimPrefix(text, reason+": ")) {
			t.Errorf("%q became %q", text, back)
		}
	})
}
