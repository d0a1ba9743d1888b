package arrowlog

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

// TestManyProducers has many producers put at once, beside readers that follow, maintenance and deletes. Each
// producer's rows stand in its order at the offsets it was told.
func TestManyProducers(t *testing.T) {
	held := buf.Live()
	w := newWorld(t, fs.Disk())
	dir := t.TempDir()
	w.config.SegmentBytes = 40_000
	w.opts.OpenFiles = 3
	w.opts.Now = time.Now
	d, err := OpenDisk(w.fsys, dir, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	w.disk = d
	l, err := d.Log(bucket, w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Lead(1); err != nil {
		t.Fatal(err)
	}
	const producers, puts = 40, 25
	total := quiver.Offset(producers * puts * 3 / 2)
	at := make([]map[quiver.Offset]int64, producers)
	var wg sync.WaitGroup
	for p := range producers {
		at[p] = map[quiver.Offset]int64{}
		wg.Go(func() {
			for i := range puts {
				ns := count(int64(p)<<32+int64(2*i), 1+(p+i)%2)
				o := from(quiver.WriterID(p), quiver.Sequence(i), len(ns))
				s, err := l.Stage([]*record.Batch{encode(t, w.layout, ns)}, o)
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Sync(t.Context(), s.Until); err != nil {
					t.Error(err)
					return
				}
				l.SetHighWatermark(l.Durable())
				for j, n := range ns {
					at[p][s.From+quiver.Offset(j)] = n
				}
			}
		})
	}
	seen := make([]map[quiver.Offset]int64, 4)
	for i := range seen {
		seen[i] = map[quiver.Offset]int64{}
		wg.Go(func() {
			if err := follow(l, total, []int{0}[:i%2], seen[i]); err != nil {
				t.Error(err)
			}
		})
	}
	stop := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := d.Maintain(time.Now()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	close(stop)
	keeper.Wait()
	if l.Durable() != total {
		t.Fatalf("%d rows are durable, not %d", l.Durable(), total)
	}
	for p := range producers {
		last := quiver.Offset(-1)
		offsets := make([]quiver.Offset, 0, len(at[p]))
		for o := range at[p] {
			offsets = append(offsets, o)
		}
		slices.Sort(offsets)
		for _, o := range offsets {
			for i, s := range seen {
				if len(s) > 0 && s[o] != at[p][o] {
					t.Fatalf("reader %d saw %d at offset %d, producer %d put %d", i, s[o], o, p, at[p][o])
				}
			}
			if last >= 0 && at[p][o] <= at[p][last] {
				t.Fatalf("producer %d: %d at %d, before it %d at %d", p, at[p][o], o, at[p][last], last)
			}
			last = o
		}
	}
	if err := checkFold(l); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteBefore(total / 2); err != nil {
		t.Fatal(err)
	}
	w.close()
	if now := buf.Live(); now != held {
		t.Fatalf("%d buffers are still held", now-held)
	}
}

// follow reads up to the offset as the high watermark moves. Without columns it only counts.
func follow(l *Log, until quiver.Offset, cols []int, seen map[quiver.Offset]int64) error {
	ch := make(chan struct{}, 1)
	defer l.Subscribe(ch)()
	if len(cols) == 0 {
		cols = nil
	}
	for next := quiver.Offset(0); next < until; {
		high := l.HighWatermark()
		if high == next {
			<-ch
			continue
		}
		r := l.Read(next, high, reading(cols))
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				r.Close()
				return err
			}
			ns, err := numbers(b)
			h := b.Header()
			b.Release()
			if err != nil || h.BaseOffset != next {
				r.Close()
				return fmt.Errorf("a batch at %d where %d was next: %w", h.BaseOffset, next, err)
			}
			for i, n := range ns {
				seen[next+quiver.Offset(i)] = n
			}
			next = h.Until()
		}
		r.Close()
	}
	return nil
}

// TestNobodyWaits shows that maintenance commits what was staged by producers that left.
func TestNobodyWaits(t *testing.T) {
	w := newWorld(t, fs.NewMem())
	l := w.lead()
	w.put(l, 1)
	if _, err := l.Stage([]*record.Batch{w.batch(2)}, anonymous(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if l.Durable() != 2 {
		t.Fatalf("durable up to %d", l.Durable())
	}
	w.close()
}
