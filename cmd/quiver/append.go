package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newAppend appends files, or standard input, to a table.
func newAppend() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "append TABLE [FILE…]",
		Short: "Append files or standard input to a table: arrow, parquet, csv, ndjson, compressed or not",
		Example: `  quiver append people people.csv --create
  cat events.ndjson | quiver append events --format ndjson
  quiver append shop.orders orders-*.parquet --resume orders.state      again after a crash: every row once
  quiver scan a -o arrow | quiver append b`,
		Args: arguments("TABLE", "[FILE…]"),
	}
	a := &appending{}
	a.addFlags(cmd)
	a.addCreate(cmd)
	return a.verb(cmd)
}

// verb makes the verb that appends, upserts or deletes.
func (a *appending) verb(cmd *cobra.Command) *cobra.Command {
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		a.call, a.name, a.files = c, args[0], args[1:]
		return a.run(ctx)
	})
}

// addFlags adds the flags of all verbs that write files to a table.
func (a *appending) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.format, "format", "", "arrow, parquet, csv, tsv, ndjson or json; by default what the name or the data says")
	flags.IntVar(&a.batchRows, "batch-rows", tabular.DefaultBatchRows, "most rows of one batch")
	flags.StringVar(&a.resume, "resume", "", "a file that keeps where this is: the same call again goes on there, and every row is stored once")
	flags.BoolVar(&a.noHeader, "no-header", false, "csv: the first line is a row")
	flags.StringVar(&a.delimiter, "delimiter", "", "csv: what stands between fields")
	flags.StringVar(&a.compression, "compression", "", "of what is sent and stored: lz4 or zstd")
}

// addCreate adds the flags of verbs that may create the table.
func (a *appending) addCreate(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&a.create, "create", false, "create the table if it does not exist, with the columns of the first file")
	flags.StringVar(&a.schema, "schema", "", "with --create: the columns, 'id int64 not null, price decimal128(12, 2)'")
	a.table.add(cmd)
}

// appending is one call of append, upsert or delete.
type appending struct {
	*call
	name        string
	files       []string
	format      string
	create      bool
	schema      string
	batchRows   int
	resume      string
	noHeader    bool
	delimiter   string
	compression string
	table       tableFlags // of a table that is created
	op          string     // "" of append
	columns     []string   // of a partial upsert
	changes     bool       // rows tell what they do

	kept     map[string]bool // columns that are sent; nil: all
	state    *resumeState    // nil without --resume
	input    tabular.Reader  // standard input, nil until it is opened
	target   *arrow.Schema
	defaults map[string]json.RawMessage
	progress *progress
	started  time.Time
	total    flight.AppendTotals // of all files
}

// standardInput is the name of a file that is none.
const standardInput = "-"

func (a *appending) run(ctx context.Context) error {
	if err := a.check(); err != nil {
		return err
	}
	if len(a.files) == 0 {
		a.files = []string{standardInput}
		if isTerminal(a.cmd.InOrStdin()) {
			a.sum("reading rows from the terminal; end them with ^D")
		}
	}
	described, err := a.findTable(ctx)
	if err != nil {
		return err
	}
	if a.resume != "" {
		if a.state, err = openResume(a.resume, described, a.files, &a.batchRows); err != nil {
			return err
		}
	}
	done := a.state != nil && a.state.File == len(a.files)
	a.started, a.progress = time.Now(), a.call.progress()
	err = a.appendFiles(ctx)
	a.progress.stop()
	a.summarize(err, described.Table, done)
	return err
}

func (a *appending) check() error {
	switch {
	case a.batchRows < 1 || a.batchRows > 1<<24:
		return usageError{fmt.Errorf("--batch-rows %d does not lie between 1 and %d", a.batchRows, 1<<24)}
	case len(a.delimiter) > 1:
		return usageError{fmt.Errorf("--delimiter %q: it is one character", a.delimiter)}
	case a.op != "" && a.create && len(a.table.primaryKey) == 0:
		return errNoKey
	case a.schema != "" && !a.create:
		return usageError{errors.New("--schema needs --create: a table that exists has its columns")}
	}
	if a.format != "" {
		if _, err := tabular.ParseFormat(a.format); err != nil {
			return usageError{fmt.Errorf("--format: %s", detail(err))}
		}
	}
	return nil
}

// findTable describes the table, or creates it as the first file is.
func (a *appending) findTable(ctx context.Context) (flight.TableDescription, error) {
	asked, cancel := a.ask(ctx)
	defer cancel()
	d, err := a.client.DescribeTable(asked, a.name)
	switch reason := quiver.ReasonOf(err); {
	case err == nil:
		a.target, err = a.client.TableSchema(asked, a.name)
		a.defaults = make(map[string]json.RawMessage)
		for _, column := range d.Columns {
			a.defaults[column.Name] = column.Default
		}
		if err != nil {
			return d, err
		}
		return d, a.fitOp(d)
	case reason == quiver.TableNotFound && !a.create:
		var e *quiver.Error
		errors.As(err, &e)
		if a.op == flight.OpDelete {
			return d, err
		}
		return d, e.Advise("--create makes it with the columns of the file")
	case reason != quiver.TableNotFound:
		return d, err
	}
	return a.createTable(ctx)
}

func (a *appending) createTable(ctx context.Context) (flight.TableDescription, error) {
	body, err := a.table.body(a.name)
	if err != nil {
		return flight.TableDescription{}, err
	}
	body.IfNotExists = true
	if a.schema != "" {
		if body.Schema.Columns, err = parseSchema(a.schema); err != nil {
			return flight.TableDescription{}, usageError{fmt.Errorf("--schema: %w", err)}
		}
	} else {
		if a.files[0] == standardInput {
			if err := a.openStandardInput(); err != nil {
				return flight.TableDescription{}, err
			}
			body.Schema, err = schemaWord(a.created(a.input.Schema()))
		} else {
			body.Schema, err = a.schemaOf(a.files[0])
		}
		if err != nil {
			return flight.TableDescription{}, err
		}
	}
	asked, cancel := a.ask(ctx)
	defer cancel()
	d, err := a.client.CreateTable(asked, body)
	if err != nil {
		return d, err
	}
	a.sum("created table %s: %s", d.Table, columnList(d))
	if a.target, err = a.client.TableSchema(asked, a.name); err != nil {
		return d, err
	}
	return d, a.fitOp(d)
}

// columnList writes the columns of a table in one line.
func columnList(d flight.TableDescription) string {
	const most = 8
	var parts []string
	for _, column := range d.Columns[:min(most, len(d.Columns))] {
		parts = append(parts, column.Name+" "+column.Type)
	}
	if len(d.Columns) > most {
		parts = append(parts, fmt.Sprintf("and %d more", len(d.Columns)-most))
	}
	return strings.Join(parts, ", ")
}

// options are how the files are read.
func (a *appending) options() tabular.ReadOptions {
	o := tabular.ReadOptions{BatchRows: a.batchRows, NoHeader: a.noHeader, Schema: a.target, Defaults: a.defaults,
		Live: a.state == nil && a.resume == ""}
	if a.format != "" {
		o.Format, _ = tabular.ParseFormat(a.format) // check read it
	}
	if a.delimiter != "" {
		o.Delimiter = a.delimiter[0]
	}
	return o
}

func (a *appending) schemaOf(file string) (flight.SchemaWord, error) {
	reader, err := tabular.Open(file, a.options())
	if err != nil {
		return flight.SchemaWord{}, err
	}
	defer func() { _ = reader.Close() }() // it was read only
	return schemaWord(a.created(reader.Schema()))
}

// created is a file's schema as that of a table that is made of it: without the column that tells what its rows do.
func (a *appending) created(file *arrow.Schema) *arrow.Schema {
	if !a.changes {
		return file
	}
	schema, _ := withoutColumns(file, map[string]bool{quiver.ChangeTypeColumn: true})
	return schema
}

// openFile opens a file, or standard input, which can be read once only.
func (a *appending) openFile(file string) (tabular.Reader, error) {
	if file != standardInput {
		return tabular.Open(file, a.options())
	}
	if a.input == nil {
		if err := a.openStandardInput(); err != nil {
			return nil, err
		}
	}
	return a.input, nil
}

func (a *appending) openStandardInput() (err error) {
	o := a.options()
	o.Name = "standard input"
	a.input, err = tabular.NewReader(a.cmd.InOrStdin(), o)
	return err
}

func (a *appending) appendFiles(ctx context.Context) error {
	from := 0
	if a.state != nil {
		from = a.state.File
	}
	for i := from; i < len(a.files); i++ {
		if err := a.appendFile(ctx, i); err != nil {
			return err
		}
		if a.state != nil {
			if err := a.state.finish(i + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendFile appends one file as one stream.
func (a *appending) appendFile(ctx context.Context, i int) error {
	reader, err := a.openFile(a.files[i])
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }() // it was read only
	options := flight.AppendOptions{BatchRows: a.batchRows, Compression: a.compression, Op: a.op, Columns: a.columns}
	if a.state != nil {
		a.state.begin(&options)
		if err := a.state.skip(reader, a.files[i]); err != nil {
			return err
		}
	}
	asked, cancel := a.ask(ctx)
	defer cancel()
	appender, err := a.client.Append(asked, a.name, options)
	if err != nil {
		return err
	}
	err = a.copyIn(ctx, reader, appender)
	closing := ctx
	if err != nil { // what is under way is settled all the same, for a while
		var stop context.CancelFunc
		closing, stop = context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer stop()
	}
	totals, closeErr := appender.Close(closing)
	a.add(totals)
	if a.state != nil {
		err = errors.Join(err, a.state.durable(totals, true))
	}
	if err == nil {
		err = closeErr
	}
	return err
}

// copyIn hands the batches of a reader to an appender.
func (a *appending) copyIn(ctx context.Context, reader tabular.Reader, appender *flight.Appender) error {
	for {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows := batch.NumRows()
		batch = a.keep(batch)
		if rows > 0 {
			err = appender.Append(ctx, batch)
		}
		batch.Release()
		if err != nil {
			return err
		}
		a.progress.rows.Add(rows)
		if a.state != nil && rows > 0 {
			a.state.appended(rows)
			if err := a.state.durable(appender.Totals(), false); err != nil {
				return err
			}
		}
	}
}

func (a *appending) add(t flight.AppendTotals) {
	a.total.Batches += t.Batches
	a.total.Rows += t.Rows
	a.total.Duplicates += t.Duplicates
}

// summarize tells what is stored; done says that all was before this call.
func (a *appending) summarize(err error, table string, done bool) {
	repeats := ""
	if a.total.Duplicates > 0 {
		repeats = fmt.Sprintf(", %d of the batches were there already", a.total.Duplicates)
	}
	took := time.Since(a.started)
	switch {
	case err != nil && a.total.Rows > 0:
		a.say("%s are stored in %s%s", tabular.CountRows(a.total.Rows), table, repeats)
		if a.state != nil {
			a.say("the same call with --resume %s goes on behind them", a.resume)
		}
	case err != nil:
	case done:
		a.sum("nothing is left to do: all of %s is stored, as %s tells", strings.Join(a.files, " "), a.resume)
	default:
		a.sum("%s %s %s %s in %s (%s)%s", a.did(), tabular.CountRows(a.total.Rows), a.whither(), table, since(a.started), rate(a.total.Rows, took), repeats)
	}
}
