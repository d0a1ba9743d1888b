package main

import (
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// newUpsert puts rows of files, or of standard input, into a primary-key table.
func newUpsert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upsert TABLE [FILE…]",
		Short: "Insert or replace rows of a table with a primary key, from files or standard input",
		Example: `  quiver upsert customers customers.csv --create --primary-key id
  quiver upsert customers moved.ndjson --columns city     only the city changes, other columns stay
  quiver changelog customers -o ndjson | quiver upsert copy --changes`,
		Args: arguments("TABLE", "[FILE…]"),
	}
	a := &appending{op: flight.OpUpsert}
	a.addFlags(cmd)
	a.addCreate(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&a.columns, "columns", nil, "change these columns only, a,b; the others keep their values")
	flags.BoolVar(&a.changes, "changes", false, "each row tells in "+quiver.ChangeTypeColumn+" what it does: +I and +U upsert, -D deletes, -U is passed over")
	return a.verb(cmd)
}

// fitOp makes ready to read files for what is done to a table.
func (a *appending) fitOp(d flight.TableDescription) error {
	if a.op == "" {
		return nil
	}
	if len(d.PrimaryKey) == 0 {
		return quiver.Errorf(quiver.BadCommand, "only a table with a primary key takes upserts and deletes, and this is a log table").
			On("table " + d.Table).Advise("use 'quiver append'")
	}
	if a.op == flight.OpDelete || a.columns != nil {
		a.kept = map[string]bool{quiver.ChangeTypeColumn: true}
		for _, name := range slices.Concat(d.PrimaryKey, a.columns) {
			a.kept[name] = true
		}
	}
	fields := a.target.Fields()
	for i, f := range fields {
		if a.kept != nil && !a.kept[f.Name] {
			fields[i].Nullable = true // it need not be there, and is not sent
		}
	}
	if a.changes {
		fields = append(fields, arrow.Field{Name: quiver.ChangeTypeColumn, Type: arrow.BinaryTypes.String})
	}
	metadata := a.target.Metadata()
	a.target = arrow.NewSchema(fields, &metadata)
	return nil
}

// keep drops the columns of a batch that are not sent. The batch given is released.
func (a *appending) keep(batch arrow.RecordBatch) arrow.RecordBatch {
	if a.kept == nil {
		return batch
	}
	defer batch.Release()
	drop := map[string]bool{}
	for _, f := range batch.Schema().Fields() {
		drop[f.Name] = !a.kept[f.Name]
	}
	schema, places := withoutColumns(batch.Schema(), drop)
	columns := make([]arrow.Array, len(places))
	for i, place := range places {
		columns[i] = batch.Column(place)
	}
	return array.NewRecordBatch(schema, columns, batch.NumRows())
}

// did says what was done with rows.
func (a *appending) did() string {
	return map[string]string{"": "appended", flight.OpUpsert: "upserted", flight.OpDelete: "deleted"}[a.op]
}

// whither stands between the rows and the table.
func (a *appending) whither() string {
	return map[string]string{"": "to", flight.OpUpsert: "into", flight.OpDelete: "from"}[a.op]
}

var errNoKey = usageError{errors.New("quiver upsert: --create needs --primary-key")}
