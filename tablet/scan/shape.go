package scan

import (
	"cmp"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// shape is how stored batches become the batches of a scan: which columns are read, and how they are put together
// with the system columns.
type shape struct {
	schema *arrow.Schema  // what readers see
	layout *record.Layout // of the output

	read    []quiver.ColumnID // what is needed of the stored batches, in the order of the table's schema
	order   []int             // of output column i: its place among what is read, or behind it among systems
	systems []System          // what is made for each batch
	asRead  bool              // what is read is the output already

	empty *record.Batch // without rows; made when first needed
}

func newShape(table *quiver.Schema, columns []Column) (*shape, error) {
	schema, err := OutputSchema(table, columns)
	if err != nil {
		return nil, err
	}
	layout, err := record.InputLayout(schema, nil)
	if err != nil {
		return nil, err
	}
	s := &shape{schema: schema, layout: layout, read: []quiver.ColumnID{}}
	for _, c := range columns {
		if c.System == UserColumn {
			s.read = append(s.read, c.ID)
		}
	}
	s.read = inOrder(table, s.read)
	for _, c := range columns {
		if c.System != UserColumn {
			s.order = append(s.order, len(s.read)+len(s.systems))
			s.systems = append(s.systems, c.System)
			continue
		}
		s.order = append(s.order, slices.Index(s.read, c.ID))
	}
	s.asRead = len(s.systems) == 0 && slices.IsSorted(s.order) && !slices.Contains(s.read, quiver.ChangeTypeID)
	return s, nil
}

// inOrder gives columns once each, in the order of the table's schema.
func inOrder(table *quiver.Schema, ids []quiver.ColumnID) []quiver.ColumnID {
	out := slices.Clone(ids)
	slices.SortFunc(out, func(a, b quiver.ColumnID) int { return cmp.Compare(table.Index(a), table.Index(b)) })
	return slices.Compact(out)
}

// batch makes one batch of neighbouring pieces, which it takes over.
func (s *shape) batch(pieces []piece, src Source) (*record.Batch, error) {
	batch, err := merged(pieces)
	if err != nil || s.asRead {
		return batch, err
	}
	defer batch.Release()
	made := make([]arrow.Array, len(s.systems))
	for i, system := range s.systems {
		made[i] = systemArray(system, pieces, src)
		defer made[i].Release()
	}
	return batch.Arrange(s.layout, s.order, made...)
}

// merged is the pieces as one batch. It takes them over.
func merged(pieces []piece) (*record.Batch, error) {
	if len(pieces) == 1 {
		return pieces[0].batch, nil
	}
	defer release(pieces)
	batches := make([]*record.Batch, len(pieces))
	for i := range pieces {
		batches[i] = pieces[i].batch
	}
	return record.Merge(batches[0].Layout(), batches)
}

// nothing is a batch of this shape without rows.
func (s *shape) nothing() (*record.Batch, error) {
	if s.empty == nil {
		empty, err := s.makeEmpty()
		if err != nil {
			return nil, err
		}
		s.empty = empty
	}
	return s.empty.Retain(), nil
}

// makeEmpty encodes no rows. Change types are encoded as they are stored, and served as they are read.
func (s *shape) makeEmpty() (*record.Batch, error) {
	fields := s.schema.Fields()
	columns := make([]arrow.Array, len(fields))
	order := make([]int, len(fields))
	for i := range fields {
		if _, served := fields[i].Type.(*arrow.DictionaryType); served {
			fields[i].Type = arrow.PrimitiveTypes.Int8
		}
		columns[i], order[i] = array.MakeArrayOfNull(memory.DefaultAllocator, fields[i].Type, 0), i
		defer columns[i].Release()
	}
	stored := arrow.NewSchema(fields, nil)
	layout, err := record.InputLayout(stored, nil)
	if err != nil {
		return nil, err
	}
	rows := array.NewRecordBatch(stored, columns, 0)
	defer rows.Release()
	empty, err := record.Encode(layout, rows, record.None)
	if err != nil {
		return nil, err
	}
	defer empty.Release()
	return empty.Arrange(s.layout, order)
}

// release lets go of what the shape holds.
func (s *shape) release() {
	if s.empty != nil {
		s.empty.Release()
		s.empty = nil
	}
}
