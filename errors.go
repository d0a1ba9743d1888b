package quiver

import (
	"errors"
	"fmt"
	"strings"
)

// Outcome says what became of the thing that was asked for. Unknown is never treated as failed.
type Outcome int8

const (
	// NotDone means that nothing changed, and nothing will: the same may be tried as something new.
	NotDone Outcome = iota
	// Unknown means that it may have happened, once: only the same writer and sequence may be tried again.
	Unknown
	// Done means that it happened; only its answer failed.
	Done
)

// Reason names one way to fail, as clients see it. A new one exists only where a caller would act differently.
type Reason string

// Error is the one error type that crosses package borders.
//
// Its text is "REASON: what happened to what; what to do", which is what clients see.
type Error struct {
	Op      string  // what was being done, "arrowlog.stage"; for logs, never shown to clients
	Reason  Reason  // why it failed
	Outcome Outcome // what became of it
	Subject string  // which table, partition, bucket, column, file: "table default.events, bucket 3"
	Detail  string  // what happened: "column price is utf8, the table has int64"
	Hint    string  // what to do: "cast it, or widen the column with table.alter"
	Meta    map[string]string // machine-readable details: "earliest", "latest", "retry_after_ms"
	Err     error   // the cause, if another error was it
}

// Error formats the error as clients see it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Reason))
	b.WriteString(": ")
	text := e.Detail
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	switch {
	case e.Subject != "" && text != "":
		fmt.Fprintf(&b, "%s: %s", e.Subject, text)
	default:
		b.WriteString(e.Subject + text)
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf gives the reason of the first Error in the chain, or "" if there is none.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// Errorf makes an Error with outcome NotDone whose detail is formatted.
func Errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// On returns a copy of the error that names its subject.
func (e *Error) On(subject string) *Error { c := *e; c.Subject = subject; return &c }

// Advise returns a copy of the error that tells what to do.
func (e *Error) Advise(hint string) *Error { c := *e; c.Hint = hint; return &c }

// Class groups reasons by what a transport and a caller make of them. flight/status.go maps classes to gRPC codes.
type Class int8

const (
	ClassInvalid Class = iota // InvalidArgument
	ClassNotFound
	ClassExists
	ClassOutOfRange
	ClassPrecondition
	ClassExhausted
	ClassUnavailable // the only retriable class
	ClassUnauthenticated
	ClassDenied
	ClassDataLoss
	ClassInternal
)

// The reasons, by class. The table Reasons gives each its meaning.
const (
	SchemaMismatch Reason = "SCHEMA_MISMATCH"
	MalformedBatch Reason = "MALFORMED_BATCH"
	BatchTooLarge  Reason = "BATCH_TOO_LARGE"
	BadCommand     Reason = "BAD_COMMAND"
	BadName        Reason = "BAD_NAME"
	BadFilter      Reason = "BAD_FILTER"
	BadOption      Reason = "BAD_OPTION"

	TableNotFound     Reason = "TABLE_NOT_FOUND"
	DatabaseNotFound  Reason = "DATABASE_NOT_FOUND"
	PartitionNotFound Reason = "PARTITION_NOT_FOUND"
	BucketNotFound    Reason = "BUCKET_NOT_FOUND"
	CursorNotFound    Reason = "CURSOR_NOT_FOUND"
	TableExists       Reason = "TABLE_EXISTS"
	DatabaseExists    Reason = "DATABASE_EXISTS"

	OffsetOutOfRange Reason = "OFFSET_OUT_OF_RANGE"
	OffsetTruncated  Reason = "OFFSET_TRUNCATED"

	OutOfOrderSequence     Reason = "OUT_OF_ORDER_SEQUENCE"
	SequenceReused         Reason = "SEQUENCE_REUSED"
	FencedWriter           Reason = "FENCED_WRITER"
	UnknownWriter          Reason = "UNKNOWN_WRITER"
	ExpectedOffsetMismatch Reason = "EXPECTED_OFFSET_MISMATCH"
	ConditionFailed        Reason = "CONDITION_FAILED"
	TableRecreated         Reason = "TABLE_RECREATED"
	SchemaChanged          Reason = "SCHEMA_CHANGED"
	DeleteDisabled         Reason = "DELETE_DISABLED"

	DiskFull      Reason = "DISK_FULL"
	QuotaExceeded Reason = "QUOTA_EXCEEDED"

	LeaderNotAvailable       Reason = "LEADER_NOT_AVAILABLE"
	NotEnoughReplicas        Reason = "NOT_ENOUGH_REPLICAS"
	Overloaded               Reason = "OVERLOADED"
	RemoteStorageUnavailable Reason = "REMOTE_STORAGE_UNAVAILABLE"
	ServerDraining           Reason = "SERVER_DRAINING"

	Unauthenticated  Reason = "UNAUTHENTICATED"
	PermissionDenied Reason = "PERMISSION_DENIED"
	CorruptRange     Reason = "CORRUPT_RANGE"
	Internal         Reason = "INTERNAL"
)
