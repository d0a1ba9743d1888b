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
	failed, start, high, segments := l.failed, l.start, l.high, l.segments
	l.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case offset <= start:
		return nil
	case offset > high:
		return outOfRange(l.id, offset, start, high)
	}
	gone := 0
	for gone+1 < len(segments) && segments[gone+1].base <= offset {
		gone++
	}
	if gone > 0 {
		if err := l.secureState(segments, gone); err != nil {
			return err
		}
	}
	l.disk.metrics.deletedRows.Add(float64(offset - start))
	l.mu.Lock()
	l.start = offset
	l.segments = segments[gone:]
	l.notifyLocked()
	l.mu.Unlock()
	l.disk.markDirty(l)
	if err := l.disk.checkpoint(); err != nil {
		return &quiver.Error{Op: "arrowlog.delete", Reason: quiver.LeaderNotAvailable, Outcome: quiver.Unknown,
			Subject: subject(l.id), Detail: "the new start of the log could not be written", Hint: "send it again", Err: err}
	}
	for _, s := range segments[:gone] {
		l.forgetUnindexed(s)
		s.removed.Store(true)
		s.release()
	}
	return nil
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

// RetentionPoint gives the offset before which whole segments may go: those whose rows are all older than the time
// (milliseconds), and the oldest ones beyond so many bytes. Zero means no such bound. The segment that is written to
// stays.
func (l *Log) RetentionPoint(olderThan, bytes int64) (quiver.Offset, error) {
	l.mu.Lock()
	segments, point, high := l.segments, l.start, l.high
	l.mu.Unlock()
	if len(segments) < 2 {
		return point, nil
	}
	total := int64(0)
	for _, s := range segments {
		n, err := s.fileSize()
		if err != nil && !isNotExist(err) {
			return point, readError(l.id, err)
		}
		total += n
	}
	for i, s := range segments[:len(segments)-1] {
		size, _ := s.fileSize()
		over := bytes > 0 && total > bytes
		if !over && olderThan > 0 {
			x, err := s.loadIndex()
			if err != nil && quiver.ReasonOf(err) != quiver.CorruptRange {
				return point, readError(l.id, err)
			}
			over = err != nil || len(x.entries) == 0 || x.entries[len(x.entries)-1].time < olderThan
		}
		until := segments[i+1].base
		if !over || until > high {
			break
		}
		total -= size
		point = until
	}
	return point, nil
}
