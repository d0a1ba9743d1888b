package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
)

// newCount counts rows by reading none of their columns, but for those in the filter.
func newCount() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "count TABLE",
		Short:   "Count the rows of a table",
		Example: "  quiver count shop.orders\n  quiver count shop.orders --where \"price > 100\" --from -1h\n  quiver count shop.customers                    of a primary key: at once, however many there are",
		Args:    arguments("TABLE"),
	}
	var f scanFlags
	flags := cmd.Flags()
	flags.StringVar(&f.where, "where", "", `only rows for which this is true: "price > 100"`)
	flags.StringVar(&f.partition, "partition", "", "only this partition: dt=2026-11-22/region=eu")
	flags.Var(&f.bucket, "bucket", "only this bucket")
	f.addRange(flags)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		asked, stop := c.ask(ctx)
		defer stop()
		d, err := c.client.DescribeTable(asked, args[0])
		if err != nil {
			return err
		}
		ranged := !command.From.IsZero() || !command.Until.IsZero()
		if len(d.PrimaryKey) > 0 && f.where == "" && !ranged {
			return c.countCurrent(asked, args[0], command)
		}
		if ranged {
			command.Read = flight.ReadLog // of the changes
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
		return c.printCount(rows)
	})
}

// countCurrent counts the current rows of a primary-key table, which the server knows without reading them.
func (c *call) countCurrent(ctx context.Context, table string, command flight.ScanCommand) error {
	stats, err := c.client.TableStats(ctx, table)
	if err != nil {
		return err
	}
	rows, found := int64(0), command.Partition == nil && command.Bucket == nil
	for _, r := range stats {
		if r.Total || command.Bucket != nil && (r.Bucket == nil || *r.Bucket != *command.Bucket) ||
			command.Partition != nil && (r.Partition == nil || *r.Partition != *command.Partition) {
			continue
		}
		found = true
		rows += r.Rows
	}
	if !found {
		return notFoundError{fmt.Errorf("table %s has no such partition or bucket; see 'quiver table stats %s'", table, table)}
	}
	return c.printCount(rows)
}

func (c *call) printCount(rows int64) error {
	if c.output == "" {
		_, err := fmt.Fprintln(c.cmd.OutOrStdout(), rows)
		return err
	}
	g := newGrid("rows", intColumn)
	g.add(rows)
	return c.print(g)
}
