package record

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// reshaper makes batches of one layout into batches of another, as a mapping says: it is what a put's gate (Input) and
// a change of schema (Convert) have in common. Columns whose bytes stay are shared, compressed or not; only those that
// are cast are decompressed, and what is made is compressed as the batch was. It never changes.
type reshaper struct {
	from, to *Layout
	columns  []reshaped // of the result, in order
	casts    []bool     // of the source's columns: it is cast
	made     *Layout    // the columns that are made: cast or filled in; nil: none
}

// reshaped says where one column of the result comes from.
type reshaped struct {
	source int // column of the source, -1: filled in
	cast   bool
	step   step   // of a cast
	fill   *Batch // of a column with a default: one row that holds it
}

// newReshaper plans the columns of a mapping into the layout to. normal gives the slot of a source's column once it
// is normalised; its fields are paired with those of the result by the key. The reshaper has no source yet.
func newReshaper(m *quiver.Mapping, to *Layout, sources int, normal func(source int) *slot, key fieldKey) (*reshaper, error) {
	r := &reshaper{to: to, columns: make([]reshaped, len(to.slots)), casts: make([]bool, sources)}
	var made []int
	for i, c := range m.Columns() {
		col := &r.columns[i]
		col.source, col.cast = c.Source, c.Cast
		var err error
		switch {
		case c.Source < 0:
			col.fill, err = fillOf(&to.slots[i], c.Column.Default)
		case c.Cast:
			r.casts[c.Source] = true
			col.step, err = newStep(normal(c.Source), &to.slots[i], key)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		made = append(made, i)
	}
	if len(made) > 0 {
		r.made = to.Pick(made)
	}
	return r, nil
}

// reshape is the batch in the new layout. Memory that it takes is charged to the shaper.
func (r *reshaper) reshape(b *Batch, h *shaper) (*Batch, error) {
	if r.made == nil {
		return r.join(b, nil), nil
	}
	made, err := r.make(b, h)
	if err != nil {
		return nil, err
	}
	defer made.Release()
	return r.join(b, made), nil
}

// make makes the columns that are not in the batch as the result has them.
func (r *reshaper) make(b *Batch, h *shaper) (*Batch, error) {
	plain, err := r.toCast(b)
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	w := walker{b: plain}
	read := make(map[int]values, len(plain.layout.slots)) // by the source's column
	at := 0
	for i, casts := range r.casts {
		if casts {
			read[i] = w.array(&plain.layout.slots[at])
			at++
		}
	}
	columns := make([]values, 0, len(r.made.slots))
	for i := range r.columns {
		c := &r.columns[i]
		if c.source >= 0 && !c.cast {
			continue
		}
		v, err := r.column(h, i, read[c.source], b.rows)
		if err != nil {
			return nil, err
		}
		columns = append(columns, v)
	}
	p, err := planRows(r.made, func(i int) []values { return columns[i : i+1] })
	if err != nil {
		return nil, err
	}
	made := p.copied(r.made, b.rows)
	if b.codec == None {
		return made, nil
	}
	defer made.Release()
	return made.deflate(b.codec), nil
}

// column makes one column of the result, from the source's values of it.
func (r *reshaper) column(h *shaper, i int, v values, rows int) (values, error) {
	c, s := &r.columns[i], &r.to.slots[i]
	if c.source < 0 {
		if c.fill == nil {
			return h.nulls(s, rows)
		}
		return h.repeated(s, c.fill.column(0), rows)
	}
	v, err := h.normalize(&r.from.slots[c.source], v)
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

// toCast is a batch of the columns that are cast, decompressed.
func (r *reshaper) toCast(b *Batch) (*Batch, error) {
	var slots []slot
	var nodes []node
	var bufs [][]byte
	var views []int
	w := walker{b: b}
	for i := range r.from.slots {
		s := &r.from.slots[i]
		from := w
		w.skip(s)
		if !r.casts[i] {
			continue
		}
		slots = append(slots, *s)
		nodes = append(nodes, b.nodes[from.node:w.node]...)
		views = append(views, b.views[from.view:w.view]...)
		for k := from.buffer; k < w.buffer; k++ {
			bufs = append(bufs, b.buffer(k))
		}
	}
	l := layoutOf(nil, 0, slots)
	l.stored = false
	picked := assemble(l, b.rows, nodes, bufs, b.codec, retained(b.owners))
	picked.views = views
	defer picked.Release()
	return picked.inflate()
}

func retained(owners []*buf.Buf) []*buf.Buf {
	held := make([]*buf.Buf, len(owners))
	for i, o := range owners {
		held[i] = o.Retain()
	}
	return held
}

// join puts the source's columns and those that were made into the order of the result. Bytes stay where they are.
func (r *reshaper) join(sent, made *Batch) *Batch {
	nodes := make([]node, 0, r.to.numNodes())
	bufs := make([][]byte, 0, r.to.numBuffers())
	places := r.places(sent)
	owners := retained(sent.owners)
	if made != nil {
		owners = append(owners, retained(made.owners)...)
	}
	next := 0
	for i := range r.columns {
		c := &r.columns[i]
		var b *Batch
		var from, until place
		if c.source >= 0 && !c.cast {
			b, from, until = sent, places[c.source], places[c.source+1]
		} else {
			b, from, until = made, r.made.places[next], r.made.places[next+1]
			next++
		}
		nodes = append(nodes, b.nodes[from.node:until.node]...)
		for k := from.buffer; k < until.buffer; k++ {
			bufs = append(bufs, b.buffer(k))
		}
	}
	return assemble(r.to, sent.rows, nodes, bufs, sent.codec, owners)
}

// places is where each of the source's columns begins in its batch, and one place behind the last.
func (r *reshaper) places(b *Batch) []place {
	if r.from.stored {
		return r.from.places
	}
	places := make([]place, 1, len(r.from.slots)+1)
	w := walker{b: b}
	for i := range r.from.slots {
		w.skip(&r.from.slots[i])
		places = append(places, place{w.node, w.buffer})
	}
	return places
}

// fillOf is a batch of one row that holds the default, nil if there is none. It is memory of the heap, so that it may
// be kept without being released.
func fillOf(s *slot, value any) (*Batch, error) {
	if value == nil {
		return nil, nil
	}
	a, err := arrayOf(memory.DefaultAllocator, s.typ, value)
	if err != nil {
		return nil, s.fail(quiver.Internal, "its default: %v", err)
	}
	defer a.Release()
	one, err := encodeColumns(layoutOf(nil, 0, []slot{*s}), 1, []arrow.Array{a}, None)
	if err != nil {
		return nil, err
	}
	defer one.Release()
	kept := newBatch(one.layout, 1, one.nodes, one.buffers, None, nil)
	kept.setParts([][]byte{joined(one.parts, one.bodyLen)})
	return kept, nil
}

// filled is a batch of one column: the default in every row, or nulls where there is none.
func filled(s *slot, value any, rows int) (*Batch, error) {
	fill, err := fillOf(s, value)
	if err != nil {
		return nil, err
	}
	h := ownShaper()
	defer h.release()
	l := layoutOf(nil, 0, []slot{*s})
	r := reshaper{to: l, columns: []reshaped{{source: -1, fill: fill}}}
	v, err := r.column(h, 0, values{}, rows)
	if err != nil {
		return nil, err
	}
	p, err := planRows(l, func(int) []values { return []values{v} })
	if err != nil {
		return nil, err
	}
	return p.copied(l, rows), nil
}

// joined is a body in one piece of the heap.
func joined(parts [][]byte, size int64) []byte {
	body := make([]byte, 0, size)
	for _, p := range parts {
		body = append(body, p...)
	}
	return body
}
