package flight

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// The names of the actions whose bodies are in this package.
const (
	ActionDatabaseList    = "database.list"
	ActionTableCreate     = "table.create"
	ActionTableAlter      = "table.alter"
	ActionTableDrop       = "table.drop"
	ActionTableList       = "table.list"
	ActionTableDescribe   = "table.describe"
	ActionTableStats      = "table.stats"
	ActionLogOffsets      = "log.offsets"
	ActionLogWait         = "log.wait"
	ActionLogDeleteBefore = "log.delete-before"
	ActionWriterInit      = "writer.init"
	ActionWriterDescribe  = "writer.describe"
)

// request is the body of an action: check refuses what no server could do.
type request[T any] interface {
	*T
	check() error
}

// ParseAction reads the body of an action; no bytes at all stand for {}. The error is BAD_COMMAND or BAD_NAME.
//
//	req, err := flight.ParseAction[flight.LogWait](action.Body)
func ParseAction[T any, P request[T]](body []byte) (*T, error) {
	if len(body) == 0 {
		body = []byte("{}")
	}
	req := new(T)
	if err := DecodeStrict(body, req, quiver.BadCommand); err != nil {
		return nil, err
	}
	if err := P(req).check(); err != nil {
		return nil, err
	}
	return req, nil
}

// EncodeResult writes one result of an action: one JSON object.
func EncodeResult(result any) []byte { return encode(result) }

func needTable(name TableName) error {
	if name.IsZero() {
		return quiver.Errorf(quiver.BadCommand, "the body names no table").Advise(`send {"table":"shop.orders"}`)
	}
	return nil
}

// DatabaseList is the body of database.list.
type DatabaseList struct{}

func (*DatabaseList) check() error { return nil }

// DatabaseRow is one result of database.list.
type DatabaseRow struct {
	Database string `json:"database"`
	Comment  string `json:"comment"`
}

// TableCreate is the body of table.create.
type TableCreate struct {
	Table       TableName         `json:"table"`
	Schema      SchemaWord        `json:"schema"`
	PrimaryKey  []string          `json:"primary_key,omitzero"`
	BucketKey   []string          `json:"bucket_key,omitzero"`
	Buckets     *int32            `json:"buckets,omitzero"`
	PartitionBy []string          `json:"partition_by,omitzero"`
	Options     map[string]string `json:"options,omitzero"`
	Comment     string            `json:"comment,omitzero"`
	IfNotExists bool              `json:"if_not_exists,omitzero"`
}

func (r *TableCreate) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	if r.Buckets != nil && *r.Buckets < 1 {
		return quiver.Errorf(quiver.BadCommand, "buckets: %d, a table has at least 1", *r.Buckets)
	}
	if r.Schema.Columns == nil && r.Schema.Message == nil {
		return quiver.Errorf(quiver.BadCommand, "the table has no schema").
			Advise(`send "schema":[{"name":"id","type":"int64"}], or an IPC schema in base64`)
	}
	return nil
}

// SchemaWord is a schema in either form of table.create; exactly one is set.
type SchemaWord struct {
	Columns []quiver.ColumnSpec // [{"name":"id","type":"int64","nullable":false,"default":0}, …]
	Message []byte              // the Message flatbuffer of an IPC schema, not yet verified
}

func (w *SchemaWord) decodeWord(v *jsonValue) error {
	*w = SchemaWord{}
	if v.isNull() {
		return nil
	}
	if !v.isString() {
		return v.into(valueOf(&w.Columns))
	}
	text, err := v.str()
	if err != nil {
		return err
	}
	framed, err := decodeBase64(text)
	if err != nil {
		return v.fail("it is no base64: %v", err).Advise("send base64.b64encode(schema.serialize())")
	}
	w.Message, err = UnframeSchema(framed)
	return err
}

// MarshalJSON writes the form that is set.
func (w SchemaWord) MarshalJSON() ([]byte, error) {
	if w.Message != nil {
		return encode(base64.StdEncoding.EncodeToString(FrameSchema(w.Message))), nil
	}
	return encode(w.Columns), nil
}

// decodeBase64 reads the standard and the URL alphabet, padded or not.
func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// Spec makes the specification of the table. parse verifies and reads a Message flatbuffer that nobody vouches for.
func (r *TableCreate) Spec(parse func(message []byte) (*arrow.Schema, error)) (quiver.TableSpec, error) {
	spec := quiver.TableSpec{
		Database: r.Table.Database, Name: r.Table.Table, PrimaryKey: r.PrimaryKey, BucketKey: r.BucketKey,
		PartitionBy: r.PartitionBy, Options: r.Options, Comment: r.Comment, IfNotExists: r.IfNotExists,
	}
	if r.Buckets != nil {
		spec.Buckets = *r.Buckets
	}
	var err error
	if r.Schema.Message != nil {
		spec.Schema, err = parse(r.Schema.Message)
	} else {
		spec.Schema, spec.Defaults, err = quiver.ParseColumns(r.Schema.Columns)
	}
	return spec, err
}

// TableAlter is the body of table.alter. Its result is a TableDescription.
type TableAlter struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
	Changes []TableChange   `json:"changes"`
}

func (r *TableAlter) check() error {
	if err := needTable(r.Table); err != nil {
		return err
	}
	if len(r.Changes) == 0 {
		return quiver.Errorf(quiver.BadCommand, "the body has no changes").On("table " + r.Table.String()).
			Advise(`send "changes":[{"add":{"name":"x","type":"int32","default":0,"after":"id"}}]`)
	}
	return nil
}

// TableChange is one change of table.alter; exactly one of its keys is given.
type TableChange struct {
	Add     *quiver.AddColumn    `json:"add,omitzero"`
	Drop    string               `json:"drop,omitzero"`
	Rename  *quiver.RenameColumn `json:"rename,omitzero"`
	Widen   *quiver.WidenColumn  `json:"widen,omitzero"`
	Move    *quiver.MoveColumn   `json:"move,omitzero"`
	Set     map[string]string    `json:"set,omitzero"`
	Reset   []string             `json:"reset,omitzero"`
	Comment *string              `json:"comment,omitzero"`
}

// Words gives the changes as the table takes them.
func (r *TableAlter) Words() []quiver.TableChange {
	changes := make([]quiver.TableChange, len(r.Changes))
	for i, c := range r.Changes {
		changes[i] = quiver.TableChange{
			SchemaChange: quiver.SchemaChange{Add: c.Add, Drop: c.Drop, Rename: c.Rename, Widen: c.Widen, Move: c.Move},
			Set:          c.Set, Reset: c.Reset, Comment: c.Comment,
		}
	}
	return changes
}

// TableDrop is the body of table.drop.
type TableDrop struct {
	Table    TableName       `json:"table"`
	TableID  *quiver.TableID `json:"table_id,omitzero"`
	IfExists bool            `json:"if_exists,omitzero"`
}

func (r *TableDrop) check() error { return needTable(r.Table) }

// Dropped is the result of a drop: false where there was nothing and if_exists allowed that.
type Dropped struct {
	Dropped bool `json:"dropped"`
}

// TableList is the body of table.list: all tables, or those of one database.
type TableList struct {
	Database string `json:"database,omitzero"`
}

func (r *TableList) check() error {
	if r.Database == "" {
		return nil
	}
	return quiver.CheckName("database", r.Database)
}

// TableRow is one result of table.list.
type TableRow struct {
	Table   string         `json:"table"`
	TableID quiver.TableID `json:"table_id"`
}

// TableDescribe is the body of table.describe.
type TableDescribe struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
}

func (r *TableDescribe) check() error { return needTable(r.Table) }

// TableDescription is the result of table.describe, table.create and table.alter.
type TableDescription struct {
	Table       string              `json:"table"`
	TableID     quiver.TableID      `json:"table_id"`
	SchemaID    quiver.SchemaID     `json:"schema_id"`
	Columns     []ColumnDescription `json:"columns"`
	PrimaryKey  []string            `json:"primary_key"`
	BucketKey   []string            `json:"bucket_key"`
	Buckets     int32               `json:"buckets"`
	PartitionBy []string            `json:"partition_by"`
	Options     map[string]string   `json:"options"`
	Comment     string              `json:"comment"`
	Created     int64               `json:"created"` // Unix milliseconds
}

// ColumnDescription is one column of a TableDescription. A column without a default has null there.
type ColumnDescription struct {
	ID       quiver.ColumnID `json:"id"`
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Nullable bool            `json:"nullable"`
	Default  json.RawMessage `json:"default"`
}

// DescribeTable makes the description of a table.
func DescribeTable(t *quiver.Table) (TableDescription, error) {
	d := TableDescription{
		Table: t.Path(), TableID: t.ID, SchemaID: t.Schema.ID(), Buckets: t.Buckets,
		PrimaryKey: t.ColumnNames(t.PrimaryKey), BucketKey: t.ColumnNames(t.BucketKey), PartitionBy: t.ColumnNames(t.PartitionBy),
		Options: t.Options.Map(), Comment: t.Comment,
		Created: t.Created,
	}
	if d.Options == nil {
		d.Options = map[string]string{}
	}
	for _, c := range t.Schema.Columns() {
		column := ColumnDescription{ID: c.ID, Name: c.Field.Name, Type: quiver.FormatType(c.Field.Type), Nullable: c.Field.Nullable}
		if c.Default != nil {
			text, err := quiver.FormatDefault(c.Field.Type, c.Default)
			if err != nil {
				return d, err
			}
			column.Default = text
		}
		d.Columns = append(d.Columns, column)
	}
	return d, nil
}

// TableStats is the body of table.stats.
type TableStats struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
}

func (r *TableStats) check() error { return needTable(r.Table) }

// StatsRow is one result of table.stats: one bucket, or with Total the sum over all, last.
type StatsRow struct {
	Partition *string        `json:"partition"`
	Bucket    *int32         `json:"bucket"`
	Rows      int64          `json:"rows"`
	Bytes     int64          `json:"bytes"`
	Earliest  *quiver.Offset `json:"earliest"`
	Latest    *quiver.Offset `json:"latest"`
	Segments  int64          `json:"segments"`
	Total     bool           `json:"total,omitzero"`
}

// TotalStats adds the rows up.
func TotalStats(rows []StatsRow) StatsRow {
	total := StatsRow{Total: true}
	for _, r := range rows {
		total.Rows += r.Rows
		total.Bytes += r.Bytes
		total.Segments += r.Segments
	}
	return total
}

// PartitionWord is a partition's name as results show it: nil, and so null, on unpartitioned tables.
func PartitionWord(name string) *string {
	if name == "" {
		return nil
	}
	return &name
}
