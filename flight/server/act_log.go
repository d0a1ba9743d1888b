package server

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

// eachTablet calls do for every bucket of a table, in order.
func (s *Service) eachTablet(table *quiver.Table, do func(bucket int32, t *tablet.Tablet) error) error {
	for bucket := range table.Buckets {
		t, err := s.tablets.Tablet(quiver.BucketID{Table: table.ID, Bucket: bucket})
		if err != nil {
			return err
		}
		if err := do(bucket, t); err != nil {
			return err
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
	return s.eachTablet(table, func(bucket int32, t *tablet.Tablet) error {
		offset, err := offsetAt(ctx, t, request.At)
		if err != nil {
			return err
		}
		return answer(flight.OffsetRow{Bucket: bucket, Offset: offset})
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
		Table: request.Table, TableID: request.TableID, From: flight.AtOffsetsOf(request.Offsets), Follow: true,
	})
	if err != nil {
		return err
	}
	news, err := scan.Wait(ctx, read.spec.Sources, read.spec.Ranges, request.Timeout(), s.scanOptions())
	if err != nil {
		return err
	}
	for _, n := range news {
		if err := answer(flight.Range{Bucket: n.Bucket, From: n.From, Until: n.Until}); err != nil {
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
	for bucket := range request.Offsets.Buckets {
		if err := checkBucket(table, bucket); err != nil {
			return err
		}
	}
	before := request.Before()
	return s.eachTablet(table, func(bucket int32, t *tablet.Tablet) error {
		if err := deleteBefore(ctx, t, bucket, before); err != nil {
			return err
		}
		now, err := t.Offsets(ctx)
		if err != nil {
			return err
		}
		return answer(flight.OffsetRow{Bucket: bucket, Offset: now.Start})
	})
}

// deleteBefore deletes one bucket's rows before a position; a bucket that a vector does not name keeps its rows.
func deleteBefore(ctx context.Context, t *tablet.Tablet, bucket int32, before flight.Position) error {
	offset, named := before.Offsets.Buckets[bucket]
	if before.Kind == flight.AtTimestamp {
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
