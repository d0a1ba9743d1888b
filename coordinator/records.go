package coordinator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// format is the version of keys and records. A store with a higher one was written by a newer program. Format 1 had
// neither partitions nor cursors nor keys of tables.
const format = 2

// The families of keys.
const (
	headKey        = "head"
	databasePrefix = "database/"
	tablePrefix    = "table/"
	droppedPrefix  = "dropped/"
	electPrefix    = "elect/"
	writerPrefix   = "writer/"

	partitionPrefix        = "partition/"
	droppedPartitionPrefix = "dropped-partition/"
	cursorPrefix           = "cursor/"
	counterPrefix          = "counter/"
)

// head is the record that every transaction raises.
type head struct {
	Format      int             `json:"format"`
	Incarnation int64           `json:"incarnation"` // counts the starts of coordinators
	Base        quiver.Epoch    `json:"base"`        // of all buckets that were not elected since the start
	Epoch       quiver.Epoch    `json:"epoch"`       // the highest one given out
	NextTable   quiver.TableID  `json:"next_table"`
	NextWriter  quiver.WriterID `json:"next_writer"`

	NextPartition quiver.PartitionID `json:"next_partition"` // of any table
}

type databaseRecord struct {
	Comment    string            `json:"comment"`
	Properties map[string]string `json:"properties,omitempty"`
	Created    int64             `json:"created"` // Unix milliseconds
}

type tableRecord struct {
	Database string            `json:"database"`
	Name     string            `json:"name"`
	Schema   json.RawMessage   `json:"schema"`
	Buckets  int32             `json:"buckets"`
	Primary  []quiver.ColumnID `json:"primary_key,omitempty"`
	Bucketed []quiver.ColumnID `json:"bucket_key,omitempty"`
	Parted   []quiver.ColumnID `json:"partition_by,omitempty"`
	Options  map[string]string `json:"options"` // only what was set
	Comment  string            `json:"comment"`
	Created  int64             `json:"created"` // Unix milliseconds
}

type droppedRecord struct {
	Database string `json:"database"`
	Name     string `json:"name"`
	Buckets  int32  `json:"buckets"`
	Dropped  int64  `json:"dropped"` // Unix milliseconds
}

// partitionRecord is a record of its own, so that making a partition does not write the table's anew.
type partitionRecord struct {
	Values  string `json:"values"`  // as quiver.SplitPartition gives them: they stay when a column is renamed
	Created int64  `json:"created"` // Unix milliseconds
}

type droppedPartitionRecord struct {
	Name    string `json:"name"`
	Buckets int32  `json:"buckets"`
	Dropped int64  `json:"dropped"` // Unix milliseconds
}

type cursorRecord struct {
	Offsets   Vector `json:"offsets"`   // by partition id and bucket
	Committed int64  `json:"committed"` // Unix milliseconds
}

type electRecord struct {
	Epoch quiver.Epoch `json:"epoch"`
}

type writerRecord struct {
	Epoch     quiver.Epoch `json:"epoch"`
	Raised    int64        `json:"raised"` // Unix milliseconds
	Name      string       `json:"name,omitempty"`
	Principal string       `json:"principal,omitempty"`
}

// idKey gives the key of an id in a family.
func idKey[T ~uint64](prefix string, id T) string {
	return fmt.Sprintf("%s%020d", prefix, uint64(id))
}

// parseIDKey gives the id in a key of a family.
func parseIDKey[T ~uint64](prefix, key string) (T, error) {
	digits := strings.TrimPrefix(key, prefix)
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) != 20 {
		return 0, fmt.Errorf("it is not %s and 20 digits", prefix)
	}
	return T(id), nil
}

// partitionKey gives the key of a partition in a family.
func partitionKey(prefix string, ref quiver.PartitionRef) string {
	return fmt.Sprintf("%s%020d/%020d", prefix, uint64(ref.Table), uint64(ref.Partition))
}

func parsePartitionKey(prefix, key string) (ref quiver.PartitionRef, err error) {
	_, err = fmt.Sscanf(strings.TrimPrefix(key, prefix), "%d/%d", &ref.Table, &ref.Partition)
	if err == nil && (partitionKey(prefix, ref) != key || ref.Partition == 0) {
		err = fmt.Errorf("it is not the key of a partition")
	}
	return ref, err
}

func cursorKey(table quiver.TableID, name string) string {
	return fmt.Sprintf("%s%020d/%s", cursorPrefix, uint64(table), name)
}

func parseCursorKey(key string) (quiver.TableID, string, error) {
	id, name, _ := strings.Cut(strings.TrimPrefix(key, cursorPrefix), "/")
	table, err := parseIDKey[quiver.TableID](cursorPrefix, cursorPrefix+id)
	if err == nil {
		err = quiver.CheckName("cursor", name)
	}
	return table, name, err
}

func parseCursor(key string, value []byte) (*Cursor, error) {
	table, name, err := parseCursorKey(key)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord[cursorRecord](value)
	if err != nil {
		return nil, err
	}
	for _, buckets := range r.Offsets {
		for bucket, at := range buckets {
			if bucket < 0 || at < 0 {
				return nil, fmt.Errorf("offset %d of bucket %d cannot be", at, bucket)
			}
		}
	}
	if r.Offsets == nil {
		r.Offsets = Vector{}
	}
	return &Cursor{Table: table, Name: name, Offsets: r.Offsets, Committed: r.Committed}, nil
}

func electKey(b quiver.BucketID) string {
	return fmt.Sprintf("%s%020d/%020d/%010d", electPrefix, b.Table, b.Partition, b.Bucket)
}

func parseElectKey(key string) (quiver.BucketID, error) {
	var b quiver.BucketID
	_, err := fmt.Sscanf(key, electPrefix+"%d/%d/%d", &b.Table, &b.Partition, &b.Bucket)
	if err == nil && electKey(b) != key {
		err = fmt.Errorf("it is not the key of bucket %v", b)
	}
	return b, err
}

// putRecord gives the put of a record. Records hold what JSON can: text that is UTF-8, and numbers.
func putRecord(key string, record any) metastore.Put {
	value, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("coordinator: record of %s: %v", key, err)) // a bug: no input leads here
	}
	return metastore.Put{Key: key, Value: value}
}

// parseRecord reads a record. Unknown fields are those of a newer program of the same format, and are left alone.
func parseRecord[T any](value []byte) (record T, err error) {
	err = json.Unmarshal(value, &record)
	return record, err
}

func newTableRecord(t *quiver.Table) tableRecord {
	return tableRecord{
		Database: t.Database, Name: t.Name, Schema: t.Schema.Encode(), Buckets: t.Buckets,
		Primary: t.PrimaryKey, Bucketed: t.BucketKey, Parted: t.PartitionBy, Options: t.Options.Map(), Comment: t.Comment, Created: t.Created,
	}
}

func (r tableRecord) table(id quiver.TableID) (*quiver.Table, error) {
	schema, err := quiver.DecodeSchema(r.Schema)
	if err != nil {
		return nil, err
	}
	options := quiver.StoredOptions(r.Options)
	if r.Buckets < 1 || r.Buckets > quiver.MaxBuckets {
		return nil, fmt.Errorf("table %s.%s has %d buckets", r.Database, r.Name, r.Buckets)
	}
	for _, column := range slices.Concat(r.Primary, r.Bucketed, r.Parted) {
		if c, ok := schema.Column(column); !ok || !quiver.IsKeyType(c.Field.Type) {
			return nil, fmt.Errorf("table %s.%s has no key column with id %d", r.Database, r.Name, column)
		}
	}
	return &quiver.Table{
		ID: id, Database: r.Database, Name: r.Name, Schema: schema, Buckets: r.Buckets,
		PrimaryKey: r.Primary, BucketKey: r.Bucketed, PartitionBy: r.Parted, Options: options, Comment: r.Comment, Created: r.Created,
	}, nil
}
