package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
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

// benchWorld is a log on the machine's own disk, below TMPDIR.
func benchWorld(b testing.TB, s *arrow.Schema) (*world, *Log, string) {
	w := newWorld(b, fs.Disk())
	w.opts.Now = time.Now
	schema, err := quiver.NewSchema(1, s, nil)
	if err != nil {
		b.Fatal(err)
	}
	w.config.Schema = schema
	if w.layout, err = record.NewLayout(schema); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if w.disk, err = OpenDisk(w.fsys, dir, w.opts); err != nil {
		b.Fatal(err)
	}
	l, err := w.disk.Log(bucket, w.config)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Lead(1); err != nil {
		b.Fatal(err)
	}
	return w, l, dir
}

// tenColumns is four numbers, four floats and two texts: about 107 bytes a row.
func tenColumns() *arrow.Schema {
	var fields []arrow.Field
	for i := range 10 {
		f := arrow.Field{Name: fmt.Sprintf("c%d", i), Type: arrow.PrimitiveTypes.Int64}
		switch {
		case i >= 8:
			f.Type = arrow.BinaryTypes.String
		case i >= 4:
			f.Type = arrow.PrimitiveTypes.Float64
		}
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil)
}

func tenColumnBatch(b testing.TB, l *record.Layout, rows int) *record.Batch {
	rb := array.NewRecordBuilder(memory.DefaultAllocator, l.Schema())
	defer rb.Release()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range l.NumColumns() {
		for range rows {
			switch f := rb.Field(i).(type) {
			case *array.Int64Builder:
				f.Append(r.Int64())
			case *array.Float64Builder:
				f.Append(r.NormFloat64())
			case *array.StringBuilder:
				f.Append(fmt.Sprintf("text of %08x", r.Uint32()))
			}
		}
	}
	rec := rb.NewRecordBatch()
	defer rec.Release()
	out, err := record.Encode(l, rec, record.None)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkOneRow is one-row puts by producers that each wait for their own.
func BenchmarkOneRow(b *testing.B) {
	for _, producers := range []int{1, 16, 256, 1000} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			w, l, _ := benchWorld(b, tenColumns())
			var writers atomic.Uint64
			proto := tenColumnBatch(b, w.layout, 2)
			b.SetParallelism((producers + 1) / 2) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				o := from(quiver.WriterID(writers.Add(1)), 0, 1)
				for pb.Next() {
					batch, err := proto.Slice(0, 1)
					if err != nil {
						b.Error(err)
						return
					}
					s, err := l.Stage([]*record.Batch{batch}, o)
					if err == nil {
						err = l.Sync(b.Context(), s.Until)
					}
					if err != nil {
						b.Error(err)
						return
					}
					o.Previous, o.Sequence = o.Sequence, o.Sequence+1
				}
			})
			b.StopTimer()
			st, err := l.Stats()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(st.Bytes)/float64(b.N), "diskB/row")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
			proto.Release()
			w.close()
		})
	}
}

// BenchmarkLarge is units of 64 Ki rows, cut into pieces of at most 3 MiB, four on the way at a time, beside writes of
// the same sizes with an fdatasync after every 16 MiB, one behind the other.
func BenchmarkLarge(b *testing.B) {
	const rows, inFlight = 65536, 4
	b.Run("log", func(b *testing.B) {
		w, l, _ := benchWorld(b, tenColumns())
		whole := tenColumnBatch(b, w.layout, rows)
		var units [2 * inFlight][]*record.Batch // a batch may be staged again once it is durable
		size := 0
		for i := range units {
			var err error
			if units[i], err = whole.Split(3 << 20); err != nil {
				b.Fatal(err)
			}
			size = 0
			for _, p := range units[i] {
				p.Seal()
				size += p.Size()
			}
		}
		b.SetBytes(int64(size))
		tokens, done := make(chan struct{}, inFlight), make(chan error, b.N)
		b.ResetTimer()
		for i := range b.N {
			tokens <- struct{}{}
			unit := units[i%len(units)]
			for _, p := range unit {
				p.Retain()
			}
			s, err := l.Stage(unit, anonymous(rows))
			if err != nil {
				b.Fatal(err)
			}
			go func() {
				done <- l.Sync(b.Context(), s.Until)
				<-tokens
			}()
		}
		for range b.N {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		for _, u := range units {
			release(u)
		}
		whole.Release()
		w.close()
	})
	for _, group := range []int{7 << 20, 14 << 20} {
		b.Run(fmt.Sprintf("write+fdatasync/%dMiB", group>>20), func(b *testing.B) {
			f, err := fs.Disk().Create(filepath.Join(b.TempDir(), "plain"), fs.Unspecified)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := make([]byte, group)
			b.SetBytes(int64(group))
			b.ResetTimer()
			at := int64(0)
			for range b.N {
				if _, err := f.WriteAt(data, at); err != nil {
					b.Fatal(err)
				}
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
				at += int64(group)
			}
		})
	}
}

// filled is filledWith tenColumns.
func filled(b *testing.B, units, rows int) (*world, string) {
	return filledWith(b, tenColumns(), units, rows)
}

// filledWith writes a log of so many units of rows and returns its directory, as a killed process leaves it.
func filledWith(b testing.TB, schema *arrow.Schema, units, rows int) (*world, string) {
	w, l, dir := benchWorld(b, schema)
	proto := tenColumnBatch(b, w.layout, rows+1) // so that a slice is a batch of its own
	defer proto.Release()
	for i := range units {
		c, err := proto.Slice(0, rows)
		if err != nil {
			b.Fatal(err)
		}
		s, err := l.Stage([]*record.Batch{c}, from(quiver.WriterID(i%100), quiver.Sequence(i/100), rows))
		if err != nil {
			b.Fatal(err)
		}
		if i%50 == 49 || i == units-1 {
			if err := l.Sync(b.Context(), s.Until); err != nil {
				b.Fatal(err)
			}
			l.SetHighWatermark(s.Until)
		}
		if i == units*9/10 {
			if err := w.disk.Maintain(time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	}
	return w, dir
}

// BenchmarkRestart opens a log whose last segment is nearly full, a tenth of it behind the checkpoint.
func BenchmarkRestart(b *testing.B) {
	for _, c := range []struct{ units, rows int }{{200, 10_000}, {4000, 100}} {
		b.Run(fmt.Sprintf("batches=%dx%d", c.units, c.rows), func(b *testing.B) {
			w, dir := filled(b, c.units, c.rows)
			copied := filepath.Join(b.TempDir(), "killed")
			for b.Loop() {
				b.StopTimer()
				if err := os.RemoveAll(copied); err != nil {
					b.Fatal(err)
				}
				if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				d, err := OpenDisk(w.fsys, copied, w.opts)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Log(bucket, w.config); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			w.close()
		})
	}
}

// BenchmarkOpenBuckets opens a disk of many buckets, each with a few batches, after a clean stop.
func BenchmarkOpenBuckets(b *testing.B) {
	const buckets = 1000
	w, _, dir := benchWorld(b, tenColumns())
	proto := tenColumnBatch(b, w.layout, 11)
	defer proto.Release()
	id := func(i int) quiver.BucketID { return quiver.BucketID{Table: 99, Bucket: int32(i)} }
	for i := range buckets {
		l, err := w.disk.Log(id(i), w.config)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Lead(1); err != nil {
			b.Fatal(err)
		}
		c, err := proto.Slice(0, 10)
		if err != nil {
			b.Fatal(err)
		}
		s, err := l.Stage([]*record.Batch{c}, anonymous(10))
		if err == nil {
			err = l.Sync(b.Context(), s.Until)
		}
		if err != nil {
			b.Fatal(err)
		}
		l.SetHighWatermark(s.Until)
	}
	w.close()
	for b.Loop() {
		d, err := OpenDisk(w.fsys, dir, w.opts)
		if err != nil {
			b.Fatal(err)
		}
		for i := range buckets {
			if _, err := d.Log(id(i), w.config); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// hundredColumns is columns as those of tenColumns, ten times over.
func hundredColumns() *arrow.Schema {
	var fields []arrow.Field
	for i := range 10 {
		for _, f := range tenColumns().Fields() {
			fields = append(fields, arrow.Field{Name: fmt.Sprintf("%s_%d", f.Name, i), Type: f.Type})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// BenchmarkRead reads a log from the page cache: all columns, one of ten and of a hundred, and many small batches.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name        string
		schema      *arrow.Schema
		units, rows int
		cols        []int
	}{
		{"large/all", tenColumns(), 100, 10_000, nil},
		{"large/1of10", tenColumns(), 100, 10_000, []int{2}},
		{"small/all", tenColumns(), 5000, 100, nil},
		{"small/1of10", tenColumns(), 5000, 100, []int{2}},
		{"wide/1of100", hundredColumns(), 100, 2700, []int{52}},
		{"wide/10of100", hundredColumns(), 100, 2700, []int{2, 12, 22, 32, 42, 52, 62, 72, 82, 92}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, _ := filledWith(b, c.schema, c.units, c.rows)
			l, err := w.disk.Log(bucket, w.config)
			if err != nil {
				b.Fatal(err)
			}
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				r := l.Read(0, l.Durable(), reading(c.cols))
				for {
					batch, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					rows += batch.Rows()
					batch.Release()
				}
				r.Close()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			w.close()
		})
	}
}
