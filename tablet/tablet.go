package tablet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/internal/planted"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet/replica"
)

// Tablet is one bucket. All its methods may be called from many goroutines.
type Tablet struct {
	server    *Server
	table     *table
	partition *partition
	id        quiver.BucketID
	epoch     atomic.Int32 // the highest that the coordinator has given for the bucket, -1: none

	staged   atomic.Bool                // Server.unsettled has it, or is about to
	leading  atomic.Pointer[leadership] // the newest; its log may have failed since
	due      atomic.Int64               // when retention may find something, Unix milliseconds; 0: with new rows only
	retained atomic.Pointer[retained]   // nil: retention did not look at it yet
	opening  chan struct{}              // holds a token while the log is opened; guards refused
	refused  *refusal                   // why the log could not be opened the last time, or nil

	mu      sync.Mutex // guards what follows; never held across I/O
	replica *replica.State
	readers map[*subscription]struct{}
}

// leadership is one log as opened under one epoch.
type leadership struct {
	epoch quiver.Epoch
	log   *arrowlog.Log
	rows  *rows // of a primary-key table; nil: it is a log table
}

// refusal is an attempt to open that went wrong.
type refusal struct {
	at       time.Time
	assigned quiver.Epoch // as of then
	err      error
}

// refusalTime is how long a bucket that could not be opened is not tried again: each attempt costs the coordinator a
// commit, and there may be many callers.
const refusalTime = time.Second

// subscription is a channel that wants to hear of news.
type subscription struct {
	ch     chan<- struct{}
	cancel func() // of the log's own subscription; nil without a log
}

// newTablet makes a tablet. The caller holds Server.mu.
func newTablet(s *Server, p *partition, id quiver.BucketID) *Tablet {
	t := &Tablet{
		server:    s,
		table:     p.table,
		partition: p,
		id:        id,
		opening:   make(chan struct{}, 1),
		replica:   replica.New(s.options.Self),
		readers:   make(map[*subscription]struct{}),
	}
	t.epoch.Store(int32(p.epoch(id.Bucket)))
	return t
}

// ID is the bucket.
func (t *Tablet) ID() quiver.BucketID { return t.id }

// Bucket is the bucket's number within its partition.
func (t *Tablet) Bucket() int32 { return t.id.Bucket }

// PartitionName is the canonical name of the bucket's partition, "" on unpartitioned tables.
func (t *Tablet) PartitionName() string { return *t.partition.name.Load() }

// Table is the table as it was last heard of.
func (t *Tablet) Table() *quiver.Table { return t.table.meta.Load() }

// subject names the bucket in errors.
func (t *Tablet) subject() string {
	return fmt.Sprintf("%s, bucket %d", t.partition.subject(), t.id.Bucket)
}

// gone is why the bucket is not served any more, for ever: its table or its partition went. nil while it is there.
func (t *Tablet) gone() *quiver.Error {
	if gone := t.table.gone.Load(); gone != nil {
		return gone
	}
	return t.partition.gone.Load()
}

// closed is why the tablet serves nothing any more, or nil.
func (t *Tablet) closed() *quiver.Error {
	if gone := t.gone(); gone != nil {
		return gone
	}
	if t.server.draining.Load() {
		return quiver.Errorf(quiver.ServerDraining, "the server is shutting down").On(t.subject()).Advise("send it again")
	}
	return nil
}

// leader gives the leadership that serves now, and begins one if there is none.
func (t *Tablet) leader(ctx context.Context) (*leadership, error) {
	if err := t.closed(); err != nil {
		return nil, err
	}
	if l := t.leading.Load(); t.serves(l) {
		return l, nil
	}
	return t.open(ctx)
}

// serves says that the leadership is the newest there can be, and has not failed.
func (t *Tablet) serves(l *leadership) bool {
	return l != nil && l.epoch >= t.assigned() && l.log.Failed() == nil &&
		(l.rows == nil || l.rows.store.Failed() == nil)
}

// assigned is the highest epoch that the coordinator has given for the bucket, -1 if none.
func (t *Tablet) assigned() quiver.Epoch {
	return quiver.Epoch(t.epoch.Load())
}

// reader gives the leadership to read from. A log that has failed still has what was shown before: it is read until
// a better one can be had.
func (t *Tablet) reader(ctx context.Context) (*leadership, error) {
	l, err := t.leader(ctx)
	if err == nil {
		return l, nil
	}
	if old := t.leading.Load(); old != nil && t.closed() == nil && quiver.ReasonOf(err) == quiver.LeaderNotAvailable {
		return old, nil
	}
	return nil, err
}

// open opens the log and begins a leadership, one caller at a time.
func (t *Tablet) open(ctx context.Context) (*leadership, error) {
	select {
	case t.opening <- struct{}{}:
		defer func() { <-t.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := t.closed(); err != nil {
		return nil, err
	}
	if l := t.leading.Load(); t.serves(l) {
		return l, nil
	}
	now, assigned := t.server.options.Now(), t.assigned()
	if r := t.refused; r != nil && now.Sub(r.at).Abs() < refusalTime && assigned <= r.assigned {
		return nil, r.err
	}
	l, err := t.begin(ctx)
	if err != nil {
		if ctx.Err() == nil {
			t.refused = &refusal{now, max(assigned, t.assigned()), err}
		}
		return nil, err
	}
	t.refused = nil
	if gone := t.closed(); gone != nil {
		// Dropped while it was opened: the removal may have come too early to see this log.
		t.server.removeAgain(t.id)
		return nil, gone
	}
	return l, nil
}

// begin gets an epoch and leads by it. The caller holds opening.
func (t *Tablet) begin(ctx context.Context) (*leadership, error) {
	if err := t.server.disk.Fence(); err != nil {
		return nil, t.unavailable("the disk takes no writes until the server is started again", err)
	}
	epoch, err := t.nextEpoch(ctx)
	if err != nil {
		return nil, err
	}
	l, err := t.lead(ctx, epoch)
	if err != nil {
		t.step(nil, replica.Fail{Epoch: epoch})
		return nil, t.unavailable(fmt.Sprintf("epoch %d could not be started", epoch), err)
	}
	return l, nil
}

// nextEpoch is the epoch for a new leadership: the assigned one, if it was not led yet, else a new one.
func (t *Tablet) nextEpoch(ctx context.Context) (quiver.Epoch, error) {
	t.mu.Lock()
	heard := t.replica.Epoch()
	t.mu.Unlock()
	assigned := t.assigned()
	if assigned < 0 {
		return 0, t.unavailable("no server has been told to lead the bucket", nil)
	}
	if assigned > heard {
		return assigned, nil
	}
	epoch, err := t.server.options.Elect(ctx, t.id)
	if err != nil {
		return 0, t.unavailable("the coordinator gave no new epoch", err)
	}
	if epoch <= heard {
		return 0, t.unavailable(fmt.Sprintf("the coordinator gave epoch %d after %d", epoch, heard), nil)
	}
	t.raise(epoch)
	return epoch, nil
}

// lead begins the leadership of an epoch: appointed, the log recovered and started, its end told to the replica.
func (t *Tablet) lead(ctx context.Context, epoch quiver.Epoch) (*leadership, error) {
	meta := t.Table()
	appoint := replica.Appoint{Epoch: epoch, ISR: []replica.Member{t.server.options.Self}, MinISR: meta.Options.MinISR}
	t.step(nil, appoint)
	log, err := t.server.disk.Log(t.id, logConfig(meta))
	if err != nil {
		return nil, err
	}
	if err := log.Lead(epoch); err != nil {
		return nil, err
	}
	l := &leadership{epoch: epoch, log: log}
	// The replica leads before others can find the leadership: whoever finds it may put at once.
	t.durable(l)
	if meta.Keyed() {
		// All callers wait for this: it goes on if the one who began it goes away.
		if l.rows, err = t.openRows(context.WithoutCancel(ctx), log, meta, epoch); err != nil {
			return nil, err
		}
	}
	t.adopt(l)
	if now := t.Table(); now != meta { // altered meanwhile, before Reconcile could find the log
		if err := log.Configure(logConfig(now)); err != nil {
			return nil, err
		}
	}
	t.advance(l)
	t.wake()
	t.server.metrics.leaderships.Inc()
	return l, nil
}

// adopt makes the leadership the tablet's own, and takes its readers over.
func (t *Tablet) adopt(l *leadership) {
	t.mu.Lock()
	t.leading.Store(l)
	for sub := range t.readers {
		sub.follow(l)
	}
	t.mu.Unlock()
	t.server.mu.Lock()
	t.server.opened[t] = struct{}{}
	t.server.mu.Unlock()
	t.server.noteStaged(t) // an earlier leadership may have left something; and retention is to look at it
}

// advance tells the replica how far the log is durable, and carries out what follows. A log that leads by a new epoch
// by now tells its end under that one.
func (t *Tablet) advance(l *leadership) {
	if now := t.leading.Load(); now != nil && now.log == l.log {
		l = now
	}
	t.durable(l)
	if l.rows == nil {
		return
	}
	if planted.Is(planted.LookupStale) && l.log.End() > l.log.HighWatermark() {
		return
	}
	if err := l.applyRows(); err != nil && !errors.Is(err, kv.ErrRetired) {
		// The rows are durable in the log all the same; the next use of the bucket opens the store anew.
		t.server.options.Logger.Error("changes could not be applied to the rows", "bucket", t.id.String(), "err", err)
	}
}

// durable tells the replica how far the log of a leadership is durable. The epoch is that which the log leads by, perhaps
// for a leadership that is about to begin: what is acknowledged meanwhile is below the high watermark too.
func (t *Tablet) durable(l *leadership) {
	epoch := l.log.Epoch()
	t.step(l, replica.Durable{Member: t.server.options.Self, Epoch: epoch, End: l.log.Durable()})
}

// step feeds the replica an event and carries out its effects.
func (t *Tablet) step(l *leadership, event replica.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, effect := range t.replica.Step(event) {
		if e, ok := effect.(replica.Advance); ok {
			l.log.SetHighWatermark(e.HighWatermark)
		}
		// StartLog is what lead does next, Demand what nextEpoch does at the next use.
	}
}

// unavailable is the error of a bucket that has no leader here now.
func (t *Tablet) unavailable(what string, cause error) error {
	err := quiver.Errorf(quiver.LeaderNotAvailable, "%s", what).On(t.subject()).Advise("send it again")
	t.server.metrics.unavailable.Inc()
	if cause != nil {
		t.server.options.Logger.Warn("a bucket is not available", "bucket", t.id.String(), "why", what, "err", cause)
		err = err.Because(cause)
	}
	return err
}

// raise lifts the assigned epoch; a lower one has no effect.
func (t *Tablet) raise(epoch quiver.Epoch) {
	for {
		old := t.epoch.Load()
		if int32(epoch) <= old || t.epoch.CompareAndSwap(old, int32(epoch)) {
			return
		}
	}
}
