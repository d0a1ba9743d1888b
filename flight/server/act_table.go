package server

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet"
)

func (s *Service) tableCreate(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableCreate](body)
	if err != nil {
		return err
	}
	spec, err := request.Spec(parseSchema)
	if err != nil {
		return err
	}
	table, err := s.coordinator.CreateTable(ctx, spec)
	if err != nil {
		return err
	}
	return s.describe(table, answer)
}

func (s *Service) tableDescribe(_ context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableDescribe](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	return s.describe(table, answer)
}

func (s *Service) tableAlter(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableAlter](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	if table, err = s.coordinator.AlterTable(ctx, table.Database, table.Name, request.Words()); err != nil {
		return err
	}
	return s.describe(table, answer)
}

func (s *Service) describe(table *quiver.Table, answer func(any) error) error {
	description, err := flight.DescribeTable(table)
	if err != nil {
		return err
	}
	return answer(description)
}

func (s *Service) tableDrop(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableDrop](body)
	if err != nil {
		return err
	}
	_, err = s.table(request.Table, request.TableID)
	if err != nil && !(request.IfExists && quiver.ReasonOf(err) == quiver.TableNotFound) {
		return err
	}
	dropped, err := s.coordinator.DropTable(ctx, request.Table.Database, request.Table.Table, request.IfExists)
	if err != nil {
		return err
	}
	return answer(flight.Dropped{Dropped: dropped})
}

func (s *Service) tableList(_ context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableList](body)
	if err != nil {
		return err
	}
	if request.Database != "" {
		if err := s.coordinator.CheckDatabase(request.Database); err != nil {
			return err
		}
	}
	for _, table := range s.coordinator.Tables("") {
		if request.Database != "" && request.Database != table.Database {
			continue
		}
		if err := answer(flight.TableRow{Table: table.Path(), TableID: table.ID}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) tableStats(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.TableStats](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	var rows []flight.StatsRow
	err = s.eachTablet(table, func(t *tablet.Tablet) error {
		row, err := bucketStats(ctx, t)
		if err == nil {
			rows = append(rows, row)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range append(rows, flight.TotalStats(rows)) {
		if err := answer(row); err != nil {
			return err
		}
	}
	return nil
}

// bucketStats counts one bucket.
func bucketStats(ctx context.Context, t *tablet.Tablet) (flight.StatsRow, error) {
	stats, err := t.Stats(ctx)
	bucket := t.Bucket()
	return flight.StatsRow{
		Partition: flight.PartitionWord(t.PartitionName()), Bucket: &bucket, Rows: stats.Rows, Bytes: stats.Bytes,
		Earliest: &stats.Earliest, Latest: &stats.Latest, Segments: int64(stats.Segments),
	}, err
}
