package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fault"
)

var pointRead = fault.New("arrowlog.read.before-segment")

// Reader yields the batches of a range of offsets in order. It is used by one goroutine. Between calls it holds one
// segment and what it has read of it, no descriptor; Close gives both back.
type Reader struct {
	log   *Log
	next  quiver.Offset
	until quiver.Offset
	spec  ReadSpec

	seg     *segment      // the one that the window lies in; nil: none yet
	paths   [2]string     // of its segment and index files, made when they are first read
	end     quiver.Offset // where that one ends, as far as was known when it was entered
	window  window
	doubted *segment // whose index was already taken from the segment itself

	picked *segmentHead // whose columns cols are
	cols   []int        // the wanted columns, by their places in that schema, ascending; nil: all it has

	// Of the batch that is being made, where nobody keeps it.
	meta    record.Meta
	block   []byte
	regions []record.Region
	parts   []*buf.Buf
}

// ReadSpec says what a reader is to give.
type ReadSpec struct {
	// Columns are top-level columns by id, ascending; nil: all that were stored, empty: none. One that a segment lacks is
	// left out of its batches: their layouts tell what they have.
	Columns []quiver.ColumnID
	// Skip says of a batch, by its metadata, that nobody wants its rows; nil: all are wanted. In a closed segment nothing
	// is read of the bodies of batches that are skipped.
	Skip func(*record.Meta, *record.Layout) bool
}

// window is a run of adjacent batches that was read at once.
type window struct {
	head    *segmentHead
	entries []entry // not yet delivered
	sifted  []sifted
	blocks  blocks // their metadata
	data    *buf.Buf
	at      int64 // where data stands in the segment; -1: it holds no bodies
}

// Read gives a reader of the rows [from, until). until is bounded by what is durable, and by the caller with the high
// watermark.
//
// The batches are as stored: the first and the last may reach beyond the range. Their headers tell offsets and time.
func (l *Log) Read(from, until quiver.Offset, spec ReadSpec) *Reader {
	return &Reader{log: l, next: from, until: min(until, l.Durable()), spec: spec}
}

// Next gives the next batch that is not skipped, with a reference that the caller releases, or io.EOF at the end of the
// range. Errors are those of Step.
func (r *Reader) Next() (*record.Batch, error) {
	for {
		if _, b, err := r.Step(); b != nil || err != nil {
			return b, err
		}
	}
}

// Step gives the header of the next batch, and the batch unless it is skipped, with a reference that the caller
// releases; or io.EOF at the end of the range. Errors: OFFSET_OUT_OF_RANGE below the start of the log, CORRUPT_RANGE
// with the range of the rows that are lost; a new reader may go on behind it.
func (r *Reader) Step() (record.Header, *record.Batch, error) {
	for {
		if r.next >= r.until {
			return record.Header{}, nil, io.EOF
		}
		if len(r.window.entries) > 0 {
			h, b, err := r.deliver()
			if err == nil || !r.doubt(err) {
				return h, b, err
			}
			continue
		}
		if err := r.fill(); err != nil && !r.doubt(err) {
			return record.Header{}, nil, err
		}
	}
}

// choose finds the wanted columns in the schema of a segment.
func (r *Reader) choose(head *segmentHead) {
	if r.picked == head {
		return
	}
	r.picked, r.cols = head, nil
	if r.spec.Columns == nil || slices.Equal(r.spec.Columns, head.columns) {
		return
	}
	r.cols = make([]int, 0, len(r.spec.Columns))
	for at, id := range head.columns {
		if _, wanted := slices.BinarySearch(r.spec.Columns, id); wanted {
			r.cols = append(r.cols, at)
		}
	}
	if len(r.cols) == len(head.columns) {
		r.cols = nil
	}
}

// doubt tells whether to try again with an index that is made of the segment itself: damage may be the index's.
func (r *Reader) doubt(err error) bool {
	if quiver.ReasonOf(err) != quiver.CorruptRange || r.seg == nil || r.doubted == r.seg {
		return false
	}
	r.doubted = r.seg
	r.window.drop()
	r.seg.doubtIndex()
	return true
}

// Offset is where the next batch begins, at the latest.
func (r *Reader) Offset() quiver.Offset { return r.next }

// Close gives back what the reader holds. Batches that it gave stay valid.
func (r *Reader) Close() {
	r.window.drop()
	if r.seg != nil {
		r.seg.release()
		r.seg = nil
	}
}

func (w *window) drop() {
	if w.data != nil {
		w.data.Release()
	}
	w.blocks.drop()
	*w = window{}
}

// fill finds the next run of batches and reads them.
func (r *Reader) fill() error {
	r.window.drop()
	entries, end, err := r.locate()
	if err != nil {
		return err
	}
	i := find(entries, r.next)
	if i == len(entries) || entries[i].base > r.next {
		lost := OffsetRange{r.next, end}
		if i < len(entries) {
			lost.Until = entries[i].base
		}
		return r.corrupt(lost, nil)
	}
	if err := r.load(entries[i:]); err != nil {
		return r.failed(entries[i], err)
	}
	return nil
}

// locate moves to the segment that holds the next offset and gives its entries and where it ends.
func (r *Reader) locate() (entries []entry, end quiver.Offset, err error) {
	if err := pointRead.Hit(); err != nil {
		return nil, 0, err
	}
	l := r.log
	l.mu.Lock()
	if r.next < l.start && !r.inside() {
		start, high := l.start, l.high
		l.mu.Unlock()
		return nil, 0, outOfRange(l.id, r.next, start, high)
	}
	if r.inside() && r.seg.removed.Load() { // deleted meanwhile: it stays until we leave it
		l.mu.Unlock()
		return r.indexed(r.seg, r.end)
	}
	i, found := slices.BinarySearchFunc(l.segments, r.next, func(s *segment, o quiver.Offset) int { return int(s.base - o) })
	if !found {
		i--
	}
	if i < 0 { // nothing is left of these rows, not even a file
		end := l.durable
		if len(l.segments) > 0 {
			end = l.segments[0].base
		}
		l.mu.Unlock()
		return nil, end, nil
	}
	s, last := l.segments[i], i == len(l.segments)-1
	if end = l.durable; !last {
		end = l.segments[i+1].base
	}
	if r.seg != s {
		s.retain()
		if r.seg != nil {
			defer r.seg.release()
		}
		r.seg, r.paths = s, [2]string{}
	}
	r.end = end
	entries, open := l.entries, last && l.open
	l.mu.Unlock()
	if open {
		return entries, end, nil
	}
	return r.indexed(s, end)
}

// inside tells whether the next row lies in the segment that the reader holds.
func (r *Reader) inside() bool {
	return r.seg != nil && r.seg.base <= r.next && r.next < r.end
}

// indexed gives the entries of a closed segment.
func (r *Reader) indexed(s *segment, end quiver.Offset) ([]entry, quiver.Offset, error) {
	x, err := s.loadIndex()
	switch {
	case quiver.ReasonOf(err) == quiver.CorruptRange:
		return nil, end, nil // its head is lost, and all of its rows with it
	case err != nil && isNotExist(err) && r.log.Failed() != nil:
		return nil, 0, r.log.refuse(r.log.Failed())
	case err != nil:
		return nil, 0, readError(r.log.id, err)
	}
	return x.entries, end, nil
}

// load reads a run of adjacent batches from the first entry on.
func (r *Reader) load(entries []entry) error {
	head, err := r.seg.loadHead()
	if err != nil {
		return err
	}
	r.window.head = head
	r.window.at = -1
	r.choose(head)
	if r.spec.Skip != nil {
		return r.sift(entries)
	}
	run := adjacent(entries, r.until, int64(r.log.disk.options.ReadBytes))
	if r.wholly(run[0]) {
		if err := r.loadWhole(run); err != nil {
			return err
		}
	} else {
		run = r.pickable(entries)
		r.loadBlocks(run)
	}
	r.window.entries = run
	return nil
}

// wholly says that a batch is read whole: all of its columns are wanted, or it is too small to pick from.
func (r *Reader) wholly(e entry) bool {
	return r.cols == nil || e.size() < int64(r.log.disk.options.ProjectFrom)
}

// adjacent gives the entries at the start that lie next to each other, in rows and in bytes, up to the offset and to
// about so many bytes; one at least.
func adjacent(entries []entry, until quiver.Offset, bytes int64) []entry {
	n := 1
	for n < len(entries) {
		before, e := entries[n-1], entries[n]
		if e.base >= until || e.base != before.until() || e.pos != before.end() || e.end()-entries[0].pos > bytes {
			break
		}
		n++
	}
	return entries[:n:n]
}

// loadWhole reads the batches with one read.
func (r *Reader) loadWhole(run []entry) error {
	from, until := run[0].pos, run[len(run)-1].end()
	data := buf.Get(int(until - from))
	if err := r.readAt(data.Bytes(), from, segmentSuffix); err != nil {
		data.Release()
		return err
	}
	r.window.data, r.window.at = data, from
	return nil
}

// open gives one of the segment's files, to be released.
func (r *Reader) open(suffix string) (*file, error) {
	path := &r.paths[0]
	if suffix == indexSuffix {
		path = &r.paths[1]
	}
	if *path == "" {
		*path = r.seg.path(suffix)
	}
	return r.log.disk.files.acquire(*path, false)
}

// readAt reads from one of the segment's files.
func (r *Reader) readAt(b []byte, pos int64, suffix string) error {
	f, err := r.open(suffix)
	if err != nil {
		return err
	}
	defer r.log.disk.files.release(f)
	r.log.disk.metrics.readBytes.Add(float64(len(b)))
	return readFull(f, b, pos)
}

// readFull fills b from pos on. A file that ends before is io.ErrUnexpectedEOF.
func readFull(f *file, b []byte, pos int64) error {
	n, err := f.ReadAt(b, pos)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// deliver gives the first batch of the window.
func (r *Reader) deliver() (h record.Header, b *record.Batch, err error) {
	w := &r.window
	e := w.entries[0]
	if w.sifted != nil {
		h, b, err = r.siftedBatch(e)
	} else if b, err = r.batch(e); err == nil {
		h = b.Header()
	}
	if err != nil {
		w.drop()
		return h, nil, r.failed(e, err)
	}
	w.entries = w.entries[1:]
	r.next = e.until()
	if len(w.entries) == 0 {
		w.drop()
	}
	return h, b, nil
}

// batch makes the batch of an entry of the window.
func (r *Reader) batch(e entry) (*record.Batch, error) {
	w := &r.window
	if w.at >= 0 {
		at := int(e.pos - w.at)
		if err := r.parse(&r.meta, e, w.data.Bytes()[at:at+int(e.meta)]); err != nil {
			return nil, err
		}
		return r.take(e, &r.meta)
	}
	r.block = slices.Grow(r.block[:0], int(e.meta))
	if err := w.blocks.get(r, &r.meta, e, r.block[:e.meta]); err != nil {
		return nil, err
	}
	return r.pickFromDisk(e, &r.meta)
}

// take makes the batch of an entry whose body the window's data holds.
func (r *Reader) take(e entry, m *record.Meta) (*record.Batch, error) {
	w := &r.window
	at := int(e.pos - w.at)
	body := w.data.Slice(at+int(e.meta), at+int(e.size()))
	defer body.Release()
	if r.cols == nil {
		return record.Load(w.head.layout, m, body)
	}
	if err := r.findRegions(m); err != nil {
		return nil, err
	}
	return r.pick(m, func(region record.Region) (*buf.Buf, error) {
		return body.Slice(int(region.From), int(region.Until)), nil
	})
}

// errMisplaced means that the batch at a place is not the one that the index tells of.
var errMisplaced = quiver.Errorf(quiver.CorruptRange, "another batch stands at the place of this one")

// parse reads and checks a batch's metadata.
func (r *Reader) parse(m *record.Meta, e entry, block []byte) error {
	if err := m.Parse(block, r.window.head.seed); err != nil {
		return err
	}
	if m.BaseOffset != e.base || m.Rows != int(e.rows) || m.BodyLen != e.body || m.Schema != r.window.head.schema {
		return errMisplaced
	}
	return nil
}

// failed judges an error that concerns one batch: damage is told with its range.
func (r *Reader) failed(e entry, err error) error {
	lost := OffsetRange{e.base, e.until()}
	switch {
	case isNoFile(err):
		return readError(r.log.id, err)
	case errors.Is(err, os.ErrClosed):
		return errClosed(r.log.id)
	case isNotExist(err) && r.log.Failed() != nil: // another log took its place, and may have deleted rows
		return r.log.refuse(r.log.Failed())
	case isNotExist(err) && r.next < r.log.Start():
		return outOfRange(r.log.id, r.next, r.log.Start(), r.log.HighWatermark())
	case quiver.ReasonOf(err) == quiver.Internal:
		return err
	}
	return r.corrupt(lost, err)
}

// corrupt is the error for rows that are lost.
func (r *Reader) corrupt(lost OffsetRange, cause error) error {
	e := quiver.Errorf(quiver.CorruptRange, "the stored rows [%d, %d) are damaged", lost.From, lost.Until).
		On(subject(r.log.id)).Advise(fmt.Sprintf("read on from offset %d", lost.Until))
	e.Op, e.Err = "arrowlog.read", cause
	e.Meta = map[string]string{
		"from":  strconv.FormatInt(int64(lost.From), 10),
		"until": strconv.FormatInt(int64(lost.Until), 10),
	}
	r.log.disk.metrics.badReads.Inc()
	r.log.disk.logger.Error("a read met damaged rows", "bucket", r.log.id.String(),
		"from", int64(lost.From), "until", int64(lost.Until), "err", cause)
	return e
}

func outOfRange(id quiver.BucketID, at, start, high quiver.Offset) error {
	e := quiver.Errorf(quiver.OffsetOutOfRange, "offset %d is not in the log, which holds [%d, %d)", at, start, high).
		On(subject(id)).Advise("read from earliest")
	e.Op = "arrowlog.read"
	e.Meta = map[string]string{
		"earliest": strconv.FormatInt(int64(start), 10),
		"latest":   strconv.FormatInt(int64(high), 10),
	}
	return e
}

// readError is a failure to read that says nothing about the rows.
func readError(id quiver.BucketID, err error) error {
	var e *quiver.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, os.ErrClosed):
		return errClosed(id)
	}
	reason := quiver.Internal
	if isNoFile(err) {
		reason = quiver.Overloaded
	}
	e = quiver.Errorf(reason, "the log could not be read").On(subject(id)).Advise("send it again")
	e.Op, e.Err = "arrowlog.read", err
	return e
}
