package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newScan reads a table.
func newScan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scan TABLE",
		Short: "Read a table",
		Example: `  quiver scan shop.orders --columns id,price --where "price > 100"
  quiver scan shop.orders --from -1h -o parquet > last-hour.parquet
  quiver scan shop.orders -o arrow | quiver append copy --create
  quiver scan shop.customers --order key --key-range 17..42
  quiver scan shop.customers --read table+log -f         the current rows, then what changes from there on`,
		Args: arguments("TABLE"),
	}
	var f scanFlags
	var keyRange string
	var follow bool
	f.add(cmd.Flags())
	f.addRange(cmd.Flags())
	cmd.Flags().Var(&f.limit, "limit", "at most so many rows")
	cmd.Flags().StringVar(&f.order, "order", "", "of current rows: key, in the order of their keys")
	cmd.Flags().StringVar(&keyRange, "key-range", "", "of current rows: only keys FROM..UNTIL, the end exclusive: 17..42, 17.., ..42; the first values of keys will do")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "of a log: go on with rows as they come, until interrupted")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		if keyRange != "" {
			if command.KeyRange, err = c.keyRange(ctx, args[0], keyRange); err != nil {
				return err
			}
		}
		if command.Follow = follow; follow {
			return c.follow(ctx, command)
		}
		return c.copyOut(ctx, command)
	})
}

// keyRange reads a range of keys of a table.
func (c *call) keyRange(ctx context.Context, table, text string) (json.RawMessage, error) {
	ctx, cancel := c.ask(ctx)
	defer cancel()
	d, err := c.client.DescribeTable(ctx, table)
	if err != nil {
		return nil, err
	}
	keys, err := newKeyReader(d, "use --where")
	if err != nil {
		return nil, err
	}
	return keys.readRange(text)
}

// newHead reads the first rows there are.
func newHead() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "head TABLE",
		Short:   "Read the first rows of a table",
		Example: "  quiver head shop.orders\n  quiver head shop.orders -n 100 --columns id",
		Args:    arguments("TABLE"),
	}
	f := scanFlags{limit: optionalCount{set: true, n: 10}}
	f.add(cmd.Flags())
	cmd.Flags().VarP(&f.limit, "rows", "n", "how many rows")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		return c.copyOut(ctx, command)
	})
}

// scanFlags are the flags of the verbs that read.
type scanFlags struct {
	columns   []string
	system    []string
	where     string
	partition string
	bucket    optionalCount
	from      string
	until     string
	read      string
	order     string
	limit     optionalCount
}

func (f *scanFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.columns, "columns", nil, "columns to read, a,b; by default all")
	flags.StringSliceVar(&f.system, "system-columns", nil, "columns of the server to add: __bucket, __offset, __timestamp, __partition, __change_type")
	flags.StringVar(&f.where, "where", "", `only rows for which this is true: "price > 100 and region in ('eu','us')"`)
	flags.StringVar(&f.partition, "partition", "", "only this partition: dt=2026-11-22/region=eu")
	flags.Var(&f.bucket, "bucket", "only this bucket")
	flags.StringVar(&f.read, "read", "", "of a table with a primary key: table, its current rows (the default), log, every change, or table+log, the first and then the second from there on")
}

func (f *scanFlags) addRange(flags *pflag.FlagSet) {
	const how = `: earliest, now, an offset, a time (2026-11-22T10:00:00Z), a time ago (-1h), cursor:NAME, or JSON ({"offsets": {"0": 17}})`
	flags.StringVar(&f.from, "from", "", "where to begin"+how)
	flags.StringVar(&f.until, "until", "", "where to end, exclusive"+how)
}

// command makes the scan that the flags ask for.
func (f *scanFlags) command(table string) (flight.ScanCommand, error) {
	command := flight.ScanCommand{Table: flight.Named(table), Columns: f.columns, SystemColumns: f.system, Read: f.read, Order: f.order}
	if f.where != "" {
		command.Filter = &f.where
	}
	if f.partition != "" {
		command.Partition = &f.partition
	}
	if f.bucket.set {
		bucket := int32(min(f.bucket.n, math.MaxInt32)) // the server names the table's last one
		command.Bucket = &bucket
	}
	if f.limit.set {
		command.Limit = &f.limit.n
	}
	var err error
	if command.From, err = parsePosition("--from", f.from); err != nil {
		return command, err
	}
	command.Until, err = parsePosition("--until", f.until)
	return command, err
}

const hintPosition = `write earliest, now, an offset, 2026-11-22T10:00:00Z, -1h, cursor:NAME or JSON`

// parsePosition reads a place in a table the way people write it.
func parsePosition(flag, text string) (flight.Position, error) {
	var p flight.Position
	switch {
	case text == "":
		return p, nil
	case text[0] == '{':
		if strings.HasPrefix(strings.TrimSpace(text[1:]), `"`) && !strings.Contains(text, "offset") && !strings.Contains(text, "timestamp") && !strings.Contains(text, "cursor") {
			text = `{"offsets":` + text + `}`
		}
	case strings.HasPrefix(text, "cursor:"):
		return flight.Position{Kind: flight.AtCursor, Cursor: text[len("cursor:"):]}, nil
	default:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			return flight.Position{Kind: flight.AtOffset, Offset: quiver.Offset(n)}, nil
		}
		if ago, err := quiver.ParseDuration(strings.TrimPrefix(text, "-")); err == nil && text[0] == '-' {
			return flight.Position{Kind: flight.AtTimestamp, Timestamp: time.Now().Add(-ago).UnixMilli()}, nil
		}
		if text != "earliest" && text != "now" && text != "latest" {
			text = `{"timestamp":` + strconv.Quote(text) + `}`
		} else {
			text = strconv.Quote(text)
		}
	}
	var held struct {
		At flight.Position `json:"at"`
	}
	if err := flight.DecodeStrict([]byte(`{"at":`+text+`}`), &held, quiver.BadCommand); err != nil {
		return p, usageError{fmt.Errorf("%s is no place in a table; %s", flag, hintPosition)}
	}
	return held.At, nil
}

// scan starts a scan; begun within the time that the server has to answer.
func (c *call) scan(ctx context.Context, command flight.ScanCommand) (*flight.Scanner, func(), error) {
	ctx, begun, cancel := c.begin(ctx)
	scanner, err := c.client.Scan(ctx, command)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel()
		return nil, nil, err
	}
	begun()
	return scanner, func() { scanner.Close(); cancel() }, nil
}

// copyOut writes what a scan gives, and tells on stderr how much that was if it cannot be seen.
func (c *call) copyOut(ctx context.Context, command flight.ScanCommand) error {
	scanner, done, err := c.scan(ctx, command)
	if err != nil {
		return err
	}
	defer done()
	w, err := c.writer(scanner.Schema())
	if err != nil {
		return err
	}
	rows, err := c.copyRows(scanner, w, false)
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if c.verbose {
		c.say("%s", tabular.CountRows(rows))
	}
	return nil
}

// copyRows writes the batches of a scan as they come.
func (c *call) copyRows(scanner *flight.Scanner, w tabular.Writer, flush bool) (rows int64, err error) {
	for scanner.Next() {
		batch := scanner.Batch()
		if batch.NumRows() == 0 {
			continue
		}
		if err := w.Write(batch); err != nil {
			return rows, err
		}
		rows += batch.NumRows()
		if flush {
			if err := w.Flush(); err != nil {
				return rows, err
			}
		}
	}
	return rows, scanner.Err()
}

// withoutColumns drops columns by name from a schema.
func withoutColumns(s *arrow.Schema, names map[string]bool) (*arrow.Schema, []int) {
	var fields []arrow.Field
	var places []int
	for i, f := range s.Fields() {
		if !names[f.Name] {
			fields = append(fields, f)
			places = append(places, i)
		}
	}
	return arrow.NewSchema(fields, nil), places
}
