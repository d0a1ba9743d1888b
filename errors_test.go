package quiver

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strconv"
	"strings"
	"testing"
)

// wireErrors is the table of errors of the wire contract.
var wireErrors = map[Class]string{
	ClassInvalid:         "SCHEMA_MISMATCH MALFORMED_BATCH BATCH_TOO_LARGE BAD_COMMAND BAD_NAME BAD_FILTER BAD_OPTION",
	ClassNotFound:        "TABLE_NOT_FOUND DATABASE_NOT_FOUND PARTITION_NOT_FOUND BUCKET_NOT_FOUND CURSOR_NOT_FOUND",
	ClassExists:          "TABLE_EXISTS DATABASE_EXISTS",
	ClassOutOfRange:      "OFFSET_OUT_OF_RANGE OFFSET_TRUNCATED",
	ClassPrecondition:    "OUT_OF_ORDER_SEQUENCE SEQUENCE_REUSED FENCED_WRITER UNKNOWN_WRITER EXPECTED_OFFSET_MISMATCH CONDITION_FAILED TABLE_RECREATED SCHEMA_CHANGED DELETE_DISABLED",
	ClassExhausted:       "DISK_FULL QUOTA_EXCEEDED",
	ClassUnavailable:     "LEADER_NOT_AVAILABLE NOT_ENOUGH_REPLICAS OVERLOADED REMOTE_STORAGE_UNAVAILABLE SERVER_DRAINING UNREACHABLE",
	ClassUnauthenticated: "UNAUTHENTICATED",
	ClassDenied:          "PERMISSION_DENIED",
	ClassDataLoss:        "CORRUPT_RANGE",
	ClassInternal:        "INTERNAL",
}

func TestReasonsAreThoseOfTheContract(t *testing.T) {
	want := 0
	for class, reasons := range wireErrors {
		for _, text := range strings.Fields(reasons) {
			want++
			info, ok := Reasons[Reason(text)]
			if !ok {
				t.Errorf("%s has no row", text)
			} else if info.Class != class {
				t.Errorf("%s has class %d, the contract %d", text, info.Class, class)
			}
		}
	}
	if len(Reasons) != want || len(AllReasons()) != want {
		t.Errorf("%d rows, %d listed, the contract has %d", len(Reasons), len(AllReasons()), want)
	}
	for reason, info := range Reasons {
		if info.Meaning == "" || strings.HasSuffix(info.Meaning, ".") {
			t.Errorf("%s: the meaning is one sentence without its full stop: %q", reason, info.Meaning)
		}
		if info.Retriable() != (info.Class == ClassUnavailable) {
			t.Errorf("%s: only what is unavailable can be retried", reason)
		}
	}
}

// TestEveryReasonConstantHasARow reads the constants from the source, so that a new one is not forgotten.
func TestEveryReasonConstantHasARow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil || fmt.Sprint(spec.Type) != "Reason" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if _, ok := Reasons[Reason(text)]; !ok {
			t.Errorf("%s = %q has no row in Reasons", spec.Names[0], text)
		}
		return false
	})
	if found != len(Reasons) {
		t.Errorf("%d constants, %d rows", found, len(Reasons))
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{Errorf(BadCommand, "no"), "BAD_COMMAND: no"},
		{Errorf(DiskFull, "%d bytes are left", 5).On("disk /data").Advise("make room"),
			"DISK_FULL: disk /data: 5 bytes are left; make room"},
		{Errorf(Internal, "").Because(io.ErrUnexpectedEOF).During("arrowlog.stage"), "INTERNAL: unexpected EOF"},
		{&Error{Reason: CorruptRange, Subject: "bucket 3"}, "CORRUPT_RANGE: bucket 3"},
		{&Error{Reason: CorruptRange, Subject: "bucket 3", Err: io.EOF}, "CORRUPT_RANGE: bucket 3: EOF"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestErrorsThroughChains(t *testing.T) {
	first := Errorf(OffsetOutOfRange, "no").Note("earliest", "3")
	second := first.Note("latest", "9").Because(io.EOF)
	if len(first.Meta) != 1 || second.Meta["earliest"] != "3" || second.Meta["latest"] != "9" {
		t.Errorf("metadata is shared: %v, %v", first.Meta, second.Meta)
	}
	wrapped := fmt.Errorf("read: %w", second)
	if ReasonOf(wrapped) != OffsetOutOfRange || !errors.Is(wrapped, io.EOF) || OutcomeOf(wrapped) != NotDone {
		t.Error("reason, cause or outcome is lost in a chain")
	}
	if ReasonOf(io.EOF) != "" || OutcomeOf(io.EOF) != Unknown || OutcomeOf(nil) != Done {
		t.Error("an error of others has no reason, and its outcome is unknown")
	}
	if Errorf(Internal, "").Outcome != Unknown || Errorf(Overloaded, "").WithOutcome(Unknown).Outcome != Unknown {
		t.Error("outcomes are those of the table unless told otherwise")
	}
	for outcome, text := range map[Outcome]string{NotDone: "not done", Unknown: "unknown", Done: "done", 9: "Outcome(9)"} {
		if outcome.String() != text {
			t.Errorf("%s, want %s", outcome, text)
		}
	}
}
