// Command quiver is the whole of Quiver in one program: the server and its tools.
//
// One file holds one verb. Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/internal/fault"
)

// version is set by the build.
var version = "unknown"

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a wrong call of the program, as opposed to a failure of what was rightly asked for.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first one drains; the next one ends the process as it would any other
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one call of the program and gives its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if fault.Listing() {
		fmt.Fprintln(stdout, strings.Join(fault.Names(), "\n"))
		return exitDone
	}
	if err := fault.Setup(); err != nil {
		fmt.Fprintln(stderr, "quiver:", err)
		return exitUsage
	}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "quiver:", err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "See '%s'.\n", helpFor(cmd))
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "quiver",
		Short:         "A streaming table store that is Apache Arrow from end to end",
		Example:       "  quiver dev                  start a server with data in ./quiver-data\n  quiver dev --memory         the same, keeping nothing",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate(versionLine())
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(newHelp())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{suggestFlag(cmd, err)} })
	root.AddCommand(newDev(), newVersion())
	return root
}
