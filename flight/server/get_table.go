package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/internal/filter"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

// readsTable gives the table if its current rows are to be read, nil if its log is.
func (s *Service) readsTable(c *flight.ScanCommand) (*quiver.Table, error) {
	table, err := s.table(c.Table, c.TableID)
	if err != nil {
		return nil, err
	}
	if err := c.CheckTable(table); err != nil {
		return nil, err
	}
	if c.Mode(table) == flight.ReadLog {
		return nil, nil
	}
	return table, nil
}

// tableRead is a read of current rows, all as they are at one moment.
type tableRead struct {
	service  *Service
	command  *flight.ScanCommand
	table    *quiver.Table
	shape    *answerShape
	filter   *filter.Filter
	tablets  []*tablet.Tablet
	names    []bucketName
	snapshot *kv.Snapshot
	views    []*tablet.TableView
	vector   flight.Position // of the snapshot
	left     int64           // rows that the limit still allows
}

// getTable sends current rows and, if they were asked for, the changes from exactly there.
func (s *Service) getTable(ctx context.Context, table *quiver.Table, c *flight.ScanCommand, stream grpc.ServerStream) (err error) {
	defer s.metrics.getOpened(c)()
	r := &tableRead{service: s, command: c, table: table, left: math.MaxInt64}
	if c.Limit != nil {
		r.left = *c.Limit
	}
	if err := r.choose(); err != nil {
		return about(table.Path(), err)
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if c.Mode(table) == flight.ReadTableLog {
		return r.tableAndLog(ctx, stream)
	}
	if err := r.sendSchema(stream); err != nil {
		return err
	}
	return r.send(ctx, stream, "")
}

// sendSchema sends the schema with the vector that the rows stand for.
func (r *tableRead) sendSchema(stream grpc.ServerStream) error {
	info := flight.SchemaInfo{TableID: r.table.ID, SchemaID: r.table.Schema.ID(), From: r.vector, Until: r.vector}
	return sendSchemaMessage(stream, withInfo(r.shape.schema, &info))
}

// tableAndLog sends current rows, one batch that says so, and the changes from there on.
func (r *tableRead) tableAndLog(ctx context.Context, stream grpc.ServerStream) error {
	s := r.service
	c := *r.command
	c.Read, c.From, c.Limit = flight.ReadLog, r.vector, nil
	changes, err := s.plan(ctx, &c)
	if err != nil {
		return err
	}
	if err := r.sendSchema(stream); err != nil {
		return err
	}
	if err := r.send(ctx, stream, flight.PhaseTable); err != nil {
		return err
	}
	if err := r.sendTurn(stream); err != nil {
		return err
	}
	if r.command.Limit != nil {
		changes.spec.Limit = &r.left
	}
	if err := r.close(); err != nil { // the changelog may be followed for ever
		return err
	}
	scanner, err := scan.Open(changes.spec, s.scanOptions(ctx))
	if err != nil {
		return err
	}
	defer scanner.Close()
	return s.sendChunks(ctx, stream, scanner, s.metrics.tables.of(r.table))
}

// sendTurn sends the batch without rows between table and changelog.
func (r *tableRead) sendTurn(stream grpc.ServerStream) error {
	nothing := noRows(r.table, r.shape.places)
	defer nothing.Release()
	batch, err := r.shape.batch(nothing, r.names, nil)
	if err != nil {
		return err
	}
	info := flight.BatchInfo{Bucket: flight.NoBucket, Timestamp: flight.NoTimestamp, Phase: flight.PhaseLog, Offsets: r.vector.Offsets}
	header, body := batch.Served()
	return codec.Send(stream, &codec.Out{Metadata: info.AppendJSON(nil), Header: header, Body: body, Owner: batch})
}

// choose decides on columns and rows.
func (r *tableRead) choose() error {
	var err error
	if r.filter, err = bindFilter(r.command.Filter, r.table.Schema); err != nil {
		return err
	}
	var hidden []quiver.ColumnID
	if r.filter != nil {
		for _, name := range r.filter.System() {
			if name != quiver.OffsetColumn && name != quiver.BucketColumn && name != quiver.PartitionColumn {
				return quiver.Errorf(quiver.BadFilter, "%q is no column of current rows", name).Advise(`take "read":"log"`)
			}
		}
		hidden = r.filter.Columns()
	}
	schema := r.table.Schema
	if r.command.Mode(r.table) == flight.ReadTableLog {
		schema = r.table.LogSchema()
	}
	columns, err := scan.Select(schema, r.command.Columns, r.command.SystemColumns)
	if err != nil {
		return err
	}
	r.shape, err = newAnswerShape(r.table, columns, false, hidden)
	return err
}

// open takes the snapshot: it is behind everything that was acknowledged before the call, in all buckets.
func (r *tableRead) open(ctx context.Context) error {
	partition, err := chosen(r.table, r.command)
	if err != nil {
		return err
	}
	if r.tablets, err = r.service.tabletsOf(r.table, partition, r.command.Bucket); err != nil {
		return err
	}
	var store *kv.Store
	for _, t := range r.tablets {
		if store, err = t.Store(ctx); err != nil {
			return err
		}
		r.names = append(r.names, bucketName{t.Bucket(), t.PartitionName()})
	}
	if store == nil {
		r.vector = flight.AtOffsetsOf(flight.Offsets{Buckets: flight.BucketOffsets{}})
		return nil
	}
	r.snapshot = store.Snapshot()
	ranges := make([]scan.Range, 0, len(r.tablets))
	for _, t := range r.tablets {
		view, err := t.View(ctx, r.snapshot)
		if err != nil {
			return errors.Join(err, r.close())
		}
		r.views = append(r.views, view)
		ranges = append(ranges, scan.Range{ID: t.ID(), Partition: t.PartitionName(), From: view.Mark.Applied, Until: view.Mark.Applied})
	}
	r.vector, _ = vectors(r.table, ranges)
	return nil
}

func (r *tableRead) close() error {
	if r.snapshot == nil {
		return nil
	}
	err := r.snapshot.Close()
	r.snapshot = nil
	return err
}

// send gives the rows, filtered and limited, in answers of a good size.
func (r *tableRead) send(ctx context.Context, stream grpc.ServerStream, phase string) (err error) {
	if len(r.views) == 0 || r.left <= 0 {
		return nil
	}
	within, err := r.keyRange()
	if err != nil {
		return about(r.table.Path(), err)
	}
	scanner, err := r.views[0].Rows.Scan(ctx, r.table.Schema, r.snapshot, within, r.shape.places)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scanner.Close()) }()
	for i := 1; i < len(r.views); i++ {
		if err := scanner.Add(ctx, r.views[i].Rows, r.snapshot, within, int32(i)); err != nil {
			return err
		}
	}
	if r.command.Order == flight.OrderKey {
		scanner.InKeyOrder()
	}
	rows, bytes := r.bounds()
	for r.left > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		want := rows
		if r.filter == nil {
			want = int(min(int64(rows), r.left))
		}
		a, err := scanner.Next(ctx, want, bytes)
		if err != nil || a == nil {
			return err
		}
		err = r.sendSome(ctx, stream, a, phase)
		a.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// sendSome sends those rows of an answer that the filter and the limit let through.
func (r *tableRead) sendSome(ctx context.Context, stream grpc.ServerStream, a *kv.Answer, phase string) error {
	rows, all, err := r.matching(ctx, a)
	if err != nil {
		return err
	}
	n := int64(a.Len)
	if !all {
		n = int64(len(rows))
	}
	if n > r.left {
		if all {
			rows = make([]int32, a.Len)
			for i := range rows {
				rows[i] = int32(i)
			}
		}
		n, rows = r.left, rows[:r.left]
	}
	if n == 0 {
		return nil
	}
	r.left -= n
	batch, err := r.shape.batch(a, r.names, rows)
	if err != nil {
		return err
	}
	return r.sendBatch(stream, batch, a, phase)
}

// matching gives the rows of an answer that the filter takes.
func (r *tableRead) matching(ctx context.Context, a *kv.Answer) (rows []int32, all bool, err error) {
	if r.filter == nil {
		return nil, true, nil
	}
	var fields []arrow.Field
	var columns []arrow.Array
	for _, id := range r.filter.Columns() {
		place := r.table.Schema.Index(id)
		column, field := columnAt(a, place), r.table.Schema.Arrow().Field(place)
		field.Type = column.DataType()
		fields = append(fields, field)
		columns = append(columns, column)
	}
	var made []arrow.Array
	defer func() {
		for _, arr := range made {
			arr.Release()
		}
	}()
	for _, name := range r.filter.System() {
		system, _ := scan.ParseSystem(name)
		arr := systemColumn(scan.Column{System: system}, a, r.names)
		made = append(made, arr)
		fields = append(fields, arrow.Field{Name: name, Type: arr.DataType()})
		columns = append(columns, arr)
	}
	rec := newRecord(fields, columns, a.Len)
	defer rec.Release()
	rows, err = r.filter.Rows(ctx, rec)
	return rows, rows == nil && err == nil, err
}

func (r *tableRead) bounds() (rows, bytes int) {
	rows, bytes = scan.DefaultBatchRows, scan.DefaultMaxBytes
	if r.command.BatchRows > 0 {
		rows = int(r.command.BatchRows)
	}
	if r.command.MaxBytes > 0 {
		bytes = int(min(r.command.MaxBytes, r.service.options.MaxMessage))
	}
	return rows, bytes
}

// keyRangeWord is "key_range": prefixes of keys, the end exclusive.
type keyRangeWord struct {
	From  json.RawMessage `json:"from,omitzero"`
	Until json.RawMessage `json:"until,omitzero"`
}

func (r *tableRead) keyRange() (kv.Bounds, error) {
	var within kv.Bounds
	if r.command.KeyRange == nil {
		return within, nil
	}
	var word keyRangeWord
	if err := flight.DecodeStrict(r.command.KeyRange, &word, quiver.BadCommand); err != nil {
		return within, err
	}
	for _, end := range []struct {
		word  string
		text  json.RawMessage
		bound *[]byte
	}{{"from", word.From, &within.From}, {"until", word.Until, &within.Until}} {
		if end.text == nil {
			continue
		}
		values, wrong := keyValues(r.table, end.text, true)
		if wrong != nil {
			return within, quiver.Errorf(quiver.BadCommand, "key_range: %s: %s", end.word, wrong.Detail).Advise(`write {"from": [17], "until": [42]}`)
		}
		key, err := r.views[0].Rows.KeyPrefix(values)
		if err != nil {
			return within, err
		}
		*end.bound = key
	}
	return within, nil
}

// sendBatch sends one batch of current rows, all of one bucket or of several.
func (r *tableRead) sendBatch(stream grpc.ServerStream, batch *record.Batch, a *kv.Answer, phase string) error {
	info := flight.BatchInfo{Bucket: flight.NoBucket, Timestamp: flight.NoTimestamp, Phase: phase}
	if first := a.Sources[0]; !slices.ContainsFunc(a.Sources, func(s int32) bool { return s != first }) {
		at := r.views[first].Mark.Applied
		info.Bucket, info.Partition = r.names[first].bucket, r.names[first].partition
		info.From, info.Until, info.HighWatermark = at, at, at
	}
	rows, bytes, began := int64(batch.Rows()), int64(batch.Size()), time.Now()
	header, body := batch.Served()
	if err := codec.Send(stream, &codec.Out{Metadata: info.AppendJSON(nil), Header: header, Body: body, Owner: batch}); err != nil {
		return err
	}
	r.service.metrics.shown(rows, bytes, began, r.service.metrics.tables.of(r.table))
	return nil
}
