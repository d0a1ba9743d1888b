package arrowlog

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	qfs "github.com/quiverlog/quiver/internal/fs"
)

// The golden directories stay for ever: each is a data directory as a version of the format wrote it, and every later
// version reads it. QUIVER_GOLDEN=1 writes the current one, if it is not there.
const (
	goldenDir     = "testdata/golden"
	goldenCurrent = "1"
)

// goldenLog writes what the golden directories hold.
func goldenLog(t *testing.T, mem *qfs.Mem) {
	w := newWorld(t, mem)
	w.config.SegmentBytes = 4000
	l := w.lead()
	for i := range 12 {
		w.clock.advance(time.Second)
		ns := count(int64(10*i), 1+i%4)
		if i%3 == 0 {
			w.put(l, ns...)
			continue
		}
		unit := []*record.Batch{w.batch(ns...)}
		if i%5 == 0 {
			unit = append(unit, w.batch(1000+int64(i)))
			ns = append(ns, 1000+int64(i))
		}
		s, err := l.Stage(unit, from(quiver.WriterID(i%2), quiver.Sequence(i), len(ns)).after(quiver.NoSequence))
		if err != nil {
			t.Fatal(err)
		}
		if i%4 != 1 { // else it is merged with the next one
			if err := l.Sync(t.Context(), s.Until); err != nil {
				t.Fatal(err)
			}
			l.SetHighWatermark(s.Until)
		}
	}
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteBefore(3); err != nil {
		t.Fatal(err)
	}
	w.close()
}

// after changes what the stream sent before.
func (o Origin) after(s quiver.Sequence) Origin { o.Previous = s; return o }

// files gives the content of all files below a directory of mem.
func contents(t *testing.T, mem *qfs.Mem, dir string, into map[string][]byte) map[string][]byte {
	names, err := mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		path := dir + "/" + n
		info, err := mem.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			contents(t, mem, path, into)
			continue
		}
		if into[path], err = qfs.ReadFile(mem, path); err != nil {
			t.Fatal(err)
		}
	}
	return into
}

func TestGoldenWritten(t *testing.T) {
	mem := qfs.NewMem()
	goldenLog(t, mem)
	dir := filepath.Join(goldenDir, goldenCurrent)
	files := contents(t, mem, "data", map[string][]byte{})
	if _, err := os.Stat(dir); os.Getenv("QUIVER_GOLDEN") != "" && err != nil {
		for path, data := range files {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, data := range files {
		want, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Errorf("%s is written differently now: that is a new version of the format", path)
		}
	}
}

func TestGoldenRead(t *testing.T) {
	versions, err := os.ReadDir(goldenDir)
	if err != nil || len(versions) == 0 {
		t.Fatal("no golden directory", err)
	}
	for _, v := range versions {
		t.Run(v.Name(), func(t *testing.T) {
			mem := load(t, filepath.Join(goldenDir, v.Name()))
			w := newWorld(t, mem)
			l := w.open()
			got, err := numbersIn(l, 3, 32, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := goldenNumbers()[3:]
			if !slices.Equal(got, want) || l.Durable() != 32 || l.Start() != 3 || l.HighWatermark() != 32 {
				t.Errorf("[%d, %d) %v, want %v", l.Start(), l.Durable(), got, want)
			}
			if got, want := describe(l), "[{0 0 10 1700000011000} {1 0 11 1700000012000}] [{1 0}]"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			w.close()
		})
	}
}

// goldenNumbers is what goldenLog puts.
func goldenNumbers() (ns []int64) {
	for i := range 12 {
		ns = append(ns, count(int64(10*i), 1+i%4)...)
		if i%3 != 0 && i%5 == 0 {
			ns = append(ns, 1000+int64(i))
		}
	}
	return ns
}

// load copies a directory into memory.
func load(t *testing.T, dir string) *qfs.Mem {
	mem := qfs.NewMem()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(path, dir)), "/")
		if err := qfs.MakeDirs(mem, mem.PathDir(name)); err != nil {
			return err
		}
		return qfs.WriteFile(mem, name, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// TestStockReader opens segments with a stock Arrow reader: closed ones, the one that is written to with its zeros, and
// one whose last group was torn and cut off.
func TestStockReader(t *testing.T) {
	mem := qfs.NewMem()
	w := newWorld(t, mem)
	w.config.SegmentBytes = 4000
	l := w.lead()
	for i := range int64(7) {
		w.put(l, count(10*i, 2)...)
	}
	var want []int64
	for i := range int64(7) {
		want = append(want, count(10*i, 2)...)
	}
	if got := stock(t, mem); !slices.Equal(got, want) {
		t.Errorf("while it is written: %v", got)
	}
	left := mem.Clone()
	w.close()
	if got := stock(t, mem); !slices.Equal(got, want) {
		t.Errorf("closed: %v", got)
	}

	w.fsys = left
	l = w.lead()
	w.put(l, 100)
	last := l.segments[len(l.segments)-1]
	flip(t, left, last.path(segmentSuffix), l.entries[len(l.entries)-1].pos+8, 1)
	_ = w.disk.Close()
	if err := left.Remove("data/log/" + checkpointName); err != nil {
		t.Fatal(err)
	}
	w.open()
	if got := stock(t, left); !slices.Equal(got, want) {
		t.Errorf("cut off: %v", got)
	}
	w.close()
}

// stock reads all segments of the test bucket with arrow-go.
func stock(t *testing.T, mem *qfs.Mem) (out []int64) {
	files := contents(t, mem, "data/log/7/0/1", map[string][]byte{})
	paths := make([]string, 0, len(files))
	for path := range files {
		if strings.HasSuffix(path, segmentSuffix) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		r, err := aipc.NewReader(bytes.NewReader(files[path]))
		if err != nil {
			t.Fatal(path, err)
		}
		for r.Next() {
			out = append(out, r.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
		}
		if err := r.Err(); err != nil {
			t.Fatal(path, err)
		}
		r.Release()
	}
	return out
}
