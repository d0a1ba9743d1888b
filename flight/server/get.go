package server

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/flight/internal/intake"
	"github.com/quiverlog/quiver/internal/filter"
	"github.com/quiverlog/quiver/tablet/scan"
)

// DoGet redeems a ticket: the schema, then batches as they lie in the log, each with its offsets in app_metadata.
func (s *Service) DoGet(ticket *afl.Ticket, stream afl.FlightService_DoGetServer) error {
	ctx, cancel := s.stopped(stream.Context())
	defer cancel()
	asked, err := flight.ParseTicketCommand(ticket.GetTicket())
	if err != nil {
		return err
	}
	if asked.Lookup != nil {
		return s.single(ctx, asked.Lookup, stream)
	}
	command, err := asked.AsScan()
	if err != nil {
		return err
	}
	if whole, err := s.readsTable(command); err != nil || whole != nil {
		if err != nil {
			return err
		}
		return s.getTable(ctx, whole, command, stream)
	}
	read, err := s.plan(ctx, command)
	if err != nil {
		return err
	}
	defer s.metrics.getOpened(command)()
	scanner, err := scan.Open(read.spec, s.scanOptions(ctx))
	if err != nil {
		return err
	}
	defer scanner.Close()
	if err := sendSchema(stream, read); err != nil {
		return err
	}
	return s.sendChunks(ctx, stream, scanner, s.metrics.tables.of(read.table))
}

// scanOptions are those of every scan.
func (s *Service) scanOptions(ctx context.Context) scan.Options {
	return scan.Options{Now: s.options.Now, Logger: s.options.Logger, Metrics: s.metrics.scan, Room: room{intake.From(ctx)}}
}

// room is what a call may hold of rows that its reader has not taken.
type room struct{ stream *intake.Stream }

func (r room) Take(bytes int) error { return r.stream.Reserve(int64(bytes)) }
func (r room) Leave()               { r.stream.Unreserve() }

// reading is a scan command after its names and positions were resolved.
type reading struct {
	table     *quiver.Table
	partition *quiver.Partition // nil: all of them, or the table has none
	command   *flight.ScanCommand
	spec      scan.Spec
	schema    *arrow.Schema // what the reader sees, without the note of a bounded read
}

// plan resolves a scan command: table, partition, buckets, columns, filter, positions.
func (s *Service) plan(ctx context.Context, c *flight.ScanCommand) (*reading, error) {
	for attempt := 1; ; attempt++ {
		r, err := s.planOnce(ctx, c)
		if c.Partition != nil || attempt == planAttempts || quiver.ReasonOf(err) != quiver.PartitionNotFound {
			return r, err
		}
	}
}

// planAttempts is how often a read of all partitions is planned while some of them are dropped under its hands.
const planAttempts = 5

func (s *Service) planOnce(ctx context.Context, c *flight.ScanCommand) (*reading, error) {
	table, err := s.table(c.Table, c.TableID)
	if err != nil {
		return nil, err
	}
	if err := c.CheckTable(table); err != nil {
		return nil, err
	}
	if table.Keyed() { // its log has one column more
		changelog := *table
		changelog.Schema = table.LogSchema()
		table = &changelog
	}
	r := &reading{table: table, command: c, spec: scan.Spec{
		Table: table, Follow: c.Follow, Limit: c.Limit,
		BatchRows: int(c.BatchRows), MaxBytes: int(min(c.MaxBytes, s.options.MaxMessage)),
	}}
	if err := r.choose(); err != nil {
		return nil, about(table.Path(), err)
	}
	if err := s.findSources(r); err != nil {
		return nil, err
	}
	return r, s.findRanges(ctx, r)
}

// choose decides on columns and rows.
func (r *reading) choose() (err error) {
	if r.spec.Columns, err = scan.Select(r.table.Schema, r.command.Columns, r.command.SystemColumns); err != nil {
		return err
	}
	if r.schema, err = scan.OutputSchema(r.table.Schema, r.spec.Columns); err != nil {
		return err
	}
	bound, err := bindFilter(r.command.Filter, r.table.Schema)
	if bound != nil { // a nil pointer would be a filter to scan
		r.spec.Filter = bound
	}
	return err
}

// bindFilter reads the condition of a command and finds its columns; nil: there is none.
func bindFilter(text *string, schema *quiver.Schema) (*filter.Filter, error) {
	if text == nil {
		return nil, nil
	}
	condition, err := filter.Parse(*text)
	if err != nil {
		return nil, err
	}
	return condition.Bind(schema)
}

// findSources finds the buckets to read. A follower of a whole table is told of partitions that come and go.
func (s *Service) findSources(r *reading) (err error) {
	bucket := r.command.Bucket
	if r.partition, err = chosen(r.table, r.command); err != nil {
		return err
	}
	if r.command.Follow && r.table.Partitioned() && r.partition == nil {
		r.spec.Buckets = s.tablets.Buckets(r.table.ID, bucket)
	}
	r.spec.Sources, err = s.tablets.Sources(r.table, r.partition, bucket)
	return err
}

// findRanges resolves the positions.
func (s *Service) findRanges(ctx context.Context, r *reading) error {
	first, last := r.command.Range()
	from, err := s.position(r.table, "from", first)
	if err != nil {
		return err
	}
	until, err := s.position(r.table, "until", last)
	if err != nil {
		return err
	}
	r.spec.Newcomers = scan.Newcomers(until, s.options.Now().UnixMilli())
	r.spec.Ranges, err = scan.Resolve(ctx, r.table, r.spec.Sources, from, until, r.command.Follow)
	return err
}

// chosen gives the partition that a command is about, nil for all, once it knows that there are that and the bucket.
func chosen(table *quiver.Table, c *flight.ScanCommand) (*quiver.Partition, error) {
	if c.Bucket != nil {
		if err := checkBucket(table, *c.Bucket); err != nil {
			return nil, err
		}
	}
	if c.Partition == nil || *c.Partition == "" && !table.Partitioned() {
		return nil, nil
	}
	p, err := findPartition(table, *c.Partition)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// checkBucket refuses a bucket that the table does not have.
func checkBucket(table *quiver.Table, bucket int32) error {
	if bucket >= 0 && bucket < table.Buckets {
		return nil
	}
	return quiver.Errorf(quiver.BucketNotFound, "there is no bucket %d, the table has %d", bucket, table.Buckets).
		On("table " + table.Path()).Advise("buckets are counted from 0")
}

// sendSchema sends the schema; it tells where the read begins, and that of a bounded one
// where it ends.
func sendSchema(stream grpc.ServerStream, r *reading) error {
	info := flight.SchemaInfo{TableID: r.table.ID, SchemaID: r.table.Schema.ID()}
	info.From, info.Until = vectors(r.table, r.spec.Ranges)
	if r.command.Follow {
		info.Until = flight.Position{} // From stays: a follower of "now" that loses its connection begins there again
	}
	return sendSchemaMessage(stream, withInfo(r.schema, &info))
}

// sendSchemaMessage sends a schema, and the words of change types if it has them.
func sendSchemaMessage(stream grpc.ServerStream, schema *arrow.Schema) error {
	header, err := record.ServedSchema(schema)
	if err != nil {
		return err
	}
	if err := codec.Send(stream, &codec.Out{Header: header}); err != nil || !schema.HasField(quiver.ChangeTypeColumn) {
		return err
	}
	words := record.ServedChangeTypes()
	return codec.Send(stream, &codec.Out{Header: words.Header, Body: [][]byte{words.Body}})
}

// withInfo adds what a read covers to a schema's metadata.
func withInfo(schema *arrow.Schema, info *flight.SchemaInfo) *arrow.Schema {
	user := schema.Metadata()
	metadata := arrow.NewMetadata(
		append(slices.Clone(user.Keys()), flight.SchemaInfoKey),
		append(slices.Clone(user.Values()), string(info.Encode())))
	return arrow.NewSchema(schema.Fields(), &metadata)
}

// sendChunks sends what the scanner gives until its end, or until the context ends: also a long read that never waits
// ends between two batches when the server drains. A reader that is slow blocks here, with one chunk in hand.
func (s *Service) sendChunks(ctx context.Context, stream grpc.ServerStream, scanner *scan.Scanner, table *usage) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		chunk, err := scanner.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows, bytes, began := int64(chunk.Batch.Rows()), int64(chunk.Batch.Size()), time.Now()
		if err := sendChunk(stream, &chunk); err != nil {
			return err
		}
		s.metrics.shown(rows, bytes, began, table)
	}
}

// sendChunk sends one batch and gives it to the transport, which releases it when its bytes have left.
func sendChunk(stream grpc.ServerStream, chunk *scan.Chunk) error {
	header, body := chunk.Batch.Served()
	info := flight.BatchInfo{
		Bucket: chunk.Bucket, Partition: chunk.Partition, From: chunk.From, Until: chunk.Until, Timestamp: chunk.Timestamp,
		HighWatermark: chunk.HighWatermark, Idle: chunk.Idle,
	}
	if chunk.Idle && chunk.Timestamp == 0 {
		info.Timestamp = flight.NoTimestamp // no row was sent yet
	}
	return codec.Send(stream, &codec.Out{Metadata: info.AppendJSON(nil), Header: header, Body: body, Owner: chunk.Batch})
}
