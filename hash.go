package quiver

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// The bucket of a row is Iceberg's: a table written here is pruned by an Iceberg reader that knows bucket(N, key) only.
//
// A value is hashed by murmur3 (x86, 32 bits, seed 0) over
//
//	integers, bool              8 bytes, little endian; uint64 by its bits, bool as 0 or 1
//	date                        its days, like an integer
//	time, timestamp             its microseconds, rounded down, like an integer
//	decimal                     its unscaled value, big endian, in as few bytes as hold it
//	string, binary, fixed size  its bytes
//
// Of one key column the hash of the value counts, of several the hash over their hashes (see BucketOf).

// HashValue gives the hash of a key value, in the Go type that ParseDefault gives for its type; that of nil is 0. ok is
// false if the type is none of a key or the value none of the type.
func HashValue(dt arrow.DataType, value any) (hash uint32, ok bool) {
	switch v := value.(type) {
	case nil:
		return 0, true
	case bool:
		if v {
			return HashLong(1), true
		}
		return HashLong(0), true
	case int8:
		return HashLong(int64(v)), true
	case int16:
		return HashLong(int64(v)), true
	case int32:
		return HashLong(int64(v)), true
	case int64:
		return HashLong(v), true
	case uint8:
		return HashLong(int64(v)), true
	case uint16:
		return HashLong(int64(v)), true
	case uint32:
		return HashLong(int64(v)), true
	case uint64:
		return HashLong(int64(v)), true
	case string:
		return HashBytes([]byte(v)), true
	case []byte:
		return HashBytes(v), true
	}
	return hashOther(dt, value)
}

// hashOther gives the hash of decimals and of what is measured in units of time.
func hashOther(dt arrow.DataType, value any) (hash uint32, ok bool) {
	switch v := value.(type) {
	case decimal128.Num:
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], v.LowBits())
		binary.LittleEndian.PutUint64(b[8:], uint64(v.HighBits()))
		return HashDecimal(b[:]), true
	case decimal256.Num:
		var b [32]byte
		for i, word := range v.Array() {
			binary.LittleEndian.PutUint64(b[8*i:], word)
		}
		return HashDecimal(b[:]), true
	case arrow.Date32:
		return HashLong(int64(v)), true
	case arrow.Date64:
		return HashLong(floorDiv(int64(v), millisecondsOfDay)), true
	}
	unit, ok := dt.(arrow.TemporalWithUnit)
	if !ok {
		return 0, false
	}
	multiply, divide := KeyMicroseconds(unit.TimeUnit())
	switch v := value.(type) {
	case arrow.Time32:
		return HashLong(floorDiv(int64(v)*multiply, divide)), true
	case arrow.Time64:
		return HashLong(floorDiv(int64(v)*multiply, divide)), true
	case arrow.Timestamp:
		return HashLong(floorDiv(int64(v)*multiply, divide)), true
	}
	return 0, false
}

const millisecondsOfDay = 24 * 60 * 60 * 1000

// KeyMicroseconds says how a number of units becomes the microseconds that are hashed: times the one, divided by the
// other and rounded down. What overflows wraps around, as in Java.
func KeyMicroseconds(u arrow.TimeUnit) (multiply, divide int64) {
	switch u {
	case arrow.Second:
		return 1e6, 1
	case arrow.Millisecond:
		return 1e3, 1
	case arrow.Nanosecond:
		return 1, 1e3
	}
	return 1, 1
}

// floorDiv divides, rounding down. The divisor is positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// BucketOf gives the bucket, of so many, of a row whose key values have these hashes, in key order; a null has 0. The
// bucket of a lone null is 0.
func BucketOf(hashes []uint32, buckets int32) int32 {
	if len(hashes) == 1 {
		return bucketOf(hashes[0], buckets)
	}
	var h uint32
	for _, hash := range hashes {
		h = HashMix(h, hash)
	}
	return bucketOf(HashEnd(h, 4*len(hashes)), buckets)
}

func bucketOf(hash uint32, buckets int32) int32 { return int32(hash&math.MaxInt32) % buckets }

// HashMix takes the next four bytes, as a little-endian number, into a hash that began with 0 and is finished by
// HashEnd.
func HashMix(h, k uint32) uint32 {
	h ^= bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
	return bits.RotateLeft32(h, 13)*5 + 0xe6546b64
}

// HashEnd finishes a hash over n bytes.
func HashEnd(h uint32, n int) uint32 {
	h ^= uint32(n)
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// HashLong gives the hash of an integer: of its 8 bytes, little endian.
func HashLong(v int64) uint32 {
	return HashEnd(HashMix(HashMix(0, uint32(v)), uint32(uint64(v)>>32)), 8)
}

// HashBytes gives the hash of a text or binary.
func HashBytes(b []byte) uint32 {
	var h uint32
	n := len(b)
	for ; len(b) >= 4; b = b[4:] {
		h = HashMix(h, binary.LittleEndian.Uint32(b))
	}
	var k uint32
	for i, c := range b {
		k |= uint32(c) << (8 * i)
	}
	if len(b) > 0 {
		h ^= bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
	}
	return HashEnd(h, n)
}

// HashDecimal gives the hash of a decimal by its unscaled value, a two's complement of at most 32 bytes, little endian.
func HashDecimal(le []byte) uint32 {
	n := len(le)
	for n > 1 {
		top, next := le[n-1], le[n-2]
		if !(top == 0 && next < 0x80 || top == 0xFF && next >= 0x80) {
			break // the byte is more than a sign
		}
		n--
	}
	var be [32]byte
	for i := range n {
		be[i] = le[n-1-i]
	}
	return HashBytes(be[:n])
}
