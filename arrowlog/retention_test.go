package arrowlog

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestBytesAreKept: the oldest segment goes as soon as the others have as many bytes as the rule keeps, and not before.
func TestBytesAreKept(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	defer w.close()
	var sizes []int64
	for i := range int64(3) {
		w.put(l, count(10*i, 10)...)
		l.Roll()
		n, err := l.segments[i].fileSize()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	others := sizes[1] + sizes[2]
	for _, test := range []struct {
		keep int64
		want quiver.Offset
	}{{others + 1, 0}, {others, 10}, {sizes[2] + 1, 10}, {sizes[2], 20}, {1, 20}} {
		got, err := l.RetentionPoint(Retention{Bytes: test.keep}, w.clock.Now())
		if err != nil || got != test.want {
			t.Errorf("of segments of %v bytes %d are kept: the rows before %d may go, not before %d (%v)", sizes, test.keep, got, test.want, err)
		}
	}
}

// TestTimesOfRowsNeverGoBack: a clock that is set back gives the next rows the time of those before them, so that the
// first row that is not older than a time can be looked for.
func TestTimesOfRowsNeverGoBack(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	defer func() { w.close() }()
	began := w.clock.Now()
	put := func(moved time.Duration) {
		t.Helper()
		w.clock.advance(moved)
		s := l.End()
		w.put(l, int64(s))
	}
	put(0)
	put(time.Minute)
	put(-time.Hour) // at row 2
	l.Roll()
	put(0)
	w.close()
	l = w.lead() // the fold of a start goes on with it, too
	put(0)       // at row 4
	put(2 * time.Hour)
	r := l.Read(0, l.End(), ReadSpec{})
	defer r.Close()
	last := int64(0)
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		h := b.Header()
		b.Release()
		if h.Timestamp < last {
			t.Errorf("the row at offset %d was appended %d ms before the one in front of it", h.BaseOffset, last-h.Timestamp)
		}
		last = h.Timestamp
	}
	for _, test := range []struct {
		after time.Duration
		want  quiver.Offset
	}{{0, 0}, {time.Millisecond, 1}, {time.Minute, 1}, {time.Minute + 1e6, 5}, {2 * time.Hour, 6}} {
		got, err := l.OffsetAt(began.Add(test.after).UnixMilli())
		if err != nil || got != test.want {
			t.Errorf("the first row that is not older than %v: %d (%v), want %d", test.after, got, err, test.want)
		}
	}
}

// TestStateIsSecuredBeforeTheLogBeforeIt: once the segments before it are gone nothing but a segment's state file tells
// what writers sent. One that is missing or damaged is made anew first; what cannot be made anew keeps the log.
func TestStateIsSecuredBeforeTheLogBeforeIt(t *testing.T) {
	for name, damage := range map[string]func(mem *fs.Mem, path string) error{
		"missing": func(mem *fs.Mem, path string) error { return mem.Remove(path) },
		"cut":     func(mem *fs.Mem, path string) error { return mem.Truncate(path, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			mem, full := fs.NewMem(), false
			w := newWorld(t, fs.WithErrors(mem, func(op fs.Op, name string) error {
				if full && op == fs.OpCreate && strings.Contains(name, stateSuffix) {
					return syscall.ENOSPC
				}
				return nil
			}))
			l := w.lead()
			defer func() { w.close() }()
			sequenced := func(sequence quiver.Sequence) Staged {
				t.Helper()
				s, err := l.Stage([]*record.Batch{w.batch(int64(sequence))}, from(5, sequence, 1))
				if err == nil {
					err = l.Sync(t.Context(), s.Until)
				}
				if err != nil {
					t.Fatal(err)
				}
				l.SetHighWatermark(s.Until)
				return s
			}
			for sequence := range quiver.Sequence(3) {
				sequenced(sequence)
			}
			l.Roll()
			w.put(l, 7) // the second segment has nothing of the writer
			if err := damage(mem, l.segments[1].path(stateSuffix)); err != nil {
				t.Fatal(err)
			}
			full = true
			if err := l.DeleteBefore(3); err == nil || l.Start() != 0 {
				t.Fatalf("without room for the state file the log starts at %d: %v", l.Start(), err)
			}
			full = false
			if err := l.DeleteBefore(3); err != nil {
				t.Fatal(err)
			}
			w.close()
			l = w.lead()
			if s := sequenced(2); !s.Duplicate || l.Durable() != 4 {
				t.Errorf("a repeat of what was deleted is %+v, and the log ends at %d", s, l.Durable())
			}
		})
	}
}

// TestMarksAreNeverAheadOfTheirFile: a start that could not be written does not count. A log that is opened anew in the
// same process would remove segments that the next process looks for.
func TestMarksAreNeverAheadOfTheirFile(t *testing.T) {
	mem, full := fs.NewMem(), false
	w := newWorld(t, fs.WithErrors(mem, func(op fs.Op, name string) error {
		if full && op == fs.OpCreate && strings.Contains(name, checkpointName) {
			return syscall.ENOSPC
		}
		return nil
	}))
	l := w.lead()
	defer w.close()
	w.put(l, 1, 2)
	l.Roll()
	w.put(l, 3)
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	before := w.disk.mark(bucket)
	full = true
	if err := l.DeleteBefore(2); quiver.ReasonOf(err) != quiver.DiskFull || quiver.OutcomeOf(err) != quiver.Unknown {
		t.Errorf("without room for the new start: %v", err)
	}
	if m := w.disk.mark(bucket); m != before {
		t.Errorf("the marks are %+v, in the file stand %+v", m, before)
	}
	full = false
	if err := l.DeleteBefore(2); err != nil {
		t.Fatal(err)
	}
	if m := w.disk.mark(bucket); m.start != 2 {
		t.Errorf("once there is room the marks are %+v", m)
	}
}
