package quiver

import "github.com/apache/arrow-go/v18/arrow"

// Column is one top-level column of a table.
//
// Field is the Arrow field as stored: normalised (no dictionary, view, run-end or extension types; see Normalize),
// with the user's metadata and, on it and on every nested field, its ColumnID under the key "PARQUET:field_id".
type Column struct {
	ID      ColumnID
	Field   arrow.Field
	Default any // nil: none; else the value in the Go type that Arrow scalars of this type use
}

// Schema is one version of a table's columns. It is immutable.
type Schema struct {
	id         SchemaID
	columns    []Column
	metadata   arrow.Metadata
	lastColumn ColumnID
}
