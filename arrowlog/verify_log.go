package arrowlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

// VerifyConfig is what the check of a log is told.
type VerifyConfig struct {
	WriterExpiry time.Duration     // the table's; 0: not known
	Progress     func(bytes int64) // is told how many more bytes were read; nil: nobody
}

// What findings say of their consequences.
const (
	effectLost   = "these rows are lost, all others stay readable"
	effectCache  = "no rows are lost: it is made anew from the segment"
	effectState  = "no rows are lost: it is read from the log instead"
	effectFirst  = "no rows are lost, but what writers did before this segment is forgotten: a repeat of theirs may be stored twice"
	effectOrder  = "the log was not written by the rules: this is a bug, or the file was changed by something else"
	effectUnread = "nothing is known of it"
)

// logCheck is the check of one log.
type logCheck struct {
	ctx      context.Context
	v        *Verifier
	config   VerifyConfig
	log      *Log
	mark     mark
	segments []*segment
	report   *LogReport

	// What the log says up to where it was read; nil after rows that are lost, until the next state file.
	fold *fold
}

// Verify checks one log. The error is the context's; what cannot be read is a finding.
func (v *Verifier) Verify(ctx context.Context, id quiver.BucketID, c VerifyConfig) (*LogReport, error) {
	l := newLog(v.disk, id)
	k := &logCheck{ctx: ctx, v: v, config: c, log: l, mark: v.disk.mark(id), report: &LogReport{Bucket: id}}
	if err := k.list(); err != nil {
		k.unread(l.dir, err)
		k.report.lost = true
		return k.report, nil
	}
	k.ends()
	for i := range k.segments {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := k.segment(i); err != nil {
			return nil, err
		}
	}
	k.finish()
	return k.report, nil
}

func (k *logCheck) add(f quiver.Finding) {
	f.Bucket = &k.report.Bucket
	k.report.Findings = append(k.report.Findings, f)
}

// note adds what is not wrong.
func (k *logCheck) note(n quiver.Note) {
	n.Bucket = &k.report.Bucket
	k.report.Notes = append(k.report.Notes, n)
}

// lose adds a finding that costs rows.
func (k *logCheck) lose(f quiver.Finding) {
	k.report.lost, k.fold = true, nil
	k.add(f)
}

func (k *logCheck) unread(path string, err error) {
	k.add(quiver.Finding{Kind: quiver.FindingUnread, File: path, Problem: err.Error(), Effect: effectUnread})
}

func (k *logCheck) read(bytes int64) {
	k.report.Bytes += bytes
	if k.config.Progress != nil {
		k.config.Progress(bytes)
	}
}

// list finds the segments that a start would find.
func (k *logCheck) list() error {
	names, err := k.v.disk.fsys.List(k.log.dir)
	if err != nil && !isNotExist(err) {
		return err
	}
	var bases []quiver.Offset
	for _, name := range names {
		base, suffix, ok := parseName(name)
		switch {
		case ok && suffix == segmentSuffix:
			bases = append(bases, base)
		case ok && suffix == segmentSuffix+asideSuffix:
			k.note(quiver.Note{
				Kind: quiver.FindingSegment, File: k.v.disk.fsys.PathJoin(k.log.dir, name),
				Problem: "an earlier start could read nothing of this segment and moved it aside",
				Effect:  "it is no part of the log; remove it when nobody wants to look at it any more",
			})
		}
	}
	slices.Sort(bases)
	for len(bases) > 1 && bases[1] <= k.mark.start {
		bases = bases[1:] // expired; a crash kept the files
	}
	for _, base := range bases {
		k.segments = append(k.segments, newSegment(k.log, base))
	}
	k.report.Segments = len(bases)
	return nil
}

// ends compares where the log begins with its mark, and a log without segments with what it should have.
func (k *logCheck) ends() {
	safe := max(k.mark.high, k.mark.recovery)
	k.report.Start, k.report.End, k.report.Unit, k.report.High = k.mark.start, k.mark.start, k.mark.start, safe
	if len(k.segments) == 0 {
		if safe > k.mark.start {
			k.lose(quiver.Finding{
				Kind: quiver.FindingSegment, File: k.log.dir, Offsets: quiver.OffsetSpan{From: k.mark.start, Until: safe},
				Problem: "the log has no segment any more", Effect: effectLost,
			})
			k.report.End, k.report.Unit = safe, safe
		}
		return
	}
	first := k.segments[0].base
	if k.v.marked && first > k.mark.start {
		k.lose(quiver.Finding{
			Kind: quiver.FindingSegment, File: k.log.dir, Offsets: quiver.OffsetSpan{From: k.mark.start, Until: first},
			Problem: "the first segments of the log are missing", Effect: effectLost,
		})
	}
	k.report.Start = max(k.mark.start, first)
}

// finish says what all of the log came to.
func (k *logCheck) finish() {
	if k.fold == nil {
		return
	}
	k.report.Epochs = k.fold.epochs
	for _, id := range k.fold.writers.ids() {
		w := k.fold.writers.byID[id]
		k.report.Writers = append(k.report.Writers, WriterInfo{id, w.epoch, w.last, w.time})
	}
}

// span is where a segment ends: the next one's base, or for the last one nil.
func (k *logCheck) next(i int) (until quiver.Offset, last bool) {
	if i+1 == len(k.segments) {
		return 0, true
	}
	return k.segments[i+1].base, false
}

// segment checks the i-th segment with its state and index. The error is the context's.
func (k *logCheck) segment(i int) error {
	s := k.segments[i]
	next, last := k.next(i)
	if !last {
		k.report.End, k.report.Unit = next, next
	}
	if i == 0 && s.base == 0 {
		k.fold = newFold(0, 0)
	}
	state, copied, stateErr := k.readState(s)
	head, message, err := k.head(s, copied, next, last)
	if err != nil {
		k.unread(s.path(segmentSuffix), err)
		k.report.lost, k.fold = true, nil
		return nil
	}
	k.state(i, state, stateErr)
	if head == nil {
		if last {
			k.report.End = max(s.base, k.mark.high, k.mark.recovery)
			k.report.Unit = k.report.End
		}
		return nil
	}
	k.schema(s, head)
	w := &segmentWalk{check: k, seg: s, head: head, next: next, last: last}
	if err := w.run(); err != nil {
		if k.ctx.Err() != nil {
			return k.ctx.Err()
		}
		k.unread(s.path(segmentSuffix), err)
		k.report.lost, k.fold = true, nil
		return nil
	}
	if stateErr == nil && len(w.entries) > 0 && !slices.Equal(copied, message) && head.mended == nil {
		// Without a batch that is what a crash leaves that came while the segment was being replaced.
		k.add(quiver.Finding{
			Kind: quiver.FindingState, File: s.path(stateSuffix), Problem: "its copy of the segment's head is another one's",
			Effect: "no rows are lost, but the head cannot be mended by it",
		})
	}
	k.index(s, head, w)
	return nil
}

// head reads the head of a segment, or its copy; nil if there is none left.
func (k *logCheck) head(s *segment, copied []byte, next quiver.Offset, last bool) (*segmentHead, []byte, error) {
	message, err := s.readMessage()
	if err != nil {
		return nil, nil, err
	}
	k.read(int64(len(message)))
	head, err := s.parseHead(message)
	if err == nil {
		return head, message, nil
	}
	f := quiver.Finding{Kind: quiver.FindingSegment, File: s.path(segmentSuffix), Bytes: quiver.ByteRange{Until: align},
		Problem: "the head of the segment is damaged: " + detail(err), Effect: "no rows are lost: the state file has a copy"}
	if copied != nil {
		if head, err = s.parseHead(copied); err == nil {
			head.mended = copied
			f.Bytes.Until = head.size
			k.add(f)
			return head, copied, nil
		}
	}
	if last {
		next = max(s.base, k.mark.high, k.mark.recovery)
	}
	f.Offsets, f.Effect = quiver.OffsetSpan{From: s.base, Until: next}, effectLost
	k.lose(f)
	return nil, nil, nil
}

// detail is what an error says without its reason.
func detail(err error) string {
	var e *quiver.Error
	if asError(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// schema notes under which schema the segment holds rows.
func (k *logCheck) schema(s *segment, head *segmentHead) {
	n := len(k.report.Schemas)
	if n > 0 && k.report.Schemas[n-1].Schema.ID() == head.schema {
		return
	}
	schema, err := quiver.SchemaFromStored(head.schema, head.layout.Schema())
	if err != nil {
		k.add(quiver.Finding{Kind: quiver.FindingSegment, File: s.path(segmentSuffix), Bytes: quiver.ByteRange{Until: head.size},
			Problem: "its schema cannot be understood: " + err.Error(), Effect: effectOrder})
		return
	}
	k.report.Schemas = append(k.report.Schemas, StoredSchema{s.path(segmentSuffix), schema})
}

// Scan gives the batches of a log that was found whole, from an offset on, up to where it ends. It visits each for as
// long as the call lasts. The error is visit's, the context's, or one of reading.
func (v *Verifier) Scan(ctx context.Context, r *LogReport, from quiver.Offset, visit func(*record.Batch) error) error {
	k := &logCheck{ctx: ctx, v: v, log: newLog(v.disk, r.Bucket), mark: v.disk.mark(r.Bucket), report: &LogReport{Bucket: r.Bucket}}
	if err := k.list(); err != nil {
		return err
	}
	for i, s := range k.segments {
		if next, last := k.next(i); !last && next <= from {
			continue
		}
		if err := k.scan(s, r, from, visit); err != nil {
			return err
		}
	}
	return nil
}

func (k *logCheck) scan(s *segment, r *LogReport, from quiver.Offset, visit func(*record.Batch) error) error {
	head, err := s.loadHead()
	if err != nil {
		return err
	}
	f, size, err := s.openWhole()
	if err != nil {
		return err
	}
	defer k.v.disk.files.release(f)
	w := newWalker(f, size, head)
	defer w.free()
	w.visit = func(b *met) error {
		if b.until() <= from {
			return nil
		}
		if b.base >= r.End {
			return errScanned
		}
		if err := k.ctx.Err(); err != nil {
			return err
		}
		batch, err := w.load(b)
		if err != nil {
			return err
		}
		defer batch.Release()
		return visit(batch)
	}
	if _, err := w.walk(head.size, s.base, nil); !errors.Is(err, errScanned) {
		return err
	}
	return nil
}

// errScanned ends a walk that has seen all there is to see.
var errScanned = errors.New("arrowlog: all was seen")

// openWhole opens the segment's file and asks for its size.
func (s *segment) openWhole() (*file, int64, error) {
	files := s.log.disk.files
	f, err := files.acquire(s.path(segmentSuffix), false)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		files.release(f)
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// load reads and checks a batch that the walk came by.
func (w *walker) load(b *met) (*record.Batch, error) {
	if b.end() > w.src.size {
		return nil, quiver.Errorf(quiver.CorruptRange, "the file ends within the batch")
	}
	body := buf.Get(int(b.body))
	defer body.Release()
	if err := readFullAt(w.src.f, body.Bytes(), b.pos+int64(b.meta.MetaLen())); err != nil {
		return nil, err
	}
	return record.Load(w.head.layout, b.meta, body)
}

// index checks the index file of a segment that was walked over, if there is one. One that was written before the last
// batches, or before they were cut off, is as good as none.
func (k *logCheck) index(s *segment, head *segmentHead, w *segmentWalk) {
	path := s.path(indexSuffix)
	data, err := fs.ReadFile(k.v.disk.fsys, path)
	if isNotExist(err) {
		return
	}
	if err != nil {
		k.unread(path, err)
		return
	}
	k.read(int64(len(data)))
	if at, err := w.compareIndex(data, head); err != nil {
		k.add(quiver.Finding{Kind: quiver.FindingIndex, File: path, Bytes: at, Problem: err.Error(), Effect: effectCache})
	}
}

// compareIndex says what is wrong with an index file, and where in it.
func (s *segmentWalk) compareIndex(data []byte, head *segmentHead) (quiver.ByteRange, error) {
	all := quiver.ByteRange{Until: int64(len(data))}
	n, err := indexSize(data)
	if err == nil && n > int64(len(data)) {
		err = fmt.Errorf("%w: it ends early", errFrame)
	}
	if err != nil {
		return all, err
	}
	frame := quiver.ByteRange{Until: n}
	x, err := decodeIndex(data[:n], s.check.report.Bucket, s.seg.base, s.size)
	if err != nil {
		return frame, err
	}
	for i, e := range x.entries {
		if i < len(s.entries) && s.entries[i].entry != e && !s.damaged {
			return frame, fmt.Errorf("entry %d tells of another batch than the segment has there", i)
		}
		at := quiver.ByteRange{From: x.blocks[i], Until: x.blocks[i] + int64(e.meta)}
		if at.Until > int64(len(data)) {
			return at, fmt.Errorf("%w: it ends early", errFrame)
		}
		m, err := record.ParseHeader(data[at.From:at.Until], head.seed)
		if err != nil {
			return at, fmt.Errorf("its copy of the batch at offset %d: %s", e.base, detail(err))
		}
		if i < len(s.entries) && s.entries[i].entry == e && s.entries[i].crc != m.CRC {
			return at, fmt.Errorf("its copy of the batch at offset %d is not what the segment has", e.base)
		}
	}
	return all, nil
}
