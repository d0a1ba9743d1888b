package kv

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync"
)

// held keeps rows that were written or found lately, as they are stored: to find one here takes a fraction of a search in
// Pebble, whose memtables are skip lists, a miss of the CPU's cache at each step.
//
// Rows lie in rings, one behind the other, and the newest overwrite the oldest; an index tells where. Neither has a
// pointer in it, so that millions of rows cost the garbage collector nothing. A ring begins small and grows as it fills.
//
//	index   sets of 8 slots, a line of the CPU's cache each: tag(16) | place + 1 (48); 0: none
//	ring    length of the key(2) | length of the row(4) | number of the tablet(8) | key | row, from multiples of 8 on
//
// Places only grow: the bytes of one are at its remainder by the length of the ring, and are overwritten once the ring has
// gone round. A key belongs to a tablet, by the number that it has in this store.
type held struct {
	seed   maphash.Seed
	shards [heldShards]heldShard
}

const (
	heldShards = 64
	setSlots   = 8
	setBytes   = 512 // of the ring, for each set of the index
	firstRing  = 4 << 10

	heldHeader = 2 + 4
	heldAlign  = 8
	placeBits  = 48
	placeMask  = 1<<placeBits - 1
)

// heldShard is the rows whose keys have some bits of their hashes in common.
type heldShard struct {
	mu    sync.Mutex
	most  int // bytes of the ring, at most
	index []uint64
	ring  []byte
	next  uint64 // the place of the next row
	_     [56]byte
}

// newHeld keeps rows of about so many bytes; nil, which keeps none, if that is too little to be of use.
func newHeld(bytes int64) *held {
	most := int(bytes/heldShards*setBytes/(setBytes+8*setSlots)) / setBytes * setBytes
	if most < firstRing {
		return nil
	}
	h := &held{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].most = most
	}
	return h
}

// hash is that of a tablet's key.
func (h *held) hash(tablet uint64, key []byte) uint64 {
	return maphash.Bytes(h.seed, key) ^ tablet*0x9e3779b97f4a7c15
}

func (h *held) shard(hash uint64) *heldShard { return &h.shards[hash%heldShards] }

// get finds a row and copies it into scratch; nil: it is not here, which says nothing of whether there is one.
func (h *held) get(tablet uint64, key, scratch []byte) row {
	if h == nil {
		return nil
	}
	hash := h.hash(tablet, key)
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.find(hash, tablet, key)
	if slot == nil {
		return nil
	}
	_, r := s.entryAt(*slot&placeMask - 1)
	return append(scratch[:0], r...)
}

// put keeps the row of a key, nil: that there is none; that is, nothing of it is kept any more. Where allowed is not nil it is
// asked, when nobody else can change what is kept of the key, whether the row is still the one that is stored.
func (h *held) put(tablet uint64, key []byte, r row, allowed func() bool) {
	if h == nil {
		return
	}
	hash := h.hash(tablet, key)
	s := h.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if allowed != nil && !allowed() {
		return
	}
	slot := s.find(hash, tablet, key)
	size := heldSize(key, r)
	if r == nil || size > s.most/4 || len(key) > 1<<15 {
		if slot != nil {
			*slot = 0
		}
		return
	}
	if slot != nil && s.overwrite(*slot&placeMask-1, size, r) {
		return
	}
	if slot != nil {
		*slot = 0
	}
	for s.full(size) {
		s.grow(h)
	}
	s.append(hash, tablet, key, r)
}

// heldSize is what a row takes in the ring.
func heldSize(key []byte, r row) int {
	return (heldHeader + 8 + len(key) + len(r) + heldAlign - 1) &^ (heldAlign - 1)
}

// full says that a row of so many bytes would overwrite others, although the ring can still grow.
func (s *heldShard) full(size int) bool {
	return len(s.ring) < s.most && s.next+uint64(size) > uint64(len(s.ring))
}

// set is the part of the index where a hash has its slot.
func (s *heldShard) set(hash uint64) []uint64 {
	if len(s.index) == 0 {
		return nil
	}
	at := int(hash>>8&math.MaxUint32*uint64(len(s.index)/setSlots)>>32) * setSlots
	return s.index[at : at+setSlots : at+setSlots]
}

// tag is the part of a hash that stands in its slot.
func tag(hash uint64) uint64 { return hash >> placeBits << placeBits }

// lives says that the bytes of a place were not overwritten yet.
func (s *heldShard) lives(place uint64) bool { return s.next <= place+uint64(len(s.ring)) }

// find gives the slot of a key, nil if there is none.
func (s *heldShard) find(hash, tablet uint64, key []byte) *uint64 {
	set := s.set(hash)
	for i, slot := range set {
		if slot&^placeMask != tag(hash) || slot == 0 {
			continue
		}
		place := slot&placeMask - 1
		if !s.lives(place) {
			continue
		}
		b := s.ring[place%uint64(len(s.ring)):]
		n := int(binary.LittleEndian.Uint16(b))
		if binary.LittleEndian.Uint64(b[heldHeader:]) == tablet && bytes.Equal(b[heldHeader+8:heldHeader+8+n], key) {
			return &set[i]
		}
	}
	return nil
}

// entryAt gives a key, with the number of its tablet before it, and its row.
func (s *heldShard) entryAt(place uint64) (key []byte, r row) {
	b := s.ring[place%uint64(len(s.ring)):]
	n, size := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint32(b[2:]))
	b = b[heldHeader : heldHeader+8+n+size]
	return b[: 8+n : 8+n], b[8+n:]
}

// overwrite replaces a row where it lies, if the new one fits there.
func (s *heldShard) overwrite(place uint64, size int, r row) bool {
	key, old := s.entryAt(place)
	if size > heldSize(key[8:], old) {
		return false
	}
	b := s.ring[place%uint64(len(s.ring)):]
	binary.LittleEndian.PutUint32(b[2:], uint32(len(r)))
	copy(b[heldHeader+len(key):], r)
	return true
}

// append writes a row behind the newest, and has a slot point at it: one that points at nothing, or the oldest of its set.
func (s *heldShard) append(hash, tablet uint64, key []byte, r row) {
	size, length := uint64(heldSize(key, r)), uint64(len(s.ring))
	if s.next%length+size > length {
		s.next += length - s.next%length // a row is in one piece
	}
	place := s.next
	s.next += size
	b := s.ring[place%length:]
	binary.LittleEndian.PutUint16(b, uint16(len(key)))
	binary.LittleEndian.PutUint32(b[2:], uint32(len(r)))
	binary.LittleEndian.PutUint64(b[heldHeader:], tablet)
	copy(b[heldHeader+8:], key)
	copy(b[heldHeader+8+len(key):], r)
	set := s.set(hash)
	oldest := 0
	for i, slot := range set {
		if slot == 0 || !s.lives(slot&placeMask-1) {
			oldest = i
			break
		}
		if slot&placeMask < set[oldest]&placeMask {
			oldest = i
		}
	}
	set[oldest] = tag(hash) | (place + 1)
}

// grow makes the ring twice as large, or as large as it may be.
func (s *heldShard) grow(h *held) {
	old := heldShard{index: s.index, ring: s.ring, next: s.next}
	length := max(firstRing, min(2*len(old.ring), s.most))
	s.ring, s.index, s.next = make([]byte, length), make([]uint64, length/setBytes*setSlots), 0
	for _, slot := range old.index {
		place := slot&placeMask - 1
		if slot == 0 || !old.lives(place) {
			continue
		}
		key, r := old.entryAt(place)
		tablet := binary.LittleEndian.Uint64(key)
		s.append(h.hash(tablet, key[8:]), tablet, key[8:], r)
	}
}
