package flight

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// LookupOptions are the options of a Lookuper. The zero value gives whole rows by whole keys.
type LookupOptions struct {
	Columns []string // user columns and __offset, the row's version, in the order wanted; nil: all user columns
	Prefix  bool     // keys are the first columns of the primary key: all rows that begin with them are found
	// InsertMissing inserts keys that are absent, the other columns by default or null, so that all are found: a key as it
	// was inserted, or as it was there. After an outage it is asked again: what is found then may be what the first try
	// inserted, and what became of it since.
	InsertMissing bool
	MinOffsets    Offsets         // the rows show at least what stands before these offsets of the changelog
	TableID       *quiver.TableID // only in the table that this one is
	BatchKeys     int             // most keys that Lookups gather into one request; 8,192 by default
	MaxWaiting    int             // keys that may wait for their answers; beyond it callers wait. 262,144 by default
	MaxAnswer     int64           // bytes of the answer to one request; 1 GiB by default
}

// What options have by default, and bounds that no option moves.
const (
	defaultBatchKeys  = 8 << 10
	defaultMaxWaiting = 256 << 10
	defaultMaxAnswer  = 1 << 30
	requestsUnderWay  = 32 // of one stream; the server stops reading at about twice as many
)

// withDefaults fills in what is not set.
func (o LookupOptions) withDefaults() LookupOptions {
	if o.BatchKeys <= 0 {
		o.BatchKeys = defaultBatchKeys
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = defaultMaxWaiting
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = defaultMaxAnswer
	}
	return o
}

// Lookuper finds rows of a primary-key table by their keys, over one stream, on which many requests are under way at
// the same time. It is safe for concurrent use, and the more callers there are the less each costs: keys of Lookups go
// at once while nothing is under way, else they are gathered into one request that goes with the next answer.
//
// Every lookup shows what was acknowledged before it was called. Outages of up to the client's RetryFor are got over by
// asking again. What the server refuses fails that request alone. Close must be called.
//
//	lookuper := client.Lookup("shop.customers", flight.LookupOptions{Columns: []string{"id", "city"}})
//	defer lookuper.Close()
//	rows, err := lookuper.Find(ctx, keys)
type Lookuper struct {
	client  *Client
	command LookupCommand
	options LookupOptions

	stop context.CancelFunc // ends the work in the background, whatever it is at
	done chan struct{}      // closed once it has ended

	encoders sync.Pool     // of *batchEncoder
	wake     chan struct{} // holds one signal to the background: there is something new in what mu guards

	mu      sync.Mutex // guards what follows; never held while waiting
	queue   []*asking  // requests that are not answered, oldest first
	waiting int        // keys of them, and of those gathered
	sets    []*keySet  // where Lookups gather keys
	closing bool
	news    chan struct{} // closed and made anew whenever there is more room, or it is closed
}

// asking is one request. What is not said to be fixed is guarded by the lookuper's lock.
type asking struct {
	keys  *unacked      // fixed
	rows  int           // fixed
	set   *keySet       // fixed; of gathered keys
	ended chan struct{} // closed once batches and err are settled

	callers int // that wait for it, or use its batches
	batches []arrow.RecordBatch
	bytes   int64
	err     error
}

// Lookup makes a lookuper of a table. It does not connect: the first lookup does, and tells what is wrong with the
// options.
func (c *Client) Lookup(table string, o LookupOptions) *Lookuper {
	o = o.withDefaults()
	l := &Lookuper{client: c, options: o,
		command: LookupCommand{Table: Named(table), TableID: o.TableID, Columns: o.Columns, Prefix: o.Prefix,
			InsertMissing: o.InsertMissing, MinOffsets: o.MinOffsets},
		done: make(chan struct{}), wake: make(chan struct{}, 1), news: make(chan struct{})}
	background, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer close(l.done)
		l.run(background)
	}()
	return l
}

var errLookuperClosed = quiver.Errorf(quiver.BadCommand, "the lookuper is closed")

// Find looks a batch of keys up: columns named as those of the primary key, or its first ones with Prefix. The rows
// come in the order of the keys; their first column, __key_index, is the place of the key in the batch, and a key that
// is absent has no row. They are to be released; the keys may be as soon as it returns, whatever it returns.
func (l *Lookuper) Find(ctx context.Context, keys arrow.RecordBatch) (arrow.RecordBatch, error) {
	a, err := l.newAsking(keys)
	if err != nil {
		return nil, err
	}
	if err := l.lockWithRoom(ctx); err != nil {
		a.keys.release()
		return nil, err
	}
	a.callers = 1
	l.waiting += a.rows
	l.queueLocked(a)
	l.mu.Unlock()
	if err := a.wait(ctx); err != nil {
		l.leave(a)
		return nil, err
	}
	defer l.leave(a)
	return join(a.batches, l.client)
}

// join makes one record batch of several, of which there is at least one.
func join(batches []arrow.RecordBatch, c *Client) (arrow.RecordBatch, error) {
	if len(batches) == 1 {
		batches[0].Retain()
		return batches[0], nil
	}
	schema, rows := batches[0].Schema(), int64(0)
	columns := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, column := range columns {
			if column != nil {
				column.Release()
			}
		}
	}()
	for _, batch := range batches {
		rows += batch.NumRows()
	}
	for i := range columns {
		parts := make([]arrow.Array, len(batches))
		for n, batch := range batches {
			parts[n] = batch.Column(i)
		}
		var err error
		if columns[i], err = array.Concatenate(parts, c.options.Allocator); err != nil {
			return nil, quiver.Errorf(quiver.BatchTooLarge, "the answer cannot be one record batch: %v", err).Advise("ask for fewer keys at a time")
		}
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

// newAsking encodes a request.
func (l *Lookuper) newAsking(keys arrow.RecordBatch) (*asking, error) {
	if keys.NumCols() == 0 {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "the keys have no column").On("table " + l.command.Table.String())
	}
	e, _ := l.encoders.Get().(*batchEncoder)
	if e == nil || e.schema != keys.Schema() {
		e = newBatchEncoder(keys.Schema(), nil)
	}
	u, err := e.encode(keys)
	if err == nil && len(u.frames) == 1 {
		l.encoders.Put(e)
	} else {
		err = errors.Join(err, e.w.Close()) // lets the dictionaries go
	}
	if err != nil {
		return nil, err
	}
	return &asking{keys: u, rows: int(keys.NumRows()), ended: make(chan struct{})}, nil
}

// wait waits for the answer.
func (a *asking) wait(ctx context.Context) error {
	select {
	case <-a.ended:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave says that a caller has done with a request.
func (l *Lookuper) leave(a *asking) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.callers--
	if a.callers == 0 {
		a.release()
	}
}

func (a *asking) release() {
	for _, batch := range a.batches {
		batch.Release()
	}
	a.batches, a.bytes = nil, 0
}

// lockWithRoom locks the lookuper once there is room for more keys.
func (l *Lookuper) lockWithRoom(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.closing {
			l.mu.Unlock()
			return errLookuperClosed
		}
		if l.waiting < l.options.MaxWaiting {
			return nil
		}
		news := l.news
		l.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// queueLocked puts a request behind the others.
func (l *Lookuper) queueLocked(a *asking) {
	l.queue = append(l.queue, a)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close ends the lookuper. Lookups that are under way fail. It may be called more than once.
func (l *Lookuper) Close() {
	l.mu.Lock()
	l.closing = true
	l.tellLocked()
	l.mu.Unlock()
	l.stop()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, set := range l.sets {
		set.closeLocked()
	}
	l.sets = nil
	for len(l.queue) > 0 {
		l.settleLocked(errLookuperClosed)
	}
}

// tellLocked wakes those who wait for room.
func (l *Lookuper) tellLocked() {
	close(l.news)
	l.news = make(chan struct{})
}

// settleLocked ends the oldest request, and lets keys go that were gathered meanwhile.
func (l *Lookuper) settleLocked(err error) {
	a := l.queue[0]
	l.queue = l.queue[1:]
	l.waiting -= a.rows
	a.err = err
	a.keys.release()
	if err != nil || a.callers == 0 {
		a.release()
	}
	close(a.ended)
	if a.set != nil {
		a.set.answeredLocked(a.rows)
	}
	l.tellLocked()
}

// LookupKeys looks keys up once, without a stream that stays: each key is a JSON array of its values. The rows come as
// Find gives them, in as many batches as there are; all are to be released.
func (c *Client) LookupKeys(ctx context.Context, command LookupCommand) ([]arrow.RecordBatch, error) {
	var batches []arrow.RecordBatch
	err := c.LookupEach(ctx, command, func(batch arrow.RecordBatch) error {
		batch.Retain()
		batches = append(batches, batch)
		return nil
	})
	if err != nil {
		for _, batch := range batches {
			batch.Release()
		}
		return nil, err
	}
	return batches, nil
}

// LookupEach does the same and hands each batch on as it comes, so that an answer of any size takes little memory. The
// batch is released when each returns; an error of it ends the lookup.
func (c *Client) LookupEach(ctx context.Context, command LookupCommand, each func(arrow.RecordBatch) error) error {
	if command.Keys == nil {
		command.Keys = []json.RawMessage{}
	}
	s, err := c.openTicket(ctx, command.Encode())
	if err != nil {
		return err
	}
	defer s.close()
	for {
		batch, _, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = each(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
}
