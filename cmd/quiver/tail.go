package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newTail reads the last rows that were appended, over all buckets, and with -f those that come.
func newTail() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tail TABLE",
		Short:   "Read the last rows of a table, and with -f those that come",
		Example: "  quiver tail shop.orders\n  quiver tail shop.orders -n 0 -f --where \"price > 100\"",
		Args:    arguments("TABLE"),
	}
	var f scanFlags
	var follow bool
	n := optionalCount{set: true, n: 10}
	f.add(cmd.Flags())
	cmd.Flags().VarP(&n, "rows", "n", "how many rows")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with rows as they come, until interrupted")
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		command, err := f.command(args[0])
		if err != nil {
			return err
		}
		if command.Read == "" {
			command.Read = flight.ReadLog
		}
		return (&tail{call: c, command: command, n: n.n}).run(ctx, follow)
	})
}

// tail finds the last rows: by the time they were appended, across buckets, and by offset within one.
type tail struct {
	*call
	command flight.ScanCommand
	n       int64
	extra   map[string]bool // system columns that were added to sort by
	rows    []tailRow
}

type tailRow struct {
	timestamp int64
	bucket    int32
	offset    int64
	batch     arrow.RecordBatch // the row alone, with the extra columns
}

func (t *tail) run(ctx context.Context, follow bool) error {
	earliest, err := t.offsets(ctx, flight.Earliest)
	if err != nil {
		return err
	}
	latest, err := t.offsets(ctx, flight.Latest)
	if err != nil {
		return err
	}
	schema, err := t.collect(ctx, earliest, latest)
	if err != nil {
		return err
	}
	w, err := t.writer(schema)
	if err != nil {
		return err
	}
	if err := t.write(w); err != nil || !follow {
		return errors.Join(err, w.Close())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return t.follow(ctx, w, vectorOf(latest))
}

// offsets lists the offsets of the buckets that the command reads.
func (t *tail) offsets(ctx context.Context, kind flight.PositionKind) ([]flight.OffsetRow, error) {
	ctx, cancel := t.ask(ctx)
	defer cancel()
	rows, err := t.client.Offsets(ctx, t.command.Table.String(), flight.Position{Kind: kind})
	return slices.DeleteFunc(rows, func(r flight.OffsetRow) bool {
		return t.command.Bucket != nil && r.Bucket != *t.command.Bucket ||
			t.command.Partition != nil && r.Partition != nil && *r.Partition != *t.command.Partition
	}), err
}

// vectorOf makes an offset vector of rows of log.offsets.
func vectorOf(rows []flight.OffsetRow) flight.Position {
	offsets := flight.Offsets{}
	for _, r := range rows {
		if r.Partition == nil {
			if offsets.Buckets == nil {
				offsets.Buckets = flight.BucketOffsets{}
			}
			offsets.Buckets[r.Bucket] = r.Offset
			continue
		}
		if offsets.Partitions == nil {
			offsets.Partitions = map[string]flight.PartitionOffsets{}
		}
		p, ok := offsets.Partitions[*r.Partition]
		if !ok {
			p.Buckets = flight.BucketOffsets{}
		}
		p.Buckets[r.Bucket] = r.Offset
		offsets.Partitions[*r.Partition] = p
	}
	if offsets.IsZero() {
		return flight.Position{Kind: flight.Earliest}
	}
	return flight.AtOffsetsOf(offsets)
}

// collect reads ever further back until there are n rows, or no more.
func (t *tail) collect(ctx context.Context, earliest, latest []flight.OffsetRow) (*arrow.Schema, error) {
	command := t.command
	command.SystemColumns = slices.Clone(command.SystemColumns)
	t.extra = map[string]bool{}
	for _, name := range []string{quiver.TimestampColumn, quiver.BucketColumn, quiver.OffsetColumn} {
		if !slices.Contains(command.SystemColumns, name) && !slices.Contains(command.Columns, name) {
			command.SystemColumns = append(command.SystemColumns, name)
			t.extra[name] = true
		}
	}
	least := map[string]quiver.Offset{}
	for _, r := range earliest {
		least[bucketName(r)] = r.Offset
	}
	command.Until = vectorOf(latest)
	for window := max(t.n, 1); ; window *= 8 {
		from, whole := slices.Clone(latest), true
		for i, r := range from {
			from[i].Offset = max(r.Offset-quiver.Offset(window), least[bucketName(r)])
			whole = whole && from[i].Offset == least[bucketName(r)]
		}
		command.From = vectorOf(from)
		schema, err := t.read(ctx, command)
		if err != nil || whole || int64(len(t.rows)) >= t.n {
			return schema, err
		}
	}
}

func bucketName(r flight.OffsetRow) string {
	name := ""
	if r.Partition != nil {
		name = *r.Partition
	}
	return name + "/" + strconv.Itoa(int(r.Bucket))
}

// read keeps the last n rows of a scan.
func (t *tail) read(ctx context.Context, command flight.ScanCommand) (*arrow.Schema, error) {
	t.keep(0)
	scanner, done, err := t.scan(ctx, command)
	if err != nil {
		return nil, err
	}
	defer done()
	schema, _ := withoutColumns(scanner.Schema(), t.extra)
	at := func(name string) int { return scanner.Schema().FieldIndices(name)[0] }
	timestamp, bucket, offset := at(quiver.TimestampColumn), at(quiver.BucketColumn), at(quiver.OffsetColumn)
	for scanner.Next() {
		batch := scanner.Batch()
		for i := max(0, batch.NumRows()-t.n); i < batch.NumRows(); i++ {
			t.rows = append(t.rows, tailRow{
				int64(batch.Column(timestamp).(*array.Timestamp).Value(int(i))),
				batch.Column(bucket).(*array.Int32).Value(int(i)), batch.Column(offset).(*array.Int64).Value(int(i)),
				batch.NewSlice(i, i+1)})
		}
		if int64(len(t.rows)) > 2*t.n+1000 {
			t.keep(t.n)
		}
	}
	t.keep(t.n)
	return schema, scanner.Err()
}

// keep sorts the rows and lets all go but the last n.
func (t *tail) keep(n int64) {
	slices.SortFunc(t.rows, func(a, b tailRow) int {
		return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.offset, b.offset))
	})
	gone := max(0, int64(len(t.rows))-n)
	for _, r := range t.rows[:gone] {
		r.batch.Release()
	}
	t.rows = slices.Clone(t.rows[gone:])
}

func (t *tail) write(w tabular.Writer) error {
	defer t.keep(0)
	for _, r := range t.rows {
		schema, places := withoutColumns(r.batch.Schema(), t.extra)
		columns := make([]arrow.Array, len(places))
		for i, place := range places {
			columns[i] = r.batch.Column(place)
		}
		row := array.NewRecordBatch(schema, columns, 1)
		err := w.Write(row)
		row.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// follow goes on from a vector, until interrupted or the server ends it.
func (t *tail) follow(ctx context.Context, w tabular.Writer, from flight.Position) error {
	started := time.Now()
	command := t.command
	command.From, command.Until, command.Follow = from, flight.Position{}, true
	scanner, done, err := t.scan(ctx, command)
	if err != nil {
		return err
	}
	defer done()
	rows, err := t.copyRows(scanner, w, true)
	if ctx.Err() != nil {
		err = nil // interrupted: that is how following ends
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		t.sum("%s in %s", tabular.CountRows(rows), time.Since(started).Round(100*time.Millisecond))
	}
	return err
}
