package arrowlog

import (
	"slices"
	"testing"

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
