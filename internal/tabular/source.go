package tabular

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// compressions are the extensions of files that are decompressed as they are read.
var compressions = []string{".gz", ".zst", ".zstd"}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	utf8Mark  = []byte{0xef, 0xbb, 0xbf}
)

// maxZstdWindow bounds what a zstd stream may make its reader hold.
const maxZstdWindow = 128 << 20

// decompress undoes gzip and zstd, which are told by how they begin.
func decompress(r *bufio.Reader) (io.Reader, func(), error) {
	begin, _ := r.Peek(len(zstdMagic)) // an error comes again with the first read
	switch {
	case bytes.HasPrefix(begin, gzipMagic):
		plain, err := gzip.NewReader(r)
		return plain, func() {}, err
	case bytes.HasPrefix(begin, zstdMagic):
		plain, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return plain, plain.Close, nil
	}
	return r, func() {}, nil
}

// source reads ahead in a goroutine of its own, so that whether more bytes are there can be asked without waiting for
// them. Close ends it; a read that blocks in the system is left behind and ends with its file.
type source struct {
	chunks chan []byte
	quit   chan struct{}
	once   sync.Once
	err    error // why chunks was closed; read after that only
	rest   []byte
}

const chunkSize = 256 << 10

// newSource starts reading r, decompressed.
func newSource(r io.Reader) *source {
	s := &source{chunks: make(chan []byte, 2), quit: make(chan struct{})}
	go s.run(r)
	return s
}

func (s *source) run(r io.Reader) {
	defer close(s.chunks)
	plain, free, err := decompress(bufio.NewReaderSize(r, chunkSize))
	if err != nil {
		s.err = err
		return
	}
	defer free()
	for {
		chunk := make([]byte, chunkSize)
		n, err := plain.Read(chunk)
		if n > 0 {
			select {
			case s.chunks <- chunk[:n]:
			case <-s.quit:
				return
			}
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// Read gives what has been read ahead, or waits for it.
func (s *source) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		chunk, ok := <-s.chunks
		if !ok {
			return 0, s.fault()
		}
		s.rest = chunk
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *source) fault() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("the data cannot be read: %w", s.err)
}

// ready waits for bytes, or the end, for at most d, and says whether there are some.
func (s *source) ready(d time.Duration) bool {
	if len(s.rest) > 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case chunk, ok := <-s.chunks:
		if ok {
			s.rest = chunk
		}
		return true
	case <-timer.C:
		return false
	}
}

// prefix reads up to n bytes; it is content with less when there is a whole line and then silence for a while. whole
// says that the data ends there. The bytes are to be read again from in front of the source.
func (s *source) prefix(n int, live bool) (begin []byte, whole bool, err error) {
	const silence = time.Second
	buf := make([]byte, chunkSize)
	for len(begin) < n {
		if live && bytes.IndexByte(begin, '\n') >= 0 && !s.ready(silence) {
			return begin, false, nil
		}
		got, err := s.Read(buf[:min(len(buf), n-len(begin))])
		begin = append(begin, buf[:got]...)
		if errors.Is(err, io.EOF) {
			return begin, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return begin, false, nil
}

// close ends the goroutine.
func (s *source) close() { s.once.Do(func() { close(s.quit) }) }

// again is a source whose beginning is read once more.
type again struct {
	begin []byte
	rest  *source
}

func (a *again) Read(p []byte) (int, error) {
	if len(a.begin) > 0 {
		n := copy(p, a.begin)
		a.begin = a.begin[n:]
		return n, nil
	}
	return a.rest.Read(p)
}

func (a *again) ready(d time.Duration) bool { return len(a.begin) > 0 || a.rest.ready(d) }
