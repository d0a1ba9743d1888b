package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
)

// newCursor holds the verbs about named places in tables.
func newCursor() *cobra.Command {
	cmd := &cobra.Command{Use: "cursor", Short: "Named places in tables: list, set, reset", Args: noArguments, RunE: showHelp,
		Example: `  quiver cursor ls
  quiver cursor set job1 shop.orders --offsets '{"0": 1200}'
  quiver cursor reset job1 shop.orders --to earliest
  quiver scan shop.orders --from cursor:job1`}
	cmd.AddCommand(newCursorList(), newCursorSet(), newCursorReset())
	return cmd
}

// cursors lists the cursors of the table named, or of all there are.
func (c *call) cursors(ctx context.Context, args []string) ([]flight.CursorRow, error) {
	if len(args) == 0 {
		asked, cancel := c.ask(ctx)
		tables, err := c.client.Tables(asked, "")
		cancel()
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			args = append(args, t.Table)
		}
	}
	var all []flight.CursorRow
	for _, table := range args {
		rows, err := results[flight.CursorRow](ctx, c, flight.ActionCursorList, flight.CursorList{Table: flight.Named(table)})
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func newCursorList() *cobra.Command {
	return verb(&cobra.Command{Use: "ls [TABLE]", Short: "List the cursors, of one table or all", Args: arguments("[TABLE]")}, func(ctx context.Context, c *call, args []string) error {
		rows, err := c.cursors(ctx, args)
		if err != nil {
			return err
		}
		g := newGrid("cursor", textColumn, "table", textColumn, "offsets", textColumn, "lag_rows", intColumn, "lag_seconds", realColumn, "committed", timeColumn)
		for _, r := range rows {
			offsets, err := r.Offsets.MarshalJSON()
			if err != nil {
				return err
			}
			g.add(r.Cursor, r.Table, string(offsets), number(r.LagRows), r.LagSeconds, r.Committed)
		}
		return c.print(g)
	})
}

func newCursorSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME TABLE", Short: "Commit offsets under a name", Args: arguments("NAME", "TABLE")}
	offsets := cmd.Flags().String("offsets", "", `where it stands then: {"0": 1200}, on a partitioned table {"dt=2026-11-22": {"0": 7}}`)
	expect := cmd.Flags().String("expect", "", "only if it stands there still")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		body := map[string]any{"cursor": args[0], "table": args[1]}
		for key, text := range map[string]string{"offsets": *offsets, "expect": *expect} {
			switch {
			case text == "" && key == "offsets":
				return usageError{fmt.Errorf("quiver cursor set: --offsets is missing; write {\"0\": 1200}")}
			case text == "":
			case !json.Valid([]byte(text)) || text[0] != '{':
				return usageError{fmt.Errorf("--%s %s is no JSON object; write {\"0\": 1200}, bucket by bucket", key, text)}
			default:
				body[key] = json.RawMessage(text)
			}
		}
		_, err := results[map[string]any](ctx, c, flight.ActionCursorCommit, body)
		if err == nil {
			c.sum("cursor %s of %s stands at %s", args[0], args[1], *offsets)
		}
		return err
	})
}

func newCursorReset() *cobra.Command {
	cmd := &cobra.Command{Use: "reset NAME TABLE", Short: "Move a cursor to a place", Args: arguments("NAME", "TABLE")}
	to := cmd.Flags().String("to", "earliest", "earliest, now, a time, or JSON")
	yesFlag(cmd)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		position, err := parsePosition("--to", *to)
		if err != nil {
			return err
		}
		if err := c.confirm(fmt.Sprintf("Move cursor %s of %s to %s?", args[0], args[1], *to)); err != nil {
			return err
		}
		_, err = results[map[string]any](ctx, c, flight.ActionCursorReset, map[string]any{"cursor": args[0], "table": flight.Named(args[1]).String(), "to": position})
		if err == nil {
			c.sum("cursor %s of %s stands at %s", args[0], args[1], *to)
		}
		return err
	})
}

// newLag tells how far cursors are behind.
func newLag() *cobra.Command {
	return verb(&cobra.Command{Use: "lag [TABLE]", Short: "Tell how far cursors are behind, in rows and seconds", Args: arguments("[TABLE]"),
		Example: "  quiver lag\n  quiver lag shop.orders"}, func(ctx context.Context, c *call, args []string) error {
		rows, err := c.cursors(ctx, args)
		if err != nil {
			return err
		}
		g := newGrid("cursor", textColumn, "table", textColumn, "lag_rows", intColumn, "lag_seconds", realColumn)
		for _, r := range rows {
			g.add(r.Cursor, r.Table, number(r.LagRows), r.LagSeconds)
		}
		return c.print(g)
	})
}
