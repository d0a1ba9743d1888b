package scan

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// piece is a part of one stored batch: rows [skip, skip+rows) of it. It owns one reference on the batch.
type piece struct {
	batch     *record.Batch
	skip      int
	rows      int
	from      quiver.Offset // of the first row
	timestamp int64         // of every row, Unix milliseconds
}

// newPiece is what of a stored batch lies in [from, until). It takes over the reference. ok is false where that is
// nothing; then the batch is released.
func newPiece(b *record.Batch, from, until quiver.Offset) (p piece, ok bool) {
	h := b.Header()
	first, end := max(from, h.BaseOffset), min(until, h.Until())
	if first >= end {
		b.Release()
		return piece{}, false
	}
	return piece{
		batch:     b,
		skip:      int(first - h.BaseOffset),
		rows:      int(end - first),
		from:      first,
		timestamp: h.Timestamp,
	}, true
}

// until is one past the offset of the last row.
func (p *piece) until() quiver.Offset { return p.from + quiver.Offset(p.rows) }

// bytes is about what the piece takes, without system columns.
func (p *piece) bytes() int {
	size := p.batch.Size()
	if p.rows == p.batch.Rows() {
		return size
	}
	return int(int64(size) * int64(p.rows) / int64(p.batch.Rows()))
}

// whole makes the piece a batch of its own, if rows of it are to be left out.
func (p *piece) whole() error {
	if p.skip == 0 && p.rows == p.batch.Rows() {
		return nil
	}
	b, err := p.batch.Slice(p.skip, p.skip+p.rows)
	if err != nil {
		return err
	}
	p.batch.Release()
	p.batch, p.skip = b, 0
	return nil
}

// release gives the reference back.
func (p *piece) release() { p.batch.Release() }

// bounds is how large a chunk may become.
type bounds struct {
	merge  int // rows up to which small batches are merged
	cut    int // rows above which a batch is cut
	bytes  int // both
	perRow int // bytes that system columns add to each row
}

// smallBytes is the size up to which a batch is worth merging with its neighbours. A message costs sender and
// reader some ten microseconds, whatever it holds; above this size that is no longer much beside the bytes, and
// merging would only copy them.
const smallBytes = 128 << 10

func (b *bounds) size(p *piece) int { return p.bytes() + p.rows*b.perRow }

// fits says that the piece may be a chunk by itself.
func (b *bounds) fits(p *piece) bool {
	return p.rows <= b.cut && (p.rows == 1 || b.size(p) <= b.bytes)
}

// small says that the piece had better be sent together with its neighbours.
func (b *bounds) small(p *piece) bool { return b.size(p) <= smallBytes && p.rows < b.merge }

// head takes the rows off the piece's head that fit, and leaves the rest, at least one row, in it.
//
// Rows of one batch may differ in size, so the even share is only a first guess: it is halved until it fits.
func (b *bounds) head(p *piece) (piece, error) {
	if err := p.decompress(); err != nil {
		return piece{}, err
	}
	rows := min(p.rows, b.cut)
	if size := b.size(p); size > b.bytes {
		share := int(int64(p.rows) * int64(b.bytes) / int64(size))
		rows = min(rows, evenCut(p.skip, max(share, 1)))
	}
	for {
		batch, err := p.batch.Slice(p.skip, p.skip+rows)
		if err != nil {
			return piece{}, err
		}
		head := piece{batch: batch, rows: rows, from: p.from, timestamp: p.timestamp}
		if b.fits(&head) {
			p.skip, p.rows, p.from = p.skip+rows, p.rows-rows, p.from+quiver.Offset(rows)
			return head, nil
		}
		batch.Release()
		rows = evenCut(p.skip, rows/2)
	}
}

// evenCut rounds a number of rows down so that the cut behind them falls on a multiple of 64, where bitmaps can be
// shared and not shifted. It leaves numbers too small for that alone.
func evenCut(skip, rows int) int {
	if even := (skip+rows)&^63 - skip; even > 0 {
		return even
	}
	return rows
}

// decompress stores a batch that is to be cut without compression: it would be decoded anew for every cut.
func (p *piece) decompress() error {
	if p.batch.Compression() == record.None {
		return nil
	}
	plain, err := p.batch.Recompress(record.None)
	if err != nil {
		return err
	}
	p.batch.Release()
	p.batch = plain
	return nil
}
