package server

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
)

// A put into a primary-key table sends whole rows, or some columns of them:
//
//	upsert                 all columns; what is not sent takes its default
//	upsert with "columns"  the columns sent, of which those named are changed; the others keep their values
//	delete                 the columns of the primary key; others may come along
//
// and beside them, perhaps, what each row does (__change_type) and what it expects to find (__expected_offset).

// keyedSchema gives the schema that the batches of a stream have. table is the table's, perhaps with other defaults.
func (r *receiver) keyedSchema(table *quiver.Schema) (*quiver.Schema, error) {
	var sent []quiver.ColumnID
	for _, f := range r.client.Fields() {
		if c, ok := table.ByName(f.Name); ok && !slices.Contains(sent, c.ID) {
			sent = append(sent, c.ID)
		}
	}
	if r.within != "" {
		for _, id := range r.table.PartitionBy {
			if !slices.Contains(sent, id) {
				sent = append(sent, id)
			}
		}
	}
	for _, id := range r.table.PrimaryKey {
		if !slices.Contains(sent, id) {
			c, _ := table.Column(id)
			return nil, quiver.Errorf(quiver.SchemaMismatch, "column %q is part of the primary key and is missing", c.Field.Name).
				On("table " + r.table.Path()).Advise("send every column of the primary key")
		}
	}
	var system []quiver.ColumnID
	for name, id := range map[string]quiver.ColumnID{quiver.ChangeTypeColumn: quiver.ChangeTypeID, quiver.ExpectedOffsetColumn: quiver.ExpectedOffsetID} {
		if r.client.HasField(name) {
			system = append(system, id)
		}
	}
	slices.Sort(system)
	if r.command.Op == flight.OpDelete || r.command.Columns != nil {
		return table.Pick(sent, system...)
	}
	if len(system) == 0 {
		return table, nil
	}
	all := make([]quiver.ColumnID, 0, table.NumColumns())
	for _, c := range table.Columns() {
		all = append(all, c.ID)
	}
	return table.Pick(all, system...)
}

// keyedRows makes what one bucket is to do with its rows of a batch. It takes over a reference on the batch.
func (r *receiver) keyedRows(batch *record.Batch, order flight.BatchOrder) *tablet.Rows {
	rows := &tablet.Rows{Batch: batch.Retain(), Schema: r.schema}
	if order.Op == flight.OpDelete {
		rows.Op = kv.Delete
	}
	if order.Columns != nil {
		rows.Partial = true
		rows.Columns = make([]quiver.ColumnID, 0, len(order.Columns))
		for _, name := range order.Columns {
			if c, ok := r.table.Schema.ByName(name); ok {
				rows.Columns = append(rows.Columns, c.ID)
			}
		}
	}
	return rows
}

// checkKeyed refuses a batch that no bucket could take, before any does.
func (r *receiver) checkKeyed(batch *record.Batch, order flight.BatchOrder) error {
	if err := flight.CheckOp(r.table, order.Op, order.Columns, order.Bucket); err != nil {
		return err
	}
	upserts, err := r.checkChangeTypes(batch)
	if err != nil {
		return err
	}
	if upserts || order.Op != flight.OpDelete && r.schema.Index(quiver.ChangeTypeID) < 0 {
		if err := r.checkWhole(order.Columns); err != nil {
			return err
		}
	}
	if err := r.checkExpected(batch); err != nil {
		return err
	}
	return r.checkKeysOf(batch)
}

// checkExpected refuses expected offsets that no row has.
func (r *receiver) checkExpected(batch *record.Batch) error {
	at := r.schema.Index(quiver.ExpectedOffsetID)
	if at < 0 {
		return nil
	}
	rec, err := batch.Decode()
	if err != nil {
		return err
	}
	defer rec.Release()
	expected, ok := rec.Column(at).(*array.Int64)
	if !ok {
		return quiver.Errorf(quiver.Internal, "expected offsets are %s", rec.Column(at).DataType())
	}
	for i := range expected.Len() {
		if !expected.IsNull(i) && expected.Value(i) < -1 {
			return quiver.Errorf(quiver.SchemaMismatch, "row %d has %s %d", i, quiver.ExpectedOffsetColumn, expected.Value(i)).
				Advise("take the __offset of a lookup, -1 for a key that must be absent, or null for no condition")
		}
	}
	return nil
}

// maxKey is the most bytes that the text and binary values of a primary key may have together.
const maxKey = 64 << 10

// checkKeysOf refuses a batch with keys that are too long.
func (r *receiver) checkKeysOf(batch *record.Batch) error {
	if !textInKey(r.table) {
		return nil
	}
	rec, err := batch.Decode()
	if err != nil {
		return err
	}
	defer rec.Release()
	columns := make([]arrow.Array, 0, len(r.table.PrimaryKey))
	for _, id := range r.table.PrimaryKey {
		columns = append(columns, rec.Column(r.schema.Index(id)))
	}
	return checkKeys(r.table, columns)
}

// textInKey says that keys have no length of their own.
func textInKey(table *quiver.Table) bool {
	return slices.ContainsFunc(table.PrimaryKey, func(id quiver.ColumnID) bool {
		c, _ := table.Schema.Column(id)
		return arrow.IsBaseBinary(c.Field.Type.ID())
	})
}

// checkKeys refuses keys that are too long, given by the columns of the primary key.
func checkKeys(table *quiver.Table, columns []arrow.Array) error {
	var texts []interface{ ValueLen(int) int }
	for _, c := range columns {
		if text, ok := c.(interface{ ValueLen(int) int }); ok && arrow.IsBaseBinary(c.DataType().ID()) {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	for i := range columns[0].Len() {
		size := 0
		for _, text := range texts {
			size += text.ValueLen(i)
		}
		if size > maxKey {
			return quiver.Errorf(quiver.SchemaMismatch, "row %d: its primary key %q has %d bytes, at most %d are taken", i, table.ColumnNames(table.PrimaryKey), size, maxKey).
				Advise("take a short key, such as a hash of the long one")
		}
	}
	return nil
}

// checkWhole refuses upserts that would leave a column without a value which has to have one.
func (r *receiver) checkWhole(columns []string) error {
	for _, name := range columns {
		if c, _ := r.table.Schema.ByName(name); r.schema.Index(c.ID) < 0 {
			return quiver.Errorf(quiver.SchemaMismatch, "column %q is named in \"columns\" and is not sent", name)
		}
	}
	for _, c := range r.table.Schema.Columns() {
		given := r.schema.Index(c.ID) >= 0 && (columns == nil || slices.Contains(columns, c.Field.Name))
		if given || c.Field.Nullable || c.Default != nil || slices.Contains(r.table.PrimaryKey, c.ID) {
			continue
		}
		return quiver.Errorf(quiver.SchemaMismatch, "column %q is missing, has no default and may not be null: a row that is new could not be made", c.Field.Name).
			Advise("send it, or give it a default with table.alter")
	}
	return nil
}

// changeWords are what a row may be said to do.
var changeWords = []string{quiver.Insert.String(), quiver.UpdateAfter.String(), quiver.UpdateBefore.String(), quiver.Delete.String()}

// checkChangeTypes refuses words that are no change types, and tells whether any of them upserts.
func (r *receiver) checkChangeTypes(batch *record.Batch) (upserts bool, err error) {
	at := r.schema.Index(quiver.ChangeTypeID)
	if at < 0 {
		return false, nil
	}
	rec, err := batch.Decode()
	if err != nil {
		return false, err
	}
	defer rec.Release()
	words, ok := rec.Column(at).(*array.String)
	if !ok {
		return false, quiver.Errorf(quiver.Internal, "change types are %s", rec.Column(at).DataType())
	}
	for i := range words.Len() {
		word := words.Value(i)
		if !slices.Contains(changeWords, word) {
			return false, quiver.Errorf(quiver.SchemaMismatch, "row %d has %s %q", i, quiver.ChangeTypeColumn, cutWord(word)).
				Advise(fmt.Sprintf("take one of %q", changeWords))
		}
		upserts = upserts || word[0] == '+'
	}
	return upserts, nil
}

// cutWord cuts text of a client short for an error.
func cutWord(word string) string {
	const most = 32
	if len(word) > most {
		return word[:most] + "…"
	}
	return word
}
