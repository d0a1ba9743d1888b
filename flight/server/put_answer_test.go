package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

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
	if item, ok := q.next(); !ok || item.rows != 1 {
		t.Error("what was staged before close is lost")
	}
	if _, ok := q.next(); ok || q.cause() != nil {
		t.Errorf("the first reason does not stay: %v", q.cause())
	}
}
