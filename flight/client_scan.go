package flight

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// Scanner reads what a scan gives, batch by batch. It gets over outages by itself: it goes on behind the last batch it
// gave, bucket by bucket, so that every row comes once. It is not safe for concurrent use.
//
// Current rows of a primary-key table are those of one moment: once some of them were given, an outage ends the scan,
// with an error that ClassOf tells to be retriable. Position then, as at the end, is where the changelog goes on from
// that moment. With Read "table+log" outages are got over from the batch on that Info().Phase tells to be PhaseLog.
//
//	scanner, err := client.Scan(ctx, flight.ScanCommand{Table: flight.Named("shop.orders"), Follow: true})
//	if err != nil { … }
//	defer scanner.Close()
//	for scanner.Next() {
//		use(scanner.Batch(), scanner.Info())
//	}
//	return scanner.Err()
type Scanner struct {
	client  *Client
	ctx     context.Context
	command ScanCommand // what is asked for again after an outage, but for positions

	schema *arrow.Schema // as the first stream gave it
	info   SchemaInfo
	place  place
	table  bool  // what comes are current rows, of one moment
	rows   int64 // given so far
	bytes  int64 // of the messages that batches came in

	stream *scanStream // nil between two attempts
	outage outage

	batch arrow.RecordBatch // nil before the first and after the last
	tells BatchInfo
	err   error // why there is no next one; io.EOF: the end
}

// Scan starts to read. It returns once the server answered with the schema, so that what is wrong with the command
// shows here; an outage at this moment is not got over. The context governs the whole scan.
func (c *Client) Scan(ctx context.Context, command ScanCommand) (*Scanner, error) {
	s := &Scanner{client: c, ctx: ctx, command: command, table: command.Read == ReadTable || command.Read == ReadTableLog}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Schema is the schema of all batches. Its metadata is that of the table.
func (s *Scanner) Schema() *arrow.Schema { return s.schema }

// SchemaInfo tells which table is read and, of a bounded scan, from where to where.
func (s *Scanner) SchemaInfo() SchemaInfo { return s.info }

// Batch is the batch that Next came to. It is the scanner's: who keeps it beyond the next call of Next retains it, or
// what he needs of it. A retained column keeps the memory of its whole message.
func (s *Scanner) Batch() arrow.RecordBatch { return s.batch }

// Info tells where the batch's rows come from.
func (s *Scanner) Info() BatchInfo { return s.tells }

// Bytes is how many bytes the batches given so far took on the wire, messages as a whole.
func (s *Scanner) Bytes() int64 { return s.bytes }

// Position is where another scan goes on behind the batches given so far: its From. Buckets of which nothing came yet
// stand where this scan began.
func (s *Scanner) Position() Position { return s.place.position() }

// Err is why Next gave false: nil at the end of what was asked for.
func (s *Scanner) Err() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// Next goes on to the next batch and says whether there is one. A scan that follows waits for it, and gives a batch
// without rows and with Info().Idle now and then.
func (s *Scanner) Next() bool {
	s.drop()
	for s.err == nil {
		err := s.receive()
		if err == nil {
			return true
		}
		s.fail(err)
	}
	return false
}

// Batches gives all batches that are still to come, to a loop. Each is the scanner's, as with Batch. The last pair may
// be an error. Leaving the loop leaves the scanner as it is.
func (s *Scanner) Batches() iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for s.Next() {
			if !yield(s.batch, nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// Close ends the scan. It may be called more than once.
func (s *Scanner) Close() {
	s.drop()
	s.hangUp()
	if s.err == nil {
		s.err = io.EOF
	}
}

// drop releases the batch at hand.
func (s *Scanner) drop() {
	if s.batch != nil {
		s.batch.Release()
		s.batch = nil
	}
}

// hangUp ends the stream.
func (s *Scanner) hangUp() {
	if s.stream != nil {
		s.stream.close()
		s.stream = nil
	}
}

// fail takes up an error of a stream: it waits for a new attempt, or makes it the scan's end.
func (s *Scanner) fail(err error) {
	s.hangUp()
	if errors.Is(err, io.EOF) {
		s.err = io.EOF
		return
	}
	if s.table && s.rows > 0 {
		s.err = err // the moment is gone
		return
	}
	s.err = s.outage.next(s.ctx, s.client.options.RetryFor, err)
}

// receive takes the next batch from the stream, which is opened anew if need be.
func (s *Scanner) receive() error {
	if s.stream == nil {
		if s.limitReached() {
			return io.EOF
		}
		s.client.conn.ResetConnectBackoff()
		if err := s.open(); err != nil {
			return err
		}
	}
	batch, info, err := s.stream.next()
	if err != nil {
		return err
	}
	s.outage.over()
	s.batch, s.tells = batch, info
	s.rows += batch.NumRows()
	s.bytes += int64(s.stream.in.Size)
	s.place.pass(info)
	switch {
	case info.Phase == PhaseLog:
		s.table, s.command.Read, s.info.Until = false, ReadLog, Position{}
	case s.command.Read == "" && batch.NumRows() > 0 && info.Timestamp == NoTimestamp:
		s.table = true
	}
	return nil
}

func (s *Scanner) limitReached() bool { return s.command.Limit != nil && s.rows >= *s.command.Limit }

// open opens a stream, from where the scan stands.
func (s *Scanner) open() error {
	command := s.command
	again := s.schema != nil && (s.table || s.mayBeTable())
	switch {
	case again:
		command.TableID = &s.info.TableID
	case s.schema != nil:
		command = s.rest()
	}
	stream, err := s.client.openScan(s.ctx, command)
	if err != nil {
		return err
	}
	if s.schema == nil {
		s.schema, s.info = stream.schema(), stream.info
		s.place.start(stream.info.From)
	} else if !sameFields(stream.schema(), s.schema) {
		stream.close()
		return quiver.Errorf(quiver.SchemaChanged, "the columns changed while the connection was down").
			On("table " + s.command.Table.String()).Advise("scan again from Position()")
	}
	if again {
		s.info, s.place = stream.info, place{}
		s.place.start(stream.info.From)
	}
	s.stream = stream
	stream.gate.ShowAs(s.schema)
	return nil
}

// mayBeTable says that nothing tells yet whether current rows or a log is read.
func (s *Scanner) mayBeTable() bool {
	c := &s.command
	return c.Read == "" && !c.Follow && c.From.IsZero() && c.Until.IsZero() && s.bytes == 0
}

// rest is the command for what is still to come.
func (s *Scanner) rest() ScanCommand {
	c := s.command
	c.TableID = &s.info.TableID
	if s.place.known {
		c.From = s.place.position()
	}
	if s.info.Until.Kind != NotGiven {
		c.Until = s.info.Until
	}
	if c.Limit != nil {
		c.Limit = new(*c.Limit - s.rows)
	}
	if c.Columns == nil {
		c.SystemColumns = nil
		c.Columns = make([]string, s.schema.NumFields())
		for i, field := range s.schema.Fields() {
			c.Columns[i] = field.Name
		}
	}
	return c
}

func sameFields(a, b *arrow.Schema) bool {
	if a.NumFields() != b.NumFields() {
		return false
	}
	for i, field := range a.Fields() {
		if other := b.Field(i); field.Name != other.Name || !arrow.TypeEqual(field.Type, other.Type) {
			return false
		}
	}
	return true
}

// scanStream is one DoGet.
type scanStream struct {
	ctx    context.Context
	cancel context.CancelFunc
	stream afl.FlightService_DoGetClient
	gate   *record.Output
	info   SchemaInfo
	in     codec.In
}

// openScan redeems a ticket and takes the schema.
func (c *Client) openScan(ctx context.Context, command ScanCommand) (*scanStream, error) {
	return c.openTicket(ctx, command.Encode())
}

func (c *Client) openTicket(ctx context.Context, ticket []byte) (*scanStream, error) {
	s := new(scanStream)
	s.ctx, s.cancel = context.WithCancel(ctx)
	err := s.open(c, ticket)
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *scanStream) open(c *Client, ticket []byte) (err error) {
	if s.stream, err = c.stub.DoGet(c.outgoing(s.ctx), &afl.Ticket{Ticket: ticket}); err != nil {
		return callError(s.ctx, err)
	}
	if err := codec.Recv(s.stream, &s.in); errors.Is(err, io.EOF) {
		return quiver.Errorf(quiver.Internal, "the server sent no schema")
	} else if err != nil {
		return callError(s.ctx, err)
	}
	if s.gate, err = record.NewOutput(s.in.Header, c.limits()); err != nil {
		return err
	}
	if text, ok := s.gate.Schema().Metadata().GetValue(SchemaInfoKey); ok {
		return decodeLoose([]byte(text), &s.info)
	}
	return nil
}

// schema is the stream's, less the note of what it covers.
func (s *scanStream) schema() *arrow.Schema {
	schema := s.gate.Schema()
	var keys, values []string
	all := schema.Metadata()
	for i, key := range all.Keys() {
		if key != SchemaInfoKey {
			keys, values = append(keys, key), append(values, all.Values()[i])
		}
	}
	metadata := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(schema.Fields(), &metadata)
}

// next receives the next batch, io.EOF at the end.
func (s *scanStream) next() (arrow.RecordBatch, BatchInfo, error) {
	for {
		err := codec.Recv(s.stream, &s.in)
		if errors.Is(err, io.EOF) {
			return nil, BatchInfo{}, io.EOF
		}
		if err != nil {
			return nil, BatchInfo{}, callError(s.ctx, err)
		}
		batch, err := s.gate.Take(s.in.Header, s.in.Body)
		if err != nil {
			return nil, BatchInfo{}, err
		}
		if batch == nil {
			continue // a dictionary
		}
		info, err := batchInfo(s.in.Metadata)
		if err != nil {
			batch.Release()
			return nil, BatchInfo{}, err
		}
		return batch, info, nil
	}
}

func (s *scanStream) close() {
	s.cancel()
	s.in.Reset()
	if s.gate != nil {
		s.gate.Close()
	}
}
