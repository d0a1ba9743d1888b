package filter

import (
	"encoding/binary"
	"math/bits"
)

// selection is the set of rows that are still in question: bit i%64 of word i/64. Bits behind the last row are 0.
type selection []uint64

// wordsOf counts the words for some rows.
func wordsOf(rows int) int { return (rows + 63) / 64 }

// fill selects all rows.
func (s selection) fill(rows int) {
	for w := range s {
		s[w] = ^uint64(0)
	}
	if tail := rows % 64; tail != 0 {
		s[len(s)-1] = 1<<tail - 1
	}
}

func (s selection) empty() bool {
	for _, word := range s {
		if word != 0 {
			return false
		}
	}
	return true
}

// rows lists the selected rows of all those there are; nil if it is all of them.
func (s selection) rows(all int) []int32 {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	if n == all {
		return nil
	}
	list := make([]int32, n)
	at := 0
	for w, word := range s {
		row := int32(w * 64)
		for ; word != 0; word &= word - 1 {
			list[at] = row + int32(bits.TrailingZeros64(word))
			at++
		}
	}
	return list
}

// keep drops the rows whose bit is not set, or with flip those whose bit is; the first row's bit is at an offset.
func (s selection) keep(bitmap []byte, offset int, flip uint64) {
	for w := range s {
		if s[w] != 0 {
			s[w] &= bitWord(bitmap, offset+w*64) ^ flip
		}
	}
}

// bitWord gives the 64 bits from an offset on; those behind the end are 0.
func bitWord(bitmap []byte, offset int) uint64 {
	at, shift := offset/8, uint(offset%8)
	if at+9 <= len(bitmap) {
		return binary.LittleEndian.Uint64(bitmap[at:])>>shift | uint64(bitmap[at+8])<<(64-shift)
	}
	var b [9]byte
	if at < len(bitmap) {
		copy(b[:], bitmap[at:])
	}
	return binary.LittleEndian.Uint64(b[:])>>shift | uint64(b[8])<<(64-shift)
}

// subtract drops the rows of another selection.
func (s selection) subtract(other selection) {
	for w := range s {
		s[w] &^= other[w]
	}
}

// add takes the rows of another selection.
func (s selection) add(other selection) {
	for w := range s {
		s[w] |= other[w]
	}
}
