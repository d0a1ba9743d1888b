package kv

import (
	"github.com/quiverlog/quiver"
)

// Engine says how an upsert and the current row of its key become one row.
type Engine int8

// The merge engines.
const (
	LastRow     Engine = iota // the upsert's row replaces the current one
	FirstRow                  // the current row stays
	Versioned                 // the row with the newer version stays; of equal ones the upsert's, and null never wins
	Aggregation               // each column by a function of its own
)

// DeleteBehavior says what a delete does.
type DeleteBehavior int8

// The behaviours.
const (
	AllowDelete   DeleteBehavior = iota // the row goes
	IgnoreDelete                        // nothing
	DisableDelete                       // the put is refused, DELETE_DISABLED
)

// Config is what a table says about the rows of its buckets.
type Config struct {
	Schema        *quiver.Schema
	Key           []quiver.ColumnID // in the order in which rows sort
	Engine        Engine
	Version       quiver.ColumnID                      // of Versioned
	Aggregates    map[quiver.ColumnID]quiver.Aggregate // of Aggregation; a column without one takes the last value that is not null
	Deletes       DeleteBehavior
	OmitBefore    bool            // the changelog has no -U
	EmitNoOp      bool            // an upsert that changes nothing stands in the changelog
	AutoIncrement quiver.ColumnID // filled by the server; 0: none
}

// Op says what one row of a put does.
type Op int8

// The operations.
const (
	Upsert Op = iota
	Delete
	Skip // nothing: an update-before that somebody sends along
)

// Mark is how far a bucket has come.
type Mark struct {
	Applied quiver.Offset // one past the last change that is in the rows
	Epoch   quiver.Epoch  // of a leader; no change in the rows has a higher one
	Rows    int64         // that there are
}
