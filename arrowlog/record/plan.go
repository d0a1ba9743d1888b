package record

import (
	"encoding/binary"
	"math"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// A plan says of which pieces of existing memory the body of a new batch is made: the rows of one source (Encode,
// Slice, Split) or of several, one behind the other (Merge). Its size is known before a byte is copied. It is then
// either copied into one buffer, or shared: whole ranges of values are referred to where they lie, and only what
// has to change (bitmaps, rebased offsets) is written anew.

// op is how a piece comes into the new buffer.
type op uint8

const (
	opCopy      op = iota // n bytes of src
	opBits                // n bits of src, from bit at
	opOnes                // n bits, all set
	opOffsets32           // n+1 int32 offsets of src from the at-th on, less the first, plus where the piece before ended
	opOffsets64           // the same with int64
)

type piece struct {
	op  op
	src []byte
	at  int
	n   int
}

// plan is the nodes of the new batch and, for each buffer, its pieces.
type plan struct {
	nodes  []node
	pieces []piece
	ends   []int   // of each buffer: one behind its last piece
	sizes  []int64 // of each buffer, in bytes
	size   int64   // of the body: every buffer rounded up to 64
	err    error
}

// planRows plans the batch of the layout whose i-th column is the values of runs(i), one run behind the other.
func planRows(l *Layout, runs func(i int) []values) (*plan, error) {
	p := &plan{
		nodes: make([]node, 0, l.numNodes()),
		ends:  make([]int, 0, l.numBuffers()),
		sizes: make([]int64, 0, l.numBuffers()),
	}
	for i := range l.slots {
		p.array(&l.slots[i], runs(i))
	}
	return p, p.err
}

// array plans one array: its node, its buffers and its children.
func (p *plan) array(s *slot, runs []values) {
	n, nulls := 0, 0
	for i := range runs {
		n += runs[i].length
		if s.kind != kindNull {
			nulls += runs[i].countNulls()
		}
	}
	if s.kind == kindNull {
		p.nodes = append(p.nodes, node{int64(n), int64(n)})
		return
	}
	p.nodes = append(p.nodes, node{int64(n), int64(nulls)})
	p.validity(runs, nulls > 0)
	switch s.kind {
	case kindBool:
		p.bits(runs)
	case kindFixed:
		for i := range runs {
			v := &runs[i]
			from := v.off * s.width
			p.copy(v.buffers[1], from, from+v.length*s.width)
		}
		p.end(int64(n) * int64(s.width))
	case kindBinary32, kindBinary64:
		p.offsets(s, runs, n)
		var size int64
		for i := range runs {
			first, last := runs[i].bounds(s.kind.wide())
			p.copy(runs[i].buffers[2], first, last)
			size += int64(last - first)
		}
		p.end(size)
	case kindList32, kindList64, kindMap:
		p.offsets(s, runs, n)
		p.children(s, runs, func(v *values, c *values) values {
			first, last := v.bounds(s.kind.wide())
			return c.sliced(first, last)
		})
	case kindFixedList:
		p.children(s, runs, func(v *values, c *values) values {
			return c.sliced(v.off*s.width, (v.off+v.length)*s.width)
		})
	case kindStruct:
		p.children(s, runs, func(v *values, c *values) values {
			return c.sliced(v.off, v.off+v.length)
		})
	default:
		panic("record: a layout that is not stored cannot be encoded")
	}
}

// children plans the children of an array; part picks from a child what a run covers.
func (p *plan) children(s *slot, runs []values, part func(v, child *values) values) {
	for c := range s.children {
		parts := make([]values, len(runs))
		for i := range runs {
			parts[i] = part(&runs[i], &runs[i].children[c])
		}
		p.array(&s.children[c], parts)
	}
}

func (p *plan) copy(src []byte, from, until int) {
	if from < until {
		p.pieces = append(p.pieces, piece{op: opCopy, src: src[from:until:until], n: until - from})
	}
}

// validity plans the bitmap of nulls; without any there is none.
func (p *plan) validity(runs []values, some bool) {
	if !some {
		p.end(0)
		return
	}
	n := 0
	for i := range runs {
		v := &runs[i]
		n += v.length
		if v.length == 0 {
			continue
		}
		if len(v.buffers[0]) == 0 {
			p.pieces = append(p.pieces, piece{op: opOnes, n: v.length})
			continue
		}
		p.pieces = append(p.pieces, piece{op: opBits, src: v.buffers[0], at: v.off, n: v.length})
	}
	p.end(bitBytes(n))
}

func (p *plan) bits(runs []values) {
	n := 0
	for i := range runs {
		v := &runs[i]
		n += v.length
		if v.length > 0 {
			p.pieces = append(p.pieces, piece{op: opBits, src: v.buffers[1], at: v.off, n: v.length})
		}
	}
	p.end(bitBytes(n))
}

func (p *plan) offsets(s *slot, runs []values, n int) {
	o, width, limit := opOffsets32, int64(4), int64(math.MaxInt32)
	if s.kind.wide() {
		o, width, limit = opOffsets64, 8, math.MaxInt64
	}
	var total int64
	for i := range runs {
		v := &runs[i]
		if v.length == 0 {
			continue
		}
		first, last := v.bounds(s.kind.wide())
		total += int64(last - first)
		p.pieces = append(p.pieces, piece{op: o, src: v.buffers[1], at: v.off, n: v.length})
	}
	if total > limit {
		p.err = quiver.Errorf(quiver.BatchTooLarge, "column %s would have %d bytes or values, its offsets reach to %d",
			s.name, total, limit).Advise("put smaller batches, or make it a large_ type")
	}
	p.end(int64(n+1) * width)
}

// end ends a buffer of the given size.
func (p *plan) end(size int64) {
	p.ends = append(p.ends, len(p.pieces))
	p.sizes = append(p.sizes, size)
	p.size += size + padding(size)
}

func bitBytes(n int) int64 { return int64(n+7) >> 3 }

// of gives the pieces of the i-th buffer.
func (p *plan) of(i int) []piece {
	from := 0
	if i > 0 {
		from = p.ends[i-1]
	}
	return p.pieces[from:p.ends[i]]
}

// copied makes the batch in memory of its own: one buffer, every Arrow buffer on 64, zeros between them.
func (p *plan) copied(l *Layout, rows int) *Batch {
	spans := make([]span, len(p.sizes))
	var owners []*buf.Buf
	var parts [][]byte
	if p.size > 0 {
		body := buf.Get(int(p.size))
		data := body.Bytes()
		var off int64
		for i, n := range p.sizes {
			spans[i] = span{off, n}
			end := off + n + padding(n)
			p.fill(i, data[off:end:end])
			off = end
		}
		owners, parts = []*buf.Buf{body}, [][]byte{data}
	}
	b := newBatch(l, rows, p.nodes, spans, None, owners)
	b.setParts(parts)
	return b
}

// shared makes the batch of the memory it was planned over, which the owners keep alive: values that need no change
// stay where they are. It takes references of its own.
func (p *plan) shared(l *Layout, rows int, owners []*buf.Buf) *Batch {
	var size int64
	for i, n := range p.sizes {
		if !p.stays(i) {
			size += n + padding(n)
		}
	}
	var scratch []byte
	kept := make([]*buf.Buf, 0, len(owners)+1)
	for _, o := range owners {
		kept = append(kept, o.Retain())
	}
	if size > 0 {
		b := buf.Get(int(size))
		kept, scratch = append(kept, b), b.Bytes()
	}
	bufs := make([][]byte, len(p.sizes))
	for i, n := range p.sizes {
		switch {
		case n == 0:
		case p.stays(i):
			bufs[i] = p.of(i)[0].src
		default:
			end := n + padding(n)
			p.fill(i, scratch[:end:end])
			bufs[i], scratch = scratch[:n:n], scratch[end:]
		}
	}
	return assemble(l, rows, p.nodes, bufs, None, kept)
}

// stays says that the i-th buffer is one range of existing memory as it is.
func (p *plan) stays(i int) bool {
	pieces := p.of(i)
	return len(pieces) == 1 && pieces[0].op == opCopy
}

// fill writes the i-th buffer into dst, padding included.
func (p *plan) fill(i int, dst []byte) {
	size := p.sizes[i]
	pieces := p.of(i)
	if len(pieces) == 0 {
		clear(dst)
		return
	}
	clear(dst[size:])
	switch pieces[0].op {
	case opCopy:
		for _, c := range pieces {
			dst = dst[copy(dst, c.src):]
		}
	case opBits, opOnes:
		clear(dst[:size])
		at := 0
		for _, c := range pieces {
			if c.op == opOnes {
				setBits(dst, at, c.n)
			} else {
				copyBits(dst, at, c.src, c.at, c.n)
			}
			at += c.n
		}
	case opOffsets32:
		fillOffsets32(dst, pieces)
	case opOffsets64:
		fillOffsets64(dst, pieces)
	}
}

func fillOffsets32(dst []byte, pieces []piece) {
	var base uint32
	binary.LittleEndian.PutUint32(dst, 0)
	dst = dst[4:]
	for _, c := range pieces {
		src := c.src[c.at*4 : (c.at+c.n+1)*4]
		base = rebase32(dst, src, base)
		dst = dst[c.n*4:]
	}
}

// rebase32 writes the ends of the values whose int32 offsets are src, so that the first starts at base. It returns
// where the last one ends.
func rebase32(dst, src []byte, base uint32) uint32 {
	delta := base - binary.LittleEndian.Uint32(src)
	src = src[4:]
	if delta == 0 {
		copy(dst, src)
	} else {
		dst := dst[:len(src)]
		for i := 0; i+4 <= len(src); i += 4 {
			binary.LittleEndian.PutUint32(dst[i:], binary.LittleEndian.Uint32(src[i:])+delta)
		}
	}
	return binary.LittleEndian.Uint32(src[len(src)-4:]) + delta
}

func fillOffsets64(dst []byte, pieces []piece) {
	var base uint64
	binary.LittleEndian.PutUint64(dst, 0)
	dst = dst[8:]
	for _, c := range pieces {
		src := c.src[c.at*8 : (c.at+c.n+1)*8]
		base = rebase64(dst, src, base)
		dst = dst[c.n*8:]
	}
}

// rebase64 is rebase32 for int64 offsets.
func rebase64(dst, src []byte, base uint64) uint64 {
	delta := base - binary.LittleEndian.Uint64(src)
	src = src[8:]
	if delta == 0 {
		copy(dst, src)
	} else {
		dst := dst[:len(src)]
		for i := 0; i+8 <= len(src); i += 8 {
			binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])+delta)
		}
	}
	return binary.LittleEndian.Uint64(src[len(src)-8:]) + delta
}
