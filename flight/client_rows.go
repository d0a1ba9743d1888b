package flight

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// Rows appends values of one struct type. Its columns are the struct's exported fields, named by their tags:
//
//	type Order struct {
//		ID     int64          `arrow:"id"`
//		Price  decimal128.Num `arrow:"price,type=decimal128(12, 2)"`
//		Note   *string        `arrow:"note"` // nil is null, as are nil slices and maps
//		Placed time.Time      `arrow:"placed"`
//		Secret string         `arrow:"-"`
//	}
//
// A field without type= takes the column's type, if its values can stand there: any integer in an integer column, where
// each value is looked at, time.Time in timestamps, cut to the unit, and dates, time.Duration in durations and times of
// day. It is as safe for concurrent use as its appender.
type Rows[T any] struct {
	set *rowSet
	row *T // where the set takes rows from
}

// RowsOf makes what appends values of a struct type to the appender's table. The plan how is made here, once.
func RowsOf[T any](ctx context.Context, a *Appender) (*Rows[T], error) {
	set, err := a.rowSetOf(ctx, rowKind{typ: reflect.TypeFor[T]()})
	if err != nil {
		return nil, err
	}
	return &Rows[T]{set: set, row: set.slot.Addr().Interface().(*T)}, nil
}

// Append appends a row behind those appended before, by whatever method. It returns once the row is gathered, and waits
// while too much is under way: Flush and Close tell when it is durable. A row that does not fit is refused alone, with
// SCHEMA_MISMATCH, and the appender goes on.
func (r *Rows[T]) Append(ctx context.Context, row T) error {
	a := r.set.appender
	if err := a.lockWithRoom(ctx); err != nil {
		return err
	}
	defer a.mu.Unlock()
	*r.row = row
	return r.set.takeLocked()
}

// AppendRow appends a struct, or what a pointer to one points to: as Rows.Append does, for values whose type is only
// known while the program runs.
func (a *Appender) AppendRow(ctx context.Context, row any) error {
	value := reflect.ValueOf(row)
	for value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	if value.Kind() != reflect.Struct {
		return quiver.Errorf(quiver.SchemaMismatch, "a %T is no struct, nor does it point to one", row)
	}
	set, err := a.rowSetOf(ctx, rowKind{typ: value.Type()})
	if err != nil {
		return err
	}
	if err := a.lockWithRoom(ctx); err != nil {
		return err
	}
	defer a.mu.Unlock()
	set.slot.Set(value)
	return set.takeLocked()
}

// lockWithRoom locks the appender once there is room for more.
func (a *Appender) lockWithRoom(ctx context.Context) error {
	for {
		a.mu.Lock()
		err := a.stateLocked()
		if err == nil && a.bytes < a.options.MaxUnacked {
			return nil
		}
		a.mu.Unlock()
		if err != nil {
			return err
		}
		if err := a.room(ctx); err != nil {
			return err
		}
	}
}

// rowSet gathers rows of one struct type into a batch. Everything in it is guarded by the appender's lock.
type rowSet struct {
	appender *Appender
	builder  *array.RecordBuilder
	slot     reflect.Value     // where a row is copied to
	change   quiver.ChangeType // what the row in the slot does, where rows tell
	takes    []take
	values   binder
	rows     int
	last     int   // rows of the batch before
	width    int   // bytes of a row, less what varies
	bad      []int // rows that were refused but stand in the builder
	timer    *time.Timer
}

// rowKind tells row sets of one appender apart.
type rowKind struct {
	typ     reflect.Type
	changes bool // each row has a change type, beside the struct
}

// rowSetOf gives the set of a struct type, made at its first use.
func (a *Appender) rowSetOf(ctx context.Context, kind rowKind) (*rowSet, error) {
	if set, ok := a.rowSets.Load(kind); ok {
		return set.(*rowSet), nil
	}
	t := kind.typ
	if t.Kind() != reflect.Struct {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "the Go type %v is no struct", t)
	}
	table, err := a.tableSchema(ctx)
	if err != nil {
		return nil, err
	}
	set, err := newRowSet(a, kind, table)
	if err != nil {
		return nil, err
	}
	kept, loaded := a.rowSets.LoadOrStore(kind, set)
	if loaded {
		set.builder.Release()
	}
	return kept.(*rowSet), nil
}

// newRowSet plans how rows of a struct type become columns. The table's schema is nil if there is no table yet.
func newRowSet(a *Appender, kind rowKind, table *arrow.Schema) (*rowSet, error) {
	t := kind.typ
	schema, fields, err := structSchema(t, table)
	if err != nil {
		return nil, err
	}
	if kind.changes {
		if schema.HasField(quiver.ChangeTypeColumn) {
			return nil, structFault(t, []string{"it has a column " + quiver.ChangeTypeColumn + ", which the upserter writes"})
		}
		schema = arrow.NewSchema(append(schema.Fields(), arrow.Field{Name: quiver.ChangeTypeColumn, Type: arrow.BinaryTypes.String}), nil)
	}
	s := &rowSet{appender: a, slot: reflect.New(t).Elem(), builder: array.NewRecordBuilder(a.client.options.Allocator, schema)}
	for i, f := range fields {
		s.takes = append(s.takes, s.values.bind(f.name, s.slot.FieldByIndex(f.index), s.builder.Field(i)))
		s.width += int(f.goes.Size())
	}
	if kind.changes {
		change := s.builder.Field(len(fields)).(*array.StringBuilder)
		s.takes = append(s.takes, func() { change.Append(s.change.String()) })
	}
	return s, nil
}

// tableSchema is the schema of the table, nil if the first batch is to make it.
func (a *Appender) tableSchema(ctx context.Context) (*arrow.Schema, error) {
	var o outage
	for {
		schema, err := a.client.TableSchema(ctx, a.table.String())
		switch {
		case quiver.ReasonOf(err) == quiver.TableNotFound:
			return nil, nil
		case err == nil:
			return schema, nil
		}
		if err := o.next(ctx, a.client.options.RetryFor, err); err != nil {
			return nil, err
		}
	}
}

// takeLocked takes the row in the slot.
func (s *rowSet) takeLocked() error {
	a := s.appender
	if a.gathered != s {
		if err := a.cutLocked(); err != nil {
			return err
		}
		a.gathered = s
	}
	if s.rows == 0 {
		s.begin()
	}
	for _, t := range s.takes {
		t()
	}
	s.rows++
	if s.values.fault != nil {
		return s.refuse()
	}
	if s.rows >= a.options.BatchRows || s.values.size+s.rows*s.width >= a.options.BatchBytes {
		return a.cutLocked()
	}
	return nil
}

// begin prepares for the first row of a batch.
func (s *rowSet) begin() {
	s.builder.Reserve(s.last)
	if s.appender.options.Linger < 0 {
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(s.appender.options.Linger, s.lingered)
		return
	}
	s.timer.Reset(s.appender.options.Linger)
}

// lingered sends what was gathered while the first row waited.
func (s *rowSet) lingered() {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gathered == s {
		_ = a.cutLocked() // what fails here fails the appender, which every call tells
	}
}

// refuse marks the row just taken as one that does not count.
func (s *rowSet) refuse() error {
	err := quiver.Errorf(quiver.SchemaMismatch, "%v", s.values.fault).On(fmt.Sprintf("table %s, a row", s.appender.table))
	s.values.fault = nil
	s.bad = append(s.bad, s.rows-1)
	return err
}

// cut gives the rows gathered as a batch, nil if there are none.
func (s *rowSet) cut() arrow.RecordBatch {
	if s.rows == 0 {
		return nil
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	batch := s.builder.NewRecordBatch()
	bad := s.bad
	s.last, s.rows, s.values.size, s.bad = s.rows, 0, 0, nil
	s.slot.SetZero()
	if len(bad) == 0 {
		return batch
	}
	defer batch.Release()
	return without(batch, bad, s.appender.client.options.Allocator)
}

// release lets the set's memory go. Nothing is gathered any more.
func (s *rowSet) release() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.builder.Release()
}

// without gives a batch less some of its rows, which ascend; nil if none is left.
func without(batch arrow.RecordBatch, bad []int, mem memory.Allocator) arrow.RecordBatch {
	rows := int(batch.NumRows())
	if len(bad) == rows {
		return nil
	}
	columns := make([]arrow.Array, batch.NumCols())
	for i, column := range batch.Columns() {
		var runs []arrow.Array
		from := 0
		for _, until := range append(slices.Clone(bad), rows) {
			if from < until {
				runs = append(runs, array.NewSlice(column, int64(from), int64(until)))
			}
			from = until + 1
		}
		joined, err := array.Concatenate(runs, mem)
		if err != nil {
			panic("flight: slices of one column cannot be joined: " + err.Error())
		}
		for _, run := range runs {
			run.Release()
		}
		columns[i] = joined
		defer joined.Release()
	}
	return array.NewRecordBatch(batch.Schema(), columns, int64(rows-len(bad)))
}
