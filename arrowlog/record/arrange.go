package record

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Arrange is a batch of columns of this one and of generated ones, in any order. Column i of the result is column
// order[i] of this batch; from its number of columns on, the numbers go on with the generated arrays. The layout is
// that of the result.
//
// Nothing is decoded or decompressed: buffers are referred to where they lie. Generated arrays are flat, not sliced
// and without nulls; in a compressed body they stand uncompressed, as the format allows. They are kept, not copied.
func (b *Batch) Arrange(l *Layout, order []int, made ...arrow.Array) (*Batch, error) {
	if len(order) != l.NumColumns() {
		return nil, quiver.Errorf(quiver.Internal, "%d columns to arrange, the layout has %d", len(order), l.NumColumns())
	}
	nodes := make([]node, 0, l.numNodes())
	bufs := make([][]byte, 0, l.numBuffers())
	for i, c := range order {
		if c < b.layout.NumColumns() {
			from, until := b.layout.places[c], b.layout.places[c+1]
			nodes = append(nodes, b.nodes[from.node:until.node]...)
			for k := from.buffer; k < until.buffer; k++ {
				bufs = append(bufs, b.buffer(k))
			}
			continue
		}
		a := made[c-b.layout.NumColumns()]
		if s := &l.slots[i]; a.Len() != b.rows || a.NullN() != 0 || a.Data().Offset() != 0 || !s.flat() || !s.fits(a.DataType()) {
			return nil, quiver.Errorf(quiver.Internal, "%d values of %s do not fit column %d of the arrangement", a.Len(), a.DataType(), i)
		}
		nodes = append(nodes, node{length: int64(b.rows)})
		bufs = append(bufs, b.madeBuffers(a)...)
	}
	if len(nodes) != l.numNodes() || len(bufs) != l.numBuffers() {
		return nil, quiver.Errorf(quiver.Internal, "the columns do not have the layout of the arrangement")
	}
	owners := make([]*buf.Buf, len(b.owners))
	for i, o := range b.owners {
		owners[i] = o.Retain()
	}
	out := assemble(l, b.rows, nodes, bufs, b.codec, owners)
	out.producers = b.producers
	out.sealed.stamp = b.sealed.stamp
	return out, nil
}

// madeBuffers are the buffers of a generated array as they stand in a body like the batch's.
func (b *Batch) madeBuffers(a arrow.Array) [][]byte {
	buffers := a.Data().Buffers()
	bufs := make([][]byte, len(buffers))
	for i, m := range buffers {
		if m == nil || m.Len() == 0 {
			continue
		}
		bufs[i] = m.Bytes()
		if b.codec != None {
			bufs[i] = slices.Concat(uncompressedPrefix[:], m.Bytes())
		}
	}
	return bufs
}

// uncompressedPrefix is the length that marks a buffer of a compressed body as not compressed: -1.
var uncompressedPrefix = [lengthPrefix]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
