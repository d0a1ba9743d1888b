package scan

import (
	"context"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/planted"
)

// sieve applies the filter of a scan: to what is known of a batch before it is read, then to its rows.
//
// The filter is bound once, to the schema that the scan began with. Batches that were stored in another one are brought
// to it before: only then do names, types and defaults mean what the reader means, and it is done only for the batches
// that statistics could not rule out. Statistics are translated likewise, value by value.
type sieve struct {
	filter  Filter
	table   *quiver.Table
	metrics *Metrics

	read    []quiver.ColumnID
	places  []int          // of the filter's columns among those that are read
	systems []System       // UserColumn stands for the change type, which is stored
	layout  *record.Layout // of the filter's columns, and of the change type behind them
	schema  *arrow.Schema  // of what the filter is given
	picked  []int          // of the output's columns among those that are read; nil: all are
	output  *record.Layout // of these
	known   map[*record.Layout]*translation
}

// newSieve prepares a filter. read are the columns that are read of stored batches, output those among them that
// readers see, both in the order of the table's schema.
func newSieve(table *quiver.Table, f Filter, read, output []quiver.ColumnID, m *Metrics) (*sieve, error) {
	s := &sieve{filter: f, table: table, metrics: m, read: read, known: make(map[*record.Layout]*translation)}
	var fields []arrow.Field
	for _, id := range f.Columns() {
		fields = append(fields, userField(table.Schema, id))
		s.places = append(s.places, slices.Index(read, id))
	}
	stored := fields
	for _, id := range changeTypeOf(table.Schema, f) {
		stored = append(slices.Clip(fields), userField(table.Schema, id))
		s.places = append(s.places, slices.Index(read, id))
	}
	var err error
	if s.layout, err = record.InputLayout(arrow.NewSchema(stored, nil), nil); err != nil {
		return nil, err
	}
	for _, name := range f.System() {
		if name == quiver.ChangeTypeColumn && len(stored) > len(f.Columns()) {
			s.systems = append(s.systems, UserColumn)
			fields = append(fields, stored[len(stored)-1])
			continue
		}
		system, ok := ParseSystem(name)
		if !ok {
			return nil, quiver.Errorf(quiver.BadFilter, "%s is not known of a row of a log table", name)
		}
		s.systems = append(s.systems, system)
		field := systemFields[system]
		if system != OffsetColumn && system != TimestampColumn {
			field.Type = arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, field.Type)
		}
		fields = append(fields, field)
	}
	s.schema = arrow.NewSchema(fields, nil)
	if len(output) == len(read) {
		return s, nil
	}
	s.picked = []int{}
	fields = nil
	for _, id := range output {
		fields = append(fields, userField(table.Schema, id))
		s.picked = append(s.picked, slices.Index(read, id))
	}
	s.output, err = record.InputLayout(arrow.NewSchema(fields, nil), nil)
	return s, err
}

// changeTypeOf is the id of the change type where a filter asks for it and the rows, a changelog's, have it; else none.
func changeTypeOf(schema *quiver.Schema, f Filter) []quiver.ColumnID {
	if slices.Contains(f.System(), quiver.ChangeTypeColumn) && schema.Index(quiver.ChangeTypeID) >= 0 {
		return []quiver.ColumnID{quiver.ChangeTypeID}
	}
	return nil
}

// userField is a column as users see it.
func userField(schema *quiver.Schema, id quiver.ColumnID) arrow.Field {
	return schema.Arrow().Field(schema.Index(id))
}

// apply leaves of a piece, whose batch has exactly its rows, what matches. It takes the piece over.
func (s *sieve) apply(ctx context.Context, p piece, src Source) (piece, error) {
	rows, err := s.rows(ctx, &p, src)
	if err != nil {
		p.release()
		return piece{}, err
	}
	if err := s.pick(&p); err != nil {
		p.release()
		return piece{}, err
	}
	if rows == nil {
		return p, nil
	}
	s.metrics.RowsFiltered.Add(float64(p.rows - len(rows)))
	offsets := make([]int64, len(rows))
	for i, row := range rows {
		offsets[i] = int64(p.offset(int(row)))
	}
	batch := p.batch
	defer batch.Release()
	p.batch, p.rows, p.offsets = nil, len(rows), offsets
	if len(rows) > 0 {
		p.batch, err = batch.Select(rows)
	}
	return p, err
}

// rows are the places of the rows that match; nil: all do.
func (s *sieve) rows(ctx context.Context, p *piece, src Source) ([]int32, error) {
	needed, err := p.batch.Arrange(s.layout, s.places)
	if err != nil {
		return nil, err
	}
	defer needed.Release()
	user, err := needed.Decode()
	if err != nil {
		return nil, err
	}
	defer user.Release()
	columns := slices.Clip(user.Columns()[:len(s.filter.Columns())])
	for _, system := range s.systems {
		if system == UserColumn {
			columns = append(columns, user.Column(int(user.NumCols())-1))
			continue
		}
		made := s.systemArray(system, p, src)
		defer made.Release()
		columns = append(columns, made)
	}
	rec := array.NewRecordBatch(s.schema, columns, int64(p.rows))
	defer rec.Release()
	return s.filter.Rows(ctx, rec)
}

// systemArray makes a system column for the filter. What all rows have in common is there once.
func (s *sieve) systemArray(system System, p *piece, src Source) arrow.Array {
	if system == OffsetColumn || system == TimestampColumn {
		return systemArray(system, []piece{*p}, src)
	}
	value := systemArray(system, []piece{{rows: 1}}, src)
	defer value.Release()
	ends := makeArray(arrow.PrimitiveTypes.Int32, 1, bytesOf(arrow.Int32Traits.CastToBytes, []int32{int32(p.rows)}))
	defer ends.Release()
	return array.NewRunEndEncodedArray(ends, value, p.rows, 0)
}

// pick leaves out the columns that were read for the filter alone.
func (s *sieve) pick(p *piece) error {
	if s.picked == nil {
		return nil
	}
	b, err := p.batch.Arrange(s.output, s.picked)
	if err != nil {
		return err
	}
	p.batch.Release()
	p.batch = b
	return nil
}

// may is false if no row of the bucket can match, whatever is stored in it: by its number and its partition.
func (s *sieve) may(home *home) bool {
	return s.filter.MayMatch(1, home.column, home.system)
}

// skip says that no row of a stored batch can match, by its metadata.
func (s *sieve) skip(m *record.Meta, l *record.Layout, home *home) bool {
	t := s.translation(l)
	if t == nil {
		return false
	}
	rows, stats := int64(m.Rows), m.Stats(l)
	column := func(id quiver.ColumnID) (quiver.ColumnStats, bool) {
		if known, ok := home.column(id); ok {
			return known, true
		}
		return t.column(id, rows, stats)
	}
	system := func(name string) (quiver.ColumnStats, bool) {
		switch name {
		case quiver.OffsetColumn:
			return quiver.ColumnStats{Min: int64(m.BaseOffset), Max: int64(m.Until()) - 1}, rows > 0
		case quiver.TimestampColumn:
			at := arrow.Timestamp(m.Timestamp)
			return quiver.ColumnStats{Min: at, Max: at}, true
		}
		return home.system(name)
	}
	if s.filter.MayMatch(rows, column, system) && !(planted.Is(planted.FilterSkipsSingle) && rows == 1) {
		return false
	}
	s.metrics.BatchesSkipped.Inc()
	return true
}

// translation gives what is known of the filter's columns in batches of a layout; nil if these cannot be read in the
// schema of the scan, which ends there, whatever is in them.
func (s *sieve) translation(l *record.Layout) *translation {
	t, ok := s.known[l]
	if !ok {
		if stored, err := quiver.SchemaFromStored(l.ID(), l.Schema()); err == nil {
			if _, err = quiver.MapColumns(stored, s.table.Schema, s.read); err == nil {
				t = newTranslation(s.table.Schema, l, s.filter.Columns())
			}
		}
		s.known[l] = t
	}
	return t
}

// translation is how statistics of stored columns are read as those of the scan's columns.
type translation struct {
	columns map[quiver.ColumnID]translated
}

type translated struct {
	stored, wanted arrow.DataType // stored is nil for a column that was not stored
	same           bool
	value          any // of a column that was not stored: its default, or nil
}

func newTranslation(table *quiver.Schema, l *record.Layout, columns []quiver.ColumnID) *translation {
	t := &translation{columns: make(map[quiver.ColumnID]translated, len(columns))}
	for _, id := range columns {
		c, _ := table.Column(id)
		e := translated{wanted: c.Field.Type}
		if l.ID() <= table.ID() {
			e.value = c.Default // else it was dropped since the scan began
		}
		t.columns[id] = e
	}
	for _, f := range l.Schema().Fields() {
		if id, ok := quiver.FieldID(f); ok {
			if e, needed := t.columns[id]; needed {
				e.stored, e.same = f.Type, quiver.FormatType(f.Type) == quiver.FormatType(e.wanted)
				t.columns[id] = e
			}
		}
	}
	return t
}

// column is what is known of a column of a batch of so many rows.
func (t *translation) column(id quiver.ColumnID, rows int64, stats *record.Stats) (quiver.ColumnStats, bool) {
	c := t.columns[id]
	if c.stored == nil {
		return constant(c.value, rows), true
	}
	known, ok := stats.Column(id)
	if !ok || c.same {
		return known, ok
	}
	var fits bool
	if known.Min, fits = widened(known.Min, c.stored, c.wanted); !fits {
		known.Min = nil
	}
	if known.Max, fits = widened(known.Max, c.stored, c.wanted); !fits {
		known.Max = nil
	}
	return known, true
}

// constant is what is known of a column whose rows all have one value.
func constant(value any, rows int64) quiver.ColumnStats {
	switch v := value.(type) {
	case nil:
		return quiver.ColumnStats{Nulls: rows}
	case float32:
		if math.IsNaN(float64(v)) {
			return quiver.ColumnStats{NaN: true}
		}
	case float64:
		if math.IsNaN(v) {
			return quiver.ColumnStats{NaN: true}
		}
	}
	return quiver.ColumnStats{Min: value, Max: value}
}

// home is what all rows of a bucket have in common.
type home struct {
	bucket    int32
	partition string
	columns   map[quiver.ColumnID]any // of the partition's columns: their value
}

func newHome(table *quiver.Table, src Source) *home {
	h := &home{bucket: src.ID().Bucket, partition: src.PartitionName()}
	if h.partition == "" {
		return h
	}
	if _, values, err := table.ParsePartition(h.partition); err == nil && len(values) == len(table.PartitionBy) {
		h.columns = make(map[quiver.ColumnID]any, len(values))
		for i, id := range table.PartitionBy {
			h.columns[id] = values[i]
		}
	}
	return h
}

func (h *home) column(id quiver.ColumnID) (quiver.ColumnStats, bool) {
	value, ok := h.columns[id]
	if !ok {
		return quiver.ColumnStats{}, false
	}
	return constant(value, 1), true
}

func (h *home) system(name string) (quiver.ColumnStats, bool) {
	switch name {
	case quiver.BucketColumn:
		return quiver.ColumnStats{Min: h.bucket, Max: h.bucket}, true
	case quiver.PartitionColumn:
		return quiver.ColumnStats{Min: h.partition, Max: h.partition}, true
	}
	return quiver.ColumnStats{}, false
}
