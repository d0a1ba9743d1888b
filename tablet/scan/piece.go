package scan

import (
	"cmp"
	"slices"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// piece is what was read of [from, end): rows [skip, skip+rows) of a batch, of which it owns one reference.
//
// One that comes out of the filter may have lost rows: offsets then names those it has. Without any it has no batch.
type piece struct {
	batch   *record.Batch // nil: no rows
	skip    int
	rows    int
	from    quiver.Offset
	end     quiver.Offset
	time    int64   // when the last row of the range was appended, Unix milliseconds
	offsets []int64 // of the rows; nil: from, from+1, …
	stamps  []stamp // of the rows of the range; nil: all have that of the last one
	cost    int     // about how many bytes were looked at for it
}

// stamp is the timestamp of the rows before an offset, back to the stamp before.
type stamp struct {
	until     quiver.Offset
	timestamp int64 // Unix milliseconds
}

// skipCost is what looking at the metadata of a batch counts for.
const skipCost = 2 << 10

// newPiece is what of a stored batch lies in [from, until). It takes over the reference. ok is false where that is
// nothing; then the batch is released. A batch that was skipped is nil.
func newPiece(h record.Header, b *record.Batch, from, until quiver.Offset) (p piece, ok bool) {
	first, end := max(from, h.BaseOffset), min(until, h.Until())
	if first >= end {
		if b != nil {
			b.Release()
		}
		return piece{}, false
	}
	p = piece{from: first, end: end, time: h.Timestamp, cost: skipCost}
	if b != nil {
		p.batch, p.skip, p.rows = b, int(first-h.BaseOffset), int(end-first)
		p.cost = b.Size()
	}
	return p, true
}

// offset is that of one of the rows.
func (p *piece) offset(row int) quiver.Offset {
	if p.offsets != nil {
		return quiver.Offset(p.offsets[row])
	}
	return p.from + quiver.Offset(row)
}

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
func (p *piece) release() {
	if p.batch != nil {
		p.batch.Release()
	}
}

// release gives all pieces back.
func release(pieces []piece) {
	for i := range pieces {
		pieces[i].release()
	}
}

// bounds is how large a chunk may become.
type bounds struct {
	merge  int  // rows up to which small batches are merged
	cut    int  // rows above which a batch is cut
	bytes  int  // both
	perRow int  // bytes that system columns add to each row
	wide   bool // bytes only bound what is merged
}

// smallBytes is the size up to which a batch is worth merging with its neighbours. A message costs sender and
// reader some ten microseconds, whatever it holds; above this size that is no longer much beside the bytes, and
// merging would only copy them.
const smallBytes = 128 << 10

func (b *bounds) size(p *piece) int { return p.bytes() + p.rows*b.perRow }

// fits says that the piece may be a chunk by itself.
func (b *bounds) fits(p *piece) bool {
	return p.rows <= b.cut && (b.wide || p.rows == 1 || b.size(p) <= b.bytes)
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
	if size := b.size(p); size > b.bytes && !b.wide {
		share := int(int64(p.rows) * int64(b.bytes) / int64(size))
		rows = min(rows, evenCut(p.skip, max(share, 1)))
	}
	for {
		batch, err := p.batch.Slice(p.skip, p.skip+rows)
		if err != nil {
			return piece{}, err
		}
		head := piece{batch: batch, rows: rows}
		if b.fits(&head) {
			p.behead(&head)
			return head, nil
		}
		batch.Release()
		rows = evenCut(p.skip, rows/2)
	}
}

// stampOf is the place of the stamp that a row has.
func stampOf(stamps []stamp, row quiver.Offset) int {
	at, _ := slices.BinarySearchFunc(stamps, row+1, func(s stamp, until quiver.Offset) int { return cmp.Compare(s.until, until) })
	return at
}

// behead moves the rows that the head has from the piece to it, with their offsets and stamps.
func (p *piece) behead(head *piece) {
	head.from, head.end, head.time = p.from, p.offset(head.rows-1)+1, p.time
	if p.stamps != nil {
		at := stampOf(p.stamps, head.end-1)
		head.stamps, head.time = p.stamps[:at+1:at+1], p.stamps[at].timestamp
		p.stamps = p.stamps[at:]
	}
	if p.offsets != nil {
		head.offsets, p.offsets = p.offsets[:head.rows], p.offsets[head.rows:]
	}
	p.skip, p.rows, p.from = p.skip+head.rows, p.rows-head.rows, head.end
	head.cost, p.cost = p.cost, 0
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
