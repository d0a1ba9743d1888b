package kv

import "bytes"

// slab keeps copies of rows in few pieces of memory. What it gave out lives as long as anything beside it does.
type slab struct {
	pieces int // about how many are still to come, beside the one at hand
	free   []byte
}

// slabBytes is the largest piece of memory that rows share.
const slabBytes = 64 << 10

// keep copies bytes; nil stays nil.
func (s *slab) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	if len(b) > len(s.free) {
		if len(b) > slabBytes/4 {
			return bytes.Clone(b)
		}
		s.free = make([]byte, max(len(b), min(slabBytes, len(b)*(1+max(s.pieces, 0)))))
	}
	kept := s.free[:len(b):len(b)]
	copy(kept, b)
	s.free = s.free[len(b):]
	return kept
}
