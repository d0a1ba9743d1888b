package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/node"
)

// newDev is the one process with everything, for a developer's machine: tables are created by their first batch,
// nobody has to authenticate, and it listens on loopback.
func newDev() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Start one process with everything: no configuration, tables are created by their first batch",
		Example: "  quiver dev\n  quiver dev --memory\n  quiver dev --data /tmp/q --flight-addr 127.0.0.1:0 --http-addr 127.0.0.1:0",
		Args:    noArguments,
	}
	serverFlags(cmd, true)
	return cmd
}

// serverFlags adds the flags that dev and server share, and what runs them.
func serverFlags(cmd *cobra.Command, createTables bool) {
	options := node.Options{Version: version, Commit: commit(), Now: fault.Clock(), FS: fs.Ordered()}
	var log logging
	var role string
	flags := cmd.Flags()
	if !createTables {
		flags.StringVar(&role, "role", "all", "what the process does: all; coordinator and tablet are refused in this version (QUIVER_ROLE)")
	}
	flags.StringVar(&options.Data, "data", "quiver-data", "directory of the data; made if it is missing (QUIVER_DATA)")
	flags.BoolVar(&options.Memory, "memory", false, "keep everything in memory: it is gone when the process ends (QUIVER_MEMORY)")
	flags.StringVar(&options.FlightAddr, "flight-addr", "127.0.0.1:8815", "address of the Flight port; port 0 picks one (QUIVER_FLIGHT_ADDR)")
	flags.StringVar(&options.HTTPAddr, "http-addr", "127.0.0.1:8816", "address of the HTTP port: /livez, /readyz, /metrics, /version (QUIVER_HTTP_ADDR)")
	flags.BoolVar(&options.CreateTables, "create-tables", createTables, "a table may be created by the first batch put into it (QUIVER_CREATE_TABLES)")
	flags.Int64Var(&options.MaxMessage, "max-message", node.DefaultMaxMessage, "largest message taken, in bytes (QUIVER_MAX_MESSAGE)")
	flags.Int64Var(&options.PutMemory, "put-memory", node.DefaultPutMemory, "memory for messages on their way in, in bytes; over it streams wait (QUIVER_PUT_MEMORY)")
	flags.Int64Var(&options.Receive, "receive-memory", 0, "memory for messages that come in and are not taken yet, in bytes; 0: two of the largest and 64 MiB (QUIVER_RECEIVE_MEMORY)")
	flags.Int64Var(&options.Send, "send-memory", node.DefaultSend, "memory for rows that readers have not taken yet, in bytes (QUIVER_SEND_MEMORY)")
	flags.Int64Var(&options.RowMemory, "row-memory", node.DefaultRowMemory, "memory for the store of primary-key tables, in bytes (QUIVER_ROW_MEMORY)")
	flags.IntVar(&options.Calls, "max-calls", node.DefaultCalls, "calls that may run at one time (QUIVER_MAX_CALLS)")
	flags.IntVar(&options.Connections, "max-connections", node.DefaultConns, "connections to the Flight port that may be open at one time (QUIVER_MAX_CONNECTIONS)")
	flags.Int64Var(&options.DiskReserve, "disk-reserve", 0, "free bytes below which puts are refused with DISK_FULL; 0: 2 % of the disk, at most 2 GiB; negative: none (QUIVER_DISK_RESERVE)")
	flags.DurationVar(&options.DrainTime, "drain-time", node.DefaultDrainTime, "how long calls may take to end after SIGTERM, before they are cut (QUIVER_DRAIN_TIME)")
	log.flags(flags)
	configFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := configure(cmd); err != nil {
			return err
		}
		if err := checkRole(role); err != nil {
			return err
		}
		logger, err := log.logger(cmd.ErrOrStderr())
		if err != nil {
			return usageError{err}
		}
		options.Logger = logger
		return runNode(cmd.Context(), options, cmd.OutOrStdout(), createTables)
	}
}

// runNode serves until the context ends, and says on out where.
func runNode(ctx context.Context, options node.Options, out io.Writer, dev bool) error {
	n, err := node.Open(options)
	if err != nil {
		return err
	}
	if err := banner(out, options, n, dev); err != nil {
		return err
	}
	err = n.Run(ctx)
	if closeErr := n.Close(); err == nil {
		err = closeErr
	}
	return err
}

// banner prints the addresses, and in development a snippet to go on with.
func banner(out io.Writer, options node.Options, n *node.Node, dev bool) error {
	data := options.Data
	if options.Memory {
		data = "in memory, gone when this process ends"
	}
	what := "server"
	if dev {
		what = "development server: no authentication"
	}
	_, err := fmt.Fprintf(out, "quiver %s, %s\n  Flight   grpc://%s\n  HTTP     http://%s\n  data     %s\n", options.Version, what, n.FlightAddr(), n.HTTPAddr(), data)
	if err != nil || !dev {
		return err
	}
	env := ""
	if n.FlightAddr() != defaultServer {
		env = "QUIVER_SERVER=" + n.FlightAddr() + " "
	}
	_, err = fmt.Fprintf(out, `
Try it from another terminal:
  %squiver append people people.csv --create
  %squiver scan people

or from Python (pip install pyarrow pandas):
  import pyarrow as pa, pyarrow.flight as fl
  c = fl.connect("grpc://%s")
  w, _ = c.do_put(fl.FlightDescriptor.for_path("default", "events"), pa.schema({"user": pa.int64(), "action": pa.string()}))
  w.write_table(pa.table({"user": [1, 2], "action": ["view", "buy"]})); w.close()   # returns when it is durable
  print(c.do_get(fl.Ticket(b'{"table": "events"}')).read_pandas())
`, env, env, n.FlightAddr())
	return err
}
