package tablet

import (
	"context"
	"slices"
	"time"

	"github.com/quiverlog/quiver"
)

// What the buckets of a table know of a writer. Buckets that are open are asked; of the others only those that have
// files are looked at, one at a time and without leading them, so that the question leaves nothing open.

// WriterSequences calls each with the highest sequence that a bucket has of the writer, for every bucket that knows it,
// by partition and bucket. What is staged when it is asked counts: who was granted a new epoch before sees all that the
// older one will ever have stored.
func (s *Server) WriterSequences(ctx context.Context, table quiver.TableID, id quiver.WriterID,
	each func(partition string, bucket int32, last quiver.Sequence) error) error {
	meta, err := s.Table(table)
	if err != nil {
		return err
	}
	partitions := meta.Partitions
	if !meta.Partitioned() {
		partitions = []quiver.Partition{{}}
	}
	for _, p := range partitions {
		buckets, err := s.written(table, p.ID)
		if err != nil {
			return err
		}
		for _, b := range buckets {
			last, ok, err := s.writerSequence(ctx, quiver.BucketID{Table: table, Partition: p.ID, Bucket: b}, id)
			if quiver.ReasonOf(err) == quiver.PartitionNotFound {
				break // dropped meanwhile
			}
			if err == nil && ok {
				err = each(p.Name, b, last)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// written are the buckets of a partition that may hold anything: those that are open, and those that have files.
func (s *Server) written(table quiver.TableID, partition quiver.PartitionID) ([]int32, error) {
	buckets, err := s.disk.Buckets(table, partition)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, p, _ := s.findLocked(quiver.BucketID{Table: table, Partition: partition}); p != nil {
		for b, t := range p.tablets {
			if t.leading.Load() != nil {
				buckets = append(buckets, b)
			}
		}
	}
	slices.Sort(buckets)
	return slices.Compact(buckets), nil
}

// writerSequence asks one bucket.
func (s *Server) writerSequence(ctx context.Context, id quiver.BucketID, writer quiver.WriterID) (quiver.Sequence, bool, error) {
	t, err := s.Tablet(id)
	if err != nil {
		return quiver.NoSequence, false, err
	}
	if t.leading.Load() != nil {
		return t.WriterSequence(ctx, writer)
	}
	w, ok, err := s.disk.WriterState(id, logConfig(t.Table()), writer)
	return w.Sequence, ok, t.explain(err)
}

// strangerTime is how long a writer that no bucket of a table knows is taken for unknown without another look: to find
// that out takes a look at all of them.
const strangerTime = 10 * time.Second

// maxStrangers bounds how many are kept in mind, of each table.
const maxStrangers = 1024

// used tells whether a bucket of the tablet's table knows the writer: this one, or one that is open, or any other.
func (t *Tablet) used(ctx context.Context, l *leadership, id quiver.WriterID) (bool, error) {
	if _, ok := l.log.WriterState(id); ok {
		return true, nil
	}
	for _, other := range t.server.tabletsOf(t.table) {
		if l := other.leading.Load(); l != nil {
			if _, ok := l.log.WriterState(id); ok {
				return true, nil
			}
		}
	}
	now := t.server.options.Now()
	if !t.server.writers.issued(id) || t.table.isStranger(id, now) {
		return false, nil
	}
	found := false
	err := t.server.WriterSequences(ctx, t.id.Table, id, func(string, int32, quiver.Sequence) error {
		found = true
		return errFound
	})
	if found {
		return true, nil
	}
	if err == nil {
		t.table.noteStranger(id, now)
	}
	return false, err
}

// errFound ends a search.
var errFound = quiver.Errorf(quiver.Internal, "found")

func (t *table) isStranger(id quiver.WriterID, now time.Time) bool {
	t.strangersMu.Lock()
	defer t.strangersMu.Unlock()
	at, ok := t.strangers[id]
	return ok && now.Sub(at).Abs() < strangerTime
}

func (t *table) noteStranger(id quiver.WriterID, now time.Time) {
	t.strangersMu.Lock()
	defer t.strangersMu.Unlock()
	if t.strangers == nil || len(t.strangers) >= maxStrangers {
		t.strangers = make(map[quiver.WriterID]time.Time)
	}
	t.strangers[id] = now
}
