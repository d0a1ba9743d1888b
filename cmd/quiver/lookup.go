package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
  quiver lookup shop.customers --keys ids.txt    one key on each line; - is standard input`,
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

	table  flight.TableDescription
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
	if len(l.table.PrimaryKey) == 0 {
		return quiver.Errorf(quiver.BadCommand, "only a table with a primary key has keys, and this is a log table").
			On("table " + l.table.Table).Advise("use 'quiver scan --where'")
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
	key, err := l.parse(text)
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

// parse makes JSON of a key as people write it: 17, or 17,eu with quotes as in CSV, or JSON.
func (l *lookingUp) parse(text string) (json.RawMessage, error) {
	if strings.HasPrefix(text, "[") && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	columns := l.table.PrimaryKey
	fields := []string{text}
	if len(columns) > 1 {
		r := csv.NewReader(strings.NewReader(text))
		var err error
		if fields, err = r.Read(); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf(`%q is no key; write 17,eu or '[17, "eu"]'`, text)
		}
	}
	if len(fields) > len(columns) || len(fields) < len(columns) && !l.command.Prefix {
		hint := ""
		if len(fields) < len(columns) {
			hint = "; --prefix finds all rows whose key begins so"
		}
		return nil, fmt.Errorf("it has %d values, the primary key has %d columns: %s%s", len(fields), len(columns), strings.Join(columns, ", "), hint)
	}
	values := make([]json.RawMessage, len(fields))
	for i, field := range fields {
		values[i] = l.value(columns[i], field)
	}
	return json.Marshal(values)
}

// value writes one value of a key in JSON. The server says what is wrong with it.
func (l *lookingUp) value(column, text string) json.RawMessage {
	plain := false
	for _, c := range l.table.Columns {
		if c.Name == column {
			plain = c.Type == "bool" || strings.HasPrefix(c.Type, "int") || strings.HasPrefix(c.Type, "uint")
		}
	}
	if plain && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string can always be written
	return quoted
}

// find looks up the keys there are, and writes what is found.
func (l *lookingUp) find(ctx context.Context) error {
	if len(l.command.Keys) == 0 && l.writer != nil {
		return nil
	}
	ctx, cancel := l.ask(ctx)
	defer cancel()
	l.command.TableID = &l.table.TableID
	found, err := l.client.LookupKeys(ctx, l.command)
	if err != nil {
		return err
	}
	l.command.Keys = nil
	defer func() {
		for _, batch := range found {
			batch.Release()
		}
	}()
	for _, batch := range found {
		if err := l.write(batch); err != nil {
			return err
		}
	}
	return nil
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
