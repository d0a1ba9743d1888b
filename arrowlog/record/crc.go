package record

import "hash/crc32"

// castagnoli is the polynomial of CRC32C, which processors compute at more than 10 GB/s.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reversedCastagnoli is the polynomial as bits, lowest power in the highest bit.
const reversedCastagnoli = 0x82F63B78

// A checksum is the remainder of the bytes taken as a polynomial over GF(2). Hence the checksum of a followed by b is
// crc(a) * x^(8 len(b)) + crc(b): two checksums combine without a look at the bytes. The power of x is looked up by
// the bytes of the length, so that a combination takes one multiplication for each byte of the length that is not 0.

// powers[k][i] is x^(8 i 256^k) modulo the polynomial.
var powers [8][256]uint32

// reduce[i] is what the four bits shifted out of a remainder leave in it.
var reduce [16]uint32

func init() {
	for i := range reduce {
		r := uint32(i)
		for range 4 {
			r = timesX(r)
		}
		reduce[i] = r
	}
	const one, x8 = 1 << 31, 1 << 23
	step := uint32(x8)
	for k := range powers {
		p := uint32(one)
		for i := range powers[k] {
			powers[k][i] = p
			p = multiply(p, step)
		}
		step = p
	}
}

// timesX multiplies a remainder by x.
func timesX(r uint32) uint32 {
	low := r & 1
	return r>>1 ^ reversedCastagnoli*low
}

// multiply multiplies two remainders, four bits at a time.
func multiply(a, b uint32) uint32 {
	// of[i] is b times the polynomial of the four bits i, whose highest bit is the lowest power.
	var of [16]uint32
	of[8] = b
	of[4] = timesX(of[8])
	of[2] = timesX(of[4])
	of[1] = timesX(of[2])
	of[3] = of[2] ^ of[1]
	of[5] = of[4] ^ of[1]
	of[6] = of[4] ^ of[2]
	of[7] = of[4] ^ of[3]
	of[9] = b ^ of[1]
	of[10] = b ^ of[2]
	of[11] = b ^ of[3]
	of[12] = b ^ of[4]
	of[13] = b ^ of[5]
	of[14] = b ^ of[6]
	of[15] = b ^ of[7]
	r := of[a&15]
	for range 7 {
		a >>= 4
		r = r>>4 ^ reduce[r&15] ^ of[a&15]
	}
	return r
}

// combine is the checksum of a followed by b, given their checksums and the length of b in bytes.
func combine(a, b uint32, length int64) uint32 {
	for k := 0; length > 0; k++ {
		if digit := length & 255; digit != 0 {
			a = multiply(a, powers[k][digit])
		}
		length >>= 8
	}
	return a ^ b
}

// checksum continues the checksum of what came before over data.
func checksum(before uint32, data []byte) uint32 { return crc32.Update(before, castagnoli, data) }
