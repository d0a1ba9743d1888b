package main

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1 // refused or failed
	exitUsage       = 2 // the program was called wrongly
	exitUnreachable = 3 // the server does not answer
	exitNotFound    = 4 // what was named does not exist
)

// usageError is a wrong call of the program, as opposed to a failure of what was rightly asked for.
type usageError struct{ error }

// notFoundError says that what was looked for is not there.
type notFoundError struct{ error }

// errStopped ends a verb quietly: what it writes to is gone, or the user has seen enough.
var errStopped = errors.New("stopped")

// exitCode gives the code that an error ends the program with.
func exitCode(err error) int {
	var usage usageError
	var missing notFoundError
	switch {
	case err == nil, errors.Is(err, errStopped), errors.Is(err, syscall.EPIPE):
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
		return exitNotFound
	case errors.Is(err, context.DeadlineExceeded), quiver.ReasonOf(err) == quiver.Unreachable:
		return exitUnreachable
	}
	if class, ok := flight.ClassOf(err); ok && class == quiver.ClassNotFound {
		return exitNotFound
	}
	return exitFailed
}

// tell gives the text of an error, at most a few lines: what happened to what, and what to do.
func tell(err error, server string) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "the server " + server + " did not answer in time; give it longer with --timeout"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case quiver.ReasonOf(err) == quiver.Unreachable:
		var e *quiver.Error
		errors.As(err, &e)
		return unreachable(server, lastWords(e.Detail))
	}
	return inFlags.Replace(err.Error())
}

// unreachable tells that no server answers, from what the system, or gRPC, said of the connection.
func unreachable(server, words string) string {
	switch {
	case strings.Contains(words, "HTTP/1.1"): // "frame too large, note that the frame header looked like an HTTP/1.1 header"
		return "what answers at " + server + " speaks HTTP, not Flight\nThe Flight port is another one, 8815 by default; 'quiver dev' prints it as it starts."
	case words == "produced zero addresses":
		words = "there is no such host"
	}
	return "no server answers at " + server + ": " + words + "\nStart one with 'quiver dev', or name another with --server HOST:PORT."
}

// inFlags says what the server advises in the words of actions in those of the program.
var inFlags = strings.NewReplacer(
	"or set if_not_exists", "or add --if-not-exists",
	"set if_not_exists where", "add --if-not-exists where",
	`or send "cascade":true`, "or add --cascade",
	"create it with database.create", "create it with 'quiver db create'",
	"create it with table.create", "create it with 'quiver table create'",
	"create it with partition.create", "create it with 'quiver partition create'",
	"made by its first cursor.commit", "made by 'quiver cursor set'",
	"see table.describe", "see 'quiver table describe'",
	"see partition.list", "see 'quiver partition ls'",
	"partition.list names th", "'quiver partition ls' names th",
	"read cursor.list, and", "see 'quiver cursor ls', and",
	"with table.alter", "with 'quiver table alter'",
)

// lastWords is the end of what gRPC says of a connection, which is what the system said.
func lastWords(text string) string {
	text = strings.TrimSuffix(text, `"`)
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

// detail is the text of an error without its reason, to stand behind the flag that it is about.
func detail(err error) string {
	return strings.TrimPrefix(err.Error(), string(quiver.ReasonOf(err))+": ")
}
