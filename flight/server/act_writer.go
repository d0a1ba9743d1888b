package server

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/flight"
)

// anonymous is the principal of callers that did not authenticate.
const anonymous = ""

func (s *Service) writerInit(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.WriterInit](body)
	if err != nil {
		return err
	}
	grant, err := s.coordinator.InitWriter(ctx, coordinator.InitWriter{Name: request.Name, Principal: anonymous, ID: request.WriterID})
	if err != nil {
		return err
	}
	return answer(flight.WriterRow{WriterID: grant.ID, WriterEpoch: grant.Epoch})
}

func (s *Service) writerDescribe(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.WriterDescribe](body)
	if err != nil {
		return err
	}
	table, err := s.table(request.Table, request.TableID)
	if err != nil {
		return err
	}
	return s.tablets.WriterSequences(ctx, table.ID, *request.WriterID, func(partition string, bucket int32, last quiver.Sequence) error {
		return answer(flight.SequenceRow{Partition: flight.PartitionWord(partition), Bucket: bucket, Sequence: last})
	})
}
