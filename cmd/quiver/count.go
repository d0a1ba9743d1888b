package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// newCount counts rows by reading none of their columns, but for those in the filter.
func newCount() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "count TABLE",
		Short:   "Count the rows of a table",
		Example: "  quiver count shop.orders\n  quiver count shop.orders --where \"price > 100\" --from -1h",
		Args:    arguments("TABLE"),
	}
	var f scanFlags
	flags := cmd.Flags()
	flags.StringVar(&f.where, "where", "", `only rows for which this is true: "price > 100"`)
	flags.StringVar(&f.partition, "partition", "", "only this partition: dt=2026-11-22/region=eu")
	flags.Int32Var(&f.bucket, "bucket", -1, "only this bucket")
	f.addRange(flags)
	f.limit = -1
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		command.Columns = []string{}
		scanner, done, err := c.scan(ctx, command)
		if err != nil {
			return err
		}
		defer done()
		rows := int64(0)
		for scanner.Next() {
			rows += scanner.Batch().NumRows()
		}
		if err := scanner.Err(); err != nil {
			return err
		}
		if c.output == "" {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), rows)
			return err
		}
		g := newGrid("rows", intColumn)
		g.add(rows)
		return c.print(g)
	})
}
