package record

import (
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Output is the gate of one get stream, on the reader's side: it takes the messages of a server that need not be
// trusted, in the stream's own schema, and gives Arrow record batches that can be read without a panic. A body that
// is not compressed is not copied: the arrays lie in it.
//
// It belongs to one goroutine. Close releases its dictionaries.
type Output struct {
	schema *arrow.Schema // as the stream gave it, extension types included
	layout *Layout
	limits Limits

	dictionaries map[int64]arrow.Array
	held         int64 // bytes of all dictionaries, as they are checked against the limit
	sizes        map[int64]int64
}

// NewOutput makes the gate of a stream from its Schema message, without prefix. The error is MALFORMED_BATCH or
// SCHEMA_MISMATCH.
func NewOutput(message []byte, lim Limits) (*Output, error) {
	schema, ids, err := ParseSchema(message)
	if err != nil {
		return nil, err
	}
	l, err := InputLayout(schema, ids)
	if err != nil {
		return nil, err
	}
	if err := checkDictionaries(l.slots, make(map[int64]*slot)); err != nil {
		return nil, err
	}
	return &Output{schema: schema, layout: l, limits: lim.withDefaults(),
		dictionaries: make(map[int64]arrow.Array), sizes: make(map[int64]int64)}, nil
}

// Schema is the stream's schema.
func (o *Output) Schema() *arrow.Schema { return o.schema }

// ShowAs gives the batches that follow under another schema of the same fields: with other metadata, or the same schema
// for the batches of several streams.
func (o *Output) ShowAs(schema *arrow.Schema) { o.schema = schema }

// Close releases the dictionaries. Batches that were given keep what they need.
func (o *Output) Close() {
	releaseAll(slices.Collect(maps.Values(o.dictionaries)))
	o.dictionaries = nil
}

// Take takes one message: its metadata without prefix and its body, in memory that is ours and nobody changes. A
// record batch is given to the caller, to be released; a dictionary is kept, and nil is given. What is given holds
// references of its own on the body. The error is MALFORMED_BATCH, BATCH_TOO_LARGE, or SCHEMA_MISMATCH for a null in
// a column that has none.
func (o *Output) Take(meta []byte, body *buf.Buf) (arrow.RecordBatch, error) {
	g := gate{layout: o.layout, lim: o.limits, dictionaries: o.dictionaries}
	var err error
	if g.msg, err = parseMessage(meta); err != nil {
		return nil, malformed("%v", err)
	}
	switch g.msg.kind {
	case messageBatch:
		return o.batch(&g, body)
	case messageDictionary:
		return nil, o.dictionary(&g, body)
	default:
		return nil, malformed("message of type %d is neither a record batch nor a dictionary", g.msg.kind)
	}
}

func (o *Output) batch(g *gate, body *buf.Buf) (arrow.RecordBatch, error) {
	if rows := g.msg.rows; len(o.layout.slots) == 0 && rows >= 0 && len(g.msg.nodes) == 0 && len(g.msg.buffers) == 0 {
		return array.NewRecordBatch(o.schema, nil, rows), nil // any number of rows takes no memory where there is no column
	}
	b, err := g.batch(body)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	cols, err := b.arrays(o.dictionaries)
	if err != nil {
		return nil, err
	}
	defer releaseAll(cols)
	return array.NewRecordBatch(o.schema, cols, int64(b.rows)), nil
}

// dictionary takes the values of a dictionary. A delta adds to the ones before; anything else replaces them, for the
// batches that follow.
func (o *Output) dictionary(g *gate, body *buf.Buf) error {
	id := g.msg.dictionary
	if g.layout = o.layout.dictionaryLayout(id); g.layout == nil {
		return malformed("the schema has no dictionary %d", id)
	}
	if g.msg.delta {
		return malformed("dictionary %d is added to, which this reader does not take", id)
	}
	b, err := g.batch(body)
	if err != nil {
		return err
	}
	defer b.Release()
	plain, err := b.inflate()
	if err != nil {
		return err
	}
	defer plain.Release()
	size := plain.BodySize()
	if held := o.held - o.sizes[id] + size; held > o.limits.MaxBody {
		return quiver.Errorf(quiver.BatchTooLarge, "the stream's dictionaries take %d bytes, the limit is %d", held, o.limits.MaxBody)
	}
	values, err := plain.arrays(o.dictionaries)
	if err != nil {
		return err
	}
	if old := o.dictionaries[id]; old != nil {
		old.Release()
	}
	o.held += size - o.sizes[id]
	o.dictionaries[id], o.sizes[id] = values[0], size
	return nil
}
