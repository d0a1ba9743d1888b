package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newTable holds the verbs about tables.
func newTable() *cobra.Command {
	cmd := &cobra.Command{Use: "table", Short: "Tables: list, create, describe, alter, drop, stats", Args: noArguments, RunE: showHelp,
		Example: `  quiver table ls
  quiver table create shop.orders --schema 'id int64 not null, price decimal128(12, 2)' --bucket-key id --buckets 4
  quiver table alter shop.orders --add 'note string' --set retention.time=30d`}
	cmd.AddCommand(newTableList(), newTableCreate(), newTableDescribe(), newTableAlter(), newTableDrop(), newTableStats())
	return cmd
}

func newTableList() *cobra.Command {
	return verb(&cobra.Command{Use: "ls [DATABASE]", Short: "List the tables, of one database or all", Args: arguments("[DATABASE]")}, func(ctx context.Context, c *call, args []string) error {
		ctx, cancel := c.ask(ctx)
		defer cancel()
		rows, err := c.client.Tables(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		g := newGrid("table", textColumn, "table_id", intColumn)
		for _, r := range rows {
			g.add(r.Table, int64(r.TableID))
		}
		return c.print(g)
	})
}

// tableFlags say what a table is to be like, besides its columns.
type tableFlags struct {
	primaryKey  []string
	bucketKey   []string
	partitionBy []string
	buckets     int32
	set         []string
	comment     string
}

func (f *tableFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.primaryKey, "primary-key", nil, "columns of the primary key, a,b")
	flags.StringSliceVar(&f.bucketKey, "bucket-key", nil, "columns that decide a row's bucket, a,b")
	flags.StringSliceVar(&f.partitionBy, "partition-by", nil, "columns that decide a row's partition, a,b")
	flags.Int32Var(&f.buckets, "buckets", 0, "buckets of each partition (1)")
	flags.StringArrayVar(&f.set, "set", nil, "an option of the table: retention.time=7d; may be repeated")
	flags.StringVar(&f.comment, "comment", "", "what the table is for")
}

// body makes what table.create is sent, but for the columns.
func (f *tableFlags) body(table string) (flight.TableCreate, error) {
	body := flight.TableCreate{Table: flight.Named(table), PrimaryKey: f.primaryKey, BucketKey: f.bucketKey, PartitionBy: f.partitionBy, Comment: f.comment}
	if f.buckets != 0 {
		body.Buckets = &f.buckets
	}
	options, err := parseOptions(f.set)
	body.Options = options
	return body, err
}

func parseOptions(set []string) (map[string]string, error) {
	var options map[string]string
	for _, text := range set {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %s: write --set NAME=VALUE", text)}
		}
		if options == nil {
			options = map[string]string{}
		}
		if _, twice := options[name]; twice {
			return nil, usageError{fmt.Errorf("--set: %s is given twice", name)}
		}
		options[name] = value
	}
	return options, nil
}

func newTableCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create TABLE", Short: "Create a table, its columns given or like those of a file", Args: arguments("TABLE"),
		Example: `  quiver table create shop.orders --schema 'id int64 not null, price decimal128(12, 2) default 0' --buckets 4
  quiver table create people --like people.csv
  quiver table create shop.customers --schema 'id int64 not null, city string' --primary-key id
  quiver table create hits --schema 'at timestamp, url string, day date' --partition-by day --set partition.auto=day`}
	var f tableFlags
	schema := cmd.Flags().String("schema", "", "the columns: 'id int64 not null, price decimal128(12, 2) default 0'")
	like := cmd.Flags().String("like", "", "a file with the columns: arrow, parquet, csv, ndjson")
	ifNotExists := cmd.Flags().Bool("if-not-exists", false, "do nothing if it exists")
	f.add(cmd)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		body, err := f.body(args[0])
		if err != nil {
			return err
		}
		body.IfNotExists = *ifNotExists
		switch {
		case (*schema == "") == (*like == ""):
			return usageError{errors.New("quiver table create: one of --schema and --like is needed")}
		case *schema != "":
			if body.Schema.Columns, err = parseSchema(*schema); err != nil {
				return usageError{fmt.Errorf("--schema: %w", err)}
			}
		default:
			if body.Schema, err = schemaLike(*like); err != nil {
				return err
			}
		}
		ctx, cancel := c.ask(ctx)
		defer cancel()
		d, err := c.client.CreateTable(ctx, body)
		if err == nil {
			key := ""
			if len(d.PrimaryKey) > 0 {
				key = ", primary key " + strings.Join(d.PrimaryKey, ", ")
			}
			c.sum("created table %s: %s, %s%s", d.Table, countOf(len(d.Columns), "column"), countOf(d.Buckets, "bucket"), key)
		}
		return err
	})
}

// countOf writes a number of things: "1 bucket", "4 buckets".
func countOf[N int | int32](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// schemaLike reads the columns of a file.
func schemaLike(file string) (flight.SchemaWord, error) {
	reader, err := tabular.Open(file, tabular.ReadOptions{})
	if err != nil {
		return flight.SchemaWord{}, err
	}
	defer func() { _ = reader.Close() }() // it was read only
	return schemaWord(reader.Schema())
}

// schemaWord puts a schema into the body of table.create. Columns of type null, which a table cannot have, become strings.
func schemaWord(s *arrow.Schema) (flight.SchemaWord, error) {
	fields := s.Fields()
	for i, f := range fields {
		if f.Type.ID() == arrow.NULL {
			fields[i].Type = arrow.BinaryTypes.String
		}
	}
	message, err := flight.UnframeSchema(quiver.FormatSchemaMessage(arrow.NewSchema(fields, nil)))
	return flight.SchemaWord{Message: message}, err
}

func newTableDescribe() *cobra.Command {
	return verb(&cobra.Command{Use: "describe TABLE", Short: "Describe a table", Args: arguments("TABLE")}, func(ctx context.Context, c *call, args []string) error {
		ctx, cancel := c.ask(ctx)
		defer cancel()
		d, err := c.client.DescribeTable(ctx, args[0])
		if err != nil {
			return err
		}
		switch c.format() {
		case tabular.Table:
			return c.describe(d)
		case tabular.JSON, tabular.NDJSON:
			text, err := json.Marshal(d)
			if err == nil {
				_, err = fmt.Fprintf(c.cmd.OutOrStdout(), "%s\n", text)
			}
			return err
		}
		return c.print(columnGrid(d))
	})
}

func columnGrid(d flight.TableDescription) *grid {
	g := newGrid("id", intColumn, "column", textColumn, "type", textColumn, "nullable", boolColumn, "default", textColumn)
	for _, column := range d.Columns {
		var value any
		if len(column.Default) > 0 && string(column.Default) != "null" {
			value = string(column.Default)
		}
		g.add(int64(column.ID), column.Name, column.Type, column.Nullable, value)
	}
	return g
}

// describe writes a description for people.
func (c *call) describe(d flight.TableDescription) error {
	out := c.cmd.OutOrStdout()
	fmt.Fprintf(out, "table %s\n  id           %d, schema %d\n  created      %s\n", d.Table, d.TableID, d.SchemaID, time.UnixMilli(d.Created).UTC().Format(time.RFC3339))
	if d.Comment != "" {
		fmt.Fprintf(out, "  comment      %s\n", d.Comment)
	}
	fmt.Fprintf(out, "  buckets      %d\n", d.Buckets)
	for _, key := range []struct {
		name    string
		columns []string
	}{{"primary key", d.PrimaryKey}, {"bucket key", d.BucketKey}, {"partition by", d.PartitionBy}} {
		if len(key.columns) > 0 {
			fmt.Fprintf(out, "  %-12s %s\n", key.name, strings.Join(key.columns, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Options)) {
		fmt.Fprintf(out, "  option       %s = %s\n", name, d.Options[name])
	}
	if _, err := io.WriteString(out, "\n"); err != nil {
		return err
	}
	return c.print(columnGrid(d))
}

func newTableDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop TABLE", Short: "Drop a table with its rows", Args: arguments("TABLE")}
	ifExists := cmd.Flags().Bool("if-exists", false, "do nothing if it does not exist")
	yesFlag(cmd)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		if err := c.confirm("Drop table " + args[0] + " with its rows?"); err != nil {
			return err
		}
		return c.drop(ctx, flight.ActionTableDrop, "table "+args[0], map[string]any{"table": args[0], "if_exists": *ifExists})
	})
}

func newTableStats() *cobra.Command {
	return verb(&cobra.Command{Use: "stats TABLE", Short: "Tell how much each bucket of a table holds", Args: arguments("TABLE")}, func(ctx context.Context, c *call, args []string) error {
		ctx, cancel := c.ask(ctx)
		defer cancel()
		rows, err := c.client.TableStats(ctx, args[0])
		if err != nil {
			return err
		}
		g := newGrid("partition", textColumn, "bucket", intColumn, "rows", intColumn, "bytes", intColumn, "earliest", intColumn, "latest", intColumn, "segments", intColumn, "total", boolColumn)
		for _, r := range rows {
			g.add(r.Partition, number(r.Bucket), r.Rows, r.Bytes, number(r.Earliest), number(r.Latest), r.Segments, r.Total)
		}
		return c.print(g)
	})
}

// number is a cell with a number that may be missing.
func number[T ~int32 | ~int64](n *T) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}
