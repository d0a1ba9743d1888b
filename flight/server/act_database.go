package server

import (
	"context"

	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/flight"
)

func (s *Service) databaseList(_ context.Context, body []byte, answer func(any) error) error {
	if _, err := flight.ParseAction[flight.DatabaseList](body); err != nil {
		return err
	}
	for _, database := range s.coordinator.Databases() {
		if err := answer(flight.DatabaseRow{Database: database.Name, Comment: database.Comment}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) databaseCreate(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.DatabaseCreate](body)
	if err != nil {
		return err
	}
	_, err = s.coordinator.CreateDatabase(ctx, coordinator.CreateDatabase{
		Name: request.Database, Comment: request.Comment, Properties: request.Properties, IfNotExists: request.IfNotExists,
	})
	if err != nil {
		return err
	}
	return s.describeDatabase(request.Database, answer)
}

func (s *Service) databaseAlter(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.DatabaseAlter](body)
	if err != nil {
		return err
	}
	_, err = s.coordinator.AlterDatabase(ctx, coordinator.AlterDatabase{
		Name: request.Database, Comment: request.Comment, Set: request.Set, Reset: request.Reset,
	})
	if err != nil {
		return err
	}
	return s.describeDatabase(request.Database, answer)
}

func (s *Service) databaseDrop(ctx context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.DatabaseDrop](body)
	if err != nil {
		return err
	}
	dropped, err := s.coordinator.DropDatabase(ctx, request.Database, request.Cascade, request.IfExists)
	if err != nil {
		return err
	}
	return answer(flight.Dropped{Dropped: dropped})
}

func (s *Service) databaseDescribe(_ context.Context, body []byte, answer func(any) error) error {
	request, err := flight.ParseAction[flight.DatabaseDescribe](body)
	if err != nil {
		return err
	}
	return s.describeDatabase(request.Database, answer)
}

func (s *Service) describeDatabase(name string, answer func(any) error) error {
	database, tables, err := s.coordinator.Database(name)
	if err != nil {
		return err
	}
	properties := database.Properties
	if properties == nil {
		properties = map[string]string{}
	}
	return answer(flight.DatabaseDescription{
		Database: database.Name, Comment: database.Comment, Properties: properties, Tables: tables, Created: database.Created,
	})
}
