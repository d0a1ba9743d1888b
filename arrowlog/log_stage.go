package arrowlog

import (
	"errors"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Origin says who puts a unit and on what conditions.
type Origin struct {
	Writer      quiver.WriterID // NoWriter: the put carries no identity, and Sequence is NoSequence
	WriterEpoch quiver.Epoch
	Sequence    quiver.Sequence
	// Previous is the sequence that the stream sent to this bucket before this one, NoSequence if none. PreviousAcked
	// tells that the stream has its acknowledgement.
	Previous      quiver.Sequence
	PreviousAcked bool
	// ExpectOffset is the log end that the put insists on, -1 for none.
	ExpectOffset quiver.Offset
	Rows         int64
	// Keyed tells that the rows are a changelog: how many come of a batch depends on what was there before, and it may
	// be none. So a repeat has no number of rows to agree with, and a sequence that left none is a repeat, too.
	Keyed bool
}

// sequenced tells whether the put takes part in exactly-once.
func (o *Origin) sequenced() bool {
	return o.Writer != quiver.NoWriter && o.Sequence != quiver.NoSequence
}

// Staged is where a unit's rows lie: [From, Until).
type Staged struct {
	From, Until quiver.Offset
	// Duplicate tells that the unit is a repeat: nothing was staged. Its first answer may be given once Until is durable
	// (Sync) and shown.
	Duplicate bool
	// Known is false for a repeat so old that its range is forgotten; From and Until are then 0.
	Known bool
}

// Seen tells whether the put is a repeat, and of what. It is false for what has to be staged. Errors: FENCED_WRITER,
// OUT_OF_ORDER_SEQUENCE, SEQUENCE_REUSED.
func (l *Log) Seen(o Origin) (Staged, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return Staged{}, false, l.refuse(l.failed)
	}
	return l.seenLocked(&o)
}

func (l *Log) seenLocked(o *Origin) (Staged, bool, error) {
	if !o.sequenced() {
		return Staged{}, false, nil
	}
	v := writerView{l.fold.writer(o.Writer), l.staged[o.Writer]}
	if v.known() && o.WriterEpoch < v.epoch() {
		return Staged{}, false, l.refusef(quiver.FencedWriter, "writer %d has epoch %d by now, this is epoch %d",
			o.Writer, v.epoch(), o.WriterEpoch).Advise("another process took the writer over; call writer.init for a new epoch")
	}
	if v.known() && o.Sequence <= v.last() {
		return l.repeatLocked(o, v)
	}
	if o.Previous != quiver.NoSequence && !o.PreviousAcked && !v.took(o.Previous) {
		return Staged{}, false, l.refusef(quiver.OutOfOrderSequence,
			"sequence %d of writer %d follows %d, which is not in the log", o.Sequence, o.Writer, o.Previous).
			Advise("send again from the first batch that is not acknowledged, in order")
	}
	return Staged{}, false, nil
}

// repeatLocked judges a sequence at or below the writer's last one.
func (l *Log) repeatLocked(o *Origin, v writerView) (Staged, bool, error) {
	if v.forgotten(o.Sequence) {
		return Staged{Duplicate: true}, true, nil
	}
	t, ok := v.find(o.Sequence)
	switch {
	case !ok && o.Keyed:
		return Staged{Duplicate: true}, true, nil
	case !ok:
		return Staged{}, false, l.refusef(quiver.OutOfOrderSequence,
			"sequence %d of writer %d is not in the log, though %d is", o.Sequence, o.Writer, v.last()).
			Advise("sequences of one writer rise from batch to batch; writer.describe tells the last one")
	case t.rows != o.Rows && !o.Keyed:
		return Staged{}, false, l.refusef(quiver.SequenceReused,
			"sequence %d of writer %d had %d rows, this batch has %d", o.Sequence, o.Writer, t.rows, o.Rows).
			Advise("repeat a batch exactly as it was, or take the next sequence")
	}
	return Staged{From: t.from, Until: t.until(), Duplicate: true, Known: true}, true, nil
}

// Stage gives the rows of one put the next offsets and queues them to be written: all or nothing, in as many batches
// as it was cut into, all of the log's schema. It takes over the references on the batches whatever it answers, but for
// ErrSchema, and keeps nothing of the slice. The rows are durable once Sync says so.
//
// Errors, all of them before anything changed: LEADER_NOT_AVAILABLE, DISK_FULL, EXPECTED_OFFSET_MISMATCH, and those of
// Seen, which is asked again.
func (l *Log) Stage(batches []*record.Batch, o Origin) (Staged, error) {
	u, err := newUnit(batches, &o, l.summary.Load())
	if err != nil {
		release(batches)
		return Staged{}, err
	}
	l.mu.Lock()
	s, err := l.stageLocked(u, &o)
	l.mu.Unlock()
	if s.Duplicate || err != nil && !errors.Is(err, ErrSchema) {
		release(batches)
	}
	return s, err
}

// ErrSchema tells that batches are of another schema than the log's, which may just have got a newer one: convert them
// to Layout and stage them again.
var ErrSchema = errors.New("arrowlog: the batches have another schema than the log")

func release(batches []*record.Batch) {
	for _, b := range batches {
		b.Release()
	}
}

// newUnit makes the unit of a put, and writes its origin and their statistics into the batches.
func newUnit(batches []*record.Batch, o *Origin, summary *record.Summary) (*unit, error) {
	if len(batches) == 0 {
		return nil, errors.New("arrowlog: stage of nothing")
	}
	u := &unit{schema: batches[0].Layout().ID(), writer: quiver.NoWriter}
	u.hold(batches)
	rows := int64(0)
	for _, b := range batches {
		if b.Rows() == 0 || b.Layout().ID() != u.schema {
			return nil, errors.New("arrowlog: stage of a batch without rows, or of another schema than the batch before")
		}
		if o.sequenced() {
			u.writer = o.Writer
			b.SetProducers([]record.Producer{{Writer: o.Writer, Epoch: o.WriterEpoch, Sequence: o.Sequence, Rows: int64(b.Rows())}})
		}
		b.Summarize(summary)
		rows += int64(b.Rows())
		u.size += b.Size()
	}
	if o.Rows != rows {
		return nil, errors.New("arrowlog: the origin counts other rows than the batches have")
	}
	u.until = quiver.Offset(rows) // moved behind the log end when it is staged
	return u, nil
}

func (l *Log) stageLocked(u *unit, o *Origin) (Staged, error) {
	switch {
	case l.failed != nil:
		return Staged{}, l.refuse(l.failed)
	case !l.leading:
		return Staged{}, l.refusef(quiver.LeaderNotAvailable, "this server does not lead the bucket").Advise("send it again")
	case u.schema != l.layout.ID():
		return Staged{}, ErrSchema
	}
	if s, repeat, err := l.seenLocked(o); repeat || err != nil {
		return s, err
	}
	if o.ExpectOffset >= 0 && o.ExpectOffset != l.end {
		return Staged{}, l.refusef(quiver.ExpectedOffsetMismatch, "the log ends at %d, not at %d", l.end, o.ExpectOffset).
			Advise("read what was appended meanwhile, then decide again")
	}
	if err := l.disk.Fence(); err != nil {
		return Staged{}, l.refuse(err)
	}
	if err := l.disk.space.take(int64(u.size)); err != nil {
		return Staged{}, l.refuse(err)
	}
	u.table, u.layout = l.config.Schema, l.layout
	u.from, u.until = l.end, l.end+u.until
	l.end = u.until
	l.queue = append(l.queue, u)
	if !l.noted {
		l.noted = true
		l.disk.tend(l, 0)
	}
	l.disk.metrics.staged.Add(1)
	if o.sequenced() {
		l.stageWriterLocked(o, taken{o.Sequence, u.from, o.Rows})
	}
	return Staged{From: u.from, Until: u.until, Known: true}, nil
}

// stageWriterLocked remembers the sequence until it is durable.
func (l *Log) stageWriterLocked(o *Origin, t taken) {
	if l.staged == nil {
		l.staged = map[quiver.WriterID]*stagedWriter{}
	}
	w := l.staged[o.Writer]
	if w == nil {
		w = &stagedWriter{}
		l.staged[o.Writer] = w
	}
	w.epoch = max(w.epoch, o.WriterEpoch)
	w.recent = append(w.recent, t)
}

// unstageWriterLocked forgets what is durable by now: the fold knows it.
func (l *Log) unstageWriterLocked(u *unit) {
	w := l.staged[u.writer]
	if w == nil {
		return
	}
	n := 0
	for n < len(w.recent) && w.recent[n].until() <= u.until {
		n++
	}
	if w.recent = w.recent[n:]; len(w.recent) == 0 {
		delete(l.staged, u.writer)
	}
}

// refuse makes an error of the log, or of its disk, the answer to a put that changed nothing.
func (l *Log) refuse(err error) error {
	var e *quiver.Error
	if !asError(err, &e) {
		e = &quiver.Error{Reason: quiver.LeaderNotAvailable, Err: err}
	}
	c := *e
	c.Op, c.Outcome = "arrowlog.stage", quiver.NotDone
	if c.Subject == "" {
		c.Subject = subject(l.id)
	}
	return &c
}

func (l *Log) refusef(reason quiver.Reason, format string, args ...any) *quiver.Error {
	e := quiver.Errorf(reason, format, args...).On(subject(l.id))
	e.Op, e.Outcome = "arrowlog.stage", quiver.NotDone
	return e
}

func asError(err error, to **quiver.Error) bool { return errors.As(err, to) }
