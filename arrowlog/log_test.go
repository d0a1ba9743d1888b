package arrowlog

import (
	"slices"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

func TestPutReopenRead(t *testing.T) {
	held := buf.Live()
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	var want []int64
	for i := range 10 {
		ns := count(int64(100*i), i+1)
		s := w.put(l, ns...)
		if int(s.From) != len(want) || int(s.Until) != len(want)+len(ns) {
			t.Fatalf("put %d lies at [%d, %d)", i, s.From, s.Until)
		}
		want = append(want, ns...)
	}
	check := func() {
		t.Helper()
		for _, cols := range [][]int{nil, {0}} {
			got, err := numbersIn(l, 0, l.HighWatermark(), cols)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("read %v, want %v", got, want)
			}
		}
	}
	check()
	w.close()
	l = w.open()
	check()
	w.close()
	if now := buf.Live(); now != held {
		t.Fatalf("%d buffers are still held", now-held)
	}
}

// TestCompressionOfMerged shows that merged batches are compressed as the table asks, and large ones stay as sent.
func TestCompressionOfMerged(t *testing.T) {
	held := buf.Live()
	codec := record.LZ4
	w := newWorld(t, fs.NewMem())
	w.config.Compression = &codec
	w.opts.ProjectFrom = 1
	l := w.lead()
	w.put(l, 0)
	for n := range int64(50) {
		if _, err := l.Stage([]*record.Batch{w.batch(count(1+4*n, 4)...)}, anonymous(4)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(t.Context(), 201); err != nil {
		t.Fatal(err)
	}
	r := l.Read(0, 201, ReadSpec{})
	for _, want := range []record.Compression{record.None, record.LZ4} {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if b.Compression() != want {
			t.Errorf("%v, want %v", b.Compression(), want)
		}
		b.Release()
	}
	r.Close()
	for _, cols := range [][]int{nil, {0}} {
		if got, err := numbersIn(l, 0, 201, cols); err != nil || !slices.Equal(got, count(0, 201)) {
			t.Errorf("%v %v", got, err)
		}
	}
	w.close()
	if now := buf.Live(); now != held {
		t.Fatalf("%d buffers are still held", now-held)
	}
}

// TestOldSchema shows that segments of an earlier schema are read by what they say themselves.
func TestOldSchema(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	w.put(l, 1, 2)
	w.config.Schema = testSchema(t, 2)
	var err error
	if w.layout, err = record.NewLayout(w.config.Schema); err != nil {
		t.Fatal(err)
	}
	if _, err := w.disk.Log(bucket, w.config); err != nil {
		t.Fatal(err)
	}
	w.put(l, 3, 4)
	w.close()
	l = w.open()
	r := l.Read(0, 4, reading([]int{}))
	for _, want := range []quiver.SchemaID{1, 2} {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h := b.Header(); h.Schema != want || b.Rows() != 2 || b.Layout().NumColumns() != 0 {
			t.Errorf("schema %d, %d rows, %d columns", h.Schema, b.Rows(), b.Layout().NumColumns())
		}
		b.Release()
	}
	r.Close()
	if got, err := numbersIn(l, 0, 4, nil); err != nil || !slices.Equal(got, count(1, 4)) {
		t.Errorf("%v %v", got, err)
	}
	w.close()
}
