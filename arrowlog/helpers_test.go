package arrowlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// bucket is the bucket that tests write to.
var bucket = quiver.BucketID{Table: 7, Bucket: 1}

// testSchema has a number and a text.
func testSchema(t testing.TB, id quiver.SchemaID) *quiver.Schema {
	t.Helper()
	s, err := quiver.NewSchema(id, arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clock is a clock that stands still until it is moved.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.UnixMilli(1_700_000_000_000)} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// world is a disk under test.
type world struct {
	t      testing.TB
	fsys   fs.FS
	clock  *clock
	opts   Options
	config LogConfig
	layout *record.Layout
	disk   *Disk
	epoch  quiver.Epoch
	salt   *atomic.Uint64
}

// newWorld gives a disk on fsys that is not open yet.
func newWorld(t testing.TB, fsys fs.FS) *world {
	w := &world{t: t, fsys: fsys, clock: newClock(), salt: new(atomic.Uint64)}
	w.opts = Options{
		Now:    w.clock.Now,
		Salt:   func() uint64 { return w.salt.Add(1) * 0x9e3779b97f4a7c15 },
		Logger: slog.New(slog.DiscardHandler),
	}
	w.config = LogConfig{Schema: testSchema(t, 1)}
	var err error
	if w.layout, err = record.NewLayout(w.config.Schema); err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens the disk and gives the test bucket's log.
func (w *world) open() *Log {
	w.t.Helper()
	l, err := w.tryOpen()
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) tryOpen() (*Log, error) {
	d, err := OpenDisk(w.fsys, "data", w.opts)
	if err != nil {
		return nil, err
	}
	w.disk = d
	return d.Log(bucket, w.config)
}

// lead opens the disk and leads the log with the next epoch.
func (w *world) lead() *Log {
	w.t.Helper()
	l := w.open()
	w.epoch++
	if err := l.Lead(w.epoch); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) close() {
	w.t.Helper()
	if err := w.disk.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// batch makes a batch of the numbers, each with its text.
func (w *world) batch(numbers ...int64) *record.Batch {
	w.t.Helper()
	return encode(w.t, w.layout, numbers)
}

func encode(t testing.TB, layout *record.Layout, numbers []int64) *record.Batch {
	t.Helper()
	rec := makeRecord(layout.Schema(), numbers)
	defer rec.Release()
	b, err := record.Encode(layout, rec, record.None)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeRecord(s *arrow.Schema, numbers []int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer b.Release()
	for _, n := range numbers {
		b.Field(0).(*array.Int64Builder).Append(n)
		if n%5 == 3 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(text(n))
		}
	}
	return b.NewRecordBatch()
}

func text(n int64) string { return fmt.Sprintf("t%d", n) }

// anonymous is an origin without conditions.
func anonymous(rows int) Origin {
	return Origin{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, Previous: quiver.NoSequence, ExpectOffset: -1, Rows: int64(rows)}
}

// from is the origin of a writer's batch that follows its previous one.
func from(writer quiver.WriterID, s quiver.Sequence, rows int) Origin {
	o := anonymous(rows)
	o.Writer, o.Sequence, o.Previous = writer, s, s-1
	return o
}

// count gives n numbers from first on.
func count(first int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = first + int64(i)
	}
	return out
}

// put stages one unit of the numbers and waits for it.
func (w *world) put(l *Log, numbers ...int64) Staged {
	w.t.Helper()
	s, err := l.Stage([]*record.Batch{w.batch(numbers...)}, anonymous(len(numbers)))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := l.Sync(context.Background(), s.Until); err != nil {
		w.t.Fatal(err)
	}
	l.SetHighWatermark(s.Until)
	return s
}

// numbersIn reads the numbers of the rows [from, until), which must stand at their offsets without a gap.
func numbersIn(l *Log, from, until quiver.Offset, cols []int) ([]int64, error) {
	var out []int64
	r := l.Read(from, until, reading(cols))
	defer r.Close()
	at := from
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			if at != until {
				return out, fmt.Errorf("the read of [%d, %d) ended at %d", from, until, at)
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
		h := b.Header()
		if h.BaseOffset > at || (h.BaseOffset < at && at != from) || h.Until() <= at {
			b.Release()
			return out, fmt.Errorf("a batch [%d, %d) came where offset %d was expected", h.BaseOffset, h.Until(), at)
		}
		ns, err := numbers(b)
		b.Release()
		if err != nil {
			return out, err
		}
		last := min(until, h.Until())
		out = append(out, ns[at-h.BaseOffset:last-h.BaseOffset]...)
		at = last
	}
}

// numbers decodes a batch whose first column is the number; a second one must be its text.
func numbers(b *record.Batch) ([]int64, error) {
	rec, err := b.Decode()
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	col, ok := rec.Column(0).(*array.Int64)
	if !ok {
		return nil, errors.New("the first column is not the number")
	}
	out := make([]int64, rec.NumRows())
	for i := range out {
		out[i] = col.Value(i)
	}
	if rec.NumCols() < 2 {
		return out, nil
	}
	texts := rec.Column(1).(*array.String)
	for i, n := range out {
		if texts.IsNull(i) != (n%5 == 3) || (!texts.IsNull(i) && texts.Value(i) != text(n)) {
			return nil, fmt.Errorf("the text of %d is %q", n, texts.Value(i))
		}
	}
	return out, nil
}

// reading picks columns by their places; the columns of the tests' tables have ids that count from 1.
func reading(places []int) ReadSpec {
	if places == nil {
		return ReadSpec{}
	}
	spec := ReadSpec{Columns: []quiver.ColumnID{}}
	for _, at := range places {
		spec.Columns = append(spec.Columns, quiver.ColumnID(at+1))
	}
	return spec
}
