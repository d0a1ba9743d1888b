package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// newOffsets tells where the buckets of a table begin and end.
func newOffsets() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "offsets TABLE",
		Short:   "Tell the earliest and latest offset of each bucket, or those at a time",
		Example: "  quiver offsets shop.orders\n  quiver offsets shop.orders --at 2026-11-22T10:00:00Z\n  quiver offsets shop.orders --at -1h",
		Args:    arguments("TABLE"),
	}
	at := cmd.Flags().String("at", "", "the first row not older than this time: 2026-11-22T10:00:00Z, or -1h")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		position, err := parsePosition("--at", *at)
		if err != nil {
			return err
		}
		earliest, err := c.offsetsAt(ctx, args[0], flight.Position{Kind: flight.Earliest})
		if err != nil {
			return err
		}
		latest, err := c.offsetsAt(ctx, args[0], flight.Position{Kind: flight.Latest})
		if err != nil {
			return err
		}
		columns := []any{"partition", textColumn, "bucket", intColumn, "earliest", intColumn}
		var middle []flight.OffsetRow
		if *at != "" {
			if position.Kind != flight.AtTimestamp {
				return usageError{fmt.Errorf("--at %s is no time; write 2026-11-22T10:00:00Z or -1h", *at)}
			}
			if middle, err = c.offsetsAt(ctx, args[0], position); err != nil {
				return err
			}
			columns = append(columns, "at", intColumn)
		}
		return c.print(offsetGrid(append(columns, "latest", intColumn), earliest, middle, latest))
	})
}

func (c *call) offsetsAt(ctx context.Context, table string, at flight.Position) ([]flight.OffsetRow, error) {
	ctx, cancel := c.ask(ctx)
	defer cancel()
	return c.client.Offsets(ctx, table, at)
}

// offsetGrid joins rows of the same buckets. A bucket that came meanwhile has null where it was not there.
func offsetGrid(columns []any, earliest, middle, latest []flight.OffsetRow) *grid {
	g := newGrid(columns...)
	find := func(rows []flight.OffsetRow) map[string]quiver.Offset {
		found := map[string]quiver.Offset{}
		for _, r := range rows {
			found[bucketName(r)] = r.Offset
		}
		return found
	}
	first, at := find(earliest), find(middle)
	cell := func(known map[string]quiver.Offset, r flight.OffsetRow) any {
		if offset, ok := known[bucketName(r)]; ok {
			return int64(offset)
		}
		return nil
	}
	for _, r := range latest {
		row := []any{r.Partition, int64(r.Bucket), cell(first, r)}
		if middle != nil {
			row = append(row, cell(at, r))
		}
		g.add(append(row, int64(r.Offset))...)
	}
	return g
}
