package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newLookup finds rows by their keys.
func newLookup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lookup TABLE [KEY…]",
		Short: "Find rows of a table with a primary key by their keys",
		Example: `  quiver lookup shop.customers 17 18
  quiver lookup shop.stock 17,eu                 a key of two columns; also '[17, "eu"]'
  quiver lookup shop.stock 17 --prefix           all rows whose key begins so
  quiver lookup shop.customers --keys ids.txt    one key on each line; - is standard input
  quiver lookup names Ada Bo --insert-missing    keys that are not there are inserted, with defaults`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("quiver lookup: TABLE is missing")}
			}
			return nil
		},
	}
	l := &lookingUp{}
	flags := cmd.Flags()
	flags.StringSliceVar(&l.command.Columns, "columns", nil, "columns to read, a,b; by default all; __offset is the row's version")
	flags.BoolVar(&l.command.Prefix, "prefix", false, "keys are the first columns of the primary key")
	flags.StringVar(&l.file, "keys", "", "a file with more keys, one on each line; - is standard input")
	flags.BoolVar(&l.command.InsertMissing, "insert-missing", false, "insert keys that are not there, with the defaults of the other columns")
	flags.StringVar(&l.least, "min-offsets", "", `wait until the rows show all changes before these: an offset, or by bucket {"0": 17} (read your writes)`)
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		l.call, l.command.Table, l.texts = c, flight.Named(args[0]), args[1:]
		return l.run(ctx)
	})
}

// lookingUp is one call of lookup.
type lookingUp struct {
	*call
	command flight.LookupCommand
	texts   []string // keys as they are written
	file    string
	least   string // --min-offsets

	table  flight.TableDescription
	reader keyReader
	writer tabular.Writer // nil before the first answer
	keys   int
	rows   int64
}

func (l *lookingUp) run(ctx context.Context) error {
	if len(l.texts) == 0 && l.file == "" {
		return usageError{errors.New("quiver lookup: a KEY is missing; write 'quiver lookup TABLE 17', or name a file with --keys")}
	}
	asked, cancel := l.ask(ctx)
	defer cancel()
	var err error
	if l.table, err = l.client.DescribeTable(asked, l.command.Table.String()); err != nil {
		return err
	}
	if l.reader, err = newKeyReader(l.table, "use 'quiver scan --where'"); err != nil {
		return err
	}
	if l.command.MinOffsets, err = parseMinOffsets(l.least, l.table); err != nil {
		return err
	}
	for _, text := range l.texts {
		if err := l.add(ctx, text, "key "+text); err != nil {
			return err
		}
	}
	if l.file != "" {
		if err := l.readFile(ctx); err != nil {
			return err
		}
	}
	if err := l.find(ctx); err != nil {
		return err
	}
	if err := l.writer.Close(); err != nil {
		return err
	}
	if l.rows == 0 {
		return notFoundError{fmt.Errorf("table %s has no row with %s", l.table.Table, l.told())}
	}
	if missing := int64(l.keys) - l.rows; missing > 0 && !l.command.Prefix {
		l.sum("%d of %d keys were not found", missing, l.keys)
	}
	return nil
}

// told names what was looked for.
func (l *lookingUp) told() string {
	what := "key"
	if l.command.Prefix {
		what = "a key that begins with"
	}
	if l.keys == 1 && len(l.texts) == 1 {
		return what + " " + l.texts[0]
	}
	return fmt.Sprintf("any of the %d keys", l.keys)
}

// readFile takes one key of each line.
func (l *lookingUp) readFile(ctx context.Context) error {
	in, name := l.cmd.InOrStdin(), "standard input"
	if l.file != standardInput {
		file, err := os.Open(l.file)
		if err != nil {
			return fmt.Errorf("--keys: %w", err)
		}
		defer func() { _ = file.Close() }() // it was read only
		in, name = file, l.file
	}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if text := strings.TrimSpace(lines.Text()); text != "" {
			if err := l.add(ctx, text, fmt.Sprintf("%s, line %d", name, n)); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("--keys: %s: %w", name, err)
	}
	return nil
}

// keysAtOnce is how many keys are asked for together.
const keysAtOnce = 5000

// add takes a key, and looks up those there are once they are many.
func (l *lookingUp) add(ctx context.Context, text, where string) error {
	key, err := l.reader.read(text, l.command.Prefix)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", where, err)}
	}
	l.keys++
	l.command.Keys = append(l.command.Keys, key)
	if len(l.command.Keys) < keysAtOnce {
		return nil
	}
	return l.find(ctx)
}

// find looks up the keys there are, and writes what is found.
func (l *lookingUp) find(ctx context.Context) error {
	if len(l.command.Keys) == 0 && l.writer != nil {
		return nil
	}
	ctx, begun, cancel := l.begin(ctx)
	defer cancel()
	l.command.TableID = &l.table.TableID
	err := l.client.LookupEach(ctx, l.command, func(batch arrow.RecordBatch) error {
		begun()
		return l.write(batch)
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	l.command.Keys = nil
	return err
}

// parseMinOffsets reads offsets that the rows have to show: one number where the table has one bucket, or the vector
// that the answers of a put make.
func parseMinOffsets(text string, table flight.TableDescription) (flight.Offsets, error) {
	const hint = `write {"0": 17}, on a partitioned table {"dt=2026-11-22": {"0": 17}}, or 17 where there is one bucket`
	if text == "" {
		return flight.Offsets{}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		if table.Buckets != 1 || len(table.PartitionBy) > 0 {
			return flight.Offsets{}, usageError{fmt.Errorf("--min-offsets %s names one offset, and the table has several buckets; %s", text, hint)}
		}
		return flight.Offsets{Buckets: flight.BucketOffsets{0: quiver.Offset(n)}}, nil
	}
	var held struct {
		At flight.Offsets `json:"at"`
	}
	if err := flight.DecodeStrict([]byte(`{"at":`+text+`}`), &held, quiver.BadCommand); err != nil {
		return held.At, usageError{fmt.Errorf("--min-offsets %s: %s", text, hint)}
	}
	return held.At, nil
}

func (l *lookingUp) write(batch arrow.RecordBatch) (err error) {
	schema, places := withoutColumns(batch.Schema(), map[string]bool{quiver.KeyIndexColumn: true})
	if l.writer == nil {
		if l.writer, err = l.call.writer(schema); err != nil {
			return err
		}
	}
	if batch.NumRows() == 0 {
		return nil
	}
	columns := make([]arrow.Array, len(places))
	for i, place := range places {
		columns[i] = batch.Column(place)
	}
	rows := array.NewRecordBatch(schema, columns, batch.NumRows())
	defer rows.Release()
	l.rows += rows.NumRows()
	return l.writer.Write(rows)
}
