package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
)

// newPartition holds the verbs about partitions.
func newPartition() *cobra.Command {
	cmd := &cobra.Command{Use: "partition", Short: "Partitions of a table: list, create, drop", Args: noArguments, RunE: showHelp,
		Example: "  quiver partition ls shop.orders\n  quiver partition create shop.orders dt=2026-11-22\n  quiver partition drop shop.orders dt=2026-11-22 -y"}
	cmd.AddCommand(newPartitionList(), newPartitionCreate(), newPartitionDrop())
	return cmd
}

func newPartitionList() *cobra.Command {
	return verb(&cobra.Command{Use: "ls TABLE", Short: "List the partitions of a table", Args: arguments("TABLE")}, func(ctx context.Context, c *call, args []string) error {
		rows, err := results[flight.PartitionRow](ctx, c, flight.ActionPartitionList, flight.PartitionList{Table: flight.Named(args[0])})
		if err != nil {
			return err
		}
		g := newGrid("partition", textColumn, "partition_id", intColumn, "created", timeColumn)
		for _, r := range rows {
			g.add(r.Partition, int64(r.PartitionID), r.Created)
		}
		return c.print(g)
	})
}

func newPartitionCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create TABLE PARTITION", Short: "Create a partition", Args: arguments("TABLE", "PARTITION")}
	ifNotExists := cmd.Flags().Bool("if-not-exists", false, "do nothing if it exists")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		_, err := results[map[string]any](ctx, c, flight.ActionPartitionCreate,
			flight.PartitionCreate{Table: flight.Named(args[0]), Partition: args[1], IfNotExists: *ifNotExists})
		if err == nil {
			c.sum("created partition %s of %s", args[1], args[0])
		}
		return err
	})
}

func newPartitionDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop TABLE PARTITION", Short: "Drop a partition with its rows", Args: arguments("TABLE", "PARTITION")}
	ifExists := cmd.Flags().Bool("if-exists", false, "do nothing if it does not exist")
	yesFlag(cmd)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		what := "partition " + args[1] + " of " + args[0]
		if err := c.confirm("Drop " + what + " with its rows?"); err != nil {
			return err
		}
		return c.drop(ctx, flight.ActionPartitionDrop, what, map[string]any{"table": args[0], "partition": args[1], "if_exists": *ifExists})
	})
}
