package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// benchTable is the table that is measured.
type benchTable struct {
	name       string
	own        bool // made by the run
	key        []string
	schema     *arrow.Schema // of the rows that are put into it
	partitions []string      // that rows go to in turn; nil if it has none
}

// benchSchema is that of the tables made for it.
var benchSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "price", Type: arrow.PrimitiveTypes.Float64},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	{Name: "text", Type: arrow.BinaryTypes.String},
}, nil)

func (b *benching) makeTable(ctx context.Context) error {
	word, err := schemaWord(benchSchema)
	if err != nil {
		return err
	}
	t := &benchTable{name: fmt.Sprintf("quiver_bench_%08x", rand.Uint32()), own: true, schema: benchSchema}
	if b.job.keyed {
		t.key = []string{"id"}
	}
	body := flight.TableCreate{Table: flight.Named(t.name), Schema: word, Buckets: &b.buckets, PrimaryKey: t.key, Comment: "made by quiver bench, which drops it at its end"}
	asked, cancel := b.ask(ctx)
	defer cancel()
	_, err = b.client.CreateTable(asked, body)
	b.table = t
	return err
}

// dropTable drops the table of the run, also when that was interrupted.
func (b *benching) dropTable(ctx context.Context) error {
	asked, cancel := b.ask(context.WithoutCancel(ctx))
	defer cancel()
	if _, err := b.client.DropTable(asked, flight.TableDrop{Table: flight.Named(b.table.name), IfExists: true}); err != nil {
		return fmt.Errorf("the table %s of the measurement is left behind: %w", b.table.name, err)
	}
	return nil
}

// findTable takes the table that was named, if it fits the measurement, and asks whether made up rows may stay in it.
func (b *benching) findTable(ctx context.Context) error {
	asked, cancel := b.ask(ctx)
	defer cancel()
	described, err := b.client.DescribeTable(asked, b.given)
	if err != nil {
		return err
	}
	t := &benchTable{name: described.Table, key: described.PrimaryKey}
	switch keyed := len(t.key) > 0; {
	case b.name == "append" && keyed:
		return usageError{fmt.Errorf("table %s has a primary key, so rows are upserted: use 'quiver bench upsert'", t.name)}
	case b.name == "upsert" && !keyed:
		return usageError{fmt.Errorf("table %s is a log table, so rows are appended: use 'quiver bench append'", t.name)}
	case b.name == "lookup" && !keyed:
		return usageError{fmt.Errorf("table %s is a log table, which has no keys to look up: use 'quiver bench scan'", t.name)}
	}
	if b.partition != "" && len(described.PartitionBy) == 0 {
		return usageError{fmt.Errorf("--partition %s: table %s has no partitions", b.partition, t.name)}
	}
	b.table = t
	if !b.job.writes {
		return nil
	}
	if t.partitions, err = b.partitionsOf(asked, described); err != nil {
		return err
	}
	if t.schema, err = b.schemaOf(asked, described); err != nil {
		return err
	}
	if len(t.key) > 0 {
		return b.confirm(fmt.Sprintf("Upsert made up rows into table %s? They stay there, and replace those of the same key.", t.name))
	}
	return b.confirm(fmt.Sprintf("Append made up rows to table %s? They stay there.", t.name))
}

// partitionsOf names the partitions that rows go to.
func (b *benching) partitionsOf(ctx context.Context, d flight.TableDescription) (names []string, err error) {
	switch {
	case len(d.PartitionBy) == 0:
		return nil, nil
	case b.partition != "":
		return []string{b.partition}, nil
	}
	all, err := b.client.Partitions(ctx, d.Table)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		names = append(names, p.Partition)
	}
	if len(names) == 0 {
		return nil, usageError{fmt.Errorf("table %s has no partition yet: name one with --partition %s=…, and rows make it", d.Table, d.PartitionBy[0])}
	}
	return names, nil
}

// schemaOf gives the columns of rows that are put into the table: all but those that the server fills in by itself, and those
// that the partition tells.
func (b *benching) schemaOf(ctx context.Context, d flight.TableDescription) (*arrow.Schema, error) {
	whole, err := b.client.TableSchema(ctx, d.Table)
	if err != nil {
		return nil, err
	}
	var fields []arrow.Field
	var errs []error
	for _, f := range whole.Fields() {
		if f.Name == d.Options["auto-increment"] || slices.Contains(d.PartitionBy, f.Name) {
			continue
		}
		if !canMakeUp(f.Type) {
			errs = append(errs, fmt.Errorf("column %q: no values can be made up for %s", f.Name, quiver.FormatType(f.Type)))
		}
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil), errors.Join(errs...)
}

// appendOptions are those of the n-th caller.
func (t *benchTable) appendOptions(n int) flight.AppendOptions {
	o := flight.AppendOptions{Linger: -1}
	if len(t.partitions) > 0 {
		o.Partition = t.partitions[n%len(t.partitions)]
	}
	return o
}

// isKey tells which columns of the rows are of the primary key.
func (t *benchTable) isKey() []bool {
	keys := make([]bool, t.schema.NumFields())
	for i, f := range t.schema.Fields() {
		keys[i] = slices.Contains(t.key, f.Name)
	}
	return keys
}
