package kv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// placed is a key by its place, with its first bytes, which tell most keys apart without looking at them.
type placed struct {
	head uint64
	at   int32
}

// inKeyOrder gives the places of keys in the order of the keys; those of one key stay in the order of their places. All
// keys have the same first skip bytes. which are the places wanted; nil: all.
func inKeyOrder(keys [][]byte, skip int, which []int32) []int32 {
	n := len(which)
	if which == nil {
		n = len(keys)
	}
	order := make([]placed, n)
	for i := range order {
		at := int32(i)
		if which != nil {
			at = which[i]
		}
		order[i] = placed{headOf(keys[at][skip:]), at}
	}
	slices.SortFunc(order, func(a, b placed) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(bytes.Compare(keys[a.at][skip:], keys[b.at][skip:]), cmp.Compare(a.at, b.at))
	})
	out := make([]int32, n)
	for i := range order {
		out[i] = order[i].at
	}
	return out
}

// headOf is the first eight bytes of a key, zeros behind its end: of two keys whose heads differ, the lesser one has the
// lesser head.
func headOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var head [8]byte
	copy(head[:], key)
	return binary.BigEndian.Uint64(head[:])
}
