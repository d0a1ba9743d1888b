package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// newDatabase holds the verbs about databases.
func newDatabase() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Databases: list, create, describe, alter, drop", Args: noArguments,
		Example: "  quiver db ls\n  quiver db create shop --comment 'everything that is sold'\n  quiver db drop shop --cascade",
		RunE:    showHelp}
	cmd.AddCommand(newDatabaseList(), newDatabaseCreate(), newDatabaseDescribe(), newDatabaseAlter(), newDatabaseDrop())
	return cmd
}

// showHelp is what a group of verbs does by itself.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func (c *call) printDatabases(rows []flight.DatabaseRow) error {
	g := newGrid("database", textColumn, "comment", textColumn)
	for _, r := range rows {
		g.add(r.Database, r.Comment)
	}
	return c.print(g)
}

func newDatabaseList() *cobra.Command {
	return verb(&cobra.Command{Use: "ls", Short: "List the databases", Args: noArguments}, func(ctx context.Context, c *call, _ []string) error {
		ctx, cancel := c.ask(ctx)
		defer cancel()
		rows, err := c.client.Databases(ctx)
		if err != nil {
			return err
		}
		return c.printDatabases(rows)
	})
}

func newDatabaseCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a database", Args: arguments("NAME")}
	comment := cmd.Flags().String("comment", "", "what it is for")
	ifNotExists := cmd.Flags().Bool("if-not-exists", false, "do nothing if it exists")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		body := map[string]any{"database": args[0]}
		if *comment != "" {
			body["comment"] = *comment
		}
		if *ifNotExists {
			body["if_not_exists"] = true
		}
		if _, err := results[map[string]any](ctx, c, "database.create", body); err != nil {
			return err
		}
		c.sum("created database %s", args[0])
		return nil
	})
}

func newDatabaseDescribe() *cobra.Command {
	return verb(&cobra.Command{Use: "describe NAME", Short: "Describe a database", Args: arguments("NAME")}, func(ctx context.Context, c *call, args []string) error {
		rows, err := results[flight.DatabaseRow](ctx, c, "database.describe", map[string]any{"database": args[0]})
		if err != nil {
			return err
		}
		return c.printDatabases(rows)
	})
}

func newDatabaseAlter() *cobra.Command {
	cmd := &cobra.Command{Use: "alter NAME", Short: "Change the comment of a database", Args: arguments("NAME")}
	comment := cmd.Flags().String("comment", "", "what it is for")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		if !cmd.Flags().Changed("comment") {
			return usageError{errors.New("quiver db alter: --comment is missing")}
		}
		_, err := results[map[string]any](ctx, c, "database.alter", map[string]any{"database": args[0], "comment": *comment})
		if err == nil {
			c.sum("altered database %s", args[0])
		}
		return err
	})
}

func newDatabaseDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop NAME", Short: "Drop a database", Args: arguments("NAME")}
	cascade := cmd.Flags().Bool("cascade", false, "with all its tables")
	ifExists := cmd.Flags().Bool("if-exists", false, "do nothing if it does not exist")
	yesFlag(cmd)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		what := "Drop database " + args[0] + "?"
		if *cascade {
			what = "Drop database " + args[0] + " with all its tables and their rows?"
		}
		if err := c.confirm(what); err != nil {
			return err
		}
		return c.drop(ctx, "database.drop", "database "+args[0], map[string]any{"database": args[0], "cascade": *cascade, "if_exists": *ifExists})
	})
}

// drop drops something and tells so.
func (c *call) drop(ctx context.Context, action, what string, body map[string]any) error {
	for key, value := range body {
		if value == false {
			delete(body, key)
		}
	}
	rows, err := results[flight.Dropped](ctx, c, action, body)
	switch {
	case err != nil:
		return err
	case len(rows) != 1:
		return quiver.Errorf(quiver.Internal, "the server gave %d answers to %s", len(rows), action)
	case rows[0].Dropped:
		c.sum("dropped %s", what)
	default:
		c.sum("there was no %s", what)
	}
	return nil
}
