package buf

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Acquire(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		served := make(chan int64, 3)
		for _, n := range []int64{70, 10, 30} {
			go func() {
				if err := b.Acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				served <- n
			}()
			synctest.Wait()
		}
		if len(served) != 0 || b.TryAcquire(1) {
			t.Fatal("somebody went past the 70 bytes that were first in line")
		}
		b.Release(60)
		synctest.Wait()
		if got := <-served + <-served; got != 80 || len(served) != 0 || b.Used() != 80 {
			t.Fatalf("served requests for %d bytes, %d more; %d bytes are used", got, len(served), b.Used())
		}
		b.Release(70)
		synctest.Wait()
		if last := <-served; last != 30 || b.Used() != 40 {
			t.Fatalf("served %d bytes at last, %d bytes are used", last, b.Used())
		}
		b.Release(40)
	})
}

func TestBudgetOversizedRequestWaitsUntilAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if !b.TryAcquire(1) || b.TryAcquire(1000) {
			t.Fatal("a request for everything was served beside another")
		}
		done := false
		go func() {
			done = b.Acquire(t.Context(), 1000) == nil
		}()
		synctest.Wait()
		if done {
			t.Fatal("a request for everything was served beside another")
		}
		b.Release(1)
		synctest.Wait()
		if !done || b.Used() != b.Limit() {
			t.Fatalf("served: %v; %d of %d bytes used", done, b.Used(), b.Limit())
		}
		b.Release(1000)
		if b.Used() != 0 {
			t.Fatalf("%d bytes used in the end", b.Used())
		}
	})
}

func TestBudgetContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		b.TryAcquire(50)
		why := errors.New("the client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		var first error
		second := false
		go func() { first = b.Acquire(ctx, 100) }()
		synctest.Wait()
		go func() { second = b.Acquire(t.Context(), 50) == nil }()
		synctest.Wait()
		if second {
			t.Fatal("the second overtook the first")
		}
		cancel(why)
		synctest.Wait()
		if !errors.Is(first, why) {
			t.Errorf("the wait ended with %v", first)
		}
		if !second || b.Used() != 100 {
			t.Errorf("who stood behind the one that left was served: %v; %d bytes used", second, b.Used())
		}
	})
}

func TestBudgetMisuseShows(t *testing.T) {
	b := NewBudget(10)
	mustPanic(t, "giving back what was not taken", func() { b.Release(1) })
	mustPanic(t, "a negative request", func() { b.TryAcquire(-1) })
	mustPanic(t, "a budget of nothing", func() { NewBudget(0) })
}

// TestBudgetNeverExceeded runs many takers, some of which give up, and checks the sum of what they hold.
func TestBudgetNeverExceeded(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const limit = 1000
	b := NewBudget(limit)
	var held atomic.Int64
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 300 {
				n := rng.Int64N(limit/2) + 1
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(200))*time.Microsecond)
				err := b.Acquire(ctx, n)
				cancel()
				if err != nil {
					continue
				}
				if sum := held.Add(n); sum > limit {
					t.Errorf("%d bytes of %d are held", sum, limit)
				}
				held.Add(-n)
				b.Release(n)
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 {
		t.Errorf("%d bytes are used in the end", b.Used())
	}
}
