package arrowlog

import (
	"slices"
	"testing"

	"github.com/quiverlog/quiver/internal/fs"
)

// TestStaleBatchesAreNotBelieved: a lost write may leave a batch of another past where a new one should be. It is whole,
// of the same segment and stands at the offset that is expected, but it names another header as the one before it.
func TestStaleBatchesAreNotBelieved(t *testing.T) {
	fork := func(mem *fs.Mem, numbers ...int64) (segment string, ends []int64) {
		w := newWorld(t, mem)
		w.epoch = 1 // in both pasts the same one
		l := w.lead()
		for _, n := range numbers {
			w.put(l, n)
		}
		for _, e := range l.entries {
			ends = append(ends, e.end())
		}
		segment = l.segments[0].path(segmentSuffix)
		w.close()
		return segment, ends
	}
	mem := fs.NewMem()
	w := newWorld(t, mem)
	l := w.lead()
	w.put(l, 1)
	w.close()
	other := mem.Clone()
	segment, ends := fork(mem, 2, 3)
	if _, same := fork(other, 12, 13); !slices.Equal(ends, same) {
		t.Fatalf("the batches end at %v and %v", ends, same)
	}
	stale, err := fs.ReadFile(other, segment)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite(segment, fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(stale[ends[1]:ends[2]], ends[1]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("data/log/" + checkpointName); err != nil { // nothing tells that the last row was durable
		t.Fatal(err)
	}
	w = newWorld(t, mem)
	l = w.open()
	defer w.close()
	if got, err := numbersIn(l, 0, l.Durable(), nil); err != nil || !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("the log has %v (%v)", got, err)
	}
}
