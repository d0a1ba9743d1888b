package record

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Project is the batch with the columns that the mapping names, in its order, and with the extra columns behind them.
// Nothing is decoded: the regions of the body that hold the columns are gathered as they lie, compressed ones too. No
// column at all is legal; the batch keeps its rows. Columns that the mapping fills with defaults or nulls are made, as
// the extra ones are given. A mapping that casts is an INTERNAL error: decode.
//
// The extra columns bear no names in the layout, those of the stream's schema stand for them. The batch keeps the
// header, and holds references of its own.
func (b *Batch) Project(m *quiver.Mapping, extra ...arrow.Array) (*Batch, error) {
	if m.Identity() && len(extra) == 0 {
		return b.Retain(), nil
	}
	l, err := b.layout.mapped(m, extra)
	if err != nil {
		return nil, err
	}
	columns := m.Columns()
	p := projection{
		from:  b,
		nodes: make([]node, 0, l.numNodes()),
		spans: make([]span, 0, l.numBuffers()),
		parts: make([][]byte, 0, 2*len(columns)+2),
	}
	defer p.release()
	for i, c := range columns {
		switch {
		case c.Cast:
			return nil, quiver.Errorf(quiver.Internal, "column %s is to be cast, not picked", c.Column.Field.Name)
		case c.Source < 0:
			if err := p.fill(&l.slots[i], c.Column); err != nil {
				return nil, err
			}
		default:
			p.pick(c.Source)
		}
	}
	for i, a := range extra {
		if err := p.add(&l.slots[len(columns)+i], a); err != nil {
			return nil, err
		}
	}
	return p.batch(l), nil
}

// projection gathers columns.
type projection struct {
	from  *Batch
	nodes []node
	spans []span
	parts [][]byte
	size  int64
	owned []*buf.Buf // of columns that were made
	uses  bool       // something of the source's body
}

// pick adds a column of the source.
func (p *projection) pick(column int) {
	b, l := p.from, p.from.layout
	p.nodes = append(p.nodes, b.nodes[l.places[column].node:l.places[column+1].node]...)
	from := regionStart(l, b.buffers, b.bodyLen, column)
	until := regionStart(l, b.buffers, b.bodyLen, column+1)
	if from == until {
		p.empty(l.places[column+1].buffer - l.places[column].buffer)
		return
	}
	shift := p.size - from
	for _, s := range b.buffers[l.places[column].buffer:l.places[column+1].buffer] {
		p.spans = append(p.spans, span{s.off + shift, s.len})
	}
	p.gather(from, until)
	p.uses = true
}

// empty adds buffers without content.
func (p *projection) empty(n int) {
	for range n {
		p.spans = append(p.spans, span{p.size, 0})
	}
}

// gather adds a range of the source's body.
func (p *projection) gather(from, until int64) {
	start := int64(0)
	first := 0
	if b := p.from; b.starts != nil {
		first = b.partAt(from)
		start = b.starts[first]
	}
	for _, part := range p.from.parts[first:] {
		if start >= until {
			return
		}
		end := start + int64(len(part))
		if a, z := max(from, start), min(until, end); a < z {
			p.append(part[a-start : z-start])
		}
		start = end
	}
}

// append adds bytes to the body, to its last part if they lie behind that in memory.
func (p *projection) append(data []byte) {
	p.size += int64(len(data))
	if n := len(p.parts); n > 0 {
		last := p.parts[n-1]
		if len(last) > 0 && cap(last) >= len(last)+len(data) && &last[:len(last)+1][len(last)] == &data[0] {
			p.parts[n-1] = last[:len(last)+len(data)]
			return
		}
	}
	p.parts = append(p.parts, data)
}

// add adds a column that is an array.
func (p *projection) add(s *slot, a arrow.Array) error {
	one, err := encodeColumns(layoutOf(nil, 0, []slot{*s}), p.from.rows, []arrow.Array{a}, None)
	if err != nil {
		return err
	}
	defer one.Release()
	p.adopt(one)
	return nil
}

// adopt adds the column of a batch that has only this one and is not compressed.
func (p *projection) adopt(one *Batch) {
	p.nodes = append(p.nodes, one.nodes...)
	for _, o := range one.owners {
		p.owned = append(p.owned, o.Retain())
	}
	for i := range one.buffers {
		data := one.buffer(i)
		if len(data) == 0 {
			p.empty(1)
			continue
		}
		size := int64(len(data))
		start := p.size
		if p.from.codec != None { // prefix and content in one part: no buffer straddles two
			size += lengthPrefix
			data = slices.Concat(plainPrefix[:], data)
		}
		p.spans = append(p.spans, span{start, size})
		p.append(data)
		if pad := padding(size); pad > 0 {
			p.append(zeros[:pad:pad])
		}
	}
}

// plainPrefix is the declared length of a buffer that is not compressed, in a body that is.
var plainPrefix = func() (p [lengthPrefix]byte) {
	plain := int64(storedPlain)
	binary.LittleEndian.PutUint64(p[:], uint64(plain))
	return p
}()

// fill adds a column of defaults or nulls.
func (p *projection) fill(s *slot, c quiver.Column) error {
	one, err := filled(s, c.Default, p.from.rows)
	if err != nil {
		return err
	}
	defer one.Release()
	p.adopt(one)
	return nil
}

func (p *projection) release() {
	for _, o := range p.owned {
		o.Release()
	}
}

// batch makes the batch of what was gathered.
func (p *projection) batch(l *Layout) *Batch {
	var b *Batch
	if p.size <= smallBody {
		b = p.copied(l)
	} else {
		if pad := padding(p.size); pad > 0 {
			p.append(zeros[:pad:pad])
		}
		owners := make([]*buf.Buf, 0, len(p.owned)+len(p.from.owners))
		if p.uses {
			for _, o := range p.from.owners {
				owners = append(owners, o.Retain())
			}
		}
		owners = append(owners, p.owned...)
		p.owned = nil
		b = newBatch(l, p.from.rows, p.nodes, p.spans, p.from.codec, owners)
		b.setParts(p.parts)
	}
	b.producers = p.from.producers
	b.sealed.stamp = p.from.sealed.stamp
	return b
}

// copied makes the batch of few bytes, copied together.
func (p *projection) copied(l *Layout) *Batch {
	b := newBatch(l, p.from.rows, p.nodes, p.spans, p.from.codec, nil)
	if p.size == 0 {
		b.setParts(nil)
		return b
	}
	size := p.size + padding(p.size)
	body := buf.Get(int(size))
	data, n := body.Bytes(), 0
	for _, part := range p.parts {
		n += copy(data[n:], part)
	}
	clear(data[n:])
	b.owners = []*buf.Buf{body}
	b.setParts([][]byte{data})
	return b
}
