package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/tablet"
)

// durable is an item of so many rows that became durable at an offset of bucket 0.
func durable(at quiver.Offset, rows int64) *staged {
	item := &staged{rows: rows, sequence: quiver.NoSequence}
	item.add(part{place: tablet.Staged{Staged: arrowlog.Staged{From: at, Until: at + quiver.Offset(rows), Known: true}}}, 1)
	return item
}

func nextAnswer(t *testing.T, a *putAnswers) string {
	t.Helper()
	next := a.next()
	if next.ended {
		t.Fatalf("ended: %v", next.err)
	}
	return string(next.text)
}

func TestWaitingAnswersAreMerged(t *testing.T) {
	a := newPutAnswers()
	a.add(durable(0, 10))
	a.add(durable(10, 5))
	want := `{"batches":2,"rows":15,"ranges":[{"partition":null,"bucket":0,"from":0,"until":15}],"duplicates":0,"flush":null}`
	if got := nextAnswer(t, a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	repeat := durable(0, 10)
	repeat.first[0].place.Duplicate = true
	a.add(repeat)
	want = `{"batches":3,"rows":25,"ranges":[{"partition":null,"bucket":0,"from":0,"until":10}],"duplicates":1,"flush":null}`
	if got := nextAnswer(t, a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEachFlushIsAnsweredOnce(t *testing.T) {
	a := newPutAnswers()
	a.add(durable(0, 10))
	for i := range 3 {
		a.add(&staged{flush: fmt.Append(nil, i), sequence: quiver.NoSequence})
	}
	a.finish(nil, quiver.NotDone)
	for i := range 3 {
		if got := nextAnswer(t, a); !strings.HasSuffix(got, fmt.Sprintf(`"flush":%d}`, i)) {
			t.Errorf("flush %d: %s", i, got)
		}
	}
	if next := a.next(); next.err != nil || !next.ended {
		t.Errorf("ended: %v, %v", next.ended, next.err)
	}
}

func TestABadEndTellsWhatIsDurable(t *testing.T) {
	a := newPutAnswers()
	a.add(durable(0, 10))
	a.finish(quiver.Errorf(quiver.SchemaMismatch, "column x"), quiver.Unknown)
	next := a.next()
	if next.err == nil || !strings.Contains(next.err.Error(), "durable: 1 batches, 10 rows; rest: unknown") {
		t.Errorf("ended: %v, %v", next.ended, next.err)
	}
}

func TestWhoAsksWithoutListeningIsNotReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newPutAnswers()
		for range waitingAnswers {
			a.add(&staged{flush: []byte("1"), sequence: quiver.NoSequence})
		}
		passed := 0
		wait := func(ctx context.Context) {
			a.awaitRoom(ctx)
			passed++
		}
		go wait(t.Context())
		synctest.Wait()
		if passed != 0 {
			t.Fatal("a flush more was taken")
		}
		nextAnswer(t, a)
		synctest.Wait()
		if passed != 1 {
			t.Fatal("an answer that left made no room")
		}
		a.add(&staged{flush: []byte("1"), sequence: quiver.NoSequence})
		ctx, cancel := context.WithCancel(t.Context())
		go wait(ctx)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if passed != 2 {
			t.Fatal("the end of the call did not end the wait")
		}
	})
}

func TestNothingIsStagedAfterClose(t *testing.T) {
	q := newPutQueue()
	one := func() (staged, error) { return staged{rows: 1}, nil }
	if ran, err := q.push(one); !ran || err != nil {
		t.Fatal(ran, err)
	}
	q.close(nil)
	q.close(quiver.Errorf(quiver.Internal, "later"))
	if ran, _ := q.push(one); ran {
		t.Error("staged after close")
	}
	if items := q.next(); len(items) != 1 || items[0].rows != 1 {
		t.Error("what was staged before close is lost")
	}
	if items := q.next(); len(items) > 0 || q.cause() != nil {
		t.Errorf("the first reason does not stay: %v", q.cause())
	}
}

// TestQueueGoesOnInItsMemory pushes and takes items in any turns, as many at once as there happen to be: each comes out
// once, in order, and a queue that is empty holds next to nothing.
func TestQueueGoesOnInItsMemory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	q := newPutQueue()
	pushed, taken := int64(0), int64(0)
	for range 2000 {
		for range r.IntN(1 + r.IntN(1+r.IntN(2*spareItems))) {
			pushed++
			if ran, err := q.push(func() (staged, error) { return staged{rows: pushed}, nil }); !ran || err != nil {
				t.Fatal(ran, err)
			}
		}
		if pushed == taken {
			continue // it would wait
		}
		for _, item := range q.next() {
			if taken++; item.rows != taken {
				t.Fatalf("item %d comes as the %dth", item.rows, taken)
			}
		}
		if cap(q.items) > spareItems {
			t.Fatalf("memory of %d items is kept", cap(q.items))
		}
	}
	q.close(nil)
	if items := q.next(); len(items) > 0 || taken != pushed || cap(q.items) > idleItems || cap(q.taken) > idleItems {
		t.Errorf("%d of %d items were taken; memory of %d and %d is kept", taken, pushed, cap(q.items), cap(q.taken))
	}
}
