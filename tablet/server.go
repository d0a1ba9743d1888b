package tablet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/tablet/scan"
)

// Server is the registry of the buckets this process serves.
type Server struct {
	disk     *arrowlog.Disk
	options  Options
	writers  writers
	draining atomic.Bool

	// reconciling orders calls of Reconcile; mu guards what follows, for moments.
	reconciling sync.Mutex
	mu          sync.RWMutex
	version     int64
	tables      map[quiver.TableID]*table
	dropped     map[quiver.TableID]bool   // tombstones; true once the data is removed
	opened      map[*Tablet]quiver.Offset // tablets with an open log, and how far their log was staged a second ago
}

// table is one table's buckets here.
type table struct {
	meta    atomic.Pointer[quiver.Table] // the newest
	gone    atomic.Pointer[quiver.Error] // why it is not served any more; set once, under writers.mu
	epochs  []atomic.Int32               // of the assignment of each bucket, -1: none
	tablets []atomic.Pointer[Tablet]     // nil until first asked for
}

func newTable(meta *quiver.Table) *table {
	t := &table{
		epochs:  make([]atomic.Int32, meta.Buckets),
		tablets: make([]atomic.Pointer[Tablet], meta.Buckets),
	}
	for i := range t.epochs {
		t.epochs[i].Store(-1)
	}
	t.meta.Store(meta)
	return t
}

// New makes a server that serves nothing until the first Reconcile. The disk stays the caller's, to be closed after
// the server.
func New(disk *arrowlog.Disk, o Options) *Server {
	return &Server{
		disk:    disk,
		options: o.withDefaults(),
		version: -1,
		tables:  make(map[quiver.TableID]*table),
		dropped: make(map[quiver.TableID]bool),
		opened:  make(map[*Tablet]quiver.Offset),
	}
}

// Tablet gives the tablet of a bucket. It opens nothing.
func (s *Server) Tablet(id quiver.BucketID) (*Tablet, error) {
	s.mu.RLock()
	t := s.tables[id.Table]
	s.mu.RUnlock()
	if t == nil {
		return nil, s.tableNotFound(id.Table)
	}
	if id.Partition != 0 {
		return nil, quiver.Errorf(quiver.PartitionNotFound, "there is no partition %d", id.Partition).On("table " + t.meta.Load().Path())
	}
	if id.Bucket < 0 || int(id.Bucket) >= len(t.tablets) {
		return nil, quiver.Errorf(quiver.BucketNotFound, "there is no bucket %d, the table has %d", id.Bucket, len(t.tablets)).
			On("table " + t.meta.Load().Path()).Advise("see table.describe")
	}
	slot := &t.tablets[id.Bucket]
	if tablet := slot.Load(); tablet != nil {
		return tablet, nil
	}
	slot.CompareAndSwap(nil, newTablet(s, t, id))
	return slot.Load(), nil
}

func (s *Server) tableNotFound(id quiver.TableID) error {
	return quiver.Errorf(quiver.TableNotFound, "table %d is not served here; it may have been dropped", id)
}

// Sources are buckets of a table, all of them if none is named, as scan reads them.
func (s *Server) Sources(t *quiver.Table, buckets ...int32) ([]scan.Source, error) {
	if len(buckets) == 0 {
		for b := range t.Buckets {
			buckets = append(buckets, b)
		}
	}
	sources := make([]scan.Source, 0, len(buckets))
	for _, b := range buckets {
		tablet, err := s.Tablet(quiver.BucketID{Table: t.ID, Bucket: b})
		if err != nil {
			return nil, err
		}
		sources = append(sources, tablet)
	}
	return sources, nil
}

// Run maintains the server's disk until the context ends: once a second the checkpoint is brought up to date, old
// segments are closed, puts that nobody waits for are settled, and removals that failed are tried again.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Maintain(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Maintain is one round of Run.
func (s *Server) Maintain(ctx context.Context) {
	if err := s.disk.Maintain(s.options.Now()); err != nil {
		s.options.Logger.Error("maintain the disk", "err", err)
	}
	for _, t := range s.settleLate() {
		if l := t.leading.Load(); l != nil && l.log.Failed() == nil {
			_ = t.settle(ctx, l, l.log.End()) // a log that failed shows it at its next use
		}
	}
	s.removeDropped()
}

// settleLate moves the high watermark of puts that nobody waited for but somebody else committed, and gives the
// tablets where something was staged more than a round ago and is still not durable.
func (s *Server) settleLate() (late []*Tablet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, before := range s.opened {
		l := t.leading.Load()
		if durable := l.log.Durable(); durable < before {
			late = append(late, t)
		} else if durable > l.log.HighWatermark() {
			t.advance(l)
		}
		s.opened[t] = l.log.End()
	}
	return late
}

// Close drains the server: from now on everything is refused with SERVER_DRAINING, waiting readers are woken to find
// that out, and what was staged is made durable.
func (s *Server) Close() error {
	s.writers.mu.Lock() // whoever is staging has staged
	closed := s.draining.Swap(true)
	s.writers.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, t := range s.openTablets() {
		if l := t.leading.Load(); l != nil && l.log.Failed() == nil {
			errs = append(errs, t.settle(context.Background(), l, l.log.End()))
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tables {
		t.wake()
	}
	return errors.Join(errs...)
}

func (s *Server) openTablets() []*Tablet {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.opened))
}

// all are the table's tablets that were ever asked for.
func (t *table) all() []*Tablet {
	var out []*Tablet
	for i := range t.tablets {
		if tablet := t.tablets[i].Load(); tablet != nil {
			out = append(out, tablet)
		}
	}
	return out
}

// wake lets everyone who waits for news of the table look again.
func (t *table) wake() {
	for _, tablet := range t.all() {
		tablet.wake()
	}
}
