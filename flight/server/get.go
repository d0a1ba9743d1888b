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
	"github.com/quiverlog/quiver/tablet/scan"
)

// DoGet redeems a ticket: the schema, then batches as they lie in the log, each with its offsets in app_metadata.
func (s *Service) DoGet(ticket *afl.Ticket, stream afl.FlightService_DoGetServer) error {
	ctx, cancel := s.stopped(stream.Context())
	defer cancel()
	command, err := flight.ParseTicket(ticket.GetTicket())
	if err != nil {
		return err
	}
	read, err := s.plan(ctx, command)
	if err != nil {
		return err
	}
	defer s.metrics.getOpened(command)()
	scanner, err := scan.Open(read.spec, s.scanOptions())
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
func (s *Service) scanOptions() scan.Options {
	return scan.Options{Now: s.options.Now, Logger: s.options.Logger, Metrics: s.metrics.scan}
}

// reading is a scan command after its names and positions were resolved.
type reading struct {
	table   *quiver.Table
	command *flight.ScanCommand
	spec    scan.Spec
	schema  *arrow.Schema // what the reader sees, without the note of a bounded read
}

// plan resolves a scan command: table, buckets, columns, positions.
func (s *Service) plan(ctx context.Context, c *flight.ScanCommand) (*reading, error) {
	table, err := s.table(c.Table, c.TableID)
	if err != nil {
		return nil, err
	}
	sources, err := s.sources(table, c.Bucket)
	if err != nil {
		return nil, err
	}
	columns, err := scan.Select(table.Schema, c.Columns, c.SystemColumns)
	if err != nil {
		return nil, about(table.Path(), err)
	}
	schema, err := scan.OutputSchema(table.Schema, columns)
	if err != nil {
		return nil, err
	}
	from, until := c.Range()
	ranges, err := scan.Resolve(ctx, table, sources, scanPosition(from), scanPosition(until), c.Follow)
	if err != nil {
		return nil, err
	}
	return &reading{table: table, command: c, schema: schema, spec: scan.Spec{
		Table: table, Sources: sources, Ranges: ranges, Columns: columns, Follow: c.Follow, Limit: c.Limit,
		BatchRows: int(c.BatchRows), MaxBytes: int(min(c.MaxBytes, s.options.MaxMessage)),
	}}, nil
}

// sources are the buckets to read: one, or all of the table.
func (s *Service) sources(table *quiver.Table, bucket *int32) ([]scan.Source, error) {
	if bucket == nil {
		return s.tablets.Sources(table)
	}
	if err := checkBucket(table, *bucket); err != nil {
		return nil, err
	}
	return s.tablets.Sources(table, *bucket)
}

// checkBucket refuses a bucket that the table does not have.
func checkBucket(table *quiver.Table, bucket int32) error {
	if bucket >= 0 && bucket < table.Buckets {
		return nil
	}
	return quiver.Errorf(quiver.BucketNotFound, "there is no bucket %d, the table has %d", bucket, table.Buckets).
		On("table " + table.Path()).Advise("buckets are counted from 0")
}

// scanPosition translates a position of the wire.
func scanPosition(p flight.Position) scan.Position {
	at := scan.Position{Offset: p.Offset, Offsets: p.Offsets.Buckets, Timestamp: p.Timestamp}
	switch p.Kind {
	case flight.Earliest:
		at.Place = scan.Earliest
	case flight.Latest:
		at.Place = scan.Latest
	case flight.AtOffset:
		at.Place = scan.AtOffset
	case flight.AtOffsets:
		at.Place = scan.AtOffsets
	case flight.AtTimestamp:
		at.Place = scan.AtTimestamp
	}
	return at
}

// sendSchema sends the schema; it tells where the read begins, and that of a bounded one
// where it ends.
func sendSchema(stream grpc.ServerStream, r *reading) error {
	info := flight.SchemaInfo{TableID: r.table.ID, SchemaID: r.table.Schema.ID()}
	info.From, info.Until = vectors(r.spec.Ranges)
	if r.command.Follow {
		info.Until = flight.Position{} // From stays: a follower of "now" that loses its connection begins there again
	}
	header, err := record.ServedSchema(withInfo(r.schema, &info))
	if err != nil {
		return err
	}
	return codec.Send(stream, &codec.Out{Header: header})
}

// withInfo adds what a read covers to a schema's metadata.
func withInfo(schema *arrow.Schema, info *flight.SchemaInfo) *arrow.Schema {
	user := schema.Metadata()
	metadata := arrow.NewMetadata(
		append(slices.Clone(user.Keys()), flight.SchemaInfoKey),
		append(slices.Clone(user.Values()), string(info.Encode())))
	return arrow.NewSchema(schema.Fields(), &metadata)
}

// vectors gives the starts and the ends of ranges as offset vectors.
func vectors(ranges []scan.Range) (from, until flight.Position) {
	starts, ends := flight.BucketOffsets{}, flight.BucketOffsets{}
	for _, r := range ranges {
		starts[r.Bucket], ends[r.Bucket] = r.From, r.Until
	}
	return flight.AtOffsetsOf(flight.Offsets{Buckets: starts}), flight.AtOffsetsOf(flight.Offsets{Buckets: ends})
}

// sendChunks sends what the scanner gives until its end. A reader that is slow blocks here, with one chunk in hand.
func (s *Service) sendChunks(ctx context.Context, stream grpc.ServerStream, scanner *scan.Scanner, table *usage) error {
	for {
		chunk, err := scanner.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows, bytes, began := chunk.Rows(), int64(chunk.Batch.Size()), time.Now()
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
		Bucket: chunk.Bucket, From: chunk.From, Until: chunk.Until, Timestamp: chunk.Timestamp,
		HighWatermark: chunk.HighWatermark, Idle: chunk.Idle,
	}
	if chunk.Idle && chunk.Timestamp == 0 {
		info.Timestamp = flight.NoTimestamp // no row was sent yet
	}
	return codec.Send(stream, &codec.Out{Metadata: info.AppendJSON(nil), Header: header, Body: body, Owner: chunk.Batch})
}
