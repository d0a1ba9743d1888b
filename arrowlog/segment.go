package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// The files of a segment are named by its base offset, 20 digits, so that they sort.
const (
	segmentSuffix = ".arrows"
	indexSuffix   = ".index"
	stateSuffix   = ".state"
	asideSuffix   = ".damaged" // a segment that nothing can be read from, kept for a human
)

func segmentName(base quiver.Offset, suffix string) string {
	return fmt.Sprintf("%020d%s", base, suffix)
}

// parseName takes a file name apart. ok is false for names that are not ours.
func parseName(name string) (base quiver.Offset, suffix string, ok bool) {
	if len(name) < 20 {
		return 0, "", false
	}
	n, err := strconv.ParseInt(name[:20], 10, 64)
	if err != nil || n < 0 || strings.HasPrefix(name, "+") {
		return 0, "", false
	}
	return quiver.Offset(n), name[20:], true
}

// segment is one file of a log: a Schema message, then batches. It is shared by reference count: the log holds one
// while the segment belongs to it, each reader one while it reads there; the last one deletes a removed segment's
// files.
type segment struct {
	log  *Log
	base quiver.Offset

	refs    atomic.Int32
	removed atomic.Bool
	bytes   atomic.Int64 // of the file, -1: not asked yet
	last    atomic.Int64 // timestamp of its last row, once it is closed; 0: not asked yet

	mu   sync.Mutex // held while head or index is loaded
	head atomic.Pointer[segmentHead]
	idx  atomic.Pointer[index] // nil for the segment that is written to, and while nobody needed it
}

// segmentHead is what the Schema message at the start of a segment says.
type segmentHead struct {
	size   int64 // of the message: where the first batch starts
	seed   record.Seed
	schema quiver.SchemaID
	layout *record.Layout
	// columns are the ids of the layout's columns; one that has none, as no program of ours writes it, is 0.
	columns []quiver.ColumnID
	mended  []byte // the message from the state file, if the segment's own is damaged
}

func newSegment(l *Log, base quiver.Offset) *segment {
	s := &segment{log: l, base: base}
	s.refs.Store(1)
	s.bytes.Store(-1)
	return s
}

func (s *segment) path(suffix string) string {
	return s.log.disk.fsys.PathJoin(s.log.dir, segmentName(s.base, suffix))
}

// retain adds a reference; the caller knows that there is one.
func (s *segment) retain() *segment { s.refs.Add(1); return s }

// release drops a reference. The last one deletes the files of a removed segment.
func (s *segment) release() {
	if s.refs.Add(-1) > 0 || !s.removed.Load() {
		return
	}
	if err := s.deleteFiles(); err != nil {
		s.log.disk.logger.Warn("a deleted segment's files are left behind until the next start",
			"bucket", s.log.id.String(), "segment", int64(s.base), "err", err)
	}
}

// deleteFiles removes the segment's files, the segment itself last: what is left of a segment at the next start is
// removed with it.
func (s *segment) deleteFiles() error {
	d := s.log.disk
	d.metrics.deletedSegments.Inc()
	d.indexes.drop(s)
	var errs []error
	for _, suffix := range []string{indexSuffix, stateSuffix, segmentSuffix} {
		if err := pointRemoveSegment.Hit(); err != nil {
			return err
		}
		path := s.path(suffix)
		d.files.forget(path)
		if err := d.fsys.Remove(path); err != nil && !isNotExist(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fileSize asks for the size of the segment's file once; the log keeps it up to date while it writes.
func (s *segment) fileSize() (int64, error) {
	if n := s.bytes.Load(); n >= 0 {
		return n, nil
	}
	info, err := s.log.disk.fsys.Stat(s.path(segmentSuffix))
	if err != nil {
		return 0, err
	}
	s.bytes.Store(info.Size())
	return info.Size(), nil
}

// loadHead reads the segment's Schema message, or its copy in the state file if it is damaged.
func (s *segment) loadHead() (*segmentHead, error) {
	if h := s.head.Load(); h != nil {
		return h, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.head.Load(); h != nil {
		return h, nil
	}
	message, err := s.readMessage()
	if err != nil {
		return nil, err
	}
	h, err := s.parseHead(message)
	if err != nil {
		if h = s.headCopy(); h == nil {
			return nil, err
		}
		s.log.disk.logger.Error("the head of a segment is damaged; its copy in the state file is used",
			"bucket", s.log.id.String(), "segment", int64(s.base), "err", err)
	}
	s.head.Store(h)
	return h, nil
}

// headGuess is how much is read of a segment to find its Schema message, in the hope that it is not longer.
const headGuess = 4096

// readMessage reads the message at the start of the file; nil if it does not even look like one.
func (s *segment) readMessage() ([]byte, error) {
	d := s.log.disk
	f, err := d.files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return nil, err
	}
	defer d.files.release(f)
	b := make([]byte, headGuess)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	b = b[:n]
	size, ok := record.PeekPrefix(b)
	if !ok || size > maxHead {
		return nil, nil
	}
	if size <= len(b) {
		return b[:size:size], nil
	}
	b = make([]byte, size)
	if _, err := f.ReadAt(b, 0); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return b, nil
}

// maxHead bounds the Schema message: room for the widest schema.
const maxHead = 64 << 20

// parseHead checks that the message is the segment's own.
func (s *segment) parseHead(message []byte) (*segmentHead, error) {
	id, err := record.ParseSegmentIdentity(message)
	if err != nil {
		return nil, err
	}
	if id.Bucket != s.log.id || id.BaseOffset != s.base {
		return nil, quiver.Errorf(quiver.CorruptRange, "the file %s is the segment of bucket %s at offset %d",
			s.path(segmentSuffix), id.Bucket, id.BaseOffset)
	}
	layout, err := s.log.disk.layouts.stored(s.log.id.Table, id.Schema, message)
	if err != nil {
		return nil, err
	}
	return newHead(int64(len(message)), id, layout), nil
}

// newHead is the head of a segment whose Schema message has the size.
func newHead(size int64, id record.SegmentIdentity, layout *record.Layout) *segmentHead {
	h := &segmentHead{size: size, seed: id.Seed(), schema: id.Schema, layout: layout}
	h.columns = make([]quiver.ColumnID, layout.NumColumns())
	for i := range h.columns {
		h.columns[i], _ = quiver.FieldID(layout.Schema().Field(i))
	}
	return h
}

// headCopy is the head as the state file keeps it, nil if that is no help either.
func (s *segment) headCopy() *segmentHead {
	_, message, err := s.readState()
	if err != nil {
		return nil
	}
	h, err := s.parseHead(message)
	if err != nil {
		return nil
	}
	h.mended = message
	return h
}

// readState reads the segment's state file: what the log says before it, and a copy of its Schema message.
func (s *segment) readState() (*fold, []byte, error) {
	data, err := fs.ReadFile(s.log.disk.fsys, s.path(stateSuffix))
	if err != nil {
		return nil, nil, err
	}
	return decodeState(data, s.log.id, s.base, s.log.expiry())
}

// loadIndex gives the index of a segment that is no longer written to: from memory, from its file, or from the
// segment itself.
func (s *segment) loadIndex() (*index, error) {
	if x := s.idx.Load(); x != nil {
		s.log.disk.indexes.touch(s)
		return x, nil
	}
	head, err := s.loadHead()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.idx.Load(); x != nil {
		return x, nil
	}
	x, err := s.readIndex()
	if err != nil {
		if !isNotExist(err) {
			s.log.disk.logger.Warn("an index is made anew", "bucket", s.log.id.String(), "segment", int64(s.base), "err", err)
		}
		if x, err = s.rebuildIndex(head); err != nil {
			return nil, err
		}
	}
	s.idx.Store(x)
	s.log.disk.indexes.add(s, x)
	return x, nil
}

// doubtIndex makes the next reader take the index from the segment itself. It means nothing for the segment that is
// written to, whose index is the log's own.
func (s *segment) doubtIndex() {
	s.log.disk.indexes.drop(s)
	_ = s.log.disk.fsys.Remove(s.path(indexSuffix))
	s.log.disk.files.forget(s.path(indexSuffix))
}

// readIndex reads the frame of the index file.
func (s *segment) readIndex() (*index, error) {
	if err := pointReadIndex.Hit(); err != nil {
		return nil, err
	}
	d := s.log.disk
	size, err := s.fileSize()
	if err != nil {
		return nil, err
	}
	f, err := d.files.acquire(s.path(indexSuffix), false)
	if err != nil {
		return nil, err
	}
	defer d.files.release(f)
	head := make([]byte, frameHead)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	n, err := indexSize(head)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if n > info.Size() {
		return nil, fmt.Errorf("%w: it ends early", errFrame)
	}
	frame := make([]byte, n)
	if _, err := f.ReadAt(frame, 0); err != nil {
		return nil, err
	}
	return decodeIndex(frame, s.log.id, s.base, size)
}

// rebuildIndex makes the index by walking over the segment's headers.
func (s *segment) rebuildIndex(head *segmentHead) (*index, error) {
	d := s.log.disk
	f, err := d.files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return nil, err
	}
	defer d.files.release(f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	x := &index{}
	w := newWalker(f, info.Size(), head)
	defer w.free()
	w.visit = func(b *met) error {
		x.entries = append(x.entries, b.entry)
		return nil
	}
	end, err := w.walk(head.size, s.base, nil)
	if err != nil {
		return nil, err
	}
	x.covered = end.pos
	return x, nil
}

// writeIndex writes the index file of a closed segment. Nothing depends on it.
func (s *segment) writeIndex() error {
	if err := pointWriteIndex.Hit(); err != nil {
		return err
	}
	x, err := s.loadIndex()
	if err != nil || x.blocks != nil {
		return err
	}
	head, err := s.loadHead()
	if err != nil {
		return err
	}
	d := s.log.disk
	f, err := d.files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return err
	}
	defer d.files.release(f)
	data := encodeIndex(s.log.id, s.base, x.covered, x.entries)
	withBlocks := &index{entries: x.entries, covered: x.covered, blocks: make([]int64, 0, len(x.entries))}
	for _, e := range x.entries {
		at := len(data)
		withBlocks.blocks = append(withBlocks.blocks, int64(at))
		data = append(data, make([]byte, e.meta)...)
		if _, err := f.ReadAt(data[at:], e.pos); err != nil {
			return err
		}
		if _, err := record.ParseHeader(data[at:], head.seed); err != nil {
			return nil // a damaged segment keeps no index file
		}
	}
	if err := d.writeFile(s.path(indexSuffix), data); err != nil {
		return err
	}
	d.indexes.drop(s)
	s.idx.Store(withBlocks)
	d.indexes.add(s, withBlocks)
	return nil
}
