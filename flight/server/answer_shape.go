package server

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet/scan"
)

// answerShape is how current rows of a primary-key table become batches: which columns, in which order.
type answerShape struct {
	table   *quiver.Table
	schema  *arrow.Schema
	plain   *arrow.Schema  // the same, with change types as they are stored
	layout  *record.Layout // of plain
	served  *record.Layout // of schema; nil: there are no change types
	indexed bool           // the first column is __key_index
	columns []scan.Column  // behind it
	places  []int          // of the table's columns among them, and of those that a filter needs, as kv takes them
}

// bucketName is what answers say of where a row is from.
type bucketName struct {
	bucket    int32
	partition string
}

// newAnswerShape lays out columns, which are those of the table or its changelog. hidden are columns that a filter needs
// and nobody gets.
func newAnswerShape(table *quiver.Table, columns []scan.Column, indexed bool, hidden []quiver.ColumnID) (*answerShape, error) {
	s := &answerShape{table: table, columns: columns, indexed: indexed}
	for _, c := range columns {
		if c.System == scan.TimestampColumn {
			return nil, quiver.Errorf(quiver.BadCommand, "%q stands in the changelog, and current rows are read", quiver.TimestampColumn).Advise("leave it out")
		}
	}
	var err error
	if s.schema, err = scan.OutputSchema(table.LogSchema(), columns); err != nil {
		return nil, err
	}
	if indexed {
		md := s.schema.Metadata()
		fields := append([]arrow.Field{{Name: quiver.KeyIndexColumn, Type: arrow.PrimitiveTypes.Int64}}, s.schema.Fields()...)
		s.schema = arrow.NewSchema(fields, &md)
	}
	s.plain = s.schema
	if s.schema.HasField(quiver.ChangeTypeColumn) {
		fields := s.schema.Fields()
		fields[s.schema.FieldIndices(quiver.ChangeTypeColumn)[0]].Type = arrow.PrimitiveTypes.Int8
		s.plain = arrow.NewSchema(fields, nil)
		if s.served, err = record.InputLayout(s.schema, nil); err != nil {
			return nil, err
		}
	}
	if s.layout, err = record.InputLayout(s.plain, nil); err != nil {
		return nil, err
	}
	for _, c := range s.columns {
		if c.System == scan.UserColumn && c.ID != quiver.ChangeTypeID {
			s.places = append(s.places, table.Schema.Index(c.ID))
		}
	}
	for _, id := range hidden {
		s.places = append(s.places, table.Schema.Index(id))
	}
	return s, nil
}

// record puts an answer's columns in order. The answer stays the caller's.
func (s *answerShape) record(a *kv.Answer, names []bucketName) arrow.RecordBatch {
	columns := make([]arrow.Array, 0, s.schema.NumFields())
	var made []arrow.Array
	if s.indexed {
		made = append(made, int64Array(s.schema.Field(0).Type, a.Index))
		columns = append(columns, made[0])
	}
	for _, c := range s.columns {
		if c.System == scan.UserColumn && c.ID != quiver.ChangeTypeID {
			arr := typed(columnAt(a, s.table.Schema.Index(c.ID)), s.plain.Field(len(columns)).Type)
			made = append(made, arr)
			columns = append(columns, arr)
			continue
		}
		arr := systemColumn(c, a, names)
		made = append(made, arr)
		columns = append(columns, arr)
	}
	rec := array.NewRecordBatch(s.plain, columns, int64(a.Len))
	for _, arr := range made {
		arr.Release()
	}
	return rec
}

// typed gives the same values under a type that differs in the metadata of nested fields only, which column ids are kept
// in. Arrow takes that for another type in some places.
func typed(arr arrow.Array, dt arrow.DataType) arrow.Array {
	d := arr.Data()
	if _, nested := dt.(arrow.NestedType); !nested {
		arr.Retain()
		return arr
	}
	data := array.NewData(dt, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// columnAt finds the column of a place in an answer.
func columnAt(a *kv.Answer, place int) arrow.Array {
	for i, p := range a.Places {
		if p == place {
			return a.Columns[i]
		}
	}
	panic("server: an answer lacks a column that was asked for")
}

// systemColumn makes a system column of an answer.
func systemColumn(c scan.Column, a *kv.Answer, names []bucketName) arrow.Array {
	switch c.System {
	case scan.UserColumn: // the change type: a row that is there is as good as inserted
		b := array.NewInt8Builder(memory.DefaultAllocator)
		defer b.Release()
		for range a.Len {
			b.Append(int8(quiver.Insert))
		}
		return b.NewArray()
	case scan.BucketColumn:
		b := array.NewInt32Builder(memory.DefaultAllocator)
		defer b.Release()
		for _, source := range a.Sources {
			b.Append(names[source].bucket)
		}
		return b.NewArray()
	case scan.PartitionColumn:
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		for _, source := range a.Sources {
			b.Append(names[source].partition)
		}
		return b.NewArray()
	default:
		return int64Array(arrow.PrimitiveTypes.Int64, a.Offsets)
	}
}

func int64Array(dt arrow.DataType, values []int64) arrow.Array {
	data := array.NewData(dt, len(values), []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(values))}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// batch is an answer as it is sent: all rows of it, or some, by their places.
func (s *answerShape) batch(a *kv.Answer, names []bucketName, rows []int32) (*record.Batch, error) {
	rec := s.record(a, names)
	defer rec.Release()
	batch, err := record.Encode(s.layout, rec, record.None)
	if err != nil {
		return nil, err
	}
	if rows != nil {
		some, err := batch.Select(rows)
		batch.Release()
		if err != nil {
			return nil, err
		}
		batch = some
	}
	if s.served == nil {
		return batch, nil
	}
	defer batch.Release()
	order := make([]int, s.schema.NumFields())
	for i := range order {
		order[i] = i
	}
	return batch.Arrange(s.served, order)
}

// newRecord makes a record of columns that stay the caller's.
func newRecord(fields []arrow.Field, columns []arrow.Array, rows int) arrow.RecordBatch {
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(rows))
}

// noRows is an answer without rows.
func noRows(table *quiver.Table, places []int) *kv.Answer {
	a := &kv.Answer{Schema: table.Schema}
	for _, place := range slices.Compact(slices.Sorted(slices.Values(places))) {
		a.Places = append(a.Places, place)
		a.Columns = append(a.Columns, array.MakeArrayOfNull(memory.DefaultAllocator, table.Schema.Columns()[place].Field.Type, 0))
	}
	return a
}
