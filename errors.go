package quiver

import (
	"errors"
	"fmt"
	"maps"
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

// String gives the outcome as error texts and ErrorInfo spell it: "not done", "unknown", "done".
func (o Outcome) String() string {
	switch o {
	case NotDone:
		return "not done"
	case Unknown:
		return "unknown"
	case Done:
		return "done"
	}
	return fmt.Sprintf("Outcome(%d)", int8(o))
}

// Reason names one way to fail, as clients see it. A new one exists only where a caller would act differently.
type Reason string

// Error is the one error type that crosses package borders.
//
// Its text is "REASON: subject: what happened; what to do", which is what clients see.
type Error struct {
	Op      string            // what was being done, "arrowlog.stage"; for logs, never shown to clients
	Reason  Reason            // why it failed
	Outcome Outcome           // what became of it
	Subject string            // which table, partition, bucket, column, file: "table default.events, bucket 3"
	Detail  string            // what happened: "column price is utf8, the table has int64"
	Hint    string            // what to do: "cast it, or widen the column with table.alter"
	Meta    map[string]string // machine-readable details: "earliest", "latest", "retry_after_ms"
	Err     error             // the cause, if another error was it
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
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// OutcomeOf gives the outcome of the first Error in the chain. An error that is none of ours says nothing about
// what happened: Unknown. No error at all: Done.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Done
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return Unknown
}

// Errorf makes an Error whose detail is formatted, with the outcome that its reason has by default (see Reasons).
// An error among the arguments is formatted only; Because makes it the cause.
func Errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Outcome: Reasons[reason].Outcome, Detail: fmt.Sprintf(format, args...)}
}

// On returns a copy of the error that names its subject.
func (e *Error) On(subject string) *Error { c := *e; c.Subject = subject; return &c }

// Advise returns a copy of the error that tells what to do.
func (e *Error) Advise(hint string) *Error { c := *e; c.Hint = hint; return &c }

// During returns a copy of the error that tells logs what was being done.
func (e *Error) During(op string) *Error { c := *e; c.Op = op; return &c }

// Because returns a copy of the error that wraps its cause.
func (e *Error) Because(cause error) *Error { c := *e; c.Err = cause; return &c }

// WithOutcome returns a copy of the error with another outcome than its reason has by default.
func (e *Error) WithOutcome(outcome Outcome) *Error { c := *e; c.Outcome = outcome; return &c }

// Note returns a copy of the error with one more machine-readable detail.
func (e *Error) Note(key, value string) *Error {
	c := *e
	c.Meta = maps.Clone(e.Meta)
	if c.Meta == nil {
		c.Meta = make(map[string]string, 1)
	}
	c.Meta[key] = value
	return &c
}
