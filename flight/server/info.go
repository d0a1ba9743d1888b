package server

import (
	"context"
	"strings"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/tablet/scan"
)

// pollTime is how long PollFlightInfo waits for news before it answers with nothing new.
const pollTime = 30 * time.Second

// GetFlightInfo plans a read: one endpoint for each bucket, whose ticket carries the offsets planned.
func (s *Service) GetFlightInfo(ctx context.Context, d *afl.FlightDescriptor) (*afl.FlightInfo, error) {
	parsed, err := flight.ParseDescriptor(d)
	if err != nil {
		return nil, err
	}
	if parsed.Lookup != nil {
		return s.lookupInfo(d, parsed.Lookup)
	}
	command, err := parsed.AsScan()
	if err != nil {
		return nil, err
	}
	return s.planInfo(ctx, d, command)
}

// lookupInfo plans a lookup: with keys it is one endpoint, without them there is none, for DoExchange answers it.
func (s *Service) lookupInfo(d *afl.FlightDescriptor, c *flight.LookupCommand) (*afl.FlightInfo, error) {
	l, err := s.newLookup(c)
	if err != nil {
		return nil, err
	}
	plan := flight.PlanInfo{TableID: l.table.ID, SchemaID: l.table.Schema.ID(), Ranges: []flight.Range{}, Tier: flight.TierLocal}
	info := &afl.FlightInfo{
		Schema: quiver.FormatSchemaMessage(l.shape.schema), FlightDescriptor: d, TotalRecords: -1, TotalBytes: -1,
		Ordered: true, AppMetadata: plan.Encode(),
	}
	if c.Keys == nil {
		return info, nil
	}
	ticket := *c
	ticket.TableID = &l.table.ID
	info.Endpoint = []*afl.FlightEndpoint{{Ticket: &afl.Ticket{Ticket: ticket.Encode()}, AppMetadata: plan.Encode()}}
	return info, nil
}

// planInfo plans a read of a log, or of current rows.
func (s *Service) planInfo(ctx context.Context, d *afl.FlightDescriptor, c *flight.ScanCommand) (*afl.FlightInfo, error) {
	whole, err := s.readsTable(c)
	switch {
	case err != nil:
		return nil, err
	case whole != nil:
		return s.tableInfo(ctx, d, whole, c)
	}
	read, err := s.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.info(ctx, d, read)
}

// tableInfo plans a read of current rows: one endpoint, since all are to be of one moment. They are counted exactly where
// nothing picks some of them.
func (s *Service) tableInfo(ctx context.Context, d *afl.FlightDescriptor, table *quiver.Table, c *flight.ScanCommand) (*afl.FlightInfo, error) {
	r := &tableRead{service: s, command: c, table: table}
	if err := r.choose(); err != nil {
		return nil, about(table.Path(), err)
	}
	info := &afl.FlightInfo{
		Schema: quiver.FormatSchemaMessage(r.shape.schema), FlightDescriptor: d, TotalRecords: -1, TotalBytes: -1,
		Ordered: c.Order == flight.OrderKey,
	}
	if c.Filter == nil && c.Limit == nil && c.KeyRange == nil && c.Mode(table) == flight.ReadTable {
		if err := r.open(ctx); err != nil {
			return nil, err
		}
		info.TotalRecords = 0
		for _, view := range r.views {
			info.TotalRecords += view.Mark.Rows
		}
		if err := r.close(); err != nil {
			return nil, err
		}
	}
	plan := flight.PlanInfo{TableID: table.ID, SchemaID: table.Schema.ID(), Ranges: []flight.Range{}, Tier: flight.TierLocal}
	info.AppMetadata = plan.Encode()
	ticket := *c
	ticket.TableID, ticket.Locations = &table.ID, ""
	endpoint := &afl.FlightEndpoint{Ticket: &afl.Ticket{Ticket: ticket.Encode()}, AppMetadata: plan.Encode()}
	if c.Locations == flight.LocationsLeaders && s.options.Location != "" {
		endpoint.Location = []*afl.Location{{Uri: s.options.Location}, {Uri: afl.LocationReuseConnection}}
	}
	info.Endpoint = []*afl.FlightEndpoint{endpoint}
	return info, nil
}

// GetSchema tells what a read would give, without planning it.
func (s *Service) GetSchema(ctx context.Context, d *afl.FlightDescriptor) (*afl.SchemaResult, error) {
	parsed, err := flight.ParseDescriptor(d)
	if err != nil {
		return nil, err
	}
	if parsed.Lookup != nil {
		l, err := s.newLookup(parsed.Lookup)
		if err != nil {
			return nil, err
		}
		return &afl.SchemaResult{Schema: quiver.FormatSchemaMessage(l.shape.schema)}, nil
	}
	command, err := parsed.AsScan()
	if err != nil {
		return nil, err
	}
	table, err := s.table(command.Table, command.TableID)
	if err != nil {
		return nil, err
	}
	if err := command.CheckTable(table); err != nil {
		return nil, err
	}
	if table.Keyed() && command.Mode(table) != flight.ReadLog {
		r := &tableRead{service: s, command: command, table: table}
		if err := r.choose(); err != nil {
			return nil, about(table.Path(), err)
		}
		return &afl.SchemaResult{Schema: quiver.FormatSchemaMessage(r.shape.schema)}, nil
	}
	if table.Keyed() {
		changelog := *table
		changelog.Schema = table.LogSchema()
		table = &changelog
	}
	read := &reading{table: table, command: command}
	if err := read.choose(); err != nil {
		return nil, about(table.Path(), err)
	}
	return &afl.SchemaResult{Schema: quiver.FormatSchemaMessage(read.schema)}, nil
}

// ListFlights lists the tables whose names the criteria fit.
func (s *Service) ListFlights(c *afl.Criteria, stream afl.FlightService_ListFlightsServer) error {
	criteria, err := flight.ParseCriteria(c.GetExpression())
	if err != nil {
		return err
	}
	for _, table := range s.coordinator.Tables("") {
		if criteria.Database != "" && criteria.Database != table.Database || !strings.HasPrefix(table.Path(), criteria.Prefix) {
			continue
		}
		descriptor := tableDescriptor(table)
		info, err := s.planInfo(stream.Context(), descriptor, &flight.ScanCommand{Table: flight.TableName{Database: table.Database, Table: table.Name}})
		if quiver.ReasonOf(err) == quiver.TableNotFound {
			continue // dropped while we listed
		}
		if err != nil {
			return err
		}
		if err := stream.Send(info); err != nil {
			return err
		}
	}
	return nil
}

// PollFlightInfo answers at once what there is, and gives a descriptor to ask again with: that call waits until there
// is more.
func (s *Service) PollFlightInfo(ctx context.Context, d *afl.FlightDescriptor) (*afl.PollInfo, error) {
	parsed, err := flight.ParseDescriptor(d)
	if err != nil {
		return nil, err
	}
	command, err := parsed.AsScan()
	if err != nil {
		return nil, err
	}
	again := command.From.Kind == flight.AtOffsets // what the answer before told to ask
	planned := *command
	planned.Follow = false
	if planned.Read == "" {
		planned.Read = flight.ReadLog // what is new of a primary-key table stands in its changelog
	}
	if again {
		if err := s.awaitNews(ctx, &planned); err != nil {
			return nil, err
		}
	}
	read, err := s.plan(ctx, &planned)
	if err != nil {
		return nil, err
	}
	info, err := s.info(ctx, d, read)
	if err != nil {
		return nil, err
	}
	_, planned.From = vectors(read.table, read.spec.Ranges)
	next := &afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: planned.Encode()}
	return &afl.PollInfo{Info: info, FlightDescriptor: next}, nil
}

// awaitNews blocks until a bucket of the command has rows beyond its start, for at most pollTime.
func (s *Service) awaitNews(ctx context.Context, command *flight.ScanCommand) error {
	ctx, cancel := s.stopped(ctx)
	defer cancel()
	read, err := s.plan(ctx, command)
	if err != nil {
		return err
	}
	_, err = scan.Wait(ctx, read.spec, pollTime, s.scanOptions(ctx))
	return err
}

// info describes a planned read. Counts are exact where they can be known: without filter, limit and follow.
func (s *Service) info(ctx context.Context, d *afl.FlightDescriptor, r *reading) (*afl.FlightInfo, error) {
	info := &afl.FlightInfo{
		Schema: quiver.FormatSchemaMessage(r.schema), FlightDescriptor: d,
		TotalRecords: -1, TotalBytes: -1, Ordered: len(r.spec.Ranges) == 1,
	}
	if r.command.Filter == nil && r.command.Limit == nil && !r.command.Follow {
		rows, bytes, err := s.size(ctx, r)
		if err != nil {
			return nil, err
		}
		info.TotalRecords, info.TotalBytes = rows, bytes
	}
	plan := flight.PlanInfo{TableID: r.table.ID, SchemaID: r.table.Schema.ID(), Ranges: planRanges(r.spec.Ranges), Tier: flight.TierLocal}
	info.AppMetadata = plan.Encode()
	if r.command.Limit != nil || r.command.Follow {
		info.Endpoint = []*afl.FlightEndpoint{s.endpoint(r, r.spec.Ranges)}
		return info, nil
	}
	for i := range r.spec.Ranges {
		info.Endpoint = append(info.Endpoint, s.endpoint(r, r.spec.Ranges[i:i+1]))
	}
	return info, nil
}

// endpoint is one part of a plan. Its ticket is the command with what was decided put in.
func (s *Service) endpoint(r *reading, ranges []scan.Range) *afl.FlightEndpoint {
	ticket := *r.command
	from, until := vectors(r.table, ranges)
	id := r.table.ID
	ticket.TableID, ticket.Locations, ticket.From = &id, "", from
	if !r.command.Follow {
		ticket.Until = until
	}
	if len(ranges) == 1 {
		ticket.Bucket = &ranges[0].ID.Bucket
		if r.table.Partitioned() {
			ticket.Partition = &ranges[0].Partition
		}
	}
	plan := flight.PlanInfo{TableID: r.table.ID, SchemaID: r.table.Schema.ID(), Ranges: planRanges(ranges), Tier: flight.TierLocal}
	endpoint := &afl.FlightEndpoint{Ticket: &afl.Ticket{Ticket: ticket.Encode()}, AppMetadata: plan.Encode()}
	if r.command.Locations == flight.LocationsLeaders && s.options.Location != "" {
		endpoint.Location = []*afl.Location{{Uri: s.options.Location}, {Uri: afl.LocationReuseConnection}}
	}
	return endpoint
}

// size adds up the rows of the ranges, and what their batches take in the log.
func (s *Service) size(ctx context.Context, r *reading) (rows, bytes int64, err error) {
	for _, part := range r.spec.Ranges {
		if part.Until == scan.NoEnd {
			return -1, -1, nil
		}
		t, err := s.tablets.Tablet(part.ID)
		if err != nil {
			return 0, 0, err
		}
		n, err := t.Size(ctx, part.From, part.Until)
		if err != nil {
			return 0, 0, err
		}
		rows += int64(part.Until - part.From)
		bytes += n
	}
	return rows, bytes, nil
}

func planRanges(ranges []scan.Range) []flight.Range {
	out := make([]flight.Range, 0, len(ranges))
	for _, r := range ranges {
		out = append(out, flight.Range{Partition: r.Partition, Bucket: r.ID.Bucket, From: r.From, Until: r.Until})
	}
	return out
}

// tableDescriptor is the path of a table, as ListFlights gives it.
func tableDescriptor(t *quiver.Table) *afl.FlightDescriptor {
	return &afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: []string{t.Database, t.Name}}
}
