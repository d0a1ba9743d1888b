package server

import (
	"context"

	"github.com/quiverlog/quiver/flight"
)

func (s *Service) partitionCreate(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.PartitionCreate](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	made, _, err := s.coordinator.CreatePartition(ctx, table.ID, request.Partition, request.IfNotExists)
	if err != nil {
		return err
	}
	return answer(flight.NewPartitionRow(made))
}

func (s *Service) partitionDrop(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.PartitionDrop](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	dropped, err := s.coordinator.DropPartition(ctx, table.ID, request.Partition, request.IfExists)
	if err != nil {
		return err
	}
	return answer(flight.Dropped{Dropped: dropped})
}

func (s *Service) partitionList(_ context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.PartitionList](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	for _, p := range table.Partitions {
		if err := answer(flight.NewPartitionRow(p)); err != nil {
			return err
		}
	}
	return nil
}
