package flight

import "github.com/quiverlog/quiver"

// The names of the actions on cursors.
const (
	ActionCursorCommit = "cursor.commit"
	ActionCursorList   = "cursor.list"
	ActionCursorReset  = "cursor.reset"
)

func needCursor(name string, table TableName) error {
	if err := needTable(table); err != nil {
		return err
	}
	if name == "" {
		return quiver.Errorf(quiver.BadCommand, "the body names no cursor").On("table " + table.String()).
			Advise(`send {"cursor":"job1","table":"shop.orders", …}`)
	}
	return quiver.CheckName("cursor", name)
}

// CursorCommit is the body of cursor.commit: the cursor moves in the buckets named, and stays in the others. With
// Expect it moves only if it stands there still: in each bucket that Expect names, and nowhere yet in others that
// Offsets names; where it was never committed it stands at the earliest row. Its result is a CursorRow without lag.
type CursorCommit struct {
	Cursor  string          `json:"cursor"`
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
	Offsets Offsets         `json:"offsets,omitzero"`
	Expect  Offsets         `json:"expect,omitzero"`
}

func (r *CursorCommit) check() error {
	if err := needCursor(r.Cursor, r.Table); err != nil {
		return err
	}
	if r.Offsets.IsZero() {
		return quiver.Errorf(quiver.BadCommand, "the body has no offsets").On("table " + r.Table.String()).Advise(hintOffsets)
	}
	return nil
}

// CursorList is the body of cursor.list: the cursors of a table, or one of them. Its results are CursorRows.
type CursorList struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
	Cursor  string          `json:"cursor,omitzero"`
}

func (r *CursorList) check() error {
	if r.Cursor == "" {
		return needTable(r.Table)
	}
	return needCursor(r.Cursor, r.Table)
}

// CursorReset is the body of cursor.reset: the cursor, which exists, moves to a position in all buckets. Its result is
// a CursorRow without lag.
type CursorReset struct {
	Cursor  string          `json:"cursor"`
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
	To      Position        `json:"to"`
}

func (r *CursorReset) check() error {
	if err := needCursor(r.Cursor, r.Table); err != nil {
		return err
	}
	if r.To.IsZero() {
		return quiver.Errorf(quiver.BadCommand, "the body does not say where to").On("table " + r.Table.String()).
			Advise(hintPosition)
	}
	return nil
}

// CursorRow is one result of cursor.list, and what cursor.commit and cursor.reset answer.
type CursorRow struct {
	Cursor     string   `json:"cursor"`
	Table      string   `json:"table"`
	Offsets    Offsets  `json:"offsets"`              // what to read next, in the buckets that were committed
	LagRows    *int64   `json:"lag_rows,omitzero"`    // rows from there to the latest, over all buckets
	LagSeconds *float64 `json:"lag_seconds,omitzero"` // how old the oldest of them is; 0 if there are none
	Committed  int64    `json:"committed"`            // Unix milliseconds
}
