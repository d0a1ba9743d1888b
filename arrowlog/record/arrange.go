package record

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Arrange is a batch of columns of this one and of generated ones, in any order. Column i of the result is column
// order[i] of this batch; from its number of columns on, the numbers go on with the generated arrays. The layout is
// that of the result.
//
// It is what Project is for a batch that was loaded by columns already: nothing is decoded or decompressed, the batch
// keeps the header, and holds references of its own.
func (b *Batch) Arrange(l *Layout, order []int, made ...arrow.Array) (*Batch, error) {
	own := b.layout.NumColumns()
	if len(order) != l.NumColumns() {
		return nil, quiver.Errorf(quiver.Internal, "%d columns to arrange, the layout has %d", len(order), l.NumColumns())
	}
	p := projection{
		from:  b,
		nodes: make([]node, 0, l.numNodes()),
		spans: make([]span, 0, l.numBuffers()),
		parts: make([][]byte, 0, 2*len(order)+2),
	}
	defer p.release()
	for i, c := range order {
		switch {
		case c >= own:
			if err := p.add(&l.slots[i], made[c-own]); err != nil {
				return nil, err
			}
		case l.slots[i].fits(b.layout.slots[c].typ), l.slots[i].indexes(b.layout.slots[c].typ):
			p.pick(c)
		default:
			return nil, quiver.Errorf(quiver.Internal, "column %d of the arrangement is %s, not %s", i,
				l.slots[i].typ, b.layout.slots[c].typ)
		}
	}
	return p.batch(l), nil
}
