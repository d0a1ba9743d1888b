package server

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/tablet"
)

// receive takes the stream's messages until its end, then reads on and throws away what comes, so that a client
// whose stream failed is not stalled before the handler can tell it.
func (p *put) receive() {
	r := receiver{put: p, previous: map[*tablet.Tablet]quiver.Sequence{}}
	r.in.Admit, r.in.ReuseHeader = r.admit, true // the gate copies what it keeps
	p.queue.close(r.run())
	r.close()
	r.in.Admit = func(int) error { return errDiscarded }
	for {
		var tooLarge *codec.TooLargeError
		var malformed *codec.MalformedError
		err := codec.Recv(p.stream, &r.in)
		if err != nil && !errors.Is(err, errDiscarded) && !errors.As(err, &tooLarge) && !errors.As(err, &malformed) {
			return
		}
	}
}

// errDiscarded keeps the codec from copying a body that nobody wants.
var errDiscarded = errors.New("the stream has failed")

// receiver is the receiving side of a put: it knows the table and counts the stream's batches.
type receiver struct {
	*put
	in           codec.In
	charged      int64 // taken from the memory budget for the message at hand
	grant        grant // taken for what messages become
	command      *flight.PutCommand
	order        *flight.PutStream
	client       *arrow.Schema
	dictionaries []int64 // the client's ids of them
	table        *quiver.Table
	input        *record.Input
	route        router
	schema       *quiver.Schema                     // of the batches of a primary-key table
	divider      *record.Divider                    // nil: all rows of a batch go where the router says
	single       [1]load                            // of a batch that goes to one bucket
	within       string                             // the partition that all rows must lie in; "": any
	previous     map[*tablet.Tablet]quiver.Sequence // the sequence this stream sent to a bucket last
	untimed      int                                // small messages that may still go by without a look at the clock
	came         time.Time                          // when the message at hand had come; zero: it is not timed
}

// run receives until the stream ends or fails.
func (r *receiver) run() error {
	if err := r.open(); err != nil {
		return err
	}
	for {
		err := codec.Recv(r.stream, &r.in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			r.arrived()
			err = r.message()
		}
		r.discharge()
		if err != nil {
			return r.explain(err)
		}
	}
}

// arrived counts the message at hand, and decides whether it is timed.
func (r *receiver) arrived() {
	m := r.service.metrics
	m.messages.Inc()
	m.received.Add(float64(r.in.Size))
	r.came = time.Time{}
	if r.untimed--; r.untimed < 0 || r.in.Size >= sealFrom {
		r.untimed, r.came = timedEvery-1, time.Now()
	}
}

// close gives back what the stream held.
func (r *receiver) close() {
	r.discharge()
	if r.input != nil {
		r.input.Close()
	}
	_ = r.service.decoding.keep(&r.grant, 0) // gives back
}

// open takes the first message: the descriptor and the schema. A body beside them is nobody's.
func (r *receiver) open() error {
	defer r.discharge()
	err := codec.Recv(r.stream, &r.in)
	if errors.Is(err, io.EOF) {
		return quiver.Errorf(quiver.BadCommand, "the stream ended before its first message").Advise("send a descriptor and a schema first")
	}
	if err != nil {
		return r.explain(err)
	}
	if r.command, err = parsePut(r.in.Descriptor); err != nil {
		return err
	}
	r.order = r.command.Stream()
	err = r.untrusted(func() (err error) {
		r.client, r.dictionaries, err = record.ParseSchema(r.in.Header)
		return err
	})
	if err != nil {
		return r.about(err)
	}
	r.table, err = r.service.table(r.command.Table, r.command.TableID)
	if r.mayCreate(err) {
		return nil // by the first batch
	}
	if err != nil {
		return err
	}
	return r.openTable()
}

// parsePut reads the descriptor of the first message.
func parsePut(raw []byte) (*flight.PutCommand, error) {
	parsed, err := parseDescriptor(raw)
	if err != nil {
		return nil, err
	}
	return parsed.AsPut()
}

// mayCreate tells whether a table that is not there may be created by this stream.
func (r *receiver) mayCreate(err error) bool {
	return quiver.ReasonOf(err) == quiver.TableNotFound && r.service.options.CreateTables && r.command.TableID == nil &&
		r.command.Table.Partition == "" && // a table that is made by a batch has no partitions,
		r.command.Op != flight.OpUpsert && r.command.Op != flight.OpDelete && r.command.Columns == nil // and no primary key
}

// openTable makes the gate between the client's schema and the table's.
func (r *receiver) openTable() error {
	if err := flight.CheckOp(r.table, r.command.Op, r.command.Columns, r.command.Bucket); err != nil {
		return err
	}
	schema, layout, err := r.layOut()
	if err != nil {
		return r.about(err)
	}
	err = r.untrusted(func() (err error) {
		limits := r.service.limits
		limits.Admit = func(bytes int64) error { return r.service.decoding.admit(r.ctx, &r.grant, bytes) }
		r.input, err = record.NewInput(r.client, r.dictionaries, schema, layout, limits)
		return err
	})
	if err != nil {
		return r.about(advise(err, "see table.describe"))
	}
	r.input.Summarize(record.NewSummary(r.table.StatisticsColumns()))
	if r.table.Partitioned() || len(r.table.BucketKey) > 0 && r.table.Buckets > 1 {
		divided := *r.table
		divided.Schema = schema // of a primary-key table perhaps not all columns
		if r.divider, err = record.NewDivider(&divided, layout); err != nil {
			return err
		}
	}
	r.put.usage = r.service.metrics.tables.of(r.table)
	r.route, err = newRouter(&r.service.streams, r.table, r.command)
	return err
}

// layOut gives the schema that the stream's batches are to have, and its layout.
func (r *receiver) layOut() (*quiver.Schema, *record.Layout, error) {
	schema, err := r.enter()
	if err != nil {
		return nil, nil, err
	}
	if !r.table.Keyed() {
		layout, err := r.service.layouts.of(r.table.Schema)
		return schema, layout, err
	}
	if r.schema, err = r.keyedSchema(schema); err != nil {
		return nil, nil, err
	}
	layout, err := record.NewLayout(r.schema)
	return r.schema, layout, err
}

// enter gives the schema that a stream's columns are matched with: the table's, but in a put to one partition the
// partition columns have its values where the client does not send them.
func (r *receiver) enter() (*quiver.Schema, error) {
	name := r.command.Table.Partition
	if name == "" {
		return r.table.Schema, nil
	}
	canonical, values, err := r.table.ParsePartition(name)
	if err != nil {
		return nil, err
	}
	r.within = canonical
	defaults := make(map[quiver.ColumnID]any, len(values))
	for i, id := range r.table.PartitionBy {
		defaults[id] = values[i]
	}
	return r.table.Schema.WithDefaults(defaults), nil
}

// createTable makes the table as the first batch's schema describes it. Another stream may have been faster.
func (r *receiver) createTable() error {
	name := r.command.Table
	if columns := quiver.NullColumns(r.client); len(columns) > 0 {
		return quiver.Errorf(quiver.SchemaMismatch, "column %q has type null, and no table can be made of that", columns[0]).
			On("table " + name.String()).Advise("give it a type, or create the table first")
	}
	table, err := r.service.coordinator.CreateTable(r.ctx, quiver.TableSpec{
		Database: name.Database, Name: name.Table, Schema: r.client, Buckets: 1, IfNotExists: true,
	})
	if err != nil {
		return err
	}
	r.table = table
	r.service.metrics.created.Inc()
	return r.openTable()
}

// message takes one message after the first: a batch, a dictionary or a flush.
func (r *receiver) message() error {
	if len(r.in.Header) == 0 {
		return r.flush()
	}
	if r.table == nil {
		if err := r.createTable(); err != nil {
			return err
		}
	}
	switch record.KindOf(r.in.Header) {
	case record.KindDictionary:
		return r.about(r.dictionary())
	case record.KindBatch:
		return r.about(r.batch())
	default:
		return r.about(quiver.Errorf(quiver.MalformedBatch, "a message in the middle of the stream holds no record batch").
			Advise("open a new stream for another schema"))
	}
}

// flush queues a request to be told when everything before it is durable.
func (r *receiver) flush() error {
	echo, err := flight.ParseFlush(r.in.Metadata)
	if err != nil {
		return err
	}
	r.answers.awaitRoom(r.ctx)
	_, err = r.queue.push(func() (staged, error) { return staged{flush: echo, sequence: quiver.NoSequence}, nil })
	return err
}

// dictionary passes the gate and stays with the stream.
func (r *receiver) dictionary() error {
	err := r.untrusted(func() error { return r.input.Dictionary(r.in.Header, r.in.Body) })
	if err != nil {
		return err
	}
	return r.service.decoding.keep(&r.grant, r.input.Held())
}

// batch passes the gate, decides the bucket and stages.
func (r *receiver) batch() error {
	metadata, err := flight.ParseBatchMetadata(r.in.Metadata)
	if err != nil {
		return err
	}
	var batch *record.Batch
	err = r.untrusted(func() (err error) {
		batch, err = r.input.Batch(r.in.Header, r.in.Body)
		return err
	})
	if err != nil {
		return err
	}
	r.gated()
	defer batch.Release()
	order, err := r.order.Next(metadata, int64(batch.Rows()))
	if err != nil {
		return err
	}
	if batch.Rows() == 0 {
		_, err := r.queue.push(func() (staged, error) { return staged{sequence: order.Sequence}, nil })
		return err
	}
	if r.table.Keyed() {
		err = r.checkKeyed(batch, order)
	} else if order.Op != "" || order.Columns != nil {
		err = flight.CheckOp(r.table, order.Op, order.Columns, nil)
	}
	if err != nil {
		return err
	}
	return r.stage(batch, order)
}

// gated counts a batch that has passed the gate.
func (r *receiver) gated() {
	r.put.usage.putBytes.Add(int64(r.in.Size))
	if !r.came.IsZero() {
		r.service.metrics.gate.Observe(time.Since(r.came).Seconds())
	}
}

// untrusted runs the reading of bytes that a client made up. A panic there is a fault of the gate, and ends this
// stream instead of the server: nothing is shared yet. It runs on a goroutine of its own, which no interceptor guards.
func (r *receiver) untrusted(read func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = r.service.panicked("DoPut", what)
		}
	}()
	return read()
}

// messageCost is what a batch takes beside its body until it is settled, about: one-row batches must not come to many
// times the budget.
const messageCost = 1 << 10

// admit takes a body's bytes from the memory budget before the body is copied.
func (r *receiver) admit(bytes int) error {
	if int64(bytes) > r.service.options.MaxMessage {
		return &codec.TooLargeError{What: "data_body", Size: bytes, Limit: int(r.service.options.MaxMessage)}
	}
	cost := int64(bytes) + messageCost
	if err := r.service.acquire(r.ctx, cost); err != nil {
		return err
	}
	r.charged = cost
	return nil
}

// acquire takes bytes from the memory budget, and counts it where that takes waiting.
func (s *Service) acquire(ctx context.Context, bytes int64) error {
	if s.memory.TryAcquire(bytes) {
		return nil
	}
	s.metrics.waits.Inc()
	began := time.Now()
	defer func() { s.metrics.waited.Add(time.Since(began).Seconds()) }()
	return s.memory.Acquire(ctx, bytes)
}

// discharge gives back what the message at hand still holds.
func (r *receiver) discharge() {
	r.service.memory.Release(r.charged)
	r.charged = 0
	r.in.Reset()
	r.service.decoding.done(&r.grant)
}

// explain turns what the codec refused into what the client is told.
func (r *receiver) explain(err error) error {
	var tooLarge *codec.TooLargeError
	if errors.As(err, &tooLarge) {
		told := *tooLarge
		told.Limit = min(told.Limit, int(r.service.options.MaxMessage)) // what the codec allows beside the body is not for use
		return r.about(quiver.Errorf(quiver.BatchTooLarge, "%v", &told).
			Advise("send smaller batches: write_table(t, max_chunksize=65536)"))
	}
	var malformed *codec.MalformedError
	if errors.As(err, &malformed) {
		return r.about(quiver.Errorf(quiver.MalformedBatch, "%v", err))
	}
	return err
}

// about names the table in an error that names none yet.
func (r *receiver) about(err error) error {
	if r.command == nil {
		return err
	}
	return about(r.command.Table.String(), err)
}
