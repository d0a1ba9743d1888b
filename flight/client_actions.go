package flight

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"

	"github.com/quiverlog/quiver"
)

// Named is the table that a path names: "shop.orders", or "orders" in the database "default". It does not look at the
// names: if they break the rules, the server says so.
func Named(path string) TableName {
	for i := range len(path) {
		if path[i] == '.' {
			return TableName{Database: path[:i], Table: path[i+1:]}
		}
	}
	return TableName{Database: quiver.DefaultDatabase, Table: path}
}

// Databases lists the databases.
func (c *Client) Databases(ctx context.Context) ([]DatabaseRow, error) {
	return Do[DatabaseRow](ctx, c, ActionDatabaseList, nil)
}

// CreateDatabase creates a database and describes it.
func (c *Client) CreateDatabase(ctx context.Context, body DatabaseCreate) (DatabaseDescription, error) {
	return doOne[DatabaseDescription](ctx, c, ActionDatabaseCreate, body)
}

// AlterDatabase changes a database and describes it.
func (c *Client) AlterDatabase(ctx context.Context, body DatabaseAlter) (DatabaseDescription, error) {
	return doOne[DatabaseDescription](ctx, c, ActionDatabaseAlter, body)
}

// DropDatabase drops a database; one that has tables only with Cascade. It says whether there was one; where there was
// none and IfExists is not set, it fails.
func (c *Client) DropDatabase(ctx context.Context, body DatabaseDrop) (dropped bool, err error) {
	result, err := doOne[Dropped](ctx, c, ActionDatabaseDrop, body)
	return result.Dropped, err
}

// DescribeDatabase describes a database.
func (c *Client) DescribeDatabase(ctx context.Context, database string) (DatabaseDescription, error) {
	return doOne[DatabaseDescription](ctx, c, ActionDatabaseDescribe, DatabaseDescribe{Database: database})
}

// CreateTable creates a table and describes it.
func (c *Client) CreateTable(ctx context.Context, body TableCreate) (TableDescription, error) {
	return doOne[TableDescription](ctx, c, ActionTableCreate, body)
}

// AlterTable changes a table, all or nothing, and describes it.
func (c *Client) AlterTable(ctx context.Context, body TableAlter) (TableDescription, error) {
	return doOne[TableDescription](ctx, c, ActionTableAlter, body)
}

// DropTable drops a table. It says whether there was one; where there was none and IfExists is not set, it fails.
func (c *Client) DropTable(ctx context.Context, body TableDrop) (dropped bool, err error) {
	result, err := doOne[Dropped](ctx, c, ActionTableDrop, body)
	return result.Dropped, err
}

// Tables lists the tables of a database, or all of them for "".
func (c *Client) Tables(ctx context.Context, database string) ([]TableRow, error) {
	return Do[TableRow](ctx, c, ActionTableList, TableList{Database: database})
}

// DescribeTable describes a table.
func (c *Client) DescribeTable(ctx context.Context, table string) (TableDescription, error) {
	return doOne[TableDescription](ctx, c, ActionTableDescribe, TableDescribe{Table: Named(table)})
}

// TableStats tells how much each bucket of a table holds, and in the last row all of them together.
func (c *Client) TableStats(ctx context.Context, table string) ([]StatsRow, error) {
	return Do[StatsRow](ctx, c, ActionTableStats, TableStats{Table: Named(table)})
}

// CreatePartition creates a partition of a table. Writing into it does so as well, unless the table forbids it.
func (c *Client) CreatePartition(ctx context.Context, body PartitionCreate) (PartitionRow, error) {
	return doOne[PartitionRow](ctx, c, ActionPartitionCreate, body)
}

// DropPartition drops a partition and its rows. It says whether there was one; where there was none and IfExists is not
// set, it fails.
func (c *Client) DropPartition(ctx context.Context, body PartitionDrop) (dropped bool, err error) {
	result, err := doOne[Dropped](ctx, c, ActionPartitionDrop, body)
	return result.Dropped, err
}

// Partitions lists the partitions of a table.
func (c *Client) Partitions(ctx context.Context, table string) ([]PartitionRow, error) {
	return Do[PartitionRow](ctx, c, ActionPartitionList, PartitionList{Table: Named(table)})
}

// Offsets tells for each bucket of a table the offset at a position: Earliest, Latest (the default) or AtTimestamp.
func (c *Client) Offsets(ctx context.Context, table string, at Position) ([]OffsetRow, error) {
	return Do[OffsetRow](ctx, c, ActionLogOffsets, LogOffsets{Table: Named(table), At: at})
}

// Wait waits until some bucket has rows at or behind the offsets given and tells which; none at the timeout.
func (c *Client) Wait(ctx context.Context, body LogWait) ([]Range, error) {
	return Do[Range](ctx, c, ActionLogWait, body)
}

// DeleteBefore drops the rows before offsets or a time, and tells the earliest offset of each bucket afterwards.
func (c *Client) DeleteBefore(ctx context.Context, body LogDeleteBefore) ([]OffsetRow, error) {
	return Do[OffsetRow](ctx, c, ActionLogDeleteBefore, body)
}

// CommitCursor moves a cursor, which its first commit makes. With Expect it moves only if it stands there still, else
// the error is CONDITION_FAILED.
func (c *Client) CommitCursor(ctx context.Context, body CursorCommit) (CursorRow, error) {
	return doOne[CursorRow](ctx, c, ActionCursorCommit, body)
}

// Cursors lists the cursors of a table, with how far they lag.
func (c *Client) Cursors(ctx context.Context, table string) ([]CursorRow, error) {
	return Do[CursorRow](ctx, c, ActionCursorList, CursorList{Table: Named(table)})
}

// ResetCursor moves a cursor to a position in all buckets.
func (c *Client) ResetCursor(ctx context.Context, body CursorReset) (CursorRow, error) {
	return doOne[CursorRow](ctx, c, ActionCursorReset, body)
}

// InitWriter gets an identity for a writer. Appenders do it themselves.
func (c *Client) InitWriter(ctx context.Context, body WriterInit) (WriterRow, error) {
	return doOne[WriterRow](ctx, c, ActionWriterInit, body)
}

// DescribeWriter tells for each bucket of a table the highest sequence that it has of a writer.
func (c *Client) DescribeWriter(ctx context.Context, table string, writer quiver.WriterID) ([]SequenceRow, error) {
	return Do[SequenceRow](ctx, c, ActionWriterDescribe, WriterDescribe{Table: Named(table), WriterID: &writer})
}

// TableSchema gives the Arrow schema of a table.
func (c *Client) TableSchema(ctx context.Context, table string) (*arrow.Schema, error) {
	descriptor := &afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: Named(table).DescriptorPath()}
	result, err := c.stub.GetSchema(c.outgoing(ctx), descriptor)
	if err != nil {
		return nil, callError(ctx, err)
	}
	return quiver.ParseSchemaMessage(result.GetSchema())
}

// Plan is what a scan will read, cut into parts that can be read apart: one for each bucket and contiguous range.
type Plan struct {
	Info   PlanInfo
	Schema *arrow.Schema
	Rows   int64 // of the whole scan; -1 where only reading tells
	Bytes  int64 // likewise
	Parts  []PlanPart
}

// PlanPart is one part of a plan. Its scan holds the offsets planned.
type PlanPart struct {
	Info PlanInfo
	Scan ScanCommand
}

// Plan plans a scan. Parts of a plan may be scanned at the same time, from anywhere, and again.
func (c *Client) Plan(ctx context.Context, scan ScanCommand) (*Plan, error) {
	info, err := c.stub.GetFlightInfo(c.outgoing(ctx), &afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: scan.Encode()})
	if err != nil {
		return nil, callError(ctx, err)
	}
	plan := &Plan{Rows: info.GetTotalRecords(), Bytes: info.GetTotalBytes()}
	if err := decodeLoose(info.GetAppMetadata(), &plan.Info); err != nil {
		return nil, err
	}
	if plan.Schema, err = quiver.ParseSchemaMessage(info.GetSchema()); err != nil {
		return nil, err
	}
	for _, endpoint := range info.GetEndpoint() {
		var part PlanPart
		if err := decodeLoose(endpoint.GetTicket().GetTicket(), &part.Scan); err != nil {
			return nil, err
		}
		if err := decodeLoose(endpoint.GetAppMetadata(), &part.Info); err != nil {
			return nil, err
		}
		plan.Parts = append(plan.Parts, part)
	}
	return plan, nil
}
