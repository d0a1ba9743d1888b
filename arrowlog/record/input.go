package record

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Input is the gate of one put stream: it takes the client's messages, in the client's schema, and gives batches as
// the table stores them. What it gives is as safe as what Verify gives.
//
//	the client's columns are the table's            the bytes pass as they are, verified
//	other order, columns missing                    buffers are picked and filled in, nothing is decoded
//	other types or layouts                          only those columns are decoded, converted and encoded,
//	                                                by the codec of the client's batch
//
// It belongs to one goroutine. Close releases its dictionaries.
type Input struct {
	layout  *Layout // of the table
	client  *Layout // of the client, with the table's own slots where the bytes are the table's
	limits  Limits
	raw     bool          // the client's batches are the table's as they come
	columns []inputColumn // of the table, in order
	made    *Layout       // the columns that are made: converted or filled in

	dictionaries map[int64]*dictionary
	arrays       map[int64]arrow.Array // the dictionaries' values, for the gate
	held         int64                 // bytes of all dictionaries
}

// inputColumn says where one column of the table comes from.
type inputColumn struct {
	source int // column of the client, -1: filled in
	cast   bool
	step   step   // of a cast
	fill   *Batch // of a column with a default: one row that holds it
}

// NewInput makes the gate for a stream of the client's schema into a table whose layout is l. The ids are those of the
// schema's dictionaries, as ParseSchema gives them. The error is SCHEMA_MISMATCH, and names the columns.
func NewInput(client *arrow.Schema, ids []int64, table *quiver.Schema, l *Layout, lim Limits) (*Input, error) {
	mapping, err := quiver.MapInput(client, table)
	if err != nil {
		return nil, err
	}
	sent, err := InputLayout(client, ids)
	if err != nil {
		return nil, err
	}
	in := &Input{layout: l, limits: lim.withDefaults(), raw: mapping.Identity(), columns: make([]inputColumn, len(l.slots))}
	slots := append([]slot(nil), sent.slots...)
	var made []int
	for i, c := range mapping.Columns() {
		col := &in.columns[i]
		col.source, col.cast = c.Source, c.Cast
		switch {
		case c.Source < 0:
			made = append(made, i)
			if col.fill, err = fillOf(&l.slots[i], c.Column.Default); err != nil {
				in.Close()
				return nil, err
			}
		case c.Cast:
			made = append(made, i)
			if col.step, err = newStep(slots[c.Source].normal(), &l.slots[i]); err != nil {
				in.Close()
				return nil, err
			}
		default:
			slots[c.Source] = l.slots[i] // the gate checks for nulls where the table has none
		}
	}
	if err := checkDictionaries(slots, make(map[int64]*slot)); err != nil {
		in.Close()
		return nil, err
	}
	in.client = layoutOf(client, 0, slots)
	in.client.stored = false
	if len(made) > 0 {
		in.made = l.Pick(made)
	}
	return in, nil
}

// checkDictionaries refuses a dictionary that two fields use as values of different types.
func checkDictionaries(slots []slot, known map[int64]*slot) error {
	for i := range slots {
		s := &slots[i]
		if s.kind == kindDictionary {
			other := known[s.dict]
			if other != nil && !other.values.fits(s.values.typ) {
				return s.fail(quiver.SchemaMismatch, "column %s uses its dictionary %d for other values", other.name, s.dict)
			}
			known[s.dict] = s
			if err := checkDictionaries([]slot{*s.values}, known); err != nil {
				return err
			}
		}
		if err := checkDictionaries(s.children, known); err != nil {
			return err
		}
	}
	return nil
}

// Held is how many bytes the stream's dictionaries take until the next one comes, or Close.
func (in *Input) Held() int64 { return in.held }

// Close releases what the gate holds.
func (in *Input) Close() {
	for _, d := range in.dictionaries {
		d.release()
	}
	in.dictionaries, in.arrays, in.held = nil, nil, 0
	for i := range in.columns {
		if f := in.columns[i].fill; f != nil {
			f.Release()
			in.columns[i].fill = nil
		}
	}
}

// Batch takes one record batch: its metadata without prefix, and its body in memory that is ours. It keeps no
// reference on the body beyond those of the batch it gives. The error is MALFORMED_BATCH, BATCH_TOO_LARGE or
// SCHEMA_MISMATCH, and names the column.
func (in *Input) Batch(meta []byte, body *buf.Buf) (*Batch, error) {
	if in.raw {
		return Verify(in.layout, meta, body, in.limits)
	}
	sent, err := verifyInput(in.client, meta, body, in.limits, in.arrays)
	if err != nil {
		return nil, err
	}
	defer sent.Release()
	if in.made == nil {
		return in.join(sent, nil), nil
	}
	made, err := in.shape(sent)
	if err != nil {
		return nil, err
	}
	defer made.Release()
	return in.join(sent, made), nil
}

// shape makes the columns that are not in the client's batch as the table has them.
func (in *Input) shape(sent *Batch) (*Batch, error) {
	plain, err := in.converted(sent)
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	h := in.newShaper()
	defer h.release()
	columns := make([]values, 0, len(in.made.slots))
	w := walker{b: plain}
	read := make(map[int]values, len(plain.layout.slots)) // by the client's column
	at := 0
	for i := range in.client.slots {
		if in.casts(i) {
			read[i] = w.array(&plain.layout.slots[at])
			at++
		}
	}
	for i := range in.columns {
		c := &in.columns[i]
		if c.source >= 0 && !c.cast {
			continue
		}
		v, err := in.column(h, i, read[c.source], sent.rows)
		if err != nil {
			return nil, err
		}
		columns = append(columns, v)
	}
	p, err := planRows(in.made, func(i int) []values { return columns[i : i+1] })
	if err != nil {
		return nil, err
	}
	b := p.copied(in.made, sent.rows)
	if sent.codec == None {
		return b, nil
	}
	defer b.Release()
	return b.deflate(sent.codec), nil
}

// casts says that the client's column has to be converted.
func (in *Input) casts(source int) bool {
	for i := range in.columns {
		if in.columns[i].source == source {
			return in.columns[i].cast
		}
	}
	return false
}

// column makes one column of the table, from the client's values of it.
func (in *Input) column(h *shaper, i int, v values, rows int) (values, error) {
	c, s := &in.columns[i], &in.layout.slots[i]
	if c.source < 0 {
		if c.fill == nil {
			return h.nulls(s, rows)
		}
		return h.repeated(s, c.fill.column(0), rows)
	}
	v, err := h.normalize(&in.client.slots[c.source], v)
	if err != nil {
		return values{}, err
	}
	if v, err = h.convert(&c.step, v); err != nil {
		return values{}, err
	}
	if !s.nullable && v.countNulls() > 0 {
		for row := range v.length {
			if v.isNull(row) {
				return values{}, s.requiredNull(row)
			}
		}
	}
	return v, nil
}

// converted is a batch of the columns that are converted, decompressed.
func (in *Input) converted(sent *Batch) (*Batch, error) {
	var slots []slot
	var nodes []node
	var bufs [][]byte
	var views []int
	w := walker{b: sent}
	for i := range in.client.slots {
		s := &in.client.slots[i]
		from := w
		w.skip(s)
		if !in.casts(i) {
			continue
		}
		slots = append(slots, *s)
		nodes = append(nodes, sent.nodes[from.node:w.node]...)
		views = append(views, sent.views[from.view:w.view]...)
		for k := from.buffer; k < w.buffer; k++ {
			bufs = append(bufs, sent.buffer(k))
		}
	}
	l := layoutOf(nil, 0, slots)
	l.stored = false
	b := assemble(l, sent.rows, nodes, bufs, sent.codec, retained(sent.owners))
	b.views = views
	defer b.Release()
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	return plain, nil
}

func retained(owners []*buf.Buf) []*buf.Buf {
	held := make([]*buf.Buf, len(owners))
	for i, o := range owners {
		held[i] = o.Retain()
	}
	return held
}

// join puts the client's columns and those that were made into the table's order. Bytes stay where they are.
func (in *Input) join(sent, made *Batch) *Batch {
	l := in.layout
	nodes := make([]node, 0, l.numNodes())
	bufs := make([][]byte, 0, l.numBuffers())
	places := in.places(sent)
	owners := retained(sent.owners)
	if made != nil {
		owners = append(owners, retained(made.owners)...)
	}
	next := 0
	for i := range in.columns {
		c := &in.columns[i]
		var b *Batch
		var from, until place
		if c.source >= 0 && !c.cast {
			b, from, until = sent, places[c.source], places[c.source+1]
		} else {
			b, from, until = made, in.made.places[next], in.made.places[next+1]
			next++
		}
		nodes = append(nodes, b.nodes[from.node:until.node]...)
		for k := from.buffer; k < until.buffer; k++ {
			bufs = append(bufs, b.buffer(k))
		}
	}
	return assemble(l, sent.rows, nodes, bufs, sent.codec, owners)
}

// places is where each of the client's columns begins in its batch, and one place behind the last.
func (in *Input) places(sent *Batch) []place {
	places := make([]place, 1, len(in.client.slots)+1)
	w := walker{b: sent}
	for i := range in.client.slots {
		w.skip(&in.client.slots[i])
		places = append(places, place{w.node, w.buffer})
	}
	return places
}

// Dictionary takes one dictionary batch. A delta adds to the dictionary of its number, any other replaces it. All
// dictionaries of a stream together take at most what a body may.
func (in *Input) Dictionary(meta []byte, body *buf.Buf) error {
	id, delta, sent, err := verifyDictionary(in.client, meta, body, in.limits, in.arrays)
	if err != nil {
		return err
	}
	defer sent.Release()
	plain, err := sent.inflate()
	if err != nil {
		return err
	}
	defer plain.Release()
	h := in.newShaper()
	defer h.release()
	s := &sent.layout.slots[0]
	w := walker{b: plain}
	v, err := h.normalize(s, w.array(s))
	if err != nil {
		return err
	}
	runs := []values{v}
	old := in.dictionaries[id]
	if delta {
		if old == nil {
			return malformed("dictionary %d is added to before it was sent", id)
		}
		runs = []values{old.batch.column(0), v}
	}
	return in.setDictionary(id, s.normal(), runs)
}

// setDictionary makes a dictionary of runs of normal values.
func (in *Input) setDictionary(id int64, s *slot, runs []values) error {
	field := arrow.Field{Name: s.name, Type: s.typ, Nullable: true}
	l := layoutOf(arrow.NewSchema([]arrow.Field{field}, nil), 0, []slot{*s})
	rows := 0
	for _, r := range runs {
		rows += r.length
	}
	p, err := planRows(l, func(int) []values { return runs })
	if err != nil {
		return err
	}
	held := in.held + p.size
	old := in.dictionaries[id]
	if old != nil {
		held -= old.batch.bodyLen
	}
	if held > in.limits.MaxBody {
		return quiver.Errorf(quiver.BatchTooLarge, "the stream's dictionaries take %d bytes, the limit is %d", held, in.limits.MaxBody).
			Advise("send these columns plainly")
	}
	if err := in.limits.admit(p.size); err != nil {
		return err
	}
	d := &dictionary{layout: l, batch: p.copied(l, rows)}
	arrays, err := d.batch.arrays(nil)
	if err != nil {
		d.batch.Release()
		return err
	}
	d.array = arrays[0]
	if old != nil {
		old.release()
	}
	if in.dictionaries == nil {
		in.dictionaries, in.arrays = make(map[int64]*dictionary), make(map[int64]arrow.Array)
	}
	in.dictionaries[id], in.arrays[id], in.held = d, d.array, held
	return nil
}

// fillOf is a batch of one row that holds the default, nil if there is none.
func fillOf(s *slot, value any) (*Batch, error) {
	if value == nil {
		return nil, nil
	}
	a, err := arrayOf(memory.DefaultAllocator, s.typ, value)
	if err != nil {
		return nil, s.fail(quiver.Internal, "its default: %v", err)
	}
	defer a.Release()
	return encodeColumns(layoutOf(nil, 0, []slot{*s}), 1, []arrow.Array{a}, None)
}
