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
	"github.com/quiverlog/quiver/internal/agenda"
	"github.com/quiverlog/quiver/internal/buf"
)

// Server is the registry of the buckets this process serves.
type Server struct {
	disk     *arrowlog.Disk
	options  Options
	metrics  *metrics
	writers  writers
	rows     *rowStore
	draining atomic.Bool
	large    *buf.Budget // of one: the change of rows that takes much memory

	retention retention

	// reconciling orders calls of Reconcile; mu guards what follows, for moments.
	reconciling sync.Mutex
	mu          sync.RWMutex
	version     int64
	tables      map[quiver.TableID]*table
	dropped     map[quiver.TableID]bool      // tombstones; true once the data is removed
	cut         map[quiver.PartitionRef]bool // tombstones of partitions, likewise
	opened      map[*Tablet]struct{}         // tablets with an open log
	watches     map[quiver.TableID]map[*watch]struct{}

	// unsettled are the tablets where something was staged, with how far their log was staged a round ago. Idle tablets
	// are not in it.
	unsettledMu sync.Mutex
	unsettled   map[*Tablet]quiver.Offset
	due         agenda.Agenda[*Tablet] // open tablets that retention is to look at, by Unix milliseconds
}

// New makes a server that serves nothing until the first Reconcile. The disk stays the caller's, to be closed after
// the server.
func New(disk *arrowlog.Disk, o Options) *Server {
	s := &Server{
		disk:    disk,
		options: o.withDefaults(),
		version: -1,
		large:   buf.NewBudget(1),
		tables:  make(map[quiver.TableID]*table),
		dropped: make(map[quiver.TableID]bool),
		cut:     make(map[quiver.PartitionRef]bool),
		opened:  make(map[*Tablet]struct{}),
		watches: make(map[quiver.TableID]map[*watch]struct{}),

		unsettled: make(map[*Tablet]quiver.Offset),
	}
	s.metrics = newMetrics(o.Registerer, s)
	s.rows = &rowStore{fsys: o.FS, path: o.Data, memory: o.RowMemory, change: o.ChangeBytes, logger: s.options.Logger, metrics: s.metrics}
	return s
}

// Table is a table as it was last heard of. The error is TABLE_NOT_FOUND.
func (s *Server) Table(id quiver.TableID) (*quiver.Table, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables[id]
	if t == nil {
		return nil, s.tableNotFound(id)
	}
	return t.meta.Load(), nil
}

// Tablet gives the tablet of a bucket. It opens nothing. The error is TABLE_NOT_FOUND, PARTITION_NOT_FOUND or
// BUCKET_NOT_FOUND.
func (s *Server) Tablet(id quiver.BucketID) (*Tablet, error) {
	s.mu.RLock()
	t, p, tablet := s.findLocked(id)
	s.mu.RUnlock()
	switch {
	case tablet != nil:
		return tablet, nil
	case t == nil:
		return nil, s.tableNotFound(id.Table)
	case p == nil:
		return nil, t.partitionNotFound(id.Partition)
	case id.Bucket < 0 || id.Bucket >= t.meta.Load().Buckets:
		return nil, quiver.Errorf(quiver.BucketNotFound, "there is no bucket %d, the table has %d", id.Bucket, t.meta.Load().Buckets).
			On("table " + t.meta.Load().Path()).Advise("see table.describe")
	}
	return s.makeTablet(p, id), nil
}

// findLocked looks for a bucket; what there is not is nil. The caller holds mu.
func (s *Server) findLocked(id quiver.BucketID) (*table, *partition, *Tablet) {
	t := s.tables[id.Table]
	if t == nil {
		return nil, nil, nil
	}
	p := t.partitions[id.Partition]
	if p == nil {
		return t, nil, nil
	}
	return t, p, p.tablets[id.Bucket]
}

// makeTablet makes the tablet of a bucket that was never asked for, unless somebody was faster. That of a partition
// that has gone meanwhile says so at its first use.
func (s *Server) makeTablet(p *partition, id quiver.BucketID) *Tablet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tablet := p.tablets[id.Bucket]; tablet != nil {
		return tablet
	}
	if p.tablets == nil {
		p.tablets = make(map[int32]*Tablet)
	}
	tablet := newTablet(s, p, id)
	p.tablets[id.Bucket] = tablet
	return tablet
}

func (t *table) partitionNotFound(id quiver.PartitionID) error {
	on := "table " + t.meta.Load().Path()
	if !t.meta.Load().Partitioned() {
		return quiver.Errorf(quiver.PartitionNotFound, "there is no partition %d, the table has none", id).On(on)
	}
	return quiver.Errorf(quiver.PartitionNotFound, "there is no partition with id %d; it may have been dropped", id).
		On(on).Advise("see partition.list")
}

func (s *Server) tableNotFound(id quiver.TableID) error {
	return quiver.Errorf(quiver.TableNotFound, "table %d is not served here; it may have been dropped", id)
}

// Run maintains the server's disk until the context ends: once a second the checkpoint is brought up to date, old
// segments are closed, puts that nobody waits for are settled, removals that failed are tried again, and what is older
// or more than its table retains goes.
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
		s.metrics.failures.Inc()
		s.options.Logger.Error("something failed while the disk was maintained, to be tried again", "err", err)
	}
	for _, t := range s.settleLate() {
		if l := t.leading.Load(); l != nil && l.log.Failed() == nil {
			_ = t.settle(ctx, l, l.log.End()) // a log that failed shows it at its next use
		}
	}
	s.removeDropped()
	s.expire(ctx, s.options.Now())
	s.rows.tidy(s.options.Now())
}

// noteStaged has the next rounds see to it that what was staged in a tablet is settled, and retention look at it.
func (s *Server) noteStaged(t *Tablet) {
	if t.staged.Swap(true) {
		return
	}
	s.unsettledMu.Lock()
	defer s.unsettledMu.Unlock()
	if _, known := s.unsettled[t]; !known {
		s.unsettled[t] = 0
	}
}

// settleLate moves the high watermark of puts that nobody waited for but somebody else committed, and gives the
// tablets where something was staged more than a round ago and is still not durable. It looks at tablets only in which
// something was staged since all of it was settled.
func (s *Server) settleLate() (late []*Tablet) {
	s.unsettledMu.Lock()
	unsettled := s.unsettled
	s.unsettled = make(map[*Tablet]quiver.Offset)
	s.unsettledMu.Unlock()
	left := make(map[*Tablet]quiver.Offset)
	for t, before := range unsettled {
		s.metrics.visits.Inc()
		t.staged.Store(false) // before the log is looked at: what is staged later is noted again
		l := t.leading.Load()
		if l == nil || l.log.Failed() != nil || t.gone() != nil {
			continue
		}
		durable := l.log.Durable()
		if durable < before {
			late = append(late, t)
		} else if durable > l.log.HighWatermark() {
			t.advance(l)
		}
		s.due.Add(t, 0)
		if end := l.log.End(); end > l.log.HighWatermark() {
			left[t] = end
		}
	}
	s.unsettledMu.Lock()
	defer s.unsettledMu.Unlock()
	for t, end := range left {
		s.unsettled[t] = end
		t.staged.Store(true)
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
	s.wakeAll()
	return errors.Join(append(errs, s.rows.close())...)
}

// wakeAll lets everyone who waits for news look again.
func (s *Server) wakeAll() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, t := range s.tables {
		t.wake()
		s.tellLocked(id)
	}
}

func (s *Server) openTablets() []*Tablet {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.opened))
}
