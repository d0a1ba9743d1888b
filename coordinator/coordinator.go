package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// Options of a Coordinator.
type Options struct {
	// Now is the clock; nil: the system's.
	Now func() time.Time
	// Rand is where request ids come from; nil: the system's.
	Rand io.Reader
	// Reconcile tells the servers what is desired and returns when they have converged to it. It is complete and
	// idempotent, and called by one goroutine at a time. It must not call the coordinator and wait for the answer.
	// nil: there is no server.
	Reconcile func(ctx context.Context, desired quiver.Desired) error
	// Logger tells of trouble with the store or the servers; nil: none.
	Logger *slog.Logger
	// Registerer takes the coordinator's metrics; nil: nobody sees them.
	Registerer prometheus.Registerer
}

// Coordinator runs commands one group after the other, and shows what they led to.
//
// It has no goroutine of its own: one runs while there are commands, and ends with the last.
type Coordinator struct {
	store   metastore.Store
	options Options
	metrics *metrics
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	shown atomic.Pointer[State] // what callers see: the servers were told of it

	mu      sync.Mutex
	queue   []*call // what waits for the next round
	working bool    // a goroutine runs rounds
	closed  bool
	workers sync.WaitGroup

	// Only rounds use what follows; there is one at a time.
	state       *State // durable
	incarnation int64  // of this coordinator, 0 until it started
	doubt       *doubt // a commit whose outcome is unknown, or nil
	told        *State // that servers were told last, or nil
	deposed     error  // another coordinator has taken over, or nil

	unapplied atomic.Pointer[error] // why the servers have not converged to the shown state, or nil
}

// call is a command on its way. A call without a command asks for Reconcile only.
type call struct {
	command Command
	result  Result
	err     error
	done    chan struct{} // closed when result and err are set
}

// Open loads the state and starts an incarnation: when it returns, the servers were told to lead all buckets with a
// new epoch. That they could not converge is no error; Reconcile tells. The store is the caller's to close, after the
// coordinator.
func Open(ctx context.Context, store metastore.Store, o Options) (*Coordinator, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Reconcile == nil {
		o.Reconcile = func(context.Context, quiver.Desired) error { return nil }
	}
	state, err := Load(ctx, store)
	if err != nil {
		return nil, err
	}
	c := &Coordinator{store: store, options: o, state: state}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.shown.Store(state)
	c.metrics = newMetrics(o.Registerer, c)
	if _, err := c.do(ctx, StartServer{Now: c.now()}); err != nil && quiver.OutcomeOf(err) != quiver.Done {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the coordinator: commands under way are settled, those that wait are refused.
func (c *Coordinator) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.workers.Wait()
	return nil
}

// CreateTable makes a table and returns when its servers have it. With IfNotExists it gives the table that exists.
func (c *Coordinator) CreateTable(ctx context.Context, spec quiver.TableSpec) (*quiver.Table, error) {
	r, err := c.do(ctx, CreateTable{TableSpec: spec, Now: c.now()})
	if err == nil && r.Changed && r.Table.Partitioned() {
		if t := c.shown.Load().tableByID(r.Table.ID); t != nil {
			return t, nil // with the partitions that were made with it
		}
	}
	return r.Table, err
}

// AlterTable changes a table, all or nothing, and returns it as it is then, when its servers have it.
func (c *Coordinator) AlterTable(ctx context.Context, database, name string, changes []quiver.TableChange) (*quiver.Table, error) {
	r, err := c.do(ctx, AlterTable{Database: database, Name: name, Changes: changes})
	return r.Table, err
}

// DropTable removes a table and says whether there was one. Its data is deleted later.
func (c *Coordinator) DropTable(ctx context.Context, database, name string, ifExists bool) (bool, error) {
	r, err := c.do(ctx, DropTable{Database: database, Name: name, IfExists: ifExists, Now: c.now()})
	return r.Changed, err
}

// PurgeTombstone forgets a dropped table whose data has been deleted.
func (c *Coordinator) PurgeTombstone(ctx context.Context, id quiver.TableID) error {
	_, err := c.do(ctx, PurgeTombstone{Table: id})
	return err
}

// InitWriter grants a writer; the time of the command is the coordinator's. It returns when no leader takes an older
// epoch any more.
func (c *Coordinator) InitWriter(ctx context.Context, w InitWriter) (quiver.WriterGrant, error) {
	w.Now = c.now()
	r, err := c.do(ctx, w)
	return r.Writer, err
}

// Elect gives a bucket a new, higher epoch, and returns when its server was told.
func (c *Coordinator) Elect(ctx context.Context, bucket quiver.BucketID) (quiver.Epoch, error) {
	r, err := c.do(ctx, Elect{Bucket: bucket})
	return r.Epoch, err
}

// Reconcile tells the servers again what is desired, if they have not converged to it, and settles a commit whose
// outcome is unknown. Its error says what still stands in the way.
func (c *Coordinator) Reconcile(ctx context.Context) error {
	_, err := c.do(ctx, nil)
	return err
}

// Unapplied says why the servers have not converged to what is desired, or nil. It does not wait.
func (c *Coordinator) Unapplied() error {
	if err := c.unapplied.Load(); err != nil {
		return *err
	}
	return nil
}

// Table gives a table by name. The error is TABLE_NOT_FOUND or DATABASE_NOT_FOUND.
func (c *Coordinator) Table(database, name string) (*quiver.Table, error) {
	s := c.shown.Load()
	if t := s.table(database, name); t != nil {
		return t, nil
	}
	return nil, s.noTable(database, name)
}

// TableByID gives a table by id. The error is TABLE_NOT_FOUND.
func (c *Coordinator) TableByID(id quiver.TableID) (*quiver.Table, error) {
	if t := c.shown.Load().tableByID(id); t != nil {
		return t, nil
	}
	return nil, quiver.Errorf(quiver.TableNotFound, "it does not exist").On(fmt.Sprintf("table %d", id))
}

// Tables gives the tables whose path, "shop.orders", starts with a prefix, by database and name.
func (c *Coordinator) Tables(prefix string) []*quiver.Table {
	var found []*quiver.Table
	for _, t := range c.shown.Load().paths {
		if strings.HasPrefix(t.Path(), prefix) {
			found = append(found, t)
		}
	}
	return found
}

// Databases gives all databases by name.
func (c *Coordinator) Databases() []Database { return c.shown.Load().databases }

// CheckDatabase gives DATABASE_NOT_FOUND unless there is such a database.
func (c *Coordinator) CheckDatabase(name string) error { return c.shown.Load().checkDatabase(name) }

// Tombstones gives the dropped tables whose data is not known to be deleted yet.
func (c *Coordinator) Tombstones() []Tombstone { return c.shown.Load().dropped }

// Desired gives what the servers were told last.
func (c *Coordinator) Desired() quiver.Desired { return c.shown.Load().Desired() }

// now gives the time in Unix milliseconds.
func (c *Coordinator) now() int64 { return c.options.Now().UnixMilli() }

// do runs a command and waits for its answer. If the wait ends first, the outcome is unknown.
func (c *Coordinator) do(ctx context.Context, command Command) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, ended(context.Cause(ctx), quiver.NotDone)
	}
	call := &call{command: command, done: make(chan struct{})}
	if err := c.enqueue(call); err != nil {
		return Result{}, err
	}
	select {
	case <-call.done:
		return call.result, call.err
	case <-ctx.Done():
		return Result{}, ended(context.Cause(ctx), quiver.Unknown)
	}
}

// ended is the error of a call whose caller did not wait for it. Where the context ended for a reason of ours, as when
// the server drains, that is the reason.
func ended(cause error, outcome quiver.Outcome) error {
	reason := quiver.ReasonOf(cause)
	if reason == "" {
		reason = quiver.Overloaded
	}
	return (&quiver.Error{
		Reason: reason, Outcome: outcome, Subject: "metadata",
		Detail: "the call ended before its answer: " + cause.Error(), Hint: "look whether it was done, and try again", Err: cause,
	}).During("coordinator.do")
}

// enqueue puts a call into the next round, and starts the rounds if none are under way.
func (c *Coordinator) enqueue(call *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosing()
	}
	c.queue = append(c.queue, call)
	if !c.working {
		c.working = true
		c.workers.Go(c.work)
	}
	return nil
}

func errClosing() error {
	return quiver.Errorf(quiver.ServerDraining, "the server is shutting down").On("metadata").Advise("try again")
}

// work runs rounds until nobody waits.
func (c *Coordinator) work() {
	for {
		calls := c.next()
		if calls == nil {
			return
		}
		c.round(calls)
		c.metrics.decided(calls)
		for _, call := range calls {
			close(call.done)
		}
	}
}

// maxGroup bounds the commands of one round, so that transactions stay of a reasonable size.
const maxGroup = 1024

// next takes the calls of the next round, or nil, and then the work has ended.
func (c *Coordinator) next() []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), maxGroup)
	if n == 0 {
		c.working = false
		c.queue = nil
		return nil
	}
	calls := c.queue[:n:n]
	c.queue = c.queue[n:]
	return calls
}
