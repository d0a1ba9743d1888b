package flight

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// AppendOptions are the options of an Appender. The zero value appends exactly once, as a new writer.
type AppendOptions struct {
	// Who writes. A writer's batches are numbered, so that the server knows a repeat: every batch is stored once, over
	// any number of broken connections and restarts of the server.
	Writer      string           // a name that stays the same over restarts of the program; whoever else bears it is fenced
	WriterID    *quiver.WriterID // instead of a name: an id got before, which is raised to its next epoch
	Sequence    *quiver.Sequence // of the first batch; by default one above the highest that the table has, for new rows
	Unsequenced bool             // no writer: a batch is put again only if surely none of its rows was appended

	// How rows are gathered into batches. A record batch that is appended stays one batch.
	BatchRows  int           // most rows of a batch; 65,536 by default
	BatchBytes int           // the size at which a batch is full; 1 MiB by default
	Linger     time.Duration // how long a row waits for others; 5 ms by default; negative: until the batch is full or flushed

	// MaxUnacked is how many bytes may be waiting for the server's acknowledgement; beyond it, Append waits. 64 MiB by
	// default. A single batch may be larger.
	MaxUnacked int64

	TableID      *quiver.TableID // only if the table is this one
	Bucket       *int32          // all rows go there; only on tables without a bucket key
	Partition    string          // all rows lie in it, "dt=2026-11-22"; its columns may be left out then
	ExpectOffset *quiver.Offset  // the offset that the first row is to get: refused if the log ends elsewhere
	Op           string          // of primary-key tables: OpUpsert, the default, or OpDelete, of rows that need have the key only
	Columns      []string        // of primary-key tables: these are changed, the others keep their values; nil: rows are whole
	Acks         string          // AcksAll, the default, or AcksLeader
	Compression  string          // of what is sent and stored: "", "lz4" or "zstd"

	// Acknowledged, if set, is told where rows went as the server acknowledges them: before Flush tells that they are durable.
	// Ranges come again if the acknowledgement was lost once. It must not wait, nor call the appender.
	Acknowledged func(ranges []Range)
}

// What options have by default.
const (
	defaultBatchRows  = 64 << 10
	defaultBatchBytes = 1 << 20
	defaultLinger     = 5 * time.Millisecond
	defaultMaxUnacked = 64 << 20
)

// withDefaults fills in what is not set.
func (o AppendOptions) withDefaults() AppendOptions {
	if o.BatchRows <= 0 {
		o.BatchRows = defaultBatchRows
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = defaultBatchBytes
	}
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
	if o.MaxUnacked <= 0 {
		o.MaxUnacked = defaultMaxUnacked
	}
	return o
}

// check refuses what no server could do. The error is BAD_COMMAND.
func (o *AppendOptions) check() error {
	named := o.Writer != "" || o.WriterID != nil
	switch {
	case o.Writer != "" && o.WriterID != nil:
		return quiver.Errorf(quiver.BadCommand, "an appender takes Writer or WriterID, not both")
	case o.Unsequenced && (named || o.Sequence != nil):
		return quiver.Errorf(quiver.BadCommand, "an appender without sequences has no writer")
	case o.Sequence != nil && !named:
		return quiver.Errorf(quiver.BadCommand, "Sequence %d counts the batches of a writer that has a name or an id", *o.Sequence).
			Advise("set Writer")
	}
	if err := checkBatchOptions(o.Op, o.Columns, o.Sequence, o.Bucket, o.ExpectOffset); err != nil {
		return err
	}
	_, err := compressionOf(o.Compression)
	return err
}

// AppendTotals is what became of an appender's rows so far: what is durable.
type AppendTotals struct {
	Batches    int64           // durable in all their buckets, and so is every batch before them
	Rows       int64           // of these batches
	Sequence   quiver.Sequence // of the last of them; NoSequence if there is none
	Ranges     []Range         // where rows went, by partition, bucket and offset, adjacent ones joined
	RangesCut  bool            // there are more ranges than are kept, 1,000
	Duplicates int64           // batches that the server had already
}

// gatherer holds rows that are no batch yet. It is called under the appender's lock.
type gatherer interface {
	cut() arrow.RecordBatch // nil if there are no rows
}

// Appender appends rows to a table, or upserts and deletes rows of a primary-key table: Go structs, which it gathers into batches, or record batches. It is safe for
// concurrent use. Close must be called: only then everything is durable.
//
// What the server refuses ends the appender: every call from then on returns that error. Outages of up to the client's
// RetryFor are got over, by putting again what was not acknowledged, in the same batches.
//
//	appender, err := client.Append(ctx, "shop.orders", flight.AppendOptions{Writer: "loader-7"})
//	if err != nil { … }
//	for _, order := range orders {
//		if err := appender.AppendRow(ctx, &order); err != nil { … }
//	}
//	totals, err := appender.Close(ctx)
type Appender struct {
	client  *Client
	table   TableName
	options AppendOptions
	writer  WriterRow // NoWriter without sequences

	stop context.CancelFunc // ends the work in the background, whatever it is at
	done chan struct{}      // closed once it has ended

	encoders sync.Pool // of *batchEncoder
	rowSets  sync.Map  // rowKind -> *rowSet

	wake chan struct{} // holds one signal to the background: there is something new in what mu guards

	mu       sync.Mutex // guards what follows; never held while waiting
	gathered gatherer   // rows that are no batch yet, nil if there never were any
	queue    []*unacked // batches that are not acknowledged, oldest first
	bytes    int64      // of them
	next     quiver.Sequence
	expect   quiver.Offset // of the next batch, NoExpectation
	queued   int64         // batches ever queued
	totals   AppendTotals
	ranges   rangeSet
	closing  bool
	err      error         // why nothing goes on
	news     chan struct{} // closed and made anew whenever batches are acknowledged or err is set
}

// Append makes an appender to a table. It gets an identity for the writer, so the server must be there. The context
// governs this call only.
func (c *Client) Append(ctx context.Context, table string, o AppendOptions) (*Appender, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	a := &Appender{client: c, table: Named(table), options: o.withDefaults(),
		writer: WriterRow{WriterID: quiver.NoWriter}, next: quiver.NoSequence, expect: NoExpectation,
		done: make(chan struct{}), wake: make(chan struct{}, 1), news: make(chan struct{})}
	a.totals.Sequence = quiver.NoSequence
	if o.ExpectOffset != nil {
		a.expect = *o.ExpectOffset
	}
	if !o.Unsequenced {
		if err := a.identify(ctx, table); err != nil {
			return nil, err
		}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	go func() {
		defer close(a.done)
		a.run(background)
	}()
	return a, nil
}

// identify gets the writer's identity and finds the sequence to start with.
func (a *Appender) identify(ctx context.Context, table string) (err error) {
	a.writer, err = a.client.InitWriter(ctx, WriterInit{Name: a.options.Writer, WriterID: a.options.WriterID})
	if err != nil {
		return err
	}
	a.next = 0
	if a.options.Sequence != nil {
		a.next = *a.options.Sequence
		return nil
	}
	if a.options.Writer == "" && a.options.WriterID == nil {
		return nil // nobody used this id before
	}
	known, err := a.client.DescribeWriter(ctx, table, a.writer.WriterID)
	switch quiver.ReasonOf(err) {
	case quiver.TableNotFound:
		return nil // the first batch may make it
	case quiver.UnknownWriter:
		return a.passJudged(ctx, table) // no row of it is there
	}
	for _, row := range known {
		a.next = max(a.next, row.Sequence+1)
	}
	if err != nil {
		return err
	}
	return a.passJudged(ctx, table)
}

// epochSequences is how many sequences each epoch of a writer has for itself in a primary-key table.
const epochSequences = 1 << 36

// passJudged starts behind every sequence that an earlier epoch of the writer may have used in a primary-key table. A
// batch that leaves no row there counts as taken but is not told of by the table: what came under its number again
// would pass for its repeat.
func (a *Appender) passJudged(ctx context.Context, table string) error {
	d, err := a.client.DescribeTable(ctx, table)
	if quiver.ReasonOf(err) == quiver.TableNotFound {
		return nil
	}
	if err == nil && len(d.PrimaryKey) > 0 {
		a.next = max(a.next, quiver.Sequence(a.writer.WriterEpoch)*epochSequences)
	}
	return err
}

// Writer is the identity that the appender writes under, NoWriter if it is unsequenced.
func (a *Appender) Writer() WriterRow { return a.writer }

// NextSequence is the sequence that the next batch will get, NoSequence if the appender is unsequenced. It does not
// tell that every batch before is stored: of those under way when a loader died, some may be missing in other buckets.
// Who resumes notes AppendTotals.Sequence, and gives the one above it as AppendOptions.Sequence.
func (a *Appender) NextSequence() quiver.Sequence {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

// Append appends a record batch, as one batch behind the rows appended before. It returns once the batch is under way,
// and waits while too much is: Flush and Close tell when it is durable. The batch may be released afterwards, but its
// memory must not be changed.
func (a *Appender) Append(ctx context.Context, batch arrow.RecordBatch) error {
	u, err := a.encode(batch)
	if err != nil {
		return err
	}
	if err := a.lockWithRoom(ctx); err != nil {
		u.release()
		return err
	}
	defer a.mu.Unlock()
	if err := a.cutLocked(); err != nil {
		u.release()
		return err
	}
	return a.queueLocked(u)
}

// room waits until there is room for another batch.
func (a *Appender) room(ctx context.Context) error {
	return a.await(ctx, func() bool { return a.bytes < a.options.MaxUnacked })
}

// await waits until what is asked for is so, the appender has failed, or the context ends. The question is asked under
// the lock.
func (a *Appender) await(ctx context.Context, isSo func() bool) error {
	for {
		a.mu.Lock()
		done, err, news := isSo(), a.err, a.news
		a.mu.Unlock()
		if err != nil || done {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

var errAppenderClosed = quiver.Errorf(quiver.BadCommand, "the appender is closed")

// nth gives the n-th batch ever queued, from 0, if it is there, and whether no other will come. Its memory is held
// for the caller.
func (a *Appender) nth(n int64) (u *unacked, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := n - a.totals.Batches; i < int64(len(a.queue)) {
		u = a.queue[i]
		u.held.Retain()
		return u, false
	}
	return nil, a.closing || a.err != nil
}

// stateLocked says why nothing more is taken, nil if it is.
func (a *Appender) stateLocked() error {
	if a.err == nil && a.closing {
		return errAppenderClosed
	}
	return a.err
}

// queueLocked puts a batch behind the others and gives it its number. A batch that is not taken is let go.
func (a *Appender) queueLocked(u *unacked) error {
	if err := a.stateLocked(); err != nil {
		u.release()
		return err
	}
	u.sequence, u.expect = a.next, a.expect
	if a.next != quiver.NoSequence {
		a.next++
	}
	if a.expect != NoExpectation {
		a.expect += quiver.Offset(u.rows)
	}
	a.queue = append(a.queue, u)
	a.bytes += u.bytes
	a.queued++
	a.signal()
	return nil
}

// signal wakes the background.
func (a *Appender) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// tellLocked wakes those who wait for news.
func (a *Appender) tellLocked() {
	close(a.news)
	a.news = make(chan struct{})
}

// Flush waits until everything appended before is durable, and tells what is.
func (a *Appender) Flush(ctx context.Context) (AppendTotals, error) {
	a.mu.Lock()
	err := a.cutLocked()
	until := a.queued
	a.mu.Unlock()
	if err == nil {
		err = a.await(ctx, func() bool { return a.totals.Batches >= until })
	}
	return a.Totals(), err
}

// Totals tells what is durable by now, without waiting.
func (a *Appender) Totals() AppendTotals {
	a.mu.Lock()
	defer a.mu.Unlock()
	totals := a.totals
	totals.Ranges, totals.RangesCut = a.ranges.list(), a.ranges.cut
	return totals
}

// Close waits until everything is durable, and tells what is. If it fails, or the context ends first, the totals tell
// what is durable surely, and of the rest nothing is known but for what the error's outcome says. It may be called
// again, and then gives the same.
func (a *Appender) Close(ctx context.Context) (AppendTotals, error) {
	a.mu.Lock()
	cut := a.cutLocked()
	a.closing = true
	a.signal()
	a.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		a.fail(context.Cause(ctx))
		a.stop()
		<-a.done
	}
	a.stop()
	a.mu.Lock()
	a.rowSets.Range(func(key, set any) bool {
		a.rowSets.Delete(key)
		set.(*rowSet).release()
		return true
	})
	err := a.err
	if err == nil {
		err = cut
	}
	a.mu.Unlock()
	return a.Totals(), err
}

// fail ends the appender, unless it failed before or everything is durable. The batches that wait are let go.
func (a *Appender) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing || len(a.queue) > 0 {
		a.failLocked(err)
	}
}

func (a *Appender) failLocked(err error) {
	if a.err != nil {
		return
	}
	a.err = err
	for _, u := range a.queue {
		u.release()
	}
	a.queue, a.bytes = nil, 0
	a.tellLocked()
}

// acknowledge takes note that the first n of the queue are durable.
func (a *Appender) acknowledge(n int64, answer *PutAnswer) {
	if answer != nil && a.options.Acknowledged != nil {
		a.options.Acknowledged(answer.Ranges)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n = max(0, min(n, int64(len(a.queue))))
	for _, u := range a.queue[:n] {
		a.totals.Batches++
		a.totals.Rows += u.rows
		a.totals.Sequence = u.sequence
		a.bytes -= u.bytes
		u.release()
	}
	a.queue = slices.Delete(a.queue, 0, int(n))
	if answer != nil {
		a.totals.Duplicates += answer.Duplicates
		for _, r := range answer.Ranges {
			a.ranges.add(r)
		}
		a.ranges.cut = a.ranges.cut || answer.RangesCut
	}
	a.tellLocked()
}

// cutLocked makes a batch of the rows gathered.
func (a *Appender) cutLocked() error {
	if a.err != nil {
		return a.err
	}
	if a.gathered == nil {
		return nil
	}
	batch := a.gathered.cut()
	if batch == nil {
		return nil
	}
	defer batch.Release()
	u, err := a.encode(batch)
	if err != nil {
		a.failLocked(err)
		return err
	}
	return a.queueLocked(u)
}
