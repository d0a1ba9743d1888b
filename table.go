package quiver

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// MaxBuckets is the most buckets that a table may have.
const MaxBuckets = 100_000

// Table is a table as the metadata has it. It is immutable: a change makes another one.
type Table struct {
	ID          TableID
	Database    string
	Name        string
	Schema      *Schema
	Buckets     int32       // of each partition, numbered from 0
	PrimaryKey  []ColumnID  // what names a row, in the order in which rows sort; empty: it is a log table
	BucketKey   []ColumnID  // what decides a row's bucket; empty: nothing in the row does
	PartitionBy []ColumnID  // what decides a row's partition; empty: the table has the one partition 0
	Partitions  []Partition // by name; empty on unpartitioned tables. It may be shared: do not change it
	Options     Options
	Comment     string
	Created     int64 // Unix milliseconds
}

// Path gives the table's name within the cluster, "shop.orders".
func (t *Table) Path() string { return t.Database + "." + t.Name }

// TableSpec is what table.create asks for.
type TableSpec struct {
	Database    string
	Name        string
	Schema      *arrow.Schema  // as the user gave it
	Defaults    map[string]any // by column name, as NewSchema takes them
	PrimaryKey  []string
	BucketKey   []string
	PartitionBy []string
	Buckets     int32 // 0: 1
	Options     map[string]string
	Comment     string
	IfNotExists bool
}

// maxComment bounds the comment of a table, in bytes.
const maxComment = 16 << 10

// Table checks what is asked for and makes the table of it, with the id and the time of its creation given.
// The error is BAD_NAME, BAD_COMMAND, BAD_OPTION or SCHEMA_MISMATCH.
func (s TableSpec) Table(id TableID, created int64) (*Table, error) {
	if err := CheckName("database", s.Database); err != nil {
		return nil, err
	}
	if err := CheckName("table", s.Name); err != nil {
		return nil, err
	}
	if err := s.checkShape(); err != nil {
		return nil, err
	}
	schema, err := NewSchema(1, requireKey(s.Schema, s.PrimaryKey), s.Defaults)
	if err != nil {
		return nil, err
	}
	t := &Table{
		ID: id, Database: s.Database, Name: s.Name, Schema: schema, Buckets: max(s.Buckets, 1),
		Comment: s.Comment, Created: created,
	}
	if err := t.setKeys(s.BucketKey, s.PartitionBy); err != nil {
		return nil, err
	}
	if err := t.setPrimaryKey(s.PrimaryKey, s.BucketKey); err != nil {
		return nil, err
	}
	if t.Options, err = t.parseOptions(s.Options); err != nil {
		return nil, err
	}
	return t, nil
}

// checkShape checks everything but names, columns and options.
func (s TableSpec) checkShape() error {
	switch {
	case s.Schema == nil:
		return Errorf(BadCommand, "a table needs a schema")
	case s.Buckets < 0 || s.Buckets > MaxBuckets:
		return Errorf(BadCommand, "buckets: %d does not lie between 1 and %d", s.Buckets, MaxBuckets)
	case len(s.Comment) > maxComment:
		return Errorf(BadCommand, "comment: it has %d bytes, at most %d are taken", len(s.Comment), maxComment)
	}
	return nil
}

// ColumnSpec is one column as JSON has it: {"name":"id","type":"int64","nullable":false,"default":0}.
type ColumnSpec struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Nullable *bool           `json:"nullable,omitempty"` // absent: true
	Default  json.RawMessage `json:"default,omitempty"`
}

// ParseColumns makes the Arrow schema and the defaults that columns in JSON stand for, as TableSpec takes them.
// All faults are named in one error, BAD_COMMAND.
func ParseColumns(columns []ColumnSpec) (*arrow.Schema, map[string]any, error) {
	if len(columns) > MaxColumns {
		return nil, nil, Errorf(BadCommand, "there are %d columns, at most %d are allowed", len(columns), MaxColumns)
	}
	var faults faultList
	fields := make([]arrow.Field, 0, len(columns))
	defaults := make(map[string]any)
	for _, c := range columns {
		dt, err := ParseType(c.Type)
		if err != nil {
			faults.add("column %s: %s", quote(c.Name), detailOf(err))
			continue
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: dt, Nullable: c.Nullable == nil || *c.Nullable})
		if len(c.Default) == 0 {
			continue
		}
		value, err := ParseDefault(Normalize(dt), c.Default)
		if err != nil {
			faults.add("column %s: default: %s", quote(c.Name), detailOf(err))
		} else if value != nil {
			defaults[c.Name] = value
		}
	}
	if err := faults.error(BadCommand); err != nil {
		return nil, nil, err
	}
	return arrow.NewSchema(fields, nil), defaults, nil
}

// detailOf gives the text of an error without its reason, to be part of another one.
func detailOf(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // only the outermost one has the text
		return e.Detail
	}
	return fmt.Sprint(err)
}
