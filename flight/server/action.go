package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// action is one row of the table of actions, which ListActions, the docs and the permissions read.
type action struct {
	name       string
	about      string // one line
	permission string // what a principal needs on the thing named: describe, read, write, create, alter, drop
	example    string // a body that works, JSON
	handle     func(ctx context.Context, body []byte, answer func(result any) error) error
}

// actionTable lists every action that is served.
func (s *Service) actionTable() []action {
	return []action{
		{flight.ActionDatabaseList, "lists the databases", "describe", `{}`, s.databaseList},
		{flight.ActionDatabaseCreate, "creates a database", "create", `{"database":"shop","comment":"all that is sold","properties":{"owner":"sales"},"if_not_exists":true}`, s.databaseCreate},
		{flight.ActionDatabaseAlter, "changes the comment and the properties of a database", "alter", `{"database":"shop","comment":"what was sold","set":{"owner":"finance"},"reset":["note"]}`, s.databaseAlter},
		{flight.ActionDatabaseDescribe, "describes a database: its comment, its properties, how many tables it has", "describe", `{"database":"shop"}`, s.databaseDescribe},
		{flight.ActionDatabaseDrop, "drops a database, with cascade its tables, too", "drop", `{"database":"shop","cascade":true,"if_exists":true}`, s.databaseDrop},
		{flight.ActionTableCreate, "creates a table", "create",
			`{"table":"orders","schema":[{"name":"id","type":"int64","nullable":false},{"name":"price","type":"decimal128(12, 2)"}],"buckets":1,"if_not_exists":true}`, s.tableCreate},
		{flight.ActionTableAlter, "changes columns, options or the comment of a table, all or nothing: add, drop, rename, widen, move, set, reset, comment", "alter",
			`{"table":"orders","changes":[{"add":{"name":"note","type":"string","default":"","after":"id"}},{"rename":{"from":"note","to":"remark"}},{"drop":"remark"},{"set":{"retention.time":"7d"}}]}`, s.tableAlter},
		{flight.ActionTableDrop, "drops a table and its data", "drop", `{"table":"orders","if_exists":true}`, s.tableDrop},
		{flight.ActionTableList, "lists the tables, of one database if it is given", "describe", `{"database":"default"}`, s.tableList},
		{flight.ActionTableDescribe, "describes a table: its columns, buckets and options", "describe", `{"table":"orders"}`, s.tableDescribe},
		{flight.ActionTableStats, "counts rows, bytes and segments of each bucket, and in a last row of all", "describe", `{"table":"orders"}`, s.tableStats},
		{flight.ActionPartitionCreate, "makes a partition", "write", `{"table":"events","partition":"dt=2026-11-22/region=eu","if_not_exists":true}`, s.partitionCreate},
		{flight.ActionPartitionDrop, "drops a partition and its data", "drop", `{"table":"events","partition":"dt=2026-11-22/region=eu","if_exists":true}`, s.partitionDrop},
		{flight.ActionPartitionList, "lists the partitions of a table", "describe", `{"table":"events"}`, s.partitionList},
		{flight.ActionCursorCommit, "keeps how far a consumer has read under a name; with expect only if it stands there still", "read",
			`{"cursor":"job1","table":"orders","offsets":{"0":0},"expect":{}}`, s.cursorCommit},
		{flight.ActionCursorList, "lists the cursors of a table, and how far each is behind", "describe", `{"table":"orders"}`, s.cursorList},
		{flight.ActionCursorReset, "moves a cursor that exists to a position in all buckets", "read", `{"cursor":"job1","table":"orders","to":"now"}`, s.cursorReset},
		{flight.ActionLogOffsets, "tells an offset of each bucket: earliest, latest, or at a time", "describe",
			`{"table":"orders","at":{"timestamp":"2026-11-22T10:00:00Z"}}`, s.logOffsets},
		{flight.ActionLogWait, "waits for rows at or behind the offsets and tells which buckets have them; nothing at the timeout", "read",
			`{"table":"orders","offsets":{"0":0},"timeout_ms":30000}`, s.logWait},
		{flight.ActionLogDeleteBefore, "deletes the rows before the offsets, or before a time", "write", `{"table":"orders","offsets":{"0":0}}`, s.logDeleteBefore},
		{flight.ActionWriterInit, "gives a producer its id and a new epoch; with a name always the same id", "write", `{"name":"loader-7"}`, s.writerInit},
		{flight.ActionWriterDescribe, "tells the highest sequence of a writer in each bucket", "describe", `{"table":"orders","writer_id":1}`, s.writerDescribe},
	}
}

// ListActions describes every action, with a body that works.
func (s *Service) ListActions(_ *afl.Empty, stream afl.FlightService_ListActionsServer) error {
	for _, a := range s.actions {
		about := fmt.Sprintf("%s; body: %s", a.about, a.example)
		if err := stream.Send(&afl.ActionType{Type: a.name, Description: about}); err != nil {
			return err
		}
	}
	return nil
}

// DoAction runs one action and sends one JSON object for each result.
func (s *Service) DoAction(a *afl.Action, stream afl.FlightService_DoActionServer) error {
	ctx, cancel := s.stopped(stream.Context())
	defer cancel()
	for i := range s.actions {
		if s.actions[i].name == a.GetType() {
			defer s.metrics.acted(a.GetType(), time.Now())
			return s.actions[i].handle(ctx, a.GetBody(), func(result any) error {
				return stream.Send(&afl.Result{Body: flight.EncodeResult(result)})
			})
		}
	}
	return s.unknownAction(a.GetType())
}

func (s *Service) unknownAction(name string) error {
	names := make([]string, 0, len(s.actions))
	for i := range s.actions {
		names = append(names, s.actions[i].name)
	}
	err := quiver.Errorf(quiver.BadCommand, "there is no action %q", name)
	if nearest := quiver.Nearest(name, names); nearest != "" {
		return err.Advise(fmt.Sprintf("did you mean %q?", nearest))
	}
	return err.Advise("list_actions names them all")
}

// Actions lists name, description and example of every action, for the docs.
func (s *Service) Actions() []json.RawMessage {
	rows := make([]json.RawMessage, 0, len(s.actions))
	for _, a := range s.actions {
		rows = append(rows, flight.EncodeResult(map[string]string{
			"action": a.name, "about": a.about, "permission": a.permission, "example": a.example,
		}))
	}
	return rows
}
