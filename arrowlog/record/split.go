package record

import (
	"sort"

	"github.com/quiverlog/quiver"
)

// splitRows is what cuts between rows are a multiple of where they can be: bitmaps of the pieces then start at whole
// words, and fixed-width values on 64 bytes.
const splitRows = 64

// Slice is the rows [from, until) as a batch. Values of a body that is not compressed stay where they are: the slice
// refers to them, and holds the memory; bitmaps are shifted and offsets rebased in memory of its own. A compressed
// body is decompressed and compressed again by the same codec. Producers stay with their rows, and the header with the
// offset of the first one.
func (b *Batch) Slice(from, until int) (*Batch, error) {
	if from < 0 || until < from || until > b.rows {
		return nil, quiver.Errorf(quiver.Internal, "slice [%d, %d) of a batch of %d rows", from, until, b.rows)
	}
	if from == 0 && until == b.rows {
		return b.Retain(), nil
	}
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	c := newCutter(plain)
	p, err := c.plan(from, until)
	if err != nil {
		return nil, err
	}
	return c.cut(p, from, until, b.codec), nil
}

// Split cuts the batch into pieces that take at most maxBytes in a segment each, or hold a single row. It cuts at
// multiples of 64 rows, but where 64 rows are too much. The pieces are found by their real sizes, so columns may be as
// skewed as they like, and are made as by Slice.
//
// Compressed pieces also stay within maxPlain once they are decompressed, however well they compress: a reader that
// wants a few rows of one has to hold all of it.
func (b *Batch) Split(maxBytes int) ([]*Batch, error) { return b.AppendSplit(nil, maxBytes) }

// AppendSplit is Split behind other batches, which stay as they are also if it fails.
func (b *Batch) AppendSplit(pieces []*Batch, maxBytes int) ([]*Batch, error) {
	if b.rows <= 1 || b.Size() <= maxBytes && b.plainSize() <= maxPlain {
		return append(pieces, b.Retain()), nil
	}
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	before := len(pieces)
	fail := func(err error) ([]*Batch, error) {
		for _, p := range pieces[before:] {
			p.Release()
		}
		return pieces[:before], err
	}
	c := newCutter(plain)
	target := maxBytes
	if b.codec != None {
		target = min(maxPlain, int(float64(maxBytes)*float64(plain.Size())/float64(b.Size())))
	}
	for from := 0; from < b.rows; {
		until, p, err := c.fitting(from, target)
		if err != nil {
			return fail(err)
		}
		piece := c.cut(p, from, until, b.codec)
		if size := piece.Size(); size > maxBytes && until-from > 1 {
			// Only compressed pieces miss: how well these rows compress shows only now.
			piece.Release()
			target = min(target-1, int(float64(target)*float64(maxBytes)/float64(size)))
			continue
		}
		pieces = append(pieces, piece)
		from = until
	}
	return pieces, nil
}

// maxPlain bounds the decompressed size of stored compressed batches.
const maxPlain = 16 << 20

// plainSize is what the buffers of the body take once they are decompressed.
func (b *Batch) plainSize() int64 {
	if b.codec == None {
		return b.bodyLen
	}
	var size int64
	for i := range b.buffers {
		if n, _, err := declaredLength(b.buffer(i)); err == nil {
			size += n
		}
	}
	return size
}

// cutter cuts pieces from one batch that is not compressed.
type cutter struct {
	b       *Batch
	columns []values
	meta    int // what the metadata of a piece takes at most
}

func newCutter(b *Batch) *cutter {
	c := &cutter{b: b, columns: make([]values, len(b.layout.slots)), meta: b.metadataSize()}
	for i := range c.columns {
		c.columns[i] = b.column(i)
	}
	return c
}

// plan plans the piece of the rows [from, until).
func (c *cutter) plan(from, until int) (*plan, error) {
	runs := make([]values, 1)
	return planRows(c.b.layout, func(i int) []values {
		runs[0] = c.columns[i].sliced(from, until)
		return runs
	})
}

// cut makes the piece that was planned.
func (c *cutter) cut(p *plan, from, until int, codec Compression) *Batch {
	piece := p.shared(c.b.layout, until-from, c.b.owners)
	if len(c.b.producers) > 0 {
		piece.producers = cutProducers(c.b.producers, from, until)
	}
	if h := c.b.sealed.stamp; h.Version != 0 {
		h.BaseOffset += quiver.Offset(from)
		h.Rows, h.CRC, h.Payload = until-from, 0, 0
		piece.sealed.stamp = h
	}
	if codec == None {
		return piece
	}
	if c.b.summary != storedSummary {
		piece.Summarize(c.b.summary)
	}
	defer piece.Release()
	return piece.deflate(codec)
}

// fitting finds the longest piece from a row on that takes at most maxBytes, but one row at least, and plans it.
func (c *cutter) fitting(from, maxBytes int) (until int, p *plan, err error) {
	rows := c.b.rows
	fits := func(until int) bool {
		q, e := c.plan(from, until)
		if e != nil {
			err = e
			return false
		}
		if c.meta+int(q.size) > maxBytes {
			return false
		}
		p = q
		return true
	}
	if fits(rows) {
		return rows, p, err
	}
	// Sizes rise with the rows: n is the number of cuts that fit.
	base := from &^ (splitRows - 1)
	n := sort.Search((rows-base-1)/splitRows, func(i int) bool { return !fits(base + (i+1)*splitRows) })
	if n > 0 && base+n*splitRows > from {
		until = base + n*splitRows
	} else {
		until = from + 1 + sort.Search(min(rows-from, splitRows)-1, func(i int) bool { return !fits(from + 2 + i) })
	}
	if err == nil {
		p, err = c.plan(from, until)
	}
	return until, p, err
}
