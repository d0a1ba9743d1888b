package record

import (
	"encoding/binary"
	"math"
)

// What clients may send and is never stored: views, list views, run ends, dictionaries. Behind a null anything may
// stand in a view or an index (pandas writes -1 there), so whoever reads these arrays asks for nulls first.

// views16 checks an array of views:
//
//	length int32 | up to 12 bytes, zeros behind
//	length int32 | first 4 bytes | data buffer int32 | offset int32
func (g *gate) views16(s *slot, length int64, valid []byte) error {
	views, err := g.content(s, length*viewSize)
	if err != nil {
		return err
	}
	data := make([][]byte, g.views[g.view])
	g.view++
	for i := range data {
		if data[i], err = g.content(s, g.available()); err != nil {
			return err
		}
	}
	for i := range length {
		if !bit(valid, i) {
			continue
		}
		text, ok := viewed(views[i*viewSize:(i+1)*viewSize], data)
		if !ok {
			return s.malformed("view %d does not lie in its data", i)
		}
		if s.utf8 && !validText(text) {
			return s.malformed("value %d is not valid UTF-8", i)
		}
	}
	return nil
}

// viewed is the value of a view.
func viewed(view []byte, data [][]byte) (value []byte, ok bool) {
	le := binary.LittleEndian
	n := int64(int32(le.Uint32(view)))
	if n < 0 {
		return nil, false
	}
	if n <= viewInline {
		for _, b := range view[4+n:] {
			if b != 0 {
				return nil, false
			}
		}
		return view[4 : 4+n], true
	}
	at, off := int64(int32(le.Uint32(view[8:]))), int64(int32(le.Uint32(view[12:])))
	if at < 0 || at >= int64(len(data)) || off < 0 || off > int64(len(data[at]))-n {
		return nil, false
	}
	value = data[at][off : off+n]
	return value, le.Uint32(value) == le.Uint32(view[4:])
}

// listView checks a list whose values say where they start and how long they are; also those that are null.
func (g *gate) listView(s *slot, length int64) error {
	width := int64(4)
	if s.kind.wide() {
		width = 8
	}
	offsets, err := g.content(s, length*width)
	if err != nil {
		return err
	}
	sizes, err := g.content(s, length*width)
	if err != nil {
		return err
	}
	child := g.nodes[g.node].length
	for i := range length {
		off, n := integer(offsets, width, i), integer(sizes, width, i)
		if off < 0 || n < 0 || off > child || n > child-off {
			return s.malformed("value %d lies at %d+%d, the child has %d values", i, off, n, child)
		}
	}
	return g.child(s, 0)
}

// integer is the i-th of signed integers of a width.
func integer(values []byte, width, i int64) int64 {
	le := binary.LittleEndian
	switch width {
	case 2:
		return int64(int16(le.Uint16(values[2*i:])))
	case 4:
		return int64(int32(le.Uint32(values[4*i:])))
	default:
		return int64(le.Uint64(values[8*i:]))
	}
}

// runEnds checks a run-end encoded array: its ends rise and the last one reaches its length.
func (g *gate) runEnds(s *slot, n *node) error {
	if n.nulls > 0 {
		return s.malformed("%d nulls in a run-end encoded array itself", n.nulls)
	}
	n.nulls = 0
	ends, values := &s.children[0], &s.children[1]
	endsNode, at := &g.nodes[g.node], g.buffer
	runs := endsNode.length
	if err := g.array(ends, runs); err != nil {
		return err
	}
	if err := ends.excuse(endsNode); err != nil {
		return err
	}
	content, width := g.at(at+1), int64(ends.width)
	last := int64(0)
	for i := range runs {
		end := integer(content, width, i)
		if end <= last {
			return s.malformed("run %d ends at %d, the one before at %d", i, end, last)
		}
		last = end
	}
	if last < n.length {
		return s.malformed("runs end at %d, the array has %d values", last, n.length)
	}
	valuesNode := &g.nodes[g.node]
	if err := g.array(values, runs); err != nil {
		return err
	}
	return values.excuse(valuesNode)
}

// indices checks the indices into a dictionary that was sent before.
func (g *gate) indices(s *slot, length int64, valid []byte) error {
	indices, err := g.content(s, length*int64(s.width))
	if err != nil || length == 0 {
		return err
	}
	size := uint64(0)
	if d, ok := g.dictionaries[s.dict]; ok {
		size = uint64(d.Len())
	}
	if s.signed {
		size = min(size, 1<<(8*s.width-1))
	}
	if size > 0 && highest(indices, s.width) < size {
		return nil
	}
	for i := range length {
		if bit(valid, i) && unsigned(indices, s.width, i) >= size {
			return s.malformed("index %d is not in the dictionary of %d values", i, size)
		}
	}
	return nil
}

// unsigned is the i-th of unsigned integers of a width.
func unsigned(values []byte, width int, i int64) uint64 {
	le := binary.LittleEndian
	switch width {
	case 1:
		return uint64(values[i])
	case 2:
		return uint64(le.Uint16(values[2*i:]))
	case 4:
		return uint64(le.Uint32(values[4*i:]))
	default:
		return le.Uint64(values[8*i:])
	}
}

// highest is the highest of unsigned integers of a width.
func highest(values []byte, width int) uint64 {
	switch width {
	case 1:
		return uint64(most(values))
	case 2:
		return uint64(most(cast[uint16](values)))
	case 4:
		return uint64(most(cast[uint32](values)))
	case 8:
		return most(cast[uint64](values))
	}
	return math.MaxUint64
}

func most[T uint8 | uint16 | uint32 | uint64](values []T) (m T) {
	for _, v := range values {
		m = max(m, v)
	}
	return m
}
