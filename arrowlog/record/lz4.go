package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// The LZ4 frame format, written and read around the library's block coder: blocks are decoded straight into their
// place in the destination, so there is no window and no block buffer to allocate, whatever a frame's header asks
// for, and no copy. Readers of what we store are stricter than the library's stream reader (liblz4 checks every
// checksum a frame has), hence so are we.
//
//	magic 04224D18 | FLG | BD | [content size 8] | HC | blocks... | 00000000 | [content xxh32]
//	a block: length uint32, high bit = stored plain | bytes | [block xxh32]
const (
	lz4Magic      = 0x184D2204
	lz4StoredFlag = 1 << 31

	lz4FlagVersion       = 0b01 << 6
	lz4FlagIndependent   = 1 << 5
	lz4FlagBlockChecksum = 1 << 4
	lz4FlagContentSize   = 1 << 3
	lz4FlagChecksum      = 1 << 2
	lz4FlagReserved      = 1 << 1
	lz4FlagDictionary    = 1 << 0

	// lz4BlockSize is the block size that we write, as the C++ implementation does.
	lz4BlockSize = 64 << 10
	lz4BlockCode = 4 << 4
	// lz4Window is how far a block may refer back, into the blocks before it.
	lz4Window = 64 << 10
)

var errLZ4Truncated = errors.New("lz4 buffer: the frame is cut short")

// lz4Frame is what a frame's header says about its blocks.
type lz4Frame struct {
	flags     byte
	blockSize int
}

// lz4DecodeFrame decodes one whole frame that must fill dst exactly, and src.
func lz4DecodeFrame(dst, src []byte) error {
	frame, rest, err := lz4ParseHeader(src, len(dst))
	if err != nil {
		return err
	}
	at := 0
	for {
		if len(rest) < 4 {
			return errLZ4Truncated
		}
		word := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		if word == 0 {
			break
		}
		var n int
		if n, rest, err = frame.decodeBlock(dst, at, word, rest); err != nil {
			return err
		}
		at += n
	}
	if at != len(dst) {
		return fmt.Errorf("lz4 buffer declares %d bytes and holds %d", len(dst), at)
	}
	if frame.flags&lz4FlagChecksum != 0 {
		if len(rest) < 4 {
			return errLZ4Truncated
		}
		if binary.LittleEndian.Uint32(rest) != xxh32(dst) {
			return errors.New("lz4 buffer: the content's checksum does not match")
		}
		rest = rest[4:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("lz4 buffer: %d bytes follow the frame", len(rest))
	}
	return nil
}

func lz4ParseHeader(src []byte, declared int) (f lz4Frame, rest []byte, err error) {
	if len(src) < 7 {
		return f, nil, errLZ4Truncated
	}
	if binary.LittleEndian.Uint32(src) != lz4Magic {
		return f, nil, errors.New("lz4 buffer: it does not start with a frame")
	}
	f.flags = src[4]
	descriptor := 2
	if f.flags&lz4FlagContentSize != 0 {
		descriptor += 8
	}
	if len(src) < 4+descriptor+1 {
		return f, nil, errLZ4Truncated
	}
	bd := src[5]
	code := int(bd>>4) & 7
	switch {
	case f.flags>>6 != lz4FlagVersion>>6, f.flags&lz4FlagReserved != 0, bd&0x8F != 0, code < 4:
		return f, nil, fmt.Errorf("lz4 buffer: frame header %02x %02x is not valid", f.flags, bd)
	case f.flags&lz4FlagDictionary != 0:
		return f, nil, errors.New("lz4 buffer: frames that need a dictionary are not taken")
	case byte(xxh32(src[4:4+descriptor])>>8) != src[4+descriptor]:
		return f, nil, errors.New("lz4 buffer: the header's checksum does not match")
	}
	if f.flags&lz4FlagContentSize != 0 {
		if size := binary.LittleEndian.Uint64(src[6:]); size != uint64(declared) {
			return f, nil, fmt.Errorf("lz4 buffer declares %d bytes, its frame %d", declared, size)
		}
	}
	f.blockSize = 1 << (8 + 2*code)
	return f, src[4+descriptor+1:], nil
}

// decodeBlock decodes the block whose length word was read into dst from at on. It gives the number of bytes it
// had and what follows it in src.
func (f lz4Frame) decodeBlock(dst []byte, at int, word uint32, src []byte) (n int, rest []byte, err error) {
	size := int(word &^ lz4StoredFlag)
	tail := size
	if f.flags&lz4FlagBlockChecksum != 0 {
		tail += 4
	}
	if size > f.blockSize || tail > len(src) {
		return 0, nil, errLZ4Truncated
	}
	block := src[:size]
	if tail > size && binary.LittleEndian.Uint32(src[size:]) != xxh32(block) {
		return 0, nil, errors.New("lz4 buffer: a block's checksum does not match")
	}
	room := dst[at:min(len(dst), at+f.blockSize)]
	room = room[:len(room):len(room)]
	switch {
	case word&lz4StoredFlag != 0:
		if size > len(room) {
			return 0, nil, errLZ4TooLong(len(dst))
		}
		n = copy(room, block)
	case f.flags&lz4FlagIndependent != 0:
		n, err = lz4.UncompressBlock(block, room)
	default:
		n, err = lz4.UncompressBlockWithDict(block, room, dst[max(0, at-lz4Window):at])
	}
	if err != nil || n < 0 || n > len(room) {
		return 0, nil, fmt.Errorf("lz4 buffer: a block is not valid, or longer than the %d bytes declared", len(dst))
	}
	return n, src[tail:], nil
}

func errLZ4TooLong(declared int) error {
	return fmt.Errorf("lz4 buffer holds more than the %d bytes declared", declared)
}

var lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}

// lz4FrameBound is the most that lz4AppendFrame appends for n bytes.
func lz4FrameBound(n int) int {
	blocks := (n + lz4BlockSize - 1) / lz4BlockSize
	return 7 + blocks*4 + n + 4 + lz4.CompressBlockBound(lz4BlockSize) - lz4BlockSize
}

// lz4AppendFrame appends src as one frame of independent 64 KiB blocks without checksums.
func lz4AppendFrame(dst, src []byte) []byte {
	descriptor := [2]byte{lz4FlagVersion | lz4FlagIndependent, lz4BlockCode}
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, descriptor[0], descriptor[1], byte(xxh32(descriptor[:])>>8))
	c := lz4Compressors.Get().(*lz4.Compressor)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockSize)]
		src = src[len(block):]
		dst = lz4AppendBlock(dst, block, c)
	}
	lz4Compressors.Put(c)
	return append(dst, 0, 0, 0, 0)
}

func lz4AppendBlock(dst, block []byte, c *lz4.Compressor) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = grow(dst, lz4.CompressBlockBound(len(block)))
	n, err := c.CompressBlock(block, dst[at+4:cap(dst)])
	if err != nil || n == 0 || n >= len(block) {
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(block))|lz4StoredFlag)
		return append(dst, block...)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(n))
	return dst[:at+4+n]
}

// grow makes room for n more bytes behind dst.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(dst, make([]byte, n)...)[:len(dst)]
}

// xxh32 is the 32-bit xxHash with seed 0, the checksum of LZ4 frames.
func xxh32(data []byte) uint32 {
	const p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	n := len(data)
	var h uint32 = p5
	if n >= 16 {
		v1, v2, v3, v4 := uint32(p1), uint32(p2), uint32(0), uint32(0)
		v1 += p2
		v4 -= p1
		for ; len(data) >= 16; data = data[16:] {
			v1 = bits.RotateLeft32(v1+binary.LittleEndian.Uint32(data)*p2, 13) * p1
			v2 = bits.RotateLeft32(v2+binary.LittleEndian.Uint32(data[4:])*p2, 13) * p1
			v3 = bits.RotateLeft32(v3+binary.LittleEndian.Uint32(data[8:])*p2, 13) * p1
			v4 = bits.RotateLeft32(v4+binary.LittleEndian.Uint32(data[12:])*p2, 13) * p1
		}
		h = bits.RotateLeft32(v1, 1) + bits.RotateLeft32(v2, 7) + bits.RotateLeft32(v3, 12) + bits.RotateLeft32(v4, 18)
	}
	h += uint32(n)
	for ; len(data) >= 4; data = data[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(data)*p3, 17) * p4
	}
	for _, b := range data {
		h = bits.RotateLeft32(h+uint32(b)*p5, 11) * p1
	}
	h ^= h >> 15
	h *= p2
	h ^= h >> 13
	h *= p3
	return h ^ h>>16
}
