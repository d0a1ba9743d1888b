package flight

import (
	"time"

	"github.com/quiverlog/quiver"
)

// LogOffsets is the body of log.offsets: "at" is "earliest", "latest" (the default) or {"timestamp": …}.
type LogOffsets struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
	At      Position        `json:"at,omitzero"`
}

func (r *LogOffsets) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	switch r.At.Kind {
	case NotGiven:
		r.At.Kind = Latest
	case Earliest, Latest, AtTimestamp:
	default:
		return quiver.Errorf(quiver.BadCommand, "key at: it takes a word or a timestamp").On("table " + r.Table.String()).
			Advise(`write "earliest", "latest" or {"timestamp": "2026-11-22T10:00:00Z"}`)
	}
	return nil
}

// OffsetRow is one result of log.offsets, and of log.delete-before for the earliest offset afterwards.
type OffsetRow struct {
	Partition *string       `json:"partition"`
	Bucket    int32         `json:"bucket"`
	Offset    quiver.Offset `json:"offset"`
}

// LogWait is the body of log.wait. Its results are Ranges: the buckets that have rows at or behind the offsets given.
type LogWait struct {
	Table     TableName       `json:"table"`
	TableID   *quiver.TableID `json:"table_id,omitzero"`
	Offsets   Offsets         `json:"offsets,omitzero"` // buckets not named: from their earliest row
	TimeoutMS *int64          `json:"timeout_ms,omitzero"`
}

// The time that log.wait takes by default, and at most.
const (
	defaultWait = 30 * time.Second
	maxWait     = 10 * time.Minute
)

func (r *LogWait) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	if r.TimeoutMS != nil && *r.TimeoutMS < 0 {
		return quiver.Errorf(quiver.BadCommand, "timeout_ms %d is negative", *r.TimeoutMS)
	}
	return nil
}

// Timeout is how long to wait: 30 seconds unless given, 10 minutes at most.
func (r *LogWait) Timeout() time.Duration {
	if r.TimeoutMS == nil {
		return defaultWait
	}
	return time.Duration(min(*r.TimeoutMS, maxWait.Milliseconds())) * time.Millisecond
}

// LogDeleteBefore is the body of log.delete-before: "offsets" or "timestamp", exactly one.
type LogDeleteBefore struct {
	Table     TableName       `json:"table"`
	TableID   *quiver.TableID `json:"table_id,omitzero"`
	Offsets   Offsets         `json:"offsets,omitzero"` // buckets not named keep their rows
	Timestamp *TimestampWord  `json:"timestamp,omitzero"`
}

func (r *LogDeleteBefore) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	if r.Offsets.IsZero() == (r.Timestamp == nil) {
		return quiver.Errorf(quiver.BadCommand, "log.delete-before takes either offsets or a timestamp").On("table " + r.Table.String()).
			Advise(`write "offsets": {"0": n}, or "timestamp": "2026-11-22T10:00:00Z"`)
	}
	return nil
}

// Before is the position before which rows go.
func (r *LogDeleteBefore) Before() Position {
	if r.Timestamp != nil {
		return Position{Kind: AtTimestamp, Timestamp: int64(*r.Timestamp)}
	}
	return AtOffsetsOf(r.Offsets)
}

// TimestampWord is a time in Unix milliseconds; in JSON also RFC 3339 text.
type TimestampWord int64

func (t *TimestampWord) decodeWord(v *jsonValue) error { return decodeTimestamp(v, (*int64)(t)) }

// WriterInit is the body of writer.init: a name, an id to raise, or neither for a new id.
type WriterInit struct {
	Name     string           `json:"name,omitzero"`
	WriterID *quiver.WriterID `json:"writer_id,omitzero"`
}

func (r *WriterInit) check() error {
	switch {
	case r.Name != "" && r.WriterID != nil:
		return quiver.Errorf(quiver.BadCommand, "writer.init takes a name or a writer_id, not both")
	case r.WriterID != nil && *r.WriterID == quiver.NoWriter:
		return quiver.Errorf(quiver.BadCommand, "writer_id %d stands for no writer", *r.WriterID)
	case r.Name != "":
		return quiver.CheckName("writer", r.Name)
	}
	return nil
}

// WriterRow is the result of writer.init.
type WriterRow struct {
	WriterID    quiver.WriterID `json:"writer_id"`
	WriterEpoch quiver.Epoch    `json:"writer_epoch"`
}

// WriterDescribe is the body of writer.describe.
type WriterDescribe struct {
	Table    TableName        `json:"table"`
	TableID  *quiver.TableID  `json:"table_id,omitzero"`
	WriterID *quiver.WriterID `json:"writer_id"`
}

func (r *WriterDescribe) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	if r.WriterID == nil {
		return quiver.Errorf(quiver.BadCommand, "the body names no writer").Advise(`send {"table":"shop.orders","writer_id":17}`)
	}
	return nil
}

// SequenceRow is one result of writer.describe: the highest sequence that a bucket has of the writer.
type SequenceRow struct {
	Partition *string         `json:"partition"`
	Bucket    int32           `json:"bucket"`
	Sequence  quiver.Sequence `json:"sequence"`
}

// Criteria selects tables for ListFlights: by the beginning of their path, by database, or both.
type Criteria struct {
	Prefix   string `json:"prefix,omitzero"`
	Database string `json:"database,omitzero"`
}

// ParseCriteria reads the expression of ListFlights: nothing, the beginning of a path as plain text, or JSON.
func ParseCriteria(expression []byte) (Criteria, error) {
	var c Criteria
	if len(expression) > 0 && expression[0] == '{' {
		err := DecodeStrict(expression, &c, quiver.BadCommand)
		return c, err
	}
	if len(expression) > 2*quiver.MaxName+1 {
		return c, quiver.Errorf(quiver.BadCommand, "the criteria of %d bytes match no path", len(expression))
	}
	c.Prefix = string(expression)
	return c, nil
}
