package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver/node"
)

// newDev is the one process with everything, for a developer's machine: tables are created by their first batch,
// nobody has to authenticate, and it listens on loopback.
func newDev() *cobra.Command {
	options := node.Options{Version: version, Commit: commit(), CreateTables: true}
	var log logging
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Start one process with everything: no configuration, tables are created by their first batch",
		Example: "  quiver dev\n  quiver dev --memory\n  quiver dev --data /tmp/q --flight-addr 127.0.0.1:0 --http-addr 127.0.0.1:0",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settle(cmd.Flags(), &options); err != nil {
				return usageError{err}
			}
			logger, err := log.logger(cmd.ErrOrStderr())
			if err != nil {
				return usageError{err}
			}
			options.Logger = logger
			return runNode(cmd.Context(), options, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Data, "data", "quiver-data", "directory of the data; made if it is missing (QUIVER_DATA)")
	flags.BoolVar(&options.Memory, "memory", false, "keep everything in memory: it is gone when the process ends (QUIVER_MEMORY)")
	flags.StringVar(&options.FlightAddr, "flight-addr", "127.0.0.1:8815", "address of the Flight port; port 0 picks one (QUIVER_FLIGHT_ADDR)")
	flags.StringVar(&options.HTTPAddr, "http-addr", "127.0.0.1:8816", "address of the HTTP port: /livez, /readyz, /metrics, /version (QUIVER_HTTP_ADDR)")
	flags.Int64Var(&options.MaxMessage, "max-message", node.DefaultMaxMessage, "largest message taken, in bytes (QUIVER_MAX_MESSAGE)")
	flags.Int64Var(&options.PutMemory, "put-memory", node.DefaultPutMemory, "memory for messages on their way in, in bytes; over it streams wait (QUIVER_PUT_MEMORY)")
	flags.Int64Var(&options.DiskReserve, "disk-reserve", 0, "free bytes below which puts are refused with DISK_FULL; 0: 2 % of the disk, at most 2 GiB; negative: none (QUIVER_DISK_RESERVE)")
	flags.DurationVar(&options.DrainTime, "drain-time", node.DefaultDrainTime, "how long calls may take to end after SIGTERM, before they are cut (QUIVER_DRAIN_TIME)")
	log.flags(flags)
	return cmd
}

// settle takes what no flag gives from the environment. --data and --memory exclude each other; a flag goes before
// the other one's variable.
func settle(flags *pflag.FlagSet, options *node.Options) error {
	var except []string
	switch data, memory := flags.Changed("data"), options.Memory; {
	case data && memory:
		return fmt.Errorf("--data and --memory exclude each other: one keeps its data, the other none")
	case data:
		except = append(except, "memory")
	case memory:
		except = append(except, "data")
	}
	if err := fromEnvironment(flags, except); err != nil {
		return err
	}
	if options.Memory && flags.Changed("data") {
		return fmt.Errorf("QUIVER_DATA and QUIVER_MEMORY exclude each other: one keeps its data, the other none")
	}
	return nil
}

// fromEnvironment sets each flag that was not given, but for the exceptions, from its QUIVER_* variable.
func fromEnvironment(flags *pflag.FlagSet, except []string) error {
	var first error
	flags.VisitAll(func(flag *pflag.Flag) {
		name := "QUIVER_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if flag.Changed || !set || slices.Contains(except, flag.Name) {
			return
		}
		if err := flags.Set(flag.Name, value); err != nil && first == nil {
			first = fmt.Errorf("%s=%q: %w", name, value, err)
		}
	})
	return first
}

// runNode serves until the context ends, and says on out where.
func runNode(ctx context.Context, options node.Options, out io.Writer) error {
	n, err := node.Open(options)
	if err != nil {
		return err
	}
	if err := banner(out, options, n); err != nil {
		return err
	}
	err = n.Run(ctx)
	if closeErr := n.Close(); err == nil {
		err = closeErr
	}
	return err
}

// banner prints the addresses and a snippet to go on with.
func banner(out io.Writer, options node.Options, n *node.Node) error {
	data := options.Data
	if options.Memory {
		data = "in memory, gone when this process ends"
	}
	_, err := fmt.Fprintf(out, `quiver %s, development server: no authentication
  Flight   grpc://%s
  HTTP     http://%s
  data     %s

Try it from Python (pip install pyarrow pandas):
  import pyarrow as pa, pyarrow.flight as fl
  c = fl.connect("grpc://%[2]s")
  w, _ = c.do_put(fl.FlightDescriptor.for_path("default", "events"), pa.schema({"user": pa.int64(), "action": pa.string()}))
  w.write_table(pa.table({"user": [1, 2], "action": ["view", "buy"]})); w.close()   # returns when it is durable
  print(c.do_get(fl.Ticket(b'{"table": "events"}')).read_pandas())
`, options.Version, n.FlightAddr(), n.HTTPAddr(), data)
	return err
}
