package record

import (
	"bytes"
)

// numberer numbers values in the order in which they come: the first one is 0, equal ones have the same number.
type numberer struct {
	words map[uint64]int32
	texts map[string]int32
	near  [nearWords]nearWord // what was asked for lately, by a few bits of it
	next  int32
}

type nearWord struct {
	word   uint64
	number int32 // less 1; 0: none
}

const nearWords = 64

// maxNumbered is how many values a map may have held to be used again: clearing it takes as long as it once was full.
const maxNumbered = 1024

func (n *numberer) reset() {
	if n.next > maxNumbered {
		n.words, n.texts = nil, nil
	}
	clear(n.words)
	clear(n.texts)
	n.near = [nearWords]nearWord{}
	n.next = 0
}

// column numbers the values of an array; null is a value of its own.
func (n *numberer) column(dst []int32, s *slot, v *values) {
	n.reset()
	null := int32(-1)
	number := func(row int) int32 { return n.value(s, v, row) }
	if s.kind == kindFixed && s.width <= 8 {
		number = n.fixed(v.buffers[1], s.width)
	}
	for row := range dst {
		if v.nulls > 0 && v.isNull(row) {
			if null < 0 {
				null = n.next
				n.next++
			}
			dst[row] = null
			continue
		}
		dst[row] = number(row)
	}
}

// fixed numbers values of a power of two bytes, or of fewer than eight.
func (n *numberer) fixed(data []byte, width int) func(row int) int32 {
	switch width {
	case 4:
		words := cast[uint32](data)
		return func(row int) int32 { return n.word(uint64(words[row])) }
	case 8:
		words := cast[uint64](data)
		return func(row int) int32 { return n.word(words[row]) }
	}
	return func(row int) int32 {
		var word uint64
		for _, c := range data[row*width : (row+1)*width] {
			word = word<<8 | uint64(c)
		}
		return n.word(word)
	}
}

// word numbers a value of at most 8 bytes.
func (n *numberer) word(word uint64) int32 {
	near := &n.near[word*0x9E3779B97F4A7C15>>58]
	if near.word == word && near.number > 0 {
		return near.number - 1
	}
	number, ok := n.words[word]
	if !ok {
		if n.words == nil {
			n.words = make(map[uint64]int32)
		}
		number = n.next
		n.words[word] = number
		n.next++
	}
	*near = nearWord{word, number + 1}
	return number
}

// value numbers any other value by its bytes.
func (n *numberer) value(s *slot, v *values, row int) int32 {
	if s.kind == kindBool {
		if bit(v.buffers[1], int64(v.off+row)) {
			return n.word(1)
		}
		return n.word(0)
	}
	text := v.bytes(s, row)
	number, ok := n.texts[string(text)]
	if !ok {
		if n.texts == nil {
			n.texts = make(map[string]int32)
		}
		number = n.next
		n.texts[string(text)] = number
		n.next++
	}
	return number
}

// bytes is the content of a value of fixed width, or of a text or binary. The array starts with the first value.
func (v *values) bytes(s *slot, row int) []byte {
	if s.kind == kindFixed {
		return v.buffers[1][row*s.width : (row+1)*s.width]
	}
	from, until := v.item(row, s.kind.wide())
	return v.buffers[2][from:until]
}

// appendKey appends the bytes of a value, so that different values of several columns have different bytes.
func appendKey(key []byte, s *slot, v *values, row int) []byte {
	switch {
	case v.nulls > 0 && v.isNull(row):
		return append(key, 0)
	case s.kind == kindBool && bit(v.buffers[1], int64(row)):
		return append(key, 1, 1)
	case s.kind == kindBool:
		return append(key, 1, 0)
	}
	text := v.bytes(s, row)
	n := len(text)
	return append(append(key, 1, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), text...)
}

// valueAt is a value of an array in the Go type that quiver.ParseDefault gives; nil is null.
func valueAt(s *slot, v *values, row int) any {
	if v.nulls > 0 && v.isNull(row) {
		return nil
	}
	if s.kind == kindBool {
		return bit(v.buffers[1], int64(row))
	}
	return valueOf(s, bytes.Clone(v.bytes(s, row)))
}
