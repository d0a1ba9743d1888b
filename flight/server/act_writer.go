package server

import (
	"context"

	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet"
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
	return s.eachTablet(table, func(t *tablet.Tablet) error {
		sequence, known, err := t.WriterSequence(ctx, *request.WriterID)
		if err != nil || !known {
			return err
		}
		return answer(flight.SequenceRow{Partition: flight.PartitionWord(t.PartitionName()), Bucket: t.Bucket(), Sequence: sequence})
	})
}
