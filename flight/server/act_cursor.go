package server

import (
	"context"
	"errors"
	"io"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

func (s *Service) cursorCommit(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.CursorCommit](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	command := coordinator.CommitCursor{Table: table.ID, Name: request.Cursor}
	if command.Offsets, err = s.committed(ctx, table, request.Offsets); err != nil {
		return err
	}
	if !request.Expect.IsZero() {
		if command.Expect, err = tableVector(table, "expect", request.Expect); err != nil {
			return err
		}
		if command.Earliest, err = s.earliest(ctx, table, command.Expect); err != nil {
			return err
		}
	}
	cursor, err := s.coordinator.CommitCursor(ctx, command)
	if err != nil {
		return err
	}
	return answer(cursorRow(table, cursor))
}

func (s *Service) cursorReset(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.CursorReset](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	to, err := s.position(table, "to", request.To)
	if err != nil {
		return err
	}
	sources, err := s.allSources(table)
	if err != nil {
		return err
	}
	ranges, err := scan.Resolve(ctx, table, sources, to, scan.Position{}, false)
	if err != nil {
		return err
	}
	vector := coordinator.Vector{}
	for _, r := range ranges {
		setOffset(vector, r.ID, r.From)
	}
	cursor, err := s.coordinator.ResetCursor(ctx, table.ID, request.Cursor, vector)
	if err != nil {
		return err
	}
	return answer(cursorRow(table, cursor))
}

func (s *Service) cursorList(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.CursorList](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	cursors := s.coordinator.Cursors(table.ID)
	if request.Cursor != "" {
		cursor, err := s.coordinator.Cursor(table.ID, request.Cursor)
		if err != nil {
			return err
		}
		cursors = []*coordinator.Cursor{cursor}
	}
	for _, cursor := range cursors {
		row := cursorRow(table, cursor)
		if err := s.lag(ctx, table, cursor, &row); err != nil {
			return err
		}
		if err := answer(row); err != nil {
			return err
		}
	}
	return nil
}

// allSources are all buckets of a table.
func (s *Service) allSources(table *quiver.Table) (sources []scan.Source, err error) {
	err = s.eachTablet(table, func(t *tablet.Tablet) error {
		sources = append(sources, t)
		return nil
	})
	return sources, err
}

// committed checks what is to be committed: every offset lies below the bucket's latest, or is it. That it lies below
// the earliest is no fault: rows may go while somebody reads.
func (s *Service) committed(ctx context.Context, table *quiver.Table, o flight.Offsets) (coordinator.Vector, error) {
	vector, err := tableVector(table, "offsets", o)
	if err != nil {
		return nil, err
	}
	for partition, buckets := range vector {
		for bucket, at := range buckets {
			if at == 0 {
				continue
			}
			t, err := s.tablets.Tablet(quiver.BucketID{Table: table.ID, Partition: partition, Bucket: bucket})
			if err != nil {
				return nil, err
			}
			now, err := t.Offsets(ctx)
			if err != nil {
				return nil, err
			}
			if at > now.HighWatermark {
				return nil, scan.OutOfRange(table, t, at, now)
			}
		}
	}
	return vector, nil
}

// tableVector reads a vector of the wire. Partitions that are gone are left out.
func tableVector(table *quiver.Table, word string, o flight.Offsets) (coordinator.Vector, error) {
	position, err := vectorPosition(table, word, o)
	if err == nil {
		err = scan.CheckPosition(word, position, table)
	}
	if err != nil {
		return nil, err
	}
	vector := coordinator.Vector{}
	for bucket, at := range position.Offsets {
		setOffset(vector, quiver.BucketID{Bucket: bucket}, at)
	}
	for name, in := range position.Partitions {
		if p, there := table.Partition(name); there {
			for bucket, at := range in.Offsets {
				setOffset(vector, quiver.BucketID{Partition: p.ID, Bucket: bucket}, at)
			}
		}
	}
	return vector, nil
}

func setOffset(vector coordinator.Vector, id quiver.BucketID, at quiver.Offset) {
	if vector[id.Partition] == nil {
		vector[id.Partition] = map[int32]quiver.Offset{}
	}
	vector[id.Partition][id.Bucket] = at
}

// earliest gives the earliest offsets of the buckets that a vector names.
func (s *Service) earliest(ctx context.Context, table *quiver.Table, of coordinator.Vector) (coordinator.Vector, error) {
	vector := coordinator.Vector{}
	for partition, buckets := range of {
		for bucket, at := range buckets {
			if at == 0 {
				continue
			}
			id := quiver.BucketID{Table: table.ID, Partition: partition, Bucket: bucket}
			t, err := s.tablets.Tablet(id)
			if err != nil {
				return nil, err
			}
			now, err := t.Offsets(ctx)
			if err != nil {
				return nil, err
			}
			setOffset(vector, id, now.Start)
		}
	}
	return vector, nil
}

// cursorRow shows a cursor, in the partitions that are there.
func cursorRow(table *quiver.Table, cursor *coordinator.Cursor) flight.CursorRow {
	return flight.CursorRow{
		Cursor: cursor.Name, Table: table.Path(), Offsets: cursorVector(table, cursor), Committed: cursor.Committed,
	}
}

func cursorVector(table *quiver.Table, cursor *coordinator.Cursor) flight.Offsets {
	if !table.Partitioned() {
		buckets := flight.BucketOffsets(cursor.Offsets[0])
		if buckets == nil {
			buckets = flight.BucketOffsets{}
		}
		return flight.Offsets{Buckets: buckets}
	}
	o := flight.Offsets{Partitions: make(map[string]flight.PartitionOffsets, len(cursor.Offsets))}
	for _, p := range table.Partitions {
		if buckets, ok := cursor.Offsets[p.ID]; ok {
			o.Partitions[p.Name] = flight.PartitionOffsets{ID: &p.ID, Buckets: flight.BucketOffsets(buckets)}
		}
	}
	return o
}

// lag measures how far a cursor is behind: the rows it has not read in any bucket, and the age of the oldest of them.
func (s *Service) lag(ctx context.Context, table *quiver.Table, cursor *coordinator.Cursor, row *flight.CursorRow) error {
	rows, oldest := int64(0), int64(0)
	now := s.options.Now().UnixMilli()
	err := s.eachTablet(table, func(t *tablet.Tablet) error {
		offsets, err := t.Offsets(ctx)
		if err != nil {
			return err
		}
		id := t.ID()
		at := max(cursor.Offsets[id.Partition][id.Bucket], offsets.Start)
		if at >= offsets.HighWatermark {
			return nil
		}
		stamp, err := timestampAt(ctx, t, at)
		switch {
		case quiver.ReasonOf(err) == quiver.OffsetOutOfRange:
			stamp = now // the row went while we looked
		case err != nil:
			return err
		}
		rows += int64(offsets.HighWatermark - at)
		oldest = max(oldest, now-stamp)
		return nil
	})
	if err != nil {
		return err
	}
	seconds := float64(oldest) / 1000
	row.LagRows, row.LagSeconds = &rows, &seconds
	return nil
}

// timestampAt tells when a row was appended. It reads a header and no row.
func timestampAt(ctx context.Context, t *tablet.Tablet, at quiver.Offset) (int64, error) {
	reader, err := t.Read(ctx, at, at+1, scan.ReadSpec{Skip: func(*record.Meta, *record.Layout) bool { return true }})
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	header, batch, err := reader.Step()
	if batch != nil {
		batch.Release()
	}
	if errors.Is(err, io.EOF) {
		return 0, quiver.Errorf(quiver.Internal, "offset %d has no row", at).On("bucket " + t.ID().String())
	}
	return header.Timestamp, err
}
