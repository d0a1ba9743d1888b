package record

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"
)

// contents draws bytes from random to repetitive, around the sizes where blocks and windows end.
func contents(t *rapid.T) []byte {
	size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{
		4095, 1 << 16, 1<<16 + 1, 1<<17 - 1, 1 << 17, 200_000, 300_001,
	})).Draw(t, "size")
	alphabet := rapid.SampledFrom([]int{1, 2, 7, 256}).Draw(t, "alphabet")
	seed := rapid.Uint64().Draw(t, "seed")
	r := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.IntN(alphabet))
	}
	return data
}

func decompressNew(c Compression, src []byte) ([]byte, error) {
	n, _, err := declaredLength(src)
	if err != nil {
		return nil, err
	}
	dst := make([]byte, n)
	return dst, c.decompress(dst, src)
}

func TestCompressionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := contents(t)
		for _, c := range []Compression{LZ4, Zstd} {
			src := c.appendCompressed([]byte("front"), data)
			if !bytes.HasPrefix(src, []byte("front")) {
				t.Fatal("bytes in front were changed")
			}
			src = src[5:]
			if len(src) > c.compressBound(len(data)) {
				t.Fatalf("%s: %d bytes for %d, above the bound of %d", c, len(src), len(data), c.compressBound(len(data)))
			}
			got, err := decompressNew(c, src)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s of %d bytes: %v", c, len(data), err)
			}
		}
	})
}

// TestCompressionOfOthers reads what other writers make: every option of an LZ4 frame, and streamed Zstandard.
func TestCompressionOfOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := contents(t)
		prefix := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
		b := bytes.NewBuffer(bytes.Clone(prefix))
		w := lz4.NewWriter(b)
		options := []lz4.Option{
			lz4.BlockChecksumOption(rapid.Bool().Draw(t, "block checksum")),
			lz4.ChecksumOption(rapid.Bool().Draw(t, "checksum")),
			lz4.BlockSizeOption(rapid.SampledFrom([]lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block1Mb, lz4.Block4Mb}).Draw(t, "block")),
		}
		if rapid.Bool().Draw(t, "content size") && len(data) > 0 {
			options = append(options, lz4.SizeOption(uint64(len(data))))
		}
		must(t, w.Apply(options...))
		_, err := w.Write(data)
		must(t, err)
		must(t, w.Close())
		if got, err := decompressNew(LZ4, b.Bytes()); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("lz4 of %d bytes: %v", len(data), err)
		}

		b = bytes.NewBuffer(bytes.Clone(prefix))
		z, err := zstd.NewWriter(b, zstd.WithEncoderConcurrency(1))
		must(t, err)
		_, err = z.Write(data)
		must(t, err)
		must(t, z.Close())
		if len(data) == 0 {
			return // an empty stream is no frame
		}
		if got, err := decompressNew(Zstd, b.Bytes()); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("zstd of %d bytes: %v", len(data), err)
		}
	})
}

// must fails the test on an error. Both testing.T and rapid.T serve.
func must(t interface{ Fatal(...any) }, err error) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCompressionReadByOthers lets the libraries' own readers read what we write.
func TestCompressionReadByOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := contents(t)
		src := LZ4.appendCompressed(nil, data)
		if _, plain, _ := declaredLength(src); !plain {
			var out bytes.Buffer
			_, err := out.ReadFrom(lz4.NewReader(bytes.NewReader(src[8:])))
			must(t, err)
			if !bytes.Equal(out.Bytes(), data) {
				t.Fatal("lz4: the library reads something else")
			}
		}
		src = Zstd.appendCompressed(nil, data)
		if _, plain, _ := declaredLength(src); !plain {
			d, err := zstd.NewReader(bytes.NewReader(src[8:]), zstd.WithDecoderConcurrency(1))
			must(t, err)
			defer d.Close()
			var out bytes.Buffer
			_, err = out.ReadFrom(d)
			must(t, err)
			if !bytes.Equal(out.Bytes(), data) {
				t.Fatal("zstd: the library reads something else")
			}
		}
	})
}

// TestDecompressLiedLength: frames that hold more or less than their prefix says are refused, in bounded memory.
func TestDecompressLiedLength(t *testing.T) {
	bomb := make([]byte, 16<<20)
	for _, c := range []Compression{LZ4, Zstd} {
		for _, streamed := range []bool{false, true} {
			src := c.appendCompressed(nil, bomb)
			if streamed && c == Zstd { // no content size in the frame
				var b bytes.Buffer
				z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
				must(t, err)
				_, err = z.Write(bomb)
				must(t, err)
				must(t, z.Close())
				src = append(src[:8], b.Bytes()...)
			}
			for _, declared := range []int{0, 1, 100, 1 << 20, len(bomb) - 1, len(bomb) + 1} {
				binary.LittleEndian.PutUint64(src, uint64(declared))
				dst := make([]byte, declared+16)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := c.decompress(dst[:declared], src)
				runtime.ReadMemStats(&after)
				if err == nil {
					t.Errorf("%s: %d bytes pass for %d", c, len(bomb), declared)
				}
				if got, most := after.TotalAlloc-before.TotalAlloc, uint64(declared*3/2+4<<20); got > most {
					t.Errorf("%s: %d bytes allocated for a declared length of %d", c, got, declared)
				}
				if !bytes.Equal(dst[declared:], make([]byte, 16)) {
					t.Errorf("%s: written beyond the destination", c)
				}
			}
		}
	}
}

func TestDeclaredLength(t *testing.T) {
	for _, src := range [][]byte{{1}, make([]byte, 7), {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}} {
		if n, _, err := declaredLength(src); err == nil {
			t.Errorf("% x declares %d", src, n)
		}
	}
	if n, plain, err := declaredLength([]byte("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFabc")); n != 3 || !plain || err != nil {
		t.Errorf("plain: %d %v %v", n, plain, err)
	}
	if err := LZ4.decompress(make([]byte, 3), make([]byte, 8)); err == nil {
		t.Error("a wrong destination passes")
	}
	if err := LZ4.decompress(nil, make([]byte, 8)); err != nil {
		t.Errorf("an empty buffer with a length: %v", err)
	}
}

func FuzzDecompress(f *testing.F) {
	for _, c := range []Compression{LZ4, Zstd} {
		f.Add(int8(c), c.appendCompressed(nil, bytes.Repeat([]byte("quiver "), 100))[8:], 700)
		f.Add(int8(c), c.appendCompressed(nil, make([]byte, 200_000))[8:], 200_000)
	}
	f.Fuzz(func(t *testing.T, codec int8, content []byte, declared int) {
		if declared < 0 || declared > 1<<20 {
			return
		}
		src := append(binary.LittleEndian.AppendUint64(nil, uint64(declared)), content...)
		dst := bytes.Repeat([]byte{0xA5}, declared+32)
		_ = Compression(codec).decompress(dst[:declared], src)
		if !bytes.Equal(dst[declared:], bytes.Repeat([]byte{0xA5}, 32)) {
			t.Fatal("written beyond the destination")
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	data := make([]byte, 512<<10)
	r := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:], 1_700_000_000_000+uint64(i)*125+uint64(r.IntN(100)))
	}
	for _, c := range []Compression{LZ4, Zstd} {
		src := c.appendCompressed(nil, data)
		dst := make([]byte, len(data))
		b.Run("decompress/"+c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				must(b, c.decompress(dst, src))
			}
		})
		b.Run("compress/"+c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				src = c.appendCompressed(src[:0], data)
			}
		})
	}
}
