package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
)

// newChangelog reads every change of a primary-key table.
func newChangelog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "changelog TABLE",
		Short: "Read every change of a table with a primary key, and with -f those that come",
		Example: `  quiver changelog shop.customers
  quiver changelog shop.customers -f --from now --where "city = 'Oslo'"
  quiver changelog shop.customers --system-columns __offset,__timestamp`,
		Args: arguments("TABLE"),
	}
	var f scanFlags
	var follow bool
	f.add(cmd.Flags())
	f.addRange(cmd.Flags())
	_ = cmd.Flags().MarkHidden("read")
	cmd.Flags().Var(&f.limit, "limit", "at most so many rows")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with changes as they come, until interrupted")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		f.read = flight.ReadLog
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		command.Follow = follow
		if !follow {
			return c.copyOut(ctx, command)
		}
		return c.follow(ctx, command)
	})
}

// follow writes rows as they come, until interrupted or the server ends it.
func (c *call) follow(ctx context.Context, command flight.ScanCommand) error {
	scanner, done, err := c.scan(ctx, command)
	if err != nil {
		return err
	}
	defer done()
	w, err := c.writer(scanner.Schema())
	if err != nil {
		return err
	}
	_, err = c.copyRows(scanner, w, true)
	if ctx.Err() != nil {
		err = nil // interrupted: that is how following ends
	}
	if err == nil {
		err = w.Close()
	}
	return err
}
