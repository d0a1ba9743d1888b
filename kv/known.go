package kv

import (
	"hash/maphash"
	"sync/atomic"
)

// known tells of most keys that are not there that they are not, without a search: a filter of all keys that a tablet ever
// had, of one that began empty in this life of the store. Keys are added before they can be found, by one goroutine at a
// time, and asked for by many. It grows in parts, each eight times as large as the one before; what was deleted stays in it.
//
// A part is blocks of 512 bits, and a key has bits in one of them: one miss of the CPU's cache a part.
type known struct {
	seed  maphash.Seed
	used  *atomic.Int64 // bytes of all filters of the store
	most  int64         // of these, beyond which this one is given up
	bytes atomic.Int64  // of this one
	parts atomic.Pointer[[]*knownPart]
	room  int // keys that the last part still takes
}

type knownPart struct{ words []atomic.Uint64 }

const (
	knownFirst  = 1  // blocks of the first part
	knownGrowth = 8  // times as many has the next one
	blockWords  = 8  // of 64 bits
	blockKeys   = 48 // that a block takes: 10.7 bits a key, and one of about a hundred absent keys is searched for
	keyBits     = 6
)

func newKnown(used *atomic.Int64, most int64) *known {
	k := &known{seed: maphash.MakeSeed(), used: used, most: most}
	k.parts.Store(&[]*knownPart{})
	return k
}

// add adds a key. It says no once the filter is given up: the store's have too many bytes.
func (k *known) add(key []byte) bool {
	parts := *k.parts.Load()
	if k.room == 0 {
		blocks := knownFirst
		if len(parts) > 0 {
			blocks = len(parts[len(parts)-1].words) / blockWords * knownGrowth
		}
		bytes := int64(blocks * blockWords * 8)
		if k.used.Add(bytes) > k.most {
			k.used.Add(-bytes)
			return false
		}
		k.bytes.Add(bytes)
		k.room = blocks * blockKeys
		grown := append(parts[:len(parts):len(parts)], &knownPart{make([]atomic.Uint64, blocks*blockWords)})
		k.parts.Store(&grown)
		parts = grown
	}
	hash := maphash.Bytes(k.seed, key)
	for _, p := range parts {
		if p.has(hash) {
			return true
		}
	}
	parts[len(parts)-1].add(hash)
	k.room--
	return true
}

// has says no if the tablet never had the key.
func (k *known) has(key []byte) bool {
	hash := maphash.Bytes(k.seed, key)
	for _, p := range *k.parts.Load() {
		if p.has(hash) {
			return true
		}
	}
	return false
}

// close gives back what the filter has of the store's bytes.
func (k *known) close() { k.used.Add(-k.bytes.Swap(0)) }

// block is the words where a hash has its bits.
func (p *knownPart) block(hash uint64) []atomic.Uint64 {
	at := int(hash>>32) % (len(p.words) / blockWords) * blockWords
	return p.words[at : at+blockWords]
}

func (p *knownPart) add(hash uint64) {
	block := p.block(hash)
	for range keyBits {
		w := &block[hash&(blockWords-1)]
		bit := uint64(1) << (hash >> 3 & 63)
		if w.Load()&bit == 0 {
			w.Or(bit)
		}
		hash = next(hash)
	}
}

func (p *knownPart) has(hash uint64) bool {
	block := p.block(hash)
	for range keyBits {
		if block[hash&(blockWords-1)].Load()>>(hash>>3&63)&1 == 0 {
			return false
		}
		hash = next(hash)
	}
	return true
}

// next makes other bits of a hash.
func next(hash uint64) uint64 {
	hash *= 0x9e3779b97f4a7c15
	return hash ^ hash>>29
}
