package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// segmentWalk is the check of one segment's batches.
type segmentWalk struct {
	check *logCheck
	seg   *segment
	head  *segmentHead
	next  quiver.Offset // where the segment after it begins
	last  bool          // there is none

	w       *walker
	size    int64
	safe    quiver.Offset // of the last segment: rows before it were durable
	pos     int64         // behind the last batch
	at      quiver.Offset // the offset expected next
	entries []walkedEntry
	damaged bool // something in this segment cost rows
	torn    bool // the rest of the last segment was never acknowledged, and is cut off by a start

	before   *record.Header // the batch before, in this segment or, by the state file, the one before it
	open     quiver.Offset  // where the unit that is open began; at if none is
	openedBy quiver.Epoch
}

// walkedEntry is a batch that was found sound, with its checksum.
type walkedEntry struct {
	entry
	crc uint32
}

// errTorn ends the walk at the end of what may have been acknowledged.
var errTorn = errors.New("arrowlog: the rest was never acknowledged")

// readFullAt fills b from pos on. A file that ends before is io.ErrUnexpectedEOF.
func readFullAt(f io.ReaderAt, b []byte, pos int64) error {
	if n, err := f.ReadAt(b, pos); n < len(b) {
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

func (s *segmentWalk) run() error {
	f, size, err := s.seg.openWhole()
	if err != nil {
		return err
	}
	defer s.check.v.disk.files.release(f)
	s.size, s.pos, s.at, s.open = size, s.head.size, s.seg.base, s.seg.base
	s.safe = s.next
	if s.last {
		if s.safe, err = s.durable(f); err != nil {
			return err
		}
	}
	s.w = newWalker(f, size, s.head)
	defer s.w.free()
	s.w.visit = s.visit
	end, err := s.w.walk(s.pos, s.at, nil)
	if errors.Is(err, errTorn) {
		s.torn, err = true, nil
		end = stop{pos: s.pos, clean: true}
	}
	if err != nil {
		return err
	}
	s.ended(end)
	return nil
}

// durable finds out how far the last segment was durable at the least: by its marks, and by the high watermarks in its
// batches.
func (s *segmentWalk) durable(f io.ReaderAt) (quiver.Offset, error) {
	safe := max(s.check.mark.high, s.check.mark.recovery)
	w := newWalker(f, s.size, s.head)
	defer w.free()
	w.visit = func(b *met) error {
		safe = max(safe, b.meta.HighWatermark)
		return nil
	}
	_, err := w.walk(s.head.size, s.seg.base, nil)
	return safe, err
}

// visit checks one batch and what lies before it.
func (s *segmentWalk) visit(b *met) error {
	if err := s.check.ctx.Err(); err != nil {
		return err
	}
	if b.pos > s.pos || b.base > s.at {
		if s.beyond() {
			return errTorn
		}
		problem, err := s.nothingAt(s.pos)
		if err != nil {
			return err
		}
		s.lose(quiver.ByteRange{From: s.pos, Until: b.pos}, b.base, problem)
	}
	batch, err := s.w.load(b)
	switch {
	case err == nil:
		batch.Release()
	case quiver.ReasonOf(err) != quiver.CorruptRange:
		return err
	case s.beyond():
		return errTorn
	default:
		s.lose(quiver.ByteRange{From: b.pos, Until: b.end()}, b.until(), detail(err))
		s.pos, s.before = b.end(), nil
		return nil
	}
	producers, err := b.meta.Producers()
	if err != nil {
		return err
	}
	s.rules(b, producers)
	s.take(b, producers)
	s.check.read(b.size())
	return nil
}

// beyond says that nobody was told of what comes next.
func (s *segmentWalk) beyond() bool { return s.last && s.at >= s.safe }

// lose tells of rows from where the walk stands up to an offset.
func (s *segmentWalk) lose(at quiver.ByteRange, until quiver.Offset, problem string) {
	s.damaged = true
	s.check.lose(quiver.Finding{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix), Bytes: at,
		Offsets: quiver.OffsetSpan{From: s.at, Until: until}, Problem: problem, Effect: effectLost})
	s.at, s.open, s.before = until, until, nil
}

// nothingAt says why no batch is believed to begin at a place where one should.
func (s *segmentWalk) nothingAt(pos int64) (string, error) {
	if pos+align > s.size {
		return "the file ends where a batch should begin", nil
	}
	block := make([]byte, prefixSize) // not a view of the walk's, who still reads from its own
	if err := readFullAt(s.w.src.f, block, pos); err != nil {
		return "", err
	}
	n, ok := record.PeekPrefix(block)
	if !ok {
		return "no batch begins where one should", nil
	}
	if pos+int64(n) > s.size {
		return "the file ends within the header of a batch", nil
	}
	block = make([]byte, n)
	if err := readFullAt(s.w.src.f, block, pos); err != nil {
		return "", err
	}
	m, err := record.ParseHeader(block, s.head.seed)
	switch {
	case err != nil:
		return detail(err), nil
	case m.Schema != s.head.schema:
		return fmt.Sprintf("a batch of schema %d in a segment of schema %d", m.Schema, s.head.schema), nil
	case m.BaseOffset != s.at:
		return fmt.Sprintf("the batch of offset %d stands where that of offset %d should", m.BaseOffset, s.at), nil
	case s.before != nil && m.Epoch < s.before.Epoch:
		return fmt.Sprintf("a batch of epoch %d behind one of epoch %d", m.Epoch, s.before.Epoch), nil
	}
	return fmt.Sprintf("the batch does not continue the one before it: it names %08x as its header checksum", m.Previous), nil
}

// rules checks what holds between a batch and those before it, whatever is in it.
func (s *segmentWalk) rules(b *met, producers []record.Producer) {
	m := b.meta
	if f := s.check.fold; s.before == nil && f != nil && f.next == b.base && f.chain != 0 && m.Previous != f.chain {
		s.broken(b, "the batch names %08x as the header checksum of the one before the segment, that has %08x", m.Previous, f.chain)
	}
	if s.before != nil && m.Timestamp < s.before.Timestamp {
		s.broken(b, "it was appended at %s, before the batch in front of it", moment(m.Timestamp))
	}
	if m.HighWatermark > b.base {
		s.broken(b, "it tells of a high watermark of %d, behind its own rows", m.HighWatermark)
	}
	if s.open < s.at && m.Epoch != s.openedBy {
		s.broken(b, "the put that begins at offset %d is unfinished, and epoch %d goes on behind it", s.open, m.Epoch)
	}
	if s.open < s.at && m.HighWatermark > s.open {
		s.broken(b, "the high watermark %d stands within the put that begins at offset %d", m.HighWatermark, s.open)
	}
	s.repeats(b, producers)
}

// repeatWithin is for how long a sequence is surely remembered, if the table's expiry is no shorter.
const repeatWithin = time.Minute

// repeats looks for sequences that stand in the log twice.
func (s *segmentWalk) repeats(b *met, producers []record.Producer) {
	f := s.check.fold
	if f == nil || b.meta.Flags&record.Continued != 0 {
		return
	}
	within := repeatWithin
	if e := s.check.config.WriterExpiry; e > 0 {
		within = min(within, e)
	}
	for _, p := range producers {
		if p.Writer == quiver.NoWriter || p.Sequence == quiver.NoSequence {
			continue
		}
		if w := f.writers.byID[p.Writer]; w != nil && p.Sequence <= w.last && b.time-w.time < within.Milliseconds() {
			s.broken(b, "sequence %d of writer %d stands behind sequence %d: rows are there twice, or out of order", p.Sequence, p.Writer, w.last)
		}
	}
}

func moment(milliseconds int64) string {
	return time.UnixMilli(milliseconds).UTC().Format("2006-01-02T15:04:05.000Z")
}

// broken tells of a batch whose bytes are right and whose place is not.
func (s *segmentWalk) broken(b *met, format string, args ...any) {
	s.check.add(quiver.Finding{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix),
		Bytes: quiver.ByteRange{From: b.pos, Until: b.end()}, Offsets: quiver.OffsetSpan{From: b.base, Until: b.until()},
		Problem: fmt.Sprintf(format, args...), Effect: effectOrder})
}

// take goes behind a batch.
func (s *segmentWalk) take(b *met, producers []record.Producer) {
	h := b.meta.Header
	if h.Flags&record.Continued == 0 {
		s.open = b.until()
	} else if s.open == s.at {
		s.openedBy = h.Epoch
	}
	s.before, s.pos, s.at = &h, b.end(), b.until()
	s.entries = append(s.entries, walkedEntry{b.entry, h.CRC})
	if s.check.fold != nil {
		s.check.fold.apply(&h, producers)
	}
	r := s.check.report
	r.High = max(r.High, h.HighWatermark)
	r.Batches++
	r.Rows += int64(h.Rows)
}

// ended judges where the walk ended.
func (s *segmentWalk) ended(end stop) {
	switch {
	case s.torn || (!end.clean && s.beyond()):
		s.check.note(quiver.Note{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix), Bytes: quiver.ByteRange{From: s.pos, Until: s.size},
			Problem: fmt.Sprintf("what stands behind offset %d is not whole, and nothing tells that it was acknowledged", s.at),
			Effect:  "the next start cuts it off"})
	case !end.clean:
		problem, err := s.nothingAt(end.pos)
		if err != nil {
			problem = err.Error()
		}
		s.lose(quiver.ByteRange{From: end.pos, Until: s.size}, s.safe, problem)
	case s.at < s.safe:
		problem := fmt.Sprintf("the segment ends at offset %d", s.at)
		if s.last {
			problem += fmt.Sprintf(", the log was durable up to %d", s.safe)
		} else {
			problem += fmt.Sprintf(", the next one begins at %d", s.safe)
		}
		s.lose(quiver.ByteRange{}, s.safe, problem)
	case !s.last && s.at > s.safe:
		s.check.add(quiver.Finding{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix),
			Offsets: quiver.OffsetSpan{From: s.safe, Until: s.at}, Problem: "the next segment begins before this one ends", Effect: effectOrder})
	case !s.last && s.open < s.at:
		s.check.add(quiver.Finding{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix),
			Offsets: quiver.OffsetSpan{From: s.open, Until: s.at}, Problem: "a put is unfinished, and another segment begins behind it", Effect: effectOrder})
	}
	if !s.last {
		return
	}
	r := s.check.report
	r.End, r.Unit = s.at, s.open
	if s.open < s.at && r.High <= s.open {
		s.check.note(quiver.Note{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix), Offsets: quiver.OffsetSpan{From: s.open, Until: s.at},
			Problem: "the put at the end of the log is unfinished; nobody was told of it", Effect: "the next start cuts it off"})
	}
	if s.open < s.at && r.High > s.open {
		s.check.add(quiver.Finding{Kind: quiver.FindingSegment, File: s.seg.path(segmentSuffix), Offsets: quiver.OffsetSpan{From: s.open, Until: s.at},
			Problem: fmt.Sprintf("the high watermark %d stands within the put at the end of the log", r.High), Effect: effectOrder})
	}
}
