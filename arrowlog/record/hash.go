package record

import (
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// hashes says that values of the slot may be part of a key.
func hashes(s *slot) bool {
	switch s.kind {
	case kindBool, kindBinary32, kindBinary64:
		return true
	case kindFixed:
		return hashOf(s) != nil
	}
	return false
}

// hashColumn writes the hash of each value of a column, straight from its buffers; that of null is 0. See
// quiver.HashValue, with which it agrees.
func hashColumn(dst []uint32, s *slot, v *values) {
	dst = dst[:v.length]
	switch s.kind {
	case kindBool:
		no, yes := quiver.HashLong(0), quiver.HashLong(1)
		for i := range dst {
			dst[i] = no
			if bit(v.buffers[1], int64(i)) {
				dst[i] = yes
			}
		}
	case kindBinary32:
		hashTexts(dst, cast[int32](v.buffers[1]), v.buffers[2])
	case kindBinary64:
		hashTexts(dst, cast[int64](v.buffers[1]), v.buffers[2])
	default:
		hashOf(s)(dst, v.buffers[1])
	}
	if v.nulls == 0 {
		return
	}
	for i := range dst {
		if v.isNull(i) {
			dst[i] = 0
		}
	}
}

func hashTexts[T int32 | int64](dst []uint32, offsets []T, data []byte) {
	for i := range dst {
		dst[i] = quiver.HashBytes(data[offsets[i]:offsets[i+1]])
	}
}

// hashFunc hashes fixed-width values.
type hashFunc func(dst []uint32, data []byte)

// hashOf is how values of a fixed-width slot are hashed; nil: they are not.
func hashOf(s *slot) hashFunc {
	t := storage(s.typ)
	switch t.ID() {
	case arrow.INT8:
		return hashLongs[int8]
	case arrow.INT16:
		return hashLongs[int16]
	case arrow.INT32, arrow.DATE32:
		return hashLongs[int32]
	case arrow.INT64:
		return hashLongs[int64]
	case arrow.UINT8:
		return hashLongs[uint8]
	case arrow.UINT16:
		return hashLongs[uint16]
	case arrow.UINT32:
		return hashLongs[uint32]
	case arrow.UINT64:
		return hashLongs[uint64]
	case arrow.DATE64:
		return hashScaled[int64](1, 24*60*60*1000)
	case arrow.TIME32:
		return hashScaled[int32](quiver.KeyMicroseconds(t.(arrow.TemporalWithUnit).TimeUnit()))
	case arrow.TIME64, arrow.TIMESTAMP:
		return hashScaled[int64](quiver.KeyMicroseconds(t.(arrow.TemporalWithUnit).TimeUnit()))
	case arrow.DECIMAL128, arrow.DECIMAL256:
		return func(dst []uint32, data []byte) {
			for i := range dst {
				dst[i] = quiver.HashDecimal(data[i*s.width : (i+1)*s.width])
			}
		}
	case arrow.FIXED_SIZE_BINARY:
		return func(dst []uint32, data []byte) {
			for i := range dst {
				dst[i] = quiver.HashBytes(data[i*s.width : (i+1)*s.width])
			}
		}
	}
	return nil
}

func hashLongs[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](dst []uint32, data []byte) {
	from := cast[T](data)[:len(dst)]
	for i, v := range from {
		dst[i] = quiver.HashLong(int64(v))
	}
}

// hashScaled hashes values that are multiplied by one number, or divided by the other and rounded down.
func hashScaled[T int32 | int64](multiply, divide int64) hashFunc {
	if divide == 1 {
		return func(dst []uint32, data []byte) {
			for i, v := range cast[T](data)[:len(dst)] {
				dst[i] = quiver.HashLong(int64(v) * multiply)
			}
		}
	}
	return func(dst []uint32, data []byte) {
		for i, v := range cast[T](data)[:len(dst)] {
			q := int64(v) / divide
			if int64(v)%divide < 0 {
				q--
			}
			dst[i] = quiver.HashLong(q)
		}
	}
}

// modulo makes buckets of hashes: (hash & 0x7FFFFFFF) mod n, by two multiplications each instead of a division.
// With c = 2^64/n rounded up, the lowest 64 bits of c*h are the fraction of h/n, and times n they are the remainder;
// that is exact for 32-bit numbers (Lemire, Kaser, Kurz: Faster remainder by direct computation, 2019).
func modulo(dst []int32, hashes []uint32, n int32) {
	c := math.MaxUint64/uint64(n) + 1
	if n == 1 {
		clear(dst)
		return
	}
	for i, h := range hashes {
		high, _ := bits.Mul64(c*uint64(h&math.MaxInt32), uint64(n))
		dst[i] = int32(high)
	}
}
