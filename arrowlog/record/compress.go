package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression is how the buffers of one batch's body are compressed. Every buffer is compressed for itself, so that
// columns can be picked without touching the others.
//
// A compressed buffer is, as the Arrow format has it:
//
//	declared length int64, little endian | LZ4 frame or Zstandard frame
//	-1              int64, little endian | the bytes as they are
//
// and an empty one is empty, without a length.
type Compression int8

// The codecs of the Arrow IPC format.
const (
	None Compression = iota
	LZ4              // LZ4 frames
	Zstd
)

const (
	// lengthPrefix is the size of the declared length before a compressed buffer.
	lengthPrefix = 8
	// storedPlain is the declared length of a buffer that did not become smaller.
	storedPlain = -1
)

// String is the codec's name in options and texts: "none", "lz4", "zstd".
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// ParseCompression reads what String writes.
func ParseCompression(name string) (Compression, error) {
	for _, c := range []Compression{None, LZ4, Zstd} {
		if name == c.String() {
			return c, nil
		}
	}
	return None, fmt.Errorf("compression %q is none of none, lz4, zstd", name)
}

// declaredLength is how many bytes the buffer stands for, as its prefix says: a claim to be checked against limits
// before that much memory is taken. Plain is set where the bytes behind the prefix are the content itself.
func declaredLength(src []byte) (n int64, plain bool, err error) {
	if len(src) == 0 {
		return 0, true, nil
	}
	if len(src) < lengthPrefix {
		return 0, false, fmt.Errorf("compressed buffer of %d bytes has no room for its 8-byte length", len(src))
	}
	n = int64(binary.LittleEndian.Uint64(src))
	switch {
	case n == storedPlain:
		return int64(len(src) - lengthPrefix), true, nil
	case n < 0 || n > math.MaxInt:
		return 0, false, fmt.Errorf("compressed buffer declares %d bytes", n)
	}
	return n, false, nil
}

// decompress fills dst with what the compressed buffer src (prefix included) stands for. The length of dst must be
// the declared one, which the caller has checked against its limits. Whatever src holds, nothing is written beyond
// dst, and what is allocated meanwhile is bounded by a small constant plus a quarter more than dst (a Zstandard
// block that overshoots is noticed after it, and a block has at most 128 KiB).
func (c Compression) decompress(dst, src []byte) (err error) {
	n, plain, err := declaredLength(src)
	if err != nil {
		return err
	}
	if n != int64(len(dst)) {
		return fmt.Errorf("compressed buffer declares %d bytes, %d were asked for", n, len(dst))
	}
	if len(src) <= lengthPrefix {
		if n > 0 {
			return fmt.Errorf("compressed buffer declares %d bytes and holds none", n)
		}
		return nil
	}
	content := src[lengthPrefix:]
	if plain {
		copy(dst, content)
		return nil
	}
	// The libraries take hostile bytes by their own account; a fault in them must not end the process.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compressed buffer: %v", r)
		}
	}()
	switch c {
	case LZ4:
		return lz4DecodeFrame(dst, content)
	case Zstd:
		return zstdDecode(dst, content)
	}
	return fmt.Errorf("buffer is compressed by an unknown codec %d", int8(c))
}

// appendCompressed appends the compressed form of src, prefix included, to dst. What does not become smaller is
// stored plain; nothing is appended for an empty buffer.
func (c Compression) appendCompressed(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(src)))
	switch c {
	case LZ4:
		dst = lz4AppendFrame(dst, src)
	case Zstd:
		e := zstdEncoders.Get().(*zstd.Encoder)
		dst = e.EncodeAll(src, dst)
		zstdEncoders.Put(e)
	default:
		panic("record: appendCompressed without a codec")
	}
	if len(dst)-start-lengthPrefix >= len(src) {
		dst = append(dst[:start+lengthPrefix], src...)
		plain := int64(storedPlain)
		binary.LittleEndian.PutUint64(dst[start:], uint64(plain))
	}
	return dst
}

// compressBound is the most that appendCompressed appends for n bytes, at any step.
func (c Compression) compressBound(n int) int {
	if n == 0 {
		return 0
	}
	if c == LZ4 {
		return lengthPrefix + lz4FrameBound(n)
	}
	// Zstandard: stored blocks of 128 KiB with 3 bytes each, a header of at most 14 bytes, and room to try.
	return lengthPrefix + n + n>>8 + 128
}

// maxZstdWindow bounds the window that a frame may ask for. Decoding into a given destination allocates no window;
// the bound keeps us at what C++ readers take by default with room to spare.
const maxZstdWindow = 512 << 20

// The coders hold tables of some hundred KiB: they are made once and used again. Each works alone (concurrency 1),
// starts no goroutine, and holds no memory of its caller.
var (
	zstdDecoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecodeAllCapLimit(true), // never beyond the destination that was given
			zstd.WithDecoderMaxMemory(1<<40), // the destination is the limit
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	}}
	zstdEncoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil,
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.SpeedFastest), // 1 % larger than the default level on mixed tables
			zstd.WithEncoderCRC(false),               // as C++ writes them: batches have their own checksums
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	}}
)

func zstdDecode(dst, src []byte) error {
	d := zstdDecoders.Get().(*zstd.Decoder)
	// Not put back after a panic: its state is unknown then.
	out, err := d.DecodeAll(src, slices.Clip(dst)[:0])
	zstdDecoders.Put(d)
	if err != nil {
		return fmt.Errorf("zstd buffer: %w", err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("zstd buffer declares %d bytes and holds %d", len(dst), len(out))
	}
	if len(out) > 0 && &out[0] != &dst[0] {
		copy(dst, out)
	}
	return nil
}
