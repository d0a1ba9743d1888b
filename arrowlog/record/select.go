package record

import (
	"encoding/binary"
	"math"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Select gives the batch of some rows, by their places, ascending or not, each as often as it is named. The result is
// not compressed, has the same layout and buffers of its own, and neither header nor producers. Where the rows are
// those of the batch as they are, the values of a body that is not compressed are shared.
//
// A compressed body is decompressed whole: to select from one batch many times, Recompress it first.
func (b *Batch) Select(rows []int32) (*Batch, error) {
	for _, row := range rows {
		if uint(row) >= uint(b.rows) {
			return nil, quiver.Errorf(quiver.Internal, "row %d of a batch of %d is selected", row, b.rows)
		}
	}
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	c := choose(rows)
	if len(c.runs) == 1 && c.n == b.rows {
		return plain.anonymous(), nil
	}
	return plain.selected(&c)
}

// anonymous is the same rows without header and producers.
func (b *Batch) anonymous() *Batch {
	out := newBatch(b.layout, b.rows, b.nodes, b.buffers, b.codec, retained(b.owners))
	out.setParts(b.parts)
	return out
}

// run is the values [from, from+n) of an array.
type run struct{ from, n int }

// choice is which values of an array are taken, in order: as runs of neighbours or, where these are short, one by one.
type choice struct {
	n    int     // values, all together
	runs []run   // nil: one by one
	each []int32 // nil: by runs
}

// shortRuns is the mean length of runs below which values are taken one by one.
const shortRuns = 4

// choose is the choice of rows.
func choose(rows []int32) choice {
	c := choice{n: len(rows)}
	if c.n == 0 {
		return c
	}
	runs := 1
	for i := 1; i < len(rows); i++ {
		if rows[i] != rows[i-1]+1 {
			runs++
		}
	}
	if runs*shortRuns > len(rows) && len(rows) > 1 {
		c.each = rows
		return c
	}
	c.runs = make([]run, 0, runs)
	for _, row := range rows {
		c.add(int(row), 1)
	}
	return c
}

// add adds values behind the last run, or to it.
func (c *choice) add(from, n int) {
	if last := len(c.runs) - 1; last >= 0 && c.runs[last].from+c.runs[last].n == from {
		c.runs[last].n += n
		return
	}
	c.runs = append(c.runs, run{from, n})
}

// below is the choice of an array's child values: those of each chosen value of the array, from where it begins to
// where it ends.
func (c *choice) below(bounds func(from, until int) (int, int)) choice {
	var out choice
	add := func(from, n int) {
		if from, until := bounds(from, from+n); from < until {
			out.add(from, until-from)
			out.n += until - from
		}
	}
	for _, at := range c.each {
		add(int(at), 1)
	}
	for _, r := range c.runs {
		add(r.from, r.n)
	}
	return out
}

// picker makes a batch of chosen rows. Sizes are measured first; then one buffer is filled, array by array.
type picker struct {
	nodes    []node
	spans    []span
	children []choice // of each array of lists, in the order in which they are measured, and filled
	size     int64    // at most
	data     []byte
	at       int64 // where the next buffer goes
}

// selected is the batch of the chosen rows of one that is not compressed.
func (b *Batch) selected(c *choice) (*Batch, error) {
	l := b.layout
	p := picker{nodes: make([]node, 0, l.numNodes()), spans: make([]span, 0, l.numBuffers())}
	columns := make([]values, len(l.slots))
	for i := range columns {
		columns[i] = b.column(i)
		if err := p.measure(&l.slots[i], &columns[i], c); err != nil {
			return nil, err
		}
	}
	var owners []*buf.Buf
	if p.size > 0 {
		body := buf.Get(int(p.size))
		owners, p.data = []*buf.Buf{body}, body.Bytes()
	}
	for i := range columns {
		p.fill(&l.slots[i], &columns[i], c)
	}
	out := newBatch(l, c.n, p.nodes, p.spans, None, owners)
	if p.at == 0 {
		out.setParts(nil)
	} else {
		out.setParts([][]byte{p.data[:p.at:p.at]})
	}
	return out, nil
}

// measure adds up what the chosen values of an array take.
func (p *picker) measure(s *slot, v *values, c *choice) error {
	if s.kind == kindNull {
		return nil
	}
	n := int64(c.n)
	if v.nulls > 0 {
		p.reserve(bitBytes(c.n))
	}
	switch s.kind {
	case kindBool:
		p.reserve(bitBytes(c.n))
	case kindFixed:
		p.reserve(n * int64(s.width))
	case kindBinary32, kindBinary64:
		total := v.span(s, c)
		if total > math.MaxInt32 && !s.kind.wide() {
			return s.tooLong(total)
		}
		p.reserve((n + 1) * s.offsetWidth())
		p.reserve(total)
	case kindList32, kindList64, kindMap:
		wide := s.kind.wide()
		inner := c.below(func(from, until int) (int, int) {
			first, _ := v.item(from, wide)
			_, last := v.item(until-1, wide)
			return first, last
		})
		if inner.n > math.MaxInt32 && !wide {
			return s.tooLong(int64(inner.n))
		}
		p.reserve((n + 1) * s.offsetWidth())
		return p.measureList(s, v, inner)
	case kindFixedList:
		return p.measureList(s, v, c.below(func(from, until int) (int, int) { return from * s.width, until * s.width }))
	case kindStruct:
		for i := range s.children {
			if err := p.measure(&s.children[i], &v.children[i], c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *picker) measureList(s *slot, v *values, inner choice) error {
	p.children = append(p.children, inner)
	return p.measure(&s.children[0], &v.children[0], &inner)
}

func (p *picker) reserve(n int64) { p.size += n + padding(n) }

// offsetWidth is the bytes of one offset of the array.
func (s *slot) offsetWidth() int64 {
	if s.kind.wide() {
		return 8
	}
	return 4
}

// span is how many bytes the chosen values of an array of binaries have.
func (v *values) span(s *slot, c *choice) (total int64) {
	if c.n == 0 {
		return 0
	}
	if s.kind.wide() {
		offsets := cast[int64](v.buffers[1])
		for _, at := range c.each {
			total += offsets[at+1] - offsets[at]
		}
		for _, r := range c.runs {
			total += offsets[r.from+r.n] - offsets[r.from]
		}
		return total
	}
	offsets := cast[int32](v.buffers[1])
	for _, at := range c.each {
		total += int64(offsets[at+1] - offsets[at])
	}
	for _, r := range c.runs {
		total += int64(offsets[r.from+r.n] - offsets[r.from])
	}
	return total
}

// place is the memory of the next buffer, with its padding set to zero.
func (p *picker) place(n int64) []byte {
	end := p.at + n
	p.spans = append(p.spans, span{p.at, n})
	clear(p.data[end : end+padding(n)])
	dst := p.data[p.at:end:end]
	p.at = end + padding(n)
	return dst
}

// fill writes the chosen values of an array.
func (p *picker) fill(s *slot, v *values, c *choice) {
	n := int64(c.n)
	if s.kind == kindNull {
		p.nodes = append(p.nodes, node{n, n})
		return
	}
	p.nodes = append(p.nodes, node{n, p.fillValidity(v, c)})
	switch s.kind {
	case kindBool:
		takeBits(p.place(bitBytes(c.n)), v.buffers[1], c)
	case kindFixed:
		takeFixed(p.place(n*int64(s.width)), v.buffers[1], c, s.width)
	case kindBinary32:
		offsets := p.place((n + 1) * 4)
		takeText(offsets, p.place(takeOffsets[int32](offsets, v.buffers[1], c)), v, c, false)
	case kindBinary64:
		offsets := p.place((n + 1) * 8)
		takeText(offsets, p.place(takeOffsets[int64](offsets, v.buffers[1], c)), v, c, true)
	case kindList32, kindMap:
		takeOffsets[int32](p.place((n+1)*4), v.buffers[1], c)
		p.fillList(s, v)
	case kindList64:
		takeOffsets[int64](p.place((n+1)*8), v.buffers[1], c)
		p.fillList(s, v)
	case kindFixedList:
		p.fillList(s, v)
	case kindStruct:
		for i := range s.children {
			p.fill(&s.children[i], &v.children[i], c)
		}
	}
}

func (p *picker) fillList(s *slot, v *values) {
	inner := p.children[0]
	p.children = p.children[1:]
	p.fill(&s.children[0], &v.children[0], &inner)
}

// fillValidity writes the bitmap of nulls and counts them; without any there is none.
func (p *picker) fillValidity(v *values, c *choice) (nulls int64) {
	at := p.at
	if v.nulls > 0 {
		bitmap := p.place(bitBytes(c.n))
		takeBits(bitmap, v.buffers[0], c)
		if nulls = int64(c.n - countOnes(bitmap, 0, c.n)); nulls > 0 {
			return nulls
		}
		p.spans = p.spans[:len(p.spans)-1]
		p.at = at
	}
	p.place(0)
	return 0
}

// takeBits writes the chosen bits.
func takeBits(dst, src []byte, c *choice) {
	clear(dst)
	if c.each != nil {
		for i, at := range c.each {
			dst[i>>3] |= src[at>>3] >> (at & 7) & 1 << (i & 7)
		}
		return
	}
	at := 0
	for _, r := range c.runs {
		copyBits(dst, at, src, r.from, r.n)
		at += r.n
	}
}

// takeFixed writes the chosen values of width bytes.
func takeFixed(dst, src []byte, c *choice, width int) {
	if c.each == nil {
		for _, r := range c.runs {
			dst = dst[copy(dst, src[r.from*width:(r.from+r.n)*width]):]
		}
		return
	}
	switch width {
	case 1:
		takeEach(dst, src, c.each)
	case 2:
		takeEach(cast[uint16](dst), cast[uint16](src), c.each)
	case 4:
		takeEach(cast[uint32](dst), cast[uint32](src), c.each)
	case 8:
		takeEach(cast[uint64](dst), cast[uint64](src), c.each)
	default:
		for _, at := range c.each {
			dst = dst[copy(dst, src[int(at)*width:(int(at)+1)*width]):]
		}
	}
}

func takeEach[T number](dst, src []T, each []int32) {
	dst = dst[:len(each)]
	for i, at := range each {
		dst[i] = src[at]
	}
}

// takeOffsets writes the offsets of the chosen values, from 0 on, and gives the last one.
func takeOffsets[T int32 | int64](dst, src []byte, c *choice) int64 {
	to, from := cast[T](dst), cast[T](src)
	var end T
	to[0], to = 0, to[1:]
	for i, at := range c.each {
		end += from[at+1] - from[at]
		to[i] = end
	}
	for _, r := range c.runs {
		delta := end - from[r.from]
		for i, end := range from[r.from+1 : r.from+r.n+1] {
			to[i] = end + delta
		}
		end, to = to[r.n-1], to[r.n:]
	}
	return int64(end)
}

// takeText writes the bytes of the chosen values.
func takeText(offsets, dst []byte, v *values, c *choice, wide bool) {
	src := v.buffers[2]
	for _, r := range c.runs {
		first, _ := v.item(r.from, wide)
		_, last := v.item(r.from+r.n-1, wide)
		dst = dst[copy(dst, src[first:last]):]
	}
	if c.each == nil {
		return
	}
	if wide {
		takeTexts[int64](offsets, dst, v.buffers[1], src, c.each)
	} else {
		takeTexts[int32](offsets, dst, v.buffers[1], src, c.each)
	}
}

// wideText is the length up to which texts are copied as two words: a call for each costs more than their bytes do.
const wideText = 16

// takeTexts writes texts one by one. ends are the offsets already written, places those of the source.
func takeTexts[T int32 | int64](ends, dst, places, src []byte, each []int32) {
	to, from := cast[T](ends), cast[T](places)
	le := binary.LittleEndian
	for i, at := range each {
		start, until := int(from[at]), int(from[at+1])
		out := dst[to[i]:]
		if until-start <= wideText && len(out) >= wideText && len(src)-start >= wideText {
			in := src[start:]
			low, high := le.Uint64(in), le.Uint64(in[8:])
			le.PutUint64(out, low)
			le.PutUint64(out[8:], high)
			continue
		}
		copy(out, src[start:until])
	}
}
