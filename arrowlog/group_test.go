//go:build fault

package arrowlog

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// pause makes commits stop before their sync until the returned function is called; entered tells of the first.
func pause() (entered chan struct{}, goOn func()) {
	entered, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disarm := fault.Arm("arrowlog.commit.before-sync", func() error {
		once.Do(func() { close(entered) })
		<-gate
		return nil
	})
	return entered, sync.OnceFunc(func() { disarm(); close(gate) })
}

// TestGroupCommit shows that one sync covers all that gathered, that waiting ends with its context, and that the one
// who writes goes on when its own context ends.
func TestGroupCommit(t *testing.T) {
	mem := fs.NewMem()
	var syncs atomic.Int64
	w := newWorld(t, fs.Record(mem, func(op fs.Op, name string) {
		if op == fs.OpSync {
			syncs.Add(1)
		}
	}))
	l := w.lead()
	w.put(l, 1)
	entered, goOn := pause()
	defer goOn()
	ctx, cancel := context.WithCancel(t.Context())
	stage := func(n int64) quiver.Offset {
		s, err := l.Stage([]*record.Batch{w.batch(n)}, anonymous(1))
		if err != nil {
			t.Error(err)
		}
		return s.Until
	}
	results := make(chan error, 10)
	first := stage(2)
	go func() { results <- l.Sync(ctx, first) }()
	<-entered
	before := syncs.Load()
	// While the first group is on its way the next one gathers.
	var last quiver.Offset
	for n := range int64(5) {
		last = stage(3 + n)
	}
	ended, end := context.WithCancelCause(t.Context())
	why := errors.New("the producer left")
	end(why)
	if err := l.Sync(ended, last); !errors.Is(err, why) {
		t.Fatalf("a wait whose context has ended gave %v", err)
	}
	for until := first + 1; until <= last; until++ {
		go func() { results <- l.Sync(t.Context(), until) }()
	}
	cancel()
	if l.Durable() != 1 {
		t.Fatal("rows are durable that were not synced")
	}
	goOn()
	for range 6 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if n := syncs.Load() - before; n != 2 || l.Durable() != last {
		t.Fatalf("%d syncs for two groups, durable up to %d", n, l.Durable())
	}
	if got, err := numbersIn(l, 0, last, nil); err != nil || !slices.Equal(got, count(1, 7)) {
		t.Fatal(got, err)
	}
	w.close()
}
