package record

import (
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// kind says which buffers an array has and what its children are.
type kind uint8

const (
	kindNull       kind = iota // no buffers
	kindBool                   // validity, bits
	kindFixed                  // validity, values of width bytes
	kindBinary32               // validity, int32 offsets, bytes
	kindBinary64               // validity, int64 offsets, bytes
	kindView                   // validity, 16-byte views, any number of data buffers
	kindList32                 // validity, int32 offsets; one child
	kindList64                 // validity, int64 offsets; one child
	kindListView32             // validity, int32 offsets, int32 sizes; one child
	kindListView64             // validity, int64 offsets, int64 sizes; one child
	kindFixedList              // validity; one child of width values each
	kindStruct                 // validity; children
	kindMap                    // as kindList32, the child being a struct of key and value
	kindDictionary             // validity, indices of width bytes; the values come in messages of their own
	kindRunEnd                 // no buffers; children run ends and values
)

// rule is what the values of a fixed-width array must fulfil beyond having their width.
type rule uint8

const (
	ruleNone       rule = iota
	ruleDate64          // whole days
	ruleTime32          // 0 <= v < limit
	ruleTime64          // 0 <= v < limit
	ruleDecimal128      // |v| < 10^limit
	ruleDecimal256      // |v| < 10^limit
)

// slot is one field of a layout, of the top level or nested: what an array of this type consists of in a message.
type slot struct {
	kind     kind
	rule     rule
	utf8     bool // values are text
	signed   bool // dictionary indices may be negative, which is refused
	nullable bool
	nested   bool   // within another
	width    int    // bytes of a fixed-width value or an index; values of a fixed-size list
	limit    int64  // of the rule: values of a time, digits of a decimal
	dict     int64  // a dictionary's id in the stream
	name     string // dotted path from the top: "order.items.price"
	typ      arrow.DataType
	children []slot
	values   *slot // what a dictionary holds; its arrays come in messages of their own
}

// place is where a column begins among a layout's nodes and buffers.
type place struct{ node, buffer int }

// Layout is the shape of the messages of one schema: which arrays a batch has, in depth-first order, and which
// buffers belong to each. It is immutable and shared by all batches of the schema.
type Layout struct {
	schema  *arrow.Schema
	id      quiver.SchemaID // 0: not a table's own
	slots   []slot
	places  []place // of each column, and one behind the last
	stored  bool    // has only layouts that are stored: no dictionary, view, list view or run-end encoded array
	derived derivedLayouts

	columns func() []quiver.ColumnID // see columnIDs
}

// NewLayout is the layout of a table's stored batches.
func NewLayout(s *quiver.Schema) (*Layout, error) {
	l, err := newLayout(s.Stored(), s.ID(), nil)
	if err != nil {
		return nil, err
	}
	if !l.stored {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "schema %d has columns in a layout that is not stored", s.ID())
	}
	return l, nil
}

// InputLayout is the layout of what a client sends: it may hold dictionaries, views, list views and run-end encoded
// arrays. Dictionaries are numbered as the stream's schema message numbers them: ids holds one for each
// dictionary-encoded field, depth first, a dictionary before those within its values; nil means 0, 1, 2 and so on,
// as the C++ and Go implementations number them.
func InputLayout(s *arrow.Schema, ids []int64) (*Layout, error) { return newLayout(s, 0, ids) }

func newLayout(s *arrow.Schema, id quiver.SchemaID, ids []int64) (*Layout, error) {
	if n := s.NumFields(); n > maxColumns {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "%d columns, at most %d are taken", n, maxColumns)
	}
	l := &Layout{schema: s, id: id, stored: true, columns: findColumnIDs(s, s.NumFields())}
	b := layoutBuilder{layout: l, ids: ids}
	l.slots = make([]slot, s.NumFields())
	l.places = make([]place, s.NumFields()+1)
	for i, f := range s.Fields() {
		var err error
		if l.slots[i], err = b.slot(f, f.Name, 0); err != nil {
			return nil, err
		}
		l.places[i+1] = l.places[i]
		l.slots[i].count(&l.places[i+1])
	}
	return l, nil
}

// Schema is the layout as an Arrow schema: physical types, names as of the table's schema.
func (l *Layout) Schema() *arrow.Schema { return l.schema }

// ID is the table schema that the layout, or what it was picked from, stands for; 0 if none (a client's, a mapping's).
func (l *Layout) ID() quiver.SchemaID { return l.id }

// NumColumns is the number of top-level columns.
func (l *Layout) NumColumns() int { return len(l.slots) }

// columnIDs are the ids of the top-level columns; 0 for one that has none. They are looked up once.
func (l *Layout) columnIDs() []quiver.ColumnID { return l.columns() }

func findColumnIDs(s *arrow.Schema, columns int) func() []quiver.ColumnID {
	return sync.OnceValue(func() []quiver.ColumnID {
		ids := make([]quiver.ColumnID, columns)
		if s == nil {
			return ids
		}
		for i, f := range s.Fields() {
			if id, ok := quiver.FieldID(f); ok {
				ids[i] = id
			}
		}
		return ids
	})
}

// numNodes is the number of arrays a message has, depth first.
func (l *Layout) numNodes() int { return l.places[len(l.slots)].node }

// numBuffers is the number of buffers a message has, the data buffers of views aside.
func (l *Layout) numBuffers() int { return l.places[len(l.slots)].buffer }

// numBuffers is the number of buffers of the array itself, the data buffers of a view aside.
func (s *slot) numBuffers() int {
	switch s.kind {
	case kindNull, kindRunEnd:
		return 0
	case kindStruct, kindFixedList:
		return 1
	case kindBinary32, kindBinary64, kindListView32, kindListView64:
		return 3
	default:
		return 2
	}
}

// count adds the slot's arrays and buffers, nested ones too.
func (s *slot) count(p *place) {
	p.node++
	p.buffer += s.numBuffers()
	for i := range s.children {
		s.children[i].count(p)
	}
}

// Limits of schemas, and of the messages that carry them.
const (
	maxColumns = 2000
	maxDepth   = 32
	maxFields  = 16 << 10 // nested ones too
)

// layoutBuilder turns fields into slots.
type layoutBuilder struct {
	layout *Layout
	ids    []int64
	dicts  int // dictionaries numbered
	fields int
}

func (b *layoutBuilder) refuse(name string, format string, args ...any) error {
	return quiver.Errorf(quiver.SchemaMismatch, format, args...).On("column " + strconv.Quote(name))
}

// slot lays out one field; depth counts the fields around it.
func (b *layoutBuilder) slot(f arrow.Field, path string, depth int) (slot, error) {
	if b.fields++; b.fields > maxFields {
		return slot{}, b.refuse(path, "more than %d fields, nested ones counted", maxFields)
	}
	if depth >= maxDepth {
		return slot{}, b.refuse(path, "nested deeper than %d", maxDepth)
	}
	s := slot{nullable: f.Nullable, nested: depth > 0, name: path, typ: f.Type}
	if err := b.shape(&s, f.Type); err != nil {
		return slot{}, err
	}
	switch s.kind {
	case kindDictionary, kindView, kindListView32, kindListView64, kindRunEnd:
		b.layout.stored = false
	}
	if s.kind == kindDictionary {
		return s, b.dictionary(&s, depth)
	}
	nested, ok := storage(f.Type).(arrow.NestedType)
	if !ok {
		return s, nil
	}
	fields := childFields(nested)
	s.children = make([]slot, len(fields))
	for i, c := range fields {
		var err error
		if s.children[i], err = b.slot(c, path+"."+c.Name, depth+1); err != nil {
			return slot{}, err
		}
	}
	return s, nil
}

// childFields are the fields of a nested type, with what Arrow says of them but does not write on them: the entries
// of a map and its keys are never null, nor are run ends.
func childFields(t arrow.NestedType) []arrow.Field {
	fields := append([]arrow.Field(nil), t.Fields()...)
	switch t := t.(type) {
	case *arrow.MapType:
		fields[0].Nullable = false
		entries := fields[0].Type.(*arrow.StructType)
		pair := append([]arrow.Field(nil), entries.Fields()...)
		pair[0].Nullable = false
		fields[0].Type = arrow.StructOf(pair...)
	case *arrow.RunEndEncodedType:
		fields[0].Nullable = false
		fields[1].Nullable = t.ValueNullable
	}
	return fields
}

// dictionary numbers a dictionary and lays out what it holds.
func (b *layoutBuilder) dictionary(s *slot, depth int) error {
	s.dict = int64(b.dicts)
	if b.ids != nil {
		if b.dicts >= len(b.ids) {
			return b.refuse(s.name, "the schema numbers %d dictionaries and has more", len(b.ids))
		}
		s.dict = b.ids[b.dicts]
	}
	b.dicts++
	values := storage(s.typ).(*arrow.DictionaryType).ValueType
	v, err := b.slot(arrow.Field{Name: "values", Type: values, Nullable: true}, s.name+".values", depth+1)
	if err != nil {
		return err
	}
	s.values = &v
	return nil
}

// storage is what an extension type is stored as, any other type itself.
func storage(t arrow.DataType) arrow.DataType {
	for {
		e, ok := t.(arrow.ExtensionType)
		if !ok {
			return t
		}
		t = e.StorageType()
	}
}

// shape gives the slot its kind, width and rule.
func (b *layoutBuilder) shape(s *slot, t arrow.DataType) error {
	t = storage(t)
	fixed := func(width int, r rule, limit int64) error {
		s.kind, s.width, s.rule, s.limit = kindFixed, width, r, limit
		return nil
	}
	switch t := t.(type) {
	case *arrow.NullType:
		s.kind, s.nullable = kindNull, true // whatever the field says: there is nothing else to send
	case *arrow.BooleanType:
		s.kind = kindBool
	case *arrow.Date64Type:
		return fixed(8, ruleDate64, 0)
	case *arrow.Time32Type:
		return fixed(4, ruleTime32, ticksOfDay(t.Unit))
	case *arrow.Time64Type:
		return fixed(8, ruleTime64, ticksOfDay(t.Unit))
	case *arrow.Decimal128Type:
		if t.Precision < 1 || t.Precision > 38 {
			return b.refuse(s.name, "a decimal128 has 1 to 38 digits, not %d", t.Precision)
		}
		return fixed(16, ruleDecimal128, int64(t.Precision))
	case *arrow.Decimal256Type:
		if t.Precision < 1 || t.Precision > 76 {
			return b.refuse(s.name, "a decimal256 has 1 to 76 digits, not %d", t.Precision)
		}
		return fixed(32, ruleDecimal256, int64(t.Precision))
	case *arrow.FixedSizeBinaryType:
		if t.ByteWidth < 0 {
			return b.refuse(s.name, "negative width %d", t.ByteWidth)
		}
		return fixed(t.ByteWidth, ruleNone, 0)
	case *arrow.StringType, *arrow.BinaryType:
		s.kind, s.utf8 = kindBinary32, t.ID() == arrow.STRING
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		s.kind, s.utf8 = kindBinary64, t.ID() == arrow.LARGE_STRING
	case *arrow.StringViewType, *arrow.BinaryViewType:
		s.kind, s.utf8 = kindView, t.ID() == arrow.STRING_VIEW
	case *arrow.ListType:
		s.kind = kindList32
	case *arrow.LargeListType:
		s.kind = kindList64
	case *arrow.ListViewType:
		s.kind = kindListView32
	case *arrow.LargeListViewType:
		s.kind = kindListView64
	case *arrow.FixedSizeListType:
		s.kind, s.width = kindFixedList, int(t.Len())
		if t.Len() < 0 {
			return b.refuse(s.name, "negative list size %d", t.Len())
		}
	case *arrow.StructType:
		s.kind = kindStruct
	case *arrow.MapType:
		s.kind = kindMap
	case *arrow.DictionaryType:
		s.kind = kindDictionary
		s.width = t.IndexType.(arrow.FixedWidthDataType).BitWidth() / 8
		s.signed = arrow.IsSignedInteger(t.IndexType.ID())
	case *arrow.RunEndEncodedType:
		s.kind = kindRunEnd
	default:
		return b.shapeNumber(s, t)
	}
	return nil
}

// shapeNumber lays out the types that are nothing but a width.
func (b *layoutBuilder) shapeNumber(s *slot, t arrow.DataType) error {
	switch t.ID() {
	case arrow.INT8, arrow.UINT8, arrow.INT16, arrow.UINT16, arrow.INT32, arrow.UINT32, arrow.INT64, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DATE32, arrow.TIMESTAMP, arrow.DURATION,
		arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
		s.kind, s.width = kindFixed, t.(arrow.FixedWidthDataType).BitWidth()/8
		return nil
	}
	return b.refuse(s.name, "type %s is not taken", strings.ToLower(t.Name()))
}

// ticksOfDay is the number of units of a day.
func ticksOfDay(u arrow.TimeUnit) int64 {
	const seconds = 24 * 60 * 60
	switch u {
	case arrow.Second:
		return seconds
	case arrow.Millisecond:
		return seconds * 1e3
	case arrow.Microsecond:
		return seconds * 1e6
	}
	return seconds * 1e9
}
