package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// counted is a service of which only the metrics are used.
func counted(r prometheus.Registerer) *Service {
	s := &Service{memory: buf.NewBudget(1 << 20)}
	s.metrics = newMetrics(r, s)
	return s
}

func TestTablesHaveBoundedMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	dropped := map[quiver.TableID]bool{}
	u := newUsages(r, func(id quiver.TableID) bool { return !dropped[id] })
	table := func(i int) *quiver.Table {
		return &quiver.Table{ID: quiver.TableID(i), Database: "default", Name: fmt.Sprint("t", i)}
	}
	for i := range maxTableSeries + 50 {
		u.of(table(i)).putRows.Add(1)
	}
	if first, again := u.of(table(3)), u.of(table(3)); first != again || u.of(table(maxTableSeries)) != u.other {
		t.Error("a table is counted in two places, or one too many has a place")
	}
	if n := testutil.CollectAndCount(u, "quiver_table_put_rows_total"); n != maxTableSeries+1 {
		t.Errorf("%d series", n)
	}
	if n := u.other.putRows.Load(); n != 50 {
		t.Errorf("%d rows in other tables", n)
	}
	dropped[7] = true
	if u.of(table(maxTableSeries)) == u.other {
		t.Error("the place of a dropped table was not given to the next one")
	}
	dropped[8], dropped[9] = true, true
	if n := testutil.CollectAndCount(u, "quiver_table_put_rows_total"); n != maxTableSeries-1 {
		t.Errorf("%d series after two tables were dropped", n)
	}
}

// TestCountingAllocatesNothing holds for what is counted once a message, a batch or a chunk.
func TestCountingAllocatesNothing(t *testing.T) {
	s := counted(prometheus.NewRegistry())
	table := s.metrics.tables.of(&quiver.Table{ID: 1, Name: "t"})
	r := &receiver{put: &put{service: s, usage: table}}
	r.in.Size = 100
	item := &staged{rows: 3, sequence: quiver.NoSequence}
	if n := testing.AllocsPerRun(1000, func() {
		r.arrived()
		r.gated()
		item.came = r.came
		s.metrics.settled(item, table)
		if s.acquire(context.Background(), 10) != nil {
			t.Error("no memory")
		}
		s.memory.Release(10)
		s.metrics.shown(3, 100, time.Now(), table)
	}); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if n := testutil.ToFloat64(s.metrics.messages); n != 1001 {
		t.Errorf("%v messages", n)
	}
	if n := testutil.CollectAndCount(s.metrics.gate); n != 1 {
		t.Errorf("%d histograms", n)
	}
}

// BenchmarkCounting is what the metrics cost a message of a put.
func BenchmarkCounting(b *testing.B) {
	s := counted(prometheus.NewRegistry())
	table := s.metrics.tables.of(&quiver.Table{ID: 1, Name: "t"})
	r := &receiver{put: &put{service: s, usage: table}}
	r.in.Size = 100
	item := &staged{rows: 1, sequence: quiver.NoSequence}
	for b.Loop() {
		r.arrived()
		r.gated()
		item.came = r.came
		s.metrics.settled(item, table)
	}
}

func TestReasonsInMetrics(t *testing.T) {
	for want, err := range map[string]error{
		"TABLE_NOT_FOUND":   fmt.Errorf("it: %w", quiver.Errorf(quiver.TableNotFound, "gone")),
		"CLIENT_GONE":       errors.Join(errClientGone, errors.New("broken pipe")),
		"DEADLINE_EXCEEDED": context.DeadlineExceeded,
		"ResourceExhausted": status.Error(codes.ResourceExhausted, "too large"),
	} {
		if got := reasonLabel(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	if got := reasonLabel(context.Canceled); got != "CLIENT_GONE" {
		t.Error(got)
	}
}

func TestWaitingForMemoryIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := counted(nil)
		if err := s.acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- s.acquire(t.Context(), 10) }()
		synctest.Wait()
		time.Sleep(3 * time.Second) // of the bubble's own time
		s.memory.Release(1 << 20)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n, took := testutil.ToFloat64(s.metrics.waits), testutil.ToFloat64(s.metrics.waited); n != 1 || took != 3 {
			t.Errorf("%v waits of %v s together", n, took)
		}
	})
}

func TestIdleWaitsForTheLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		if err := c.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.begin()
		c.begin()
		idle := false
		go func() { idle = c.wait(t.Context()) == nil }()
		synctest.Wait()
		c.end()
		synctest.Wait()
		if idle {
			t.Fatal("idle while a call runs")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if err := c.wait(ctx); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Error(err)
		}
		c.end()
		synctest.Wait()
		if !idle {
			t.Fatal("not idle after the last call")
		}
	})
}
