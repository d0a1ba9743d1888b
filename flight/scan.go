package flight

import (
	"encoding/json"
	"slices"

	"github.com/quiverlog/quiver"
)

// The values of "read".
const (
	ReadLog      = "log"       // the rows of a log table, or the changelog of a primary-key table
	ReadTable    = "table"     // the current rows of a primary-key table
	ReadTableLog = "table+log" // the current rows, then the changelog from exactly there
)

// The values of "locations".
const (
	LocationsLeaders = "leaders"
	LocationsFiles   = "files"
)

// ScanCommand says what to read. It is the command of a descriptor and, in the same JSON, the ticket of a DoGet.
//
// A nil Columns means all columns, an empty one none. A nil pointer means that the key was not given.
type ScanCommand struct {
	Table         TableName       `json:"table"`
	TableID       *quiver.TableID `json:"table_id,omitzero"`       // guards a stored position
	Partition     *string         `json:"partition,omitzero"`      // nil: all
	Bucket        *int32          `json:"bucket,omitzero"`         // nil: all
	Columns       []string        `json:"columns,omitzero"`        // user and system columns in the order wanted
	SystemColumns []string        `json:"system_columns,omitzero"` // behind them
	Filter        *string         `json:"filter,omitzero"`
	From          Position        `json:"from,omitzero"`
	Until         Position        `json:"until,omitzero"`
	Follow        bool            `json:"follow,omitzero"`
	Limit         *int64          `json:"limit,omitzero"` // rows of the whole ticket
	Read          string          `json:"read,omitzero"`  // "" for the table's default
	BatchRows     int32           `json:"batch_rows,omitzero"`
	MaxBytes      int64           `json:"max_bytes,omitzero"`
	KeyRange      json.RawMessage `json:"key_range,omitzero"`
	Order         string          `json:"order,omitzero"`
	Locations     string          `json:"locations,omitzero"` // of a plan only
}

// ParseTicketCommand reads the ticket of a DoGet: a scan, or a lookup with its keys. It carries no authority.
func ParseTicketCommand(ticket []byte) (*Descriptor, error) { return parseCommand(ticket) }

// ParseTicket reads a ticket that scans.
func ParseTicket(ticket []byte) (*ScanCommand, error) {
	d, err := parseCommand(ticket)
	if err != nil {
		return nil, err
	}
	return d.AsScan()
}

// AsScan gives the scan that a descriptor asks for; a path asks for the whole table.
func (d *Descriptor) AsScan() (*ScanCommand, error) {
	switch {
	case d.Scan != nil:
		return d.Scan, nil
	case d.Path != nil:
		scan := &ScanCommand{Table: TableName{Database: d.Path.Database, Table: d.Path.Table}}
		if d.Path.Partition != "" {
			scan.Partition = &d.Path.Partition
		}
		return scan, scan.check()
	case d.Lookup != nil:
		return nil, quiver.Errorf(quiver.BadCommand, "a lookup command is no scan").Advise(hintCommand)
	default:
		return nil, quiver.Errorf(quiver.BadCommand, "a put command is no scan").Advise(hintCommand)
	}
}

// Encode writes the command as a ticket. Two equal commands give the same bytes.
func (c *ScanCommand) Encode() []byte { return encode(c) }

// Range gives the positions with their defaults: from the earliest row, until the high watermark, or without an end
// (NotGiven) for a scan that follows.
func (c *ScanCommand) Range() (from, until Position) {
	from, until = c.From, c.Until
	if from.Kind == NotGiven {
		from.Kind = Earliest
	}
	if until.Kind == NotGiven && !c.Follow {
		until.Kind = Latest
	}
	return from, until
}

func decodeScan(root *jsonValue) (*ScanCommand, error) {
	var c ScanCommand
	if err := root.into(valueOf(&c)); err != nil {
		return nil, err
	}
	if c.Table.IsZero() {
		return nil, noTable()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c, nil
}

func noTable() error {
	return quiver.Errorf(quiver.BadCommand, "the command names no table").Advise(hintCommand)
}

// check refuses values that no table takes, and the features that only primary-key tables have: a key is served or
// refused, never ignored. What depends on the table is checked where that is known.
func (c *ScanCommand) check() error {
	if err := c.checkValues(); err != nil {
		return err
	}
	return c.checkReadMode()
}

func (c *ScanCommand) checkValues() error {
	switch {
	case c.Bucket != nil && *c.Bucket < 0:
		return c.bad("bucket %d is negative", *c.Bucket)
	case c.Limit != nil && *c.Limit < 0:
		return c.bad("limit %d is negative", *c.Limit)
	case c.BatchRows < 0:
		return c.bad("batch_rows %d is negative", c.BatchRows)
	case c.MaxBytes < 0:
		return c.bad("max_bytes %d is negative", c.MaxBytes)
	case len(c.Columns) > quiver.MaxColumns || len(c.SystemColumns) > quiver.MaxColumns:
		return c.bad("at most %d columns can be read", quiver.MaxColumns)
	}
	for _, name := range c.SystemColumns {
		if !slices.Contains(systemColumns, name) {
			return wrongValue(quiver.BadCommand, "system_columns", name, systemColumns...)
		}
	}
	if c.Locations != "" && c.Locations != LocationsLeaders && c.Locations != LocationsFiles {
		return wrongValue(quiver.BadCommand, "locations", c.Locations, LocationsLeaders, LocationsFiles)
	}
	return nil
}

var systemColumns = []string{quiver.BucketColumn, quiver.OffsetColumn, quiver.TimestampColumn,
	quiver.PartitionColumn, quiver.ChangeTypeColumn}

func (c *ScanCommand) checkReadMode() error {
	switch c.Read {
	case "", ReadLog, ReadTable, ReadTableLog:
	default:
		return wrongValue(quiver.BadCommand, "read", c.Read, ReadLog, ReadTable, ReadTableLog)
	}
	if c.Order != "" && c.Order != OrderKey {
		return wrongValue(quiver.BadCommand, "order", c.Order, OrderKey)
	}
	return nil
}

// OrderKey is the value of "order".
const OrderKey = "key"

// Mode is what is read of a table: what the command says, or the table's default.
func (c *ScanCommand) Mode(t *quiver.Table) string {
	switch {
	case c.Read != "":
		return c.Read
	case t.Keyed():
		return ReadTable
	}
	return ReadLog
}

// CheckTable refuses what the table does not have: a key is served or refused, never ignored.
func (c *ScanCommand) CheckTable(t *quiver.Table) error {
	const hint = `leave it out, or take "read":"log"`
	changes := slices.Contains(c.Columns, quiver.ChangeTypeColumn) || slices.Contains(c.SystemColumns, quiver.ChangeTypeColumn)
	if !t.Keyed() {
		switch {
		case changes:
			return c.bad("%q needs a primary-key table, and this is a log table, where every row is an append", quiver.ChangeTypeColumn).
				Advise("leave it out")
		case c.Read == ReadTable || c.Read == ReadTableLog:
			return c.bad("\"read\":%q needs a primary-key table, and this is a log table", c.Read).Advise(hint)
		case c.KeyRange != nil:
			return c.bad("\"key_range\" needs a primary-key table, and this is a log table").Advise(hint)
		case c.Order != "":
			return c.bad("\"order\" needs a primary-key table, and this is a log table").Advise(hint)
		}
		return nil
	}
	mode := c.Mode(t)
	switch {
	case mode == ReadTable && changes:
		return c.bad("%q stands in the changelog, and the table is read", quiver.ChangeTypeColumn).Advise(`leave it out, or take "read":"log"`)
	case mode != ReadLog && slices.Contains(slices.Concat(c.Columns, c.SystemColumns), quiver.TimestampColumn):
		return c.bad("%q stands in the changelog, and the table is read", quiver.TimestampColumn).Advise(`leave it out, or take "read":"log"`)
	case mode != ReadTable && c.KeyRange != nil:
		return c.bad("\"key_range\" is for \"read\":\"table\"")
	case mode != ReadTable && c.Order != "":
		return c.bad("\"order\" is for \"read\":\"table\"")
	case mode == ReadTable && (c.Follow || !c.From.IsZero() || !c.Until.IsZero()):
		return c.bad("a table is read as it is now: \"from\", \"until\" and \"follow\" are for its changelog").
			Advise(`take "read":"log", or "read":"table+log" to begin with the table`)
	case mode == ReadTableLog && !c.From.IsZero():
		return c.bad("\"read\":\"table+log\" begins with the table as it is now, and takes no \"from\"").Advise("leave it out")
	}
	return nil
}

func (c *ScanCommand) subject() string { return "table " + c.Table.String() }

func (c *ScanCommand) bad(format string, args ...any) *quiver.Error {
	return quiver.Errorf(quiver.BadCommand, format, args...).On(c.subject())
}

// LookupCommand asks for rows by key.
type LookupCommand struct {
	Table         TableName         `json:"lookup"`
	TableID       *quiver.TableID   `json:"table_id,omitzero"`
	Columns       []string          `json:"columns,omitzero"`
	Prefix        bool              `json:"prefix,omitzero"`
	Keys          []json.RawMessage `json:"keys,omitzero"` // of a ticket only
	InsertMissing bool              `json:"insert_missing,omitzero"`
	MinOffsets    Offsets           `json:"min_offsets,omitzero"`
	MaxBytes      int64             `json:"max_bytes,omitzero"`
}

func decodeLookup(root *jsonValue) (*LookupCommand, error) {
	var c LookupCommand
	if err := root.into(valueOf(&c)); err != nil {
		return nil, err
	}
	if c.Table.IsZero() {
		return nil, noTable()
	}
	return &c, c.check()
}

// check refuses what no table does.
func (c *LookupCommand) check() error {
	bad := func(format string, args ...any) error {
		return quiver.Errorf(quiver.BadCommand, format, args...).On("table " + c.Table.String())
	}
	switch {
	case c.MaxBytes < 0:
		return bad("max_bytes %d is negative", c.MaxBytes)
	case len(c.Columns) > quiver.MaxColumns:
		return bad("at most %d columns can be read", quiver.MaxColumns)
	case len(c.Keys) > MaxTicketKeys:
		return bad("a ticket has at most %d keys, this one has %d", MaxTicketKeys, len(c.Keys))
	case c.Prefix && c.InsertMissing:
		return bad("\"insert_missing\" needs whole keys, not prefixes")
	}
	return nil
}

// MaxTicketKeys is the most keys that a ticket may have; a lookup by DoExchange has any number.
const MaxTicketKeys = 10_000

// CheckTable refuses a lookup in a log table.
func (c *LookupCommand) CheckTable(t *quiver.Table) error {
	if t.Keyed() {
		return nil
	}
	return quiver.Errorf(quiver.BadCommand, "a lookup needs a primary-key table, and this is a log table").
		On("table " + t.Path()).Advise(`read it with {"table": …}`)
}

// Encode writes the command, for a ticket or a descriptor.
func (c *LookupCommand) Encode() []byte { return encode(c) }
