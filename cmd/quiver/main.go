// Command quiver is the whole of Quiver in one program: the server and its tools.
//
// One file holds one verb. Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage,
// 3 server not reachable, 4 not found.
package main

import (
	"context"
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

func main() {
	signal.Ignore(syscall.SIGPIPE) // a pipe that is gone ends the verb, see exitCode
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdout, os.Stderr))
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
	code := exitCode(err)
	if code != exitDone {
		fmt.Fprintln(stderr, "quiver:", tell(err, serverOf(cmd)))
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "See '%s'.\n", helpFor(cmd))
	}
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "quiver",
		Short: "A streaming table store that is Apache Arrow from end to end",
		Example: `  quiver dev                                     start a server with data in ./quiver-data
  quiver append people people.csv --create       make a table of a file
  quiver scan people --where "age > 40"          read it
  quiver tail people -f                          follow it`,
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
	root.AddCommand(newDev(), newServer(), newDatabase(), newTable(), newPartition(), newAppend(), newUpsert(), newDelete(),
		newLookup(), newScan(), newHead(), newTail(), newChangelog(), newCount(), newOffsets(), newCursor(), newLag(), newDemo(), newBench(), newConfig(), newVerify(), newDumpSegment(), newCompletion(), newVersion())
	return root
}
