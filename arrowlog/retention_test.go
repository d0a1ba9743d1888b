package arrowlog

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
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
