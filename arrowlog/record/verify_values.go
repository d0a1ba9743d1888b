package record

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

// The loops of this file go over every value of a batch. They have no branch that depends on a value: what is wrong
// is collected in one word, which is looked at in the end, and only then is the place looked for.

// cast is the bytes as numbers, as many as they hold. They need not be aligned.
func cast[T number](b []byte) []T {
	var zero T
	n := len(b) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}

// ascending32 says whether offsets never fall and are not negative. Where no offset is negative, the difference of
// two does not overflow, so its sign tells.
func ascending32(o []int32) bool {
	if len(o) == 0 {
		return true
	}
	var signs, last int32 = 0, o[0]
	for len(o) >= 4 {
		a, b, c, d := o[0], o[1], o[2], o[3]
		signs |= (a - last) | (b - a) | (c - b) | (d - c) | a | b | c | d
		last, o = d, o[4:]
	}
	for _, v := range o {
		signs |= (v - last) | v
		last = v
	}
	return signs >= 0
}

// ascending64 is ascending32 for long offsets.
func ascending64(o []int64) bool {
	if len(o) == 0 {
		return true
	}
	var signs, last int64 = 0, o[0]
	for len(o) >= 4 {
		a, b, c, d := o[0], o[1], o[2], o[3]
		signs |= (a - last) | (b - a) | (c - b) | (d - c) | a | b | c | d
		last, o = d, o[4:]
	}
	for _, v := range o {
		signs |= (v - last) | v
		last = v
	}
	return signs >= 0
}

// textOK says whether the data is valid UTF-8 as a whole and no offset cuts a character. The data starts where the
// first offset points.
func textOK[T int32 | int64](data []byte, offsets []T, first T) bool {
	ascii := asciiPrefix(data)
	if ascii == len(data) {
		return true
	}
	if !validText(data[ascii:]) {
		return false
	}
	cut := false
	for _, o := range offsets {
		if at := int(o - first); at < len(data) {
			cut = cut || data[at]&0xC0 == 0x80
		}
	}
	return !cut
}

const highBits = 0x8080808080808080

// asciiPrefix is the length of the ASCII that the data starts with, or a little less of it.
func asciiPrefix(p []byte) int {
	n := 0
	for len(p)-n >= 64 {
		q := p[n : n+64 : n+64]
		le := binary.LittleEndian
		w := le.Uint64(q) | le.Uint64(q[8:]) | le.Uint64(q[16:]) | le.Uint64(q[24:]) |
			le.Uint64(q[32:]) | le.Uint64(q[40:]) | le.Uint64(q[48:]) | le.Uint64(q[56:])
		if w&highBits != 0 {
			return n
		}
		n += 64
	}
	for n < len(p) && p[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// validText says whether the bytes are UTF-8, as utf8.Valid does, which is fast up to the first character beyond ASCII
// only. Here eight bytes at a time are looked at wherever they are ASCII, and characters beyond it one by one.
func validText(p []byte) bool {
	i := 0
	for i+8 <= len(p) {
		high := binary.LittleEndian.Uint64(p[i:]) & highBits
		if high == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(high) / 8
		for i+4 <= len(p) && p[i] >= utf8.RuneSelf {
			size := characterSize(binary.LittleEndian.Uint32(p[i:]))
			if size == 0 {
				return false
			}
			i += size
		}
		if i+4 > len(p) {
			break
		}
	}
	return utf8.Valid(p[i:])
}

// characterSize is how many of the four bytes, lowest first, the character beyond ASCII takes that they start with;
// 0 if they start with none.
func characterSize(w uint32) int {
	switch {
	case w&0xC0E0 == 0x80C0: // two bytes, not what fits in one
		if w&0x1E != 0 {
			return 2
		}
	case w&0xC0C0F0 == 0x8080E0: // three bytes, neither what fits in two nor half of a surrogate pair
		if r := w&0x0F<<12 | w>>8&0x3F<<6 | w>>16&0x3F; r >= 0x800 && r&^0x7FF != 0xD800 {
			return 3
		}
	case w&0xC0C0C0F8 == 0x808080F0: // four bytes, neither what fits in three nor beyond what there is
		if r := w&0x07<<18 | w>>8&0x3F<<12 | w>>16&0x3F<<6; r >= 0x10000 && r <= 0x10FFFF {
			return 4
		}
	}
	return 0
}

// demand is what the values of a fixed-width array must do.
func (s *slot) demand() string {
	switch s.rule {
	case ruleDate64:
		return "stand for a whole day"
	case ruleTime32, ruleTime64:
		return "lie within a day"
	}
	return "fit the precision of " + s.typ.String()
}

const dayMillis = 24 * 60 * 60 * 1000

// breach is the place of a value that breaks the slot's rule and is not null, -1 if there is none.
func (s *slot) breach(values, valid []byte) int64 {
	switch s.rule {
	case ruleDate64:
		v := cast[int64](values)
		var rest int64
		for _, x := range v {
			rest |= x % dayMillis
		}
		if rest != 0 {
			return find(len(v), valid, func(i int) bool { return v[i]%dayMillis != 0 })
		}
	case ruleTime32:
		v, most := cast[int32](values), int32(s.limit-1)
		var signs int32
		for _, x := range v {
			signs |= x | (most - x)
		}
		if signs < 0 {
			return find(len(v), valid, func(i int) bool { return v[i] < 0 || v[i] > most })
		}
	case ruleTime64:
		v, most := cast[int64](values), s.limit-1
		var signs int64
		for _, x := range v {
			signs |= x | (most - x)
		}
		if signs < 0 {
			return find(len(v), valid, func(i int) bool { return v[i] < 0 || v[i] > most })
		}
	case ruleDecimal128:
		return breach128(cast[uint64](values), tens128[s.limit], valid)
	case ruleDecimal256:
		return breach256(cast[uint64](values), tens256[s.limit], valid)
	}
	return -1
}

// find is the first place that is not null and wrong, -1 if there is none.
func find(n int, valid []byte, wrong func(i int) bool) int64 {
	for i := range n {
		if bit(valid, int64(i)) && wrong(i) {
			return int64(i)
		}
	}
	return -1
}

// Powers of ten as little-endian words: one more than the largest value of a precision.
var (
	tens128 [39][2]uint64
	tens256 [77][4]uint64
)

func init() {
	ten, p := big.NewInt(10), big.NewInt(1)
	for i := range tens256 {
		var b [32]byte
		p.FillBytes(b[:])
		for k := range 4 {
			tens256[i][k] = binary.BigEndian.Uint64(b[24-8*k:])
		}
		if i < len(tens128) {
			tens128[i] = [2]uint64{tens256[i][0], tens256[i][1]}
		}
		p.Mul(p, ten)
	}
}

// below128 is 1 if |v| < limit, else 0.
func below128(lo, hi uint64, limit [2]uint64) uint64 {
	sign := uint64(int64(hi) >> 63)
	lo, carry := bits.Sub64(lo^sign, sign, 0)
	hi, _ = bits.Sub64(hi^sign, sign, carry)
	_, b := bits.Sub64(lo, limit[0], 0)
	_, b = bits.Sub64(hi, limit[1], b)
	return b
}

func breach128(v []uint64, limit [2]uint64, valid []byte) int64 {
	fits := uint64(1)
	for i := 0; i+1 < len(v); i += 2 {
		fits &= below128(v[i], v[i+1], limit)
	}
	if fits == 1 {
		return -1
	}
	return find(len(v)/2, valid, func(i int) bool { return below128(v[2*i], v[2*i+1], limit) == 0 })
}

// below256 is 1 if |v| < limit, else 0.
func below256(v, limit []uint64) uint64 {
	sign := uint64(int64(v[3]) >> 63)
	var borrow, b, x uint64
	for k := range 4 {
		x, borrow = bits.Sub64(v[k]^sign, sign, borrow)
		_, b = bits.Sub64(x, limit[k], b)
	}
	return b
}

func breach256(v []uint64, limit [4]uint64, valid []byte) int64 {
	fits := uint64(1)
	for i := 0; i+3 < len(v); i += 4 {
		fits &= below256(v[i:i+4], limit[:])
	}
	if fits == 1 {
		return -1
	}
	return find(len(v)/4, valid, func(i int) bool { return below256(v[4*i:4*i+4], limit[:]) == 0 })
}
