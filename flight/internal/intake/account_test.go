package intake

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/quiverlog/quiver"
)

// holder is a call that holds answers.
func holder(t *testing.T, i *Intake) *Stream {
	t.Helper()
	c := connected(i, func(*http2.Framer) {})
	c.newest = 1
	s, cancel, err := tapped(t, i, c, doPut)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	s.Begin()
	return s
}

// TestTheLineIsServedInOrder lets large wishes wait behind each other, also those that would fit, and small ones pass.
func TestTheLineIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		full := holder(t, i)
		if err := full.Hold(1 << 20); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var served []int64
		wish := func(n int64) {
			s := holder(t, i)
			go func() {
				if s.Hold(n) == nil {
					mu.Lock()
					served = append(served, n)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		for _, n := range []int64{600_000, 100_000, 500_000, 1000} {
			wish(n)
		}
		for _, step := range []struct {
			back int64
			want []int64
		}{{0, []int64{1000}}, {500_000, []int64{1000}}, {200_000, []int64{1000, 600_000}}, {1<<20 - 700_000, []int64{1000, 600_000, 100_000}}} {
			if step.back > 0 {
				full.Let(step.back)
			}
			synctest.Wait()
			mu.Lock()
			got := append([]int64(nil), served...)
			mu.Unlock()
			if len(got) != len(step.want) || got[len(got)-1] != step.want[len(got)-1] {
				t.Errorf("after %d bytes back %v were served, %v should be", step.back, got, step.want)
			}
		}
		i.lock()
		left := len(i.sent.lines[largeLine])
		i.sent.lines[largeLine][0].stream.end() // its call ends
		i.grant(&i.sent)
		i.unlock()
		synctest.Wait()
		if left != 1 {
			t.Errorf("%d wait, one should", left)
		}
	})
}

// TestNobodyWaitsBehindAGiant lets one wait for more than there is, and others come and go beside it.
func TestNobodyWaitsBehindAGiant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		held, giant, other := holder(t, i), holder(t, i), holder(t, i)
		if err := held.Hold(300_000); err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- giant.Hold(2 << 20) }()
		synctest.Wait()
		for range 10 {
			began := time.Now()
			if err := other.Hold(500_000); err != nil || time.Since(began) > 0 {
				t.Fatalf("waited %v, %v", time.Since(began), err)
			}
			other.Let(500_000)
		}
		if u := i.Usage(); u.Sent != 300_000 {
			t.Errorf("%d bytes are held", u.Sent)
		}
		held.Let(300_000)
		if err := <-served; err != nil {
			t.Error(err)
		}
		giant.Let(2 << 20)
	})
}

// TestReadersAskForSomeOnly lets a reader wish for all there is.
func TestReadersAskForSomeOnly(t *testing.T) {
	i := New(limits())
	s := holder(t, i)
	if err := s.Reserve(1 << 40); err != nil {
		t.Fatal(err)
	}
	if u := i.Usage(); u.Sent != i.sent.limit/readShare {
		t.Errorf("%d bytes are held", u.Sent)
	}
	s.Unreserve()
}

// TestWhoLeavesTheLineLetsTheNextOneGo ends the first in line while it waits.
func TestWhoLeavesTheLineLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		full, first, next := holder(t, i), holder(t, i), holder(t, i)
		if err := full.Hold(600_000); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- first.Hold(600_000) }()
		synctest.Wait()
		served := make(chan error)
		go func() { served <- next.Hold(300_000) }()
		synctest.Wait()
		first.End()
		i.lock()
		i.grant(&i.sent)
		i.unlock()
		if err := <-ended; err == nil {
			t.Error("a call that has ended holds memory")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if u := i.Usage(); u.Sent != 900_000 {
			t.Errorf("%d bytes are held", u.Sent)
		}
	})
}

// TestWhatIsReadIsReserved lets a stream that reads wait before it reads, not after.
func TestWhatIsReadIsReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(limits())
		part := i.options.Send / readShare
		var reading []*Stream
		for range readShare {
			s := holder(t, i)
			if err := s.Reserve(part); err != nil {
				t.Fatal(err)
			}
			reading = append(reading, s)
			i.lock()
			s.progress = s.progress.Add(-3 * sendGrace) // it reads slowly
			i.unlock()
		}
		other, waits := holder(t, i), make(chan error)
		go func() { waits <- other.Reserve(part) }()
		synctest.Wait()
		select {
		case <-waits:
			t.Error("more was reserved than there is")
		default:
		}
		for _, s := range reading {
			if s.GivenUp() != nil {
				t.Error("a call was given up for what it reads: nothing was sent yet")
			}
		}
		if err := reading[0].Hold(part / 2); err != nil { // it was less than was thought
			t.Error(err)
		}
		reading[1].Unreserve() // there was nothing to read
		if err := <-waits; err != nil {
			t.Error(err)
		}
		if err := other.Hold(3 * part); err != nil { // it was more: it is there
			t.Error(err)
		}
		if u := i.Usage(); u.Sent != 2*part+part/2+3*part {
			t.Errorf("%d bytes are held", u.Sent)
		}
		reading[0].Let(part / 2)
		other.Let(3 * part)
		for _, s := range reading {
			s.Unreserve()
		}
		if u := i.Usage(); u.Sent != 0 {
			t.Errorf("%d bytes are held in the end", u.Sent)
		}
	})
}

// TestManyTakeAndGive lets many calls take and give back at random: never more is held than may be, all are served, and
// nothing is left.
func TestManyTakeAndGive(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	i := New(limits())
	var wg sync.WaitGroup
	for n := range 30 {
		s := holder(t, i)
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		wg.Go(func() {
			for range 200 {
				size := rng.Int64N(200_000)
				if rng.IntN(2) == 0 {
					size = rng.Int64N(1000)
				}
				err := s.Hold(size)
				if quiver.ReasonOf(err) == quiver.Overloaded {
					return // somebody waited for a second: a slow machine
				}
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				s.Let(size)
			}
		})
	}
	wg.Wait()
	u := i.Usage()
	if limit := i.options.Send; u.Sent != 0 || u.PeakSent > limit+limit/reserveShare {
		t.Errorf("seed %d: %+v", seed, u)
	}
	for n, line := range i.sent.lines {
		if len(line) > 0 {
			t.Errorf("seed %d: somebody waits in line %d", seed, n)
		}
	}
}

// TestFewCallsGoWhereManyMayNot lets a connection with few calls begin one while those that were given up have not left.
func TestFewCallsGoWhereManyMayNot(t *testing.T) {
	i := New(limits())
	begin := func(c *Conn, id int) (*Stream, error) {
		c.newest = uint32(id)
		s, cancel, err := tapped(t, i, c, doPut)
		if err == nil {
			t.Cleanup(cancel)
			s.Begin()
			t.Cleanup(s.End)
		}
		return s, err
	}
	first, second, modest := connected(i, func(*http2.Framer) {}), connected(i, func(*http2.Framer) {}), connected(i, func(*http2.Framer) {})
	for n := range 100 {
		if _, err := begin(first, 2*n+1); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 25 { // each ends one of the first connection's, which does not leave
		if _, err := begin(second, 2*n+1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := begin(second, 51); quiver.ReasonOf(err) != quiver.Overloaded {
		t.Errorf("one with many calls: %v", err)
	}
	for n := range fewStreams {
		if _, err := begin(modest, 2*n+1); err != nil {
			t.Errorf("call %d of one with few: %v", n, err)
		}
	}
}
