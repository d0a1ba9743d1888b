package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// flip inverts one bit of a file.
func flip(t testing.TB, fsys fs.FS, path string, at int64, bit int) {
	t.Helper()
	f, err := fsys.OpenReadWrite(path, fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// readable reads [from, until) and passes over what is reported as lost.
func readable(l *Log, from, until quiver.Offset, cols []int) (rows map[quiver.Offset]int64, lost []OffsetRange, err error) {
	rows = map[quiver.Offset]int64{}
	for from < until {
		r := l.Read(from, until, reading(cols))
		for {
			var b *record.Batch
			if b, err = r.Next(); err != nil {
				break
			}
			var ns []int64
			ns, err = numbers(b)
			h := b.Header()
			b.Release()
			if err != nil {
				break
			}
			for i, n := range ns {
				rows[h.BaseOffset+quiver.Offset(i)] = n
			}
			from = h.Until()
		}
		r.Close()
		var e *quiver.Error
		switch {
		case errors.Is(err, io.EOF):
			return rows, lost, nil
		case errors.As(err, &e) && e.Reason == quiver.CorruptRange:
			a, _ := strconv.ParseInt(e.Meta["from"], 10, 64)
			b, _ := strconv.ParseInt(e.Meta["until"], 10, 64)
			if quiver.Offset(b) <= from {
				return nil, nil, fmt.Errorf("at offset %d damage was reported as [%d, %d)", from, a, b)
			}
			lost = append(lost, OffsetRange{quiver.Offset(a), quiver.Offset(b)})
			from = quiver.Offset(b)
		default:
			return nil, nil, err
		}
	}
	return rows, lost, nil
}

// damaged is a small disk with files of every kind, and what stands in it.
type damaged struct {
	*world
	mem   *fs.Mem
	rows  []int64
	ends  []quiver.Offset // of batches
	files []string
	state string // writers and epochs
}

func newDamaged(t testing.TB) *damaged {
	d := &damaged{mem: fs.NewMem()}
	d.world = newWorld(t, d.mem)
	d.config.SegmentBytes = 2500
	d.opts.ProjectFrom = 1
	d.opts.ZeroAhead = 1
	l := d.lead()
	for i := range 9 {
		ns := count(int64(10*i), 1+i%3)
		o := from(quiver.WriterID(i%2), quiver.Sequence(i/2), len(ns))
		s, err := l.Stage([]*record.Batch{d.batch(ns...)}, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(t.Context(), s.Until); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(s.Until)
		d.rows = append(d.rows, ns...)
		d.ends = append(d.ends, s.Until)
		d.clock.advance(time.Second)
	}
	if err := d.disk.Maintain(d.clock.Now()); err != nil {
		t.Fatal(err)
	}
	d.state = describe(l)
	dir := "data/log/7/0/1"
	names, err := d.mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		d.files = append(d.files, dir+"/"+n)
	}
	d.files = append(d.files, "data/log/checkpoint")
	return d
}

// describe tells what a log says of its writers and epochs.
func describe(l *Log) string { return fmt.Sprint(l.Writers(), l.Epochs()) }

// holds gives the batch that holds the row.
func (d *damaged) holds(o quiver.Offset) OffsetRange {
	at := quiver.Offset(0)
	for _, end := range d.ends {
		if o < end {
			return OffsetRange{at, end}
		}
		at = end
	}
	return OffsetRange{at, at}
}

// TestFlippedBits flips bits all over every kind of file: no row ever reads as another one, damage costs the batch it
// is in and nothing else, what is a cache is no loss at all, and rows put afterwards get offsets of their own.
func TestFlippedBits(t *testing.T) {
	d := newDamaged(t)
	kinds := map[string]int{}
	seeded(t, 1, func(t *testing.T, r *rand.Rand) {
		for _, path := range d.files {
			info, err := d.mem.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			step := max(1, info.Size()/150)
			if raceDetector {
				step *= 8
			}
			for at := r.Int64N(step); at < min(info.Size(), 8000); at += 1 + r.Int64N(2*step) {
				bit := r.IntN(8)
				without := r.IntN(3) == 0 && !strings.HasSuffix(path, checkpointName)
				if err := d.flipped(t, path, at, bit, without); err != nil {
					t.Fatalf("bit %d of byte %d of %s (without a checkpoint %v): %v", bit, at, path, without, err)
				}
				kinds[path[strings.LastIndexByte(path, '.')+1:]]++
			}
		}
	})
	t.Log(kinds)
}

func (d *damaged) flipped(t *testing.T, path string, at int64, bit int, without bool) error {
	mem := d.mem.Clone()
	flip(t, mem, path, at, bit)
	if without {
		if err := mem.Remove("data/log/" + checkpointName); err != nil {
			return err
		}
	}
	if err := d.told(mem, path, at, without); err != nil {
		return err
	}
	w := *d.world
	w.fsys = mem
	l, err := w.tryOpen()
	if err != nil {
		return err
	}
	defer func() { _ = w.disk.Close() }()
	end := l.Durable()
	if err := d.compare(l, path, without, quiver.Offset(len(d.rows))); err != nil {
		return err
	}
	// The next rows stand behind, also after another start.
	w.epoch++
	if err := l.Lead(w.epoch); err != nil {
		return err
	}
	if s := w.put(l, 1001, 1002); s.From != end {
		return fmt.Errorf("the log ended at %d, the next rows went to %d", end, s.From)
	}
	if err := w.disk.Close(); err != nil {
		return err
	}
	if l, err = w.tryOpen(); err != nil {
		return err
	}
	if err := d.compare(l, path, without, end); err != nil {
		return fmt.Errorf("after another start: %w", err)
	}
	got, err := numbersIn(l, end, end+2, nil)
	if err != nil || got[0] != 1001 || got[1] != 1002 {
		return fmt.Errorf("the next rows read %v: %w", got, err)
	}
	return nil
}

// told checks that an offline look finds the bit, and nothing else: but where it is no damage, because nothing is there
// yet, or nobody can tell that something was.
func (d *damaged) told(mem *fs.Mem, path string, at int64, without bool) error {
	findings, reports, err := verify(mem)
	if err != nil {
		return err
	}
	end := quiver.Offset(len(d.rows))
	torn := without && reports[0].End == d.holds(end-1).From
	data, err := fs.ReadFile(d.mem, path)
	if err != nil {
		return err
	}
	if len(findings) == 0 && !torn && !allZero(data[at&^63:]) {
		return errors.New("it is not found")
	}
	for _, f := range findings {
		if f.File != path || f.Offsets.Until > f.Offsets.From && OffsetRange(f.Offsets) != d.holds(f.Offsets.From) {
			return fmt.Errorf("found is %s", f)
		}
	}
	return nil
}

// compare reads the rows before the offset that were put before the damage.
func (d *damaged) compare(l *Log, path string, without bool, all quiver.Offset) error {
	last := d.holds(quiver.Offset(len(d.rows)) - 1)
	end := min(l.Durable(), all)
	if end < all && !(without && end == last.From) {
		return fmt.Errorf("the log ends at %d", end)
	}
	for _, cols := range [][]int{nil, {0}} {
		rows, lost, err := readable(l, 0, end, cols)
		if err != nil {
			return err
		}
		for o, n := range rows {
			if n != d.rows[o] {
				return fmt.Errorf("offset %d reads %d, not %d", o, n, d.rows[o])
			}
		}
		cache := !strings.HasSuffix(path, segmentSuffix)
		if cache && len(lost) > 0 {
			return fmt.Errorf("lost %v", lost)
		}
		if len(lost) > 1 {
			return fmt.Errorf("one bit lost %v", lost)
		}
		if len(lost) == 1 && lost[0] != d.holds(lost[0].From) {
			return fmt.Errorf("lost %v, which is not one batch", lost)
		}
		if len(lost) == 0 && len(rows) < int(end) {
			return fmt.Errorf("%d of %d rows were read", len(rows), end)
		}
		if got := describe(l); cache && len(lost) == 0 && !strings.HasPrefix(got, d.state[:strings.Index(d.state, "] [")]) {
			return fmt.Errorf("writers %s, not %s", got, d.state)
		}
	}
	return nil
}
