package arrowlog

import (
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestSkip reads random logs with random batches skipped and compares what comes with a read of everything: every row
// is covered once, in order, and what is wanted is what was put.
func TestSkip(t *testing.T) {
	held := buf.Live()
	seeded(t, 20, func(t *testing.T, rng *rand.Rand) {
		w := newWorld(t, fs.NewMem())
		w.opts.MergeBelow = -1
		w.opts.ReadBytes = 1 << rng.IntN(18)
		w.opts.ProjectFrom = 1 << rng.IntN(14)
		w.config.SegmentBytes = int64(20_000 + rng.IntN(200_000))
		l := w.lead()
		end := int64(0)
		for range rng.IntN(40) {
			n := 1 + rng.IntN(20)
			if rng.IntN(3) == 0 {
				n = 1 + rng.IntN(4000)
			}
			w.put(l, count(end, n)...)
			end += int64(n)
			if rng.IntN(10) == 0 {
				l.Roll()
			}
			if rng.IntN(4) == 0 {
				if err := w.disk.Maintain(w.clock.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 8 {
			skipRead(t, rng, l, quiver.Offset(end))
		}
		w.close()
	})
	if now := buf.Live(); now != held {
		t.Fatalf("%d buffers are still held", now-held)
	}
}

func skipRead(t *testing.T, rng *rand.Rand, l *Log, end quiver.Offset) {
	t.Helper()
	from := quiver.Offset(rng.Int64N(int64(end) + 1))
	until := from + quiver.Offset(rng.Int64N(int64(end-from)+1))
	spec := [...]ReadSpec{{}, reading([]int{0}), reading([]int{0, 1})}[rng.IntN(3)]
	keep := rng.IntN(11) // of ten
	skipped := map[quiver.Offset]bool{}
	spec.Skip = func(m *record.Meta, l *record.Layout) bool {
		skip, known := skipped[m.BaseOffset]
		if !known {
			skip = rng.IntN(10) >= keep
			skipped[m.BaseOffset] = skip
		}
		return skip
	}
	r := l.Read(from, until, spec)
	defer r.Close()
	for at := from; ; {
		h, b, err := r.Step()
		if errors.Is(err, io.EOF) {
			if at < until {
				t.Fatalf("the read of [%d, %d) ended at %d", from, until, at)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.BaseOffset > at || h.BaseOffset < at && at != from {
			t.Fatalf("[%d, %d) came at %d", h.BaseOffset, h.Until(), at)
		}
		at = h.Until()
		if skipped[h.BaseOffset] != (b == nil) {
			t.Fatalf("the batch at %d: %v", h.BaseOffset, b)
		}
		if b == nil {
			continue
		}
		got, err := numbers(b)
		b.Release()
		if want := count(int64(h.BaseOffset), h.Rows); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v at %d: %v", got, h.BaseOffset, err)
		}
	}
}

// TestSkippedBodiesAreNotRead counts the reads of a closed segment of which one batch in ten is wanted.
func TestSkippedBodiesAreNotRead(t *testing.T) {
	reads := map[string]int{}
	fsys := fs.Record(fs.NewMem(), func(op fs.Op, name string) {
		if op == fs.OpRead {
			reads[filepath.Ext(name)]++
		}
	})
	w := newWorld(t, fsys)
	w.opts.MergeBelow = -1
	l := w.lead()
	for n := range int64(100) {
		w.put(l, count(1000*n, 1000)...)
	}
	l.Roll()
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	clear(reads)
	wanted := 0
	spec := ReadSpec{Skip: func(m *record.Meta, _ *record.Layout) bool { return m.BaseOffset%10_000 != 0 }}
	r := l.Read(0, 100_000, spec)
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		wanted++
		b.Release()
	}
	r.Close()
	if wanted != 10 || reads[segmentSuffix] != 10 || reads[indexSuffix] == 0 || reads[indexSuffix] > 3 {
		t.Errorf("%d batches, reads: %v", wanted, reads)
	}
	w.close()
}

// TestSkipMeetsDamage checks that a header that is damaged is told with its range, after what stands before it, and
// that damage in a body that nobody wants is not looked for.
func TestSkipMeetsDamage(t *testing.T) {
	mem := fs.NewMem()
	w := newWorld(t, mem)
	w.opts.MergeBelow = -1
	l := w.lead()
	for n := range int64(4) {
		w.put(l, count(1000*n, 1000)...)
	}
	entries := l.entries
	path := l.segments[0].path(segmentSuffix)
	flip(t, mem, path, entries[1].end()-3, 2) // in a body
	flip(t, mem, path, entries[2].pos+200, 2) // in a header
	r := l.Read(0, 4000, ReadSpec{Skip: func(m *record.Meta, _ *record.Layout) bool { return m.BaseOffset == 1000 }})
	defer r.Close()
	var got []string
	for {
		h, b, err := r.Step()
		if err != nil {
			if quiver.ReasonOf(err) != quiver.CorruptRange || !strings.Contains(err.Error(), "[2000, 3000)") {
				t.Error(err)
			}
			break
		}
		if got = append(got, "skipped"); b != nil {
			got[len(got)-1] = "read"
			b.Release()
		}
		_ = h
	}
	if !slices.Equal(got, []string{"read", "skipped"}) {
		t.Error(got)
	}
	w.close()
}
