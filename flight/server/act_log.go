package server

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

// eachTablet calls do for every bucket of a table, partition by partition, in order. A partition that is dropped
// meanwhile has no more buckets.
func (s *Service) eachTablet(table *quiver.Table, do func(t *tablet.Tablet) error) error {
	partitions := table.Partitions
	if !table.Partitioned() {
		partitions = []quiver.Partition{{}}
	}
	for _, p := range partitions {
		for bucket := range table.Buckets {
			t, err := s.tablets.Tablet(quiver.BucketID{Table: table.ID, Partition: p.ID, Bucket: bucket})
			if err == nil {
				err = do(t)
			}
			if table.Partitioned() && quiver.ReasonOf(err) == quiver.PartitionNotFound {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) logOffsets(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.LogOffsets](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	return s.eachTablet(table, func(t *tablet.Tablet) error {
		offset, err := offsetAt(ctx, t, request.At)
		if err != nil {
			return err
		}
		return answer(flight.OffsetRow{Partition: flight.PartitionWord(t.PartitionName()), Bucket: t.Bucket(), Offset: offset})
	})
}

// offsetAt is an offset of one bucket: its earliest, its latest, or that of a time.
func offsetAt(ctx context.Context, t *tablet.Tablet, at flight.Position) (quiver.Offset, error) {
	if at.Kind == flight.AtTimestamp {
		return t.OffsetAt(ctx, at.Timestamp)
	}
	now, err := t.Offsets(ctx)
	if at.Kind == flight.Earliest {
		return now.Start, err
	}
	return now.HighWatermark, err
}

func (s *Service) logWait(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.LogWait](body)
	if err != nil {
		return err
	}
	read, err := s.plan(ctx, &flight.ScanCommand{
		Table: request.Table, TableID: request.TableID, From: flight.AtOffsetsOf(request.Offsets), Follow: true, Read: flight.ReadLog,
	})
	if err != nil {
		return err
	}
	news, err := scan.Wait(ctx, read.spec, request.Timeout(), s.scanOptions(ctx))
	if err != nil {
		return err
	}
	for _, n := range news {
		if err := answer(flight.Range{Partition: n.Partition, Bucket: n.ID.Bucket, From: n.From, Until: n.Until}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) logDeleteBefore(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.LogDeleteBefore](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	before, err := s.position(table, "offsets", request.Before())
	if err != nil {
		return err
	}
	if err := scan.CheckPosition("offsets", before, table); err != nil {
		return err
	}
	return s.eachTablet(table, func(t *tablet.Tablet) error {
		if err := deleteBefore(ctx, t, before); err != nil {
			return err
		}
		now, err := t.Offsets(ctx)
		if err != nil {
			return err
		}
		return answer(flight.OffsetRow{Partition: flight.PartitionWord(t.PartitionName()), Bucket: t.Bucket(), Offset: now.Start})
	})
}

// deleteBefore deletes one bucket's rows before a position; a bucket that a vector does not name keeps its rows.
func deleteBefore(ctx context.Context, t *tablet.Tablet, before scan.Position) error {
	offset, named := before.Named(t)
	if before.Place == scan.AtTimestamp {
		var err error
		if offset, err = t.OffsetAt(ctx, before.Timestamp); err != nil {
			return err
		}
		named = true
	}
	if !named {
		return nil
	}
	return t.DeleteBefore(ctx, offset)
}
