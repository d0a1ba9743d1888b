package scan

import (
	"context"

	"github.com/quiverlog/quiver"
)

// A following scan of a whole table has its buckets come and go with the partitions: new ones join from their first
// row, those of dropped ones leave. It learns of them on the channel that tells it of rows.

// joins says that buckets may still join: the table is watched, and no vector says where the scan ends.
func (s *Scanner) joins() bool {
	if s.spec.Buckets == nil || s.spec.Newcomers.Until != NoEnd {
		return false
	}
	// Rows of a partition that is made after the end are all newer.
	end := s.spec.Newcomers.UntilTime
	return end == 0 || s.options.Now().UnixMilli() < end
}

// look takes in which partitions the table has by now.
func (s *Scanner) look(ctx context.Context) error {
	if !s.spec.Follow || s.spec.Buckets == nil {
		return nil
	}
	now, err := s.spec.Buckets.Table()
	if err != nil && len(s.cursors) > 0 {
		return nil // the buckets themselves say why
	}
	if err != nil || now == s.known {
		return err
	}
	before := partitionsOf(s.known)
	s.known = now
	for _, p := range now.Partitions {
		if before[p.ID] {
			delete(before, p.ID)
			continue
		}
		if err := s.welcome(ctx, now, p); err != nil {
			return err
		}
	}
	for i := len(s.cursors) - 1; i >= 0 && len(before) > 0; i-- {
		if before[s.cursors[i].src.ID().Partition] {
			s.leave(i)
		}
	}
	return nil
}

func partitionsOf(t *quiver.Table) map[quiver.PartitionID]bool {
	ids := make(map[quiver.PartitionID]bool, len(t.Partitions))
	for _, p := range t.Partitions {
		ids[p.ID] = true
	}
	return ids
}

// welcome adds the buckets of a new partition.
func (s *Scanner) welcome(ctx context.Context, t *quiver.Table, p quiver.Partition) error {
	if s.spec.Newcomers.Until != NoEnd {
		return nil
	}
	sources, err := s.spec.Buckets.Sources(t, p)
	for i := 0; err == nil && i < len(sources); i++ {
		var now Offsets
		if now, err = sources[i].Offsets(ctx); err == nil {
			r := s.spec.Newcomers
			r.ID, r.Partition, r.From = sources[i].ID(), p.Name, now.Start
			s.join(sources[i], r)
		}
	}
	if s.gone(err) {
		return nil // dropped again meanwhile; the buckets that have joined leave when they say so
	}
	return err
}

// gone says that an error means no more than that a bucket leaves.
func (s *Scanner) gone(err error) bool {
	return err != nil && s.spec.Follow && s.spec.Buckets != nil && quiver.ReasonOf(err) == quiver.PartitionNotFound
}
