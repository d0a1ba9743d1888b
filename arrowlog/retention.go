package arrowlog

import (
	"fmt"

	"github.com/quiverlog/quiver"
)

// OffsetAt gives the first offset whose row is not older than the time in milliseconds, or the durable end if all are.
func (l *Log) OffsetAt(time int64) (quiver.Offset, error) {
	v := l.survey()
	defer v.close()
	// The last segment that begins before the time holds the row, or the one behind it begins with it.
	from, to := 0, len(v.segments)
	for from < to {
		mid := (from + to) / 2
		es, err := v.of(mid)
		if err != nil {
			return 0, err
		}
		if len(es) > 0 && es[0].time < time {
			from = mid + 1
		} else {
			to = mid
		}
	}
	for i := max(0, from-1); i < len(v.segments); i++ {
		es, err := v.of(i)
		if err != nil {
			return 0, err
		}
		if j := findTime(es, time); j < len(es) {
			return max(v.start, es[j].base), nil
		}
	}
	return v.durable, nil
}

// DeleteBefore deletes the rows before the offset, which is at most the high watermark. When it returns the new start
// is durable. Segments that lie before it whole are removed; one that a reader is in goes when the reader leaves it.
func (l *Log) DeleteBefore(offset quiver.Offset) error {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	l.mu.Lock()
	failed, start, high := l.failed, l.start, l.high
	l.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case offset <= start:
		return l.writeStart() // an earlier try may have failed at this
	case offset > high:
		return outOfRange(l.id, offset, start, high)
	}
	gone, err := l.cutBefore(offset)
	if err != nil {
		return err
	}
	if err := l.writeStart(); err != nil {
		return err
	}
	for _, s := range gone {
		s.removed.Store(true)
		s.release()
	}
	return nil
}

// writeStart makes the start of the log durable, if it is not.
func (l *Log) writeStart() error {
	err := l.disk.checkpoint()
	switch {
	case err == nil:
		return nil
	case isNoSpace(err):
		return noSpace(err).On(subject(l.id)).WithOutcome(quiver.Unknown)
	}
	return &quiver.Error{Op: "arrowlog.delete", Reason: quiver.LeaderNotAvailable, Outcome: quiver.Unknown,
		Subject: subject(l.id), Detail: "the new start of the log could not be written", Hint: "send it again", Err: err}
}

// cutBefore makes the log start at the offset, and takes the segments off it that lie before that. Their files may be
// deleted once the checkpoint is written. The caller holds the role.
func (l *Log) cutBefore(offset quiver.Offset) ([]*segment, error) {
	segments := l.segments // only the role's holder changes them
	gone := 0
	for gone+1 < len(segments) && segments[gone+1].base <= offset {
		gone++
	}
	if gone > 0 {
		if err := l.secureState(segments, gone); err != nil {
			return nil, err
		}
	}
	l.disk.metrics.deletedRows.Add(float64(offset - l.Start()))
	l.mu.Lock()
	l.start = offset
	l.segments = segments[gone:]
	l.notifyLocked()
	l.mu.Unlock()
	l.disk.markDirty(l)
	for _, s := range segments[:gone] {
		l.forgetUnindexed(s)
	}
	return segments[:gone], nil
}

func (l *Log) forgetUnindexed(s *segment) {
	for i, u := range l.unindexed {
		if u == s {
			l.unindexed = append(l.unindexed[:i:i], l.unindexed[i+1:]...)
			return
		}
	}
}

// secureState makes sure that the first segment that stays has a good state file: without the log before it, nothing
// else tells what the writers sent.
func (l *Log) secureState(segments []*segment, first int) error {
	s := segments[first]
	if _, _, err := s.readState(); err == nil {
		return nil
	}
	r := recovery{log: l, segments: segments}
	if _, err := r.foldBefore(s); err != nil {
		return err
	}
	if _, _, err := s.readState(); err != nil {
		return fmt.Errorf("arrowlog: bucket %s: the state file of segment %d cannot be written again, so the log before it is kept: %w",
			l.id, s.base, err)
	}
	return nil
}
