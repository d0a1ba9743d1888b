package arrowlog

import (
	"bytes"
	"io"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
)

// walker goes over the batches of a segment. Where none is valid it looks for the next one at steps of 64 bytes, so
// damage costs only what is damaged.
//
// A batch is believed if its header's checksum (seeded with bucket and salt) is right, it is of the segment's schema,
// offsets and epochs do not go back, and, right behind another batch, it continues the offsets and names the header
// before it. A stale batch that a lost write left behind fails one of these.
type walker struct {
	src    source
	head   *segmentHead
	check  quiver.Offset // the bodies of batches that reach beyond this offset are verified as well
	visit  func(*met) error
	checks bool
}

// met is one batch that a walk came by.
type met struct {
	entry
	meta  *record.Meta // valid during the visit
	sound bool         // its body is what was written, or was not looked at
}

// stop is where a walk ended.
type stop struct {
	pos   int64 // behind the last batch
	clean bool  // from there on there are only zeros, if anything
}

func newWalker(f io.ReaderAt, size int64, head *segmentHead) *walker {
	return &walker{src: source{f: f, size: size}, head: head}
}

// free gives the walker's memory back.
func (w *walker) free() { w.src.free() }

// verifyBeyond makes the walk verify the bodies of batches that reach beyond the offset.
func (w *walker) verifyBeyond(offset quiver.Offset) { w.check, w.checks = offset, true }

// walk visits all batches from pos on, where the offset at is expected. chain is the header checksum of the batch
// before, nil where that is not known.
func (w *walker) walk(pos int64, at quiver.Offset, chain *uint32) (stop, error) {
	end := stop{pos: pos, clean: true}
	epoch := noEpoch
	for {
		b, err := w.believe(end.pos, at, chain, epoch)
		if b == nil && err == nil {
			if end.clean, err = w.zeros(end.pos); end.clean || err != nil {
				return end, err
			}
			b, err = w.resync(end.pos, at, epoch)
		}
		if b == nil || err != nil {
			return end, err
		}
		if err := w.verify(b); err != nil {
			return stop{}, err
		}
		if err := w.visit(b); err != nil {
			return stop{}, err
		}
		crc := b.meta.CRC
		at, chain, epoch, end.pos = b.until(), &crc, b.meta.Epoch, b.end()
		w.src.expect(b.body)
	}
}

// believe reads the batch at pos that follows directly on what was before; nil if there is none to be believed.
func (w *walker) believe(pos int64, at quiver.Offset, chain *uint32, epoch quiver.Epoch) (*met, error) {
	b, err := w.read(pos)
	if b == nil || err != nil {
		return nil, err
	}
	if b.base != at || b.meta.Epoch < epoch || (chain != nil && b.meta.Previous != *chain) {
		return nil, nil
	}
	return b, nil
}

// resync looks for the next batch behind pos.
func (w *walker) resync(pos int64, at quiver.Offset, epoch quiver.Epoch) (*met, error) {
	for pos += align; pos+align <= w.src.size; pos += align {
		b, err := w.read(pos)
		if err != nil {
			return nil, err
		}
		if b != nil && b.base >= at && b.meta.Epoch >= epoch {
			return b, nil
		}
	}
	return nil, nil
}

// align is what every message's size and place is a multiple of.
const align = 64

// read parses the header of the batch at pos; nil if there is no valid one of this segment.
func (w *walker) read(pos int64) (*met, error) {
	if pos+align > w.src.size {
		return nil, nil
	}
	prefix, err := w.src.view(pos, 8)
	if err != nil {
		return nil, err
	}
	n, ok := record.PeekPrefix(prefix)
	if !ok || pos+int64(n) > w.src.size {
		return nil, nil
	}
	block, err := w.src.view(pos, n)
	if err != nil {
		return nil, err
	}
	m := w.head.parse(block)
	if m == nil {
		return nil, nil
	}
	e := entry{pos: pos, base: m.BaseOffset, time: m.Timestamp, body: m.BodyLen, meta: int32(n), rows: int32(m.Rows)}
	return &met{entry: e, meta: m, sound: true}, nil
}

// parse gives the metadata of a batch of the segment, nil if the block is not that.
func (h *segmentHead) parse(block []byte) *record.Meta {
	m, err := record.ParseHeader(block, h.seed)
	if err != nil || m.Schema != h.schema {
		return nil
	}
	return m
}

// verify checks the body of a batch, where that is asked for.
func (w *walker) verify(b *met) error {
	if b.end() > w.src.size {
		b.sound = false
		return nil
	}
	if !w.checks || b.until() <= w.check {
		return nil
	}
	body := buf.Get(int(b.body))
	defer body.Release()
	if _, err := w.src.f.ReadAt(body.Bytes(), b.pos+int64(b.meta.MetaLen())); err != nil {
		return err
	}
	batch, bad := record.Load(w.head.layout, b.meta, body)
	if b.sound = bad == nil; b.sound {
		batch.Release()
	}
	return nil
}

// zeros tells whether there is nothing but zeros from pos to the end of the file.
func (w *walker) zeros(pos int64) (bool, error) {
	for pos < w.src.size {
		n := min(w.src.size-pos, wideWindow)
		b, err := w.src.view(pos, int(n))
		if err != nil {
			return false, err
		}
		if !allZero(b) {
			return false, nil
		}
		pos += n
	}
	return true, nil
}

// zeroBlock is what is written ahead of the batches, and what a clean end is compared with.
var zeroBlock [64 << 10]byte

func allZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeroBlock))
		if !bytes.Equal(b[:n], zeroBlock[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// source reads a file through a window.
type source struct {
	f      io.ReaderAt
	size   int64
	at     int64
	window []byte
	memory *buf.Buf
	narrow bool // bodies are large: do not read them for their headers' sake
}

const (
	wideWindow   = 256 << 10
	narrowWindow = 4 << 10
	largeBody    = 64 << 10
)

// expect tells the source how large the bodies between the headers are.
func (s *source) expect(body int64) { s.narrow = body >= largeBody }

// view gives n bytes at pos, all within the file, valid until the next view.
func (s *source) view(pos int64, n int) ([]byte, error) {
	if pos >= s.at && pos+int64(n) <= s.at+int64(len(s.window)) {
		return s.window[pos-s.at:][:n:n], nil
	}
	want := wideWindow
	if s.narrow {
		want = narrowWindow
	}
	want = int(min(int64(max(n, want)), s.size-pos))
	if s.memory == nil || s.memory.Len() < want {
		s.free()
		s.memory = buf.Get(max(want, narrowWindow))
	}
	s.window = s.memory.Bytes()[:want]
	s.at = pos
	if got, err := s.f.ReadAt(s.window, pos); err != nil && got < want {
		s.window = nil
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return s.window[:n:n], nil
}

func (s *source) free() {
	if s.memory != nil {
		s.memory.Release()
	}
	s.memory, s.window = nil, nil
}
