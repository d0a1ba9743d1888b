package arrowlog

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// gathered is a counter's or gauge's value, or a histogram's count and sum.
func gathered(t *testing.T, r *prometheus.Registry, name string) (value, sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		switch m := f.GetMetric()[0]; {
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()
		case m.Counter != nil:
			return m.Counter.GetValue(), 0
		default:
			return m.Gauge.GetValue(), 0
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0, 0
}

// TestMetricsOfAGroup commits three small puts and a large one together, on a disk whose sync takes two seconds.
func TestMetricsOfAGroup(t *testing.T) {
	var log bytes.Buffer
	var w *world
	slow := false
	w = newWorld(t, fs.WithErrors(fs.NewMem(), func(op fs.Op, _ string) error {
		if slow && op == fs.OpSync {
			w.clock.advance(2 * time.Second)
		}
		return nil
	}))
	r := prometheus.NewRegistry()
	w.opts.Registerer, w.opts.Logger = r, slog.New(slog.NewTextHandler(&log, nil))
	l := w.lead()
	w.put(l, 1)
	slow = true
	large := count(100, 20_000)
	var until quiver.Offset
	for _, numbers := range [][]int64{{2}, {3}, {4}, large} {
		s, err := l.Stage([]*record.Batch{w.batch(numbers...)}, anonymous(len(numbers)))
		if err != nil {
			t.Fatal(err)
		}
		until = s.Until
	}
	if n, _ := gathered(t, r, "quiver_log_staged_units"); n != 4 {
		t.Errorf("%v units are staged", n)
	}
	if err := l.Sync(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]float64{
		"quiver_log_group_units":            {2, 5},
		"quiver_log_sync_seconds":           {2, 2},
		"quiver_log_write_seconds":          {2, 0},
		"quiver_log_staged_units":           {0, 0},
		"quiver_log_appended_rows_total":    {float64(4 + len(large)), 0},
		"quiver_log_appended_batches_total": {3, 0},
		"quiver_log_merged_units_total":     {3, 0},
		"quiver_log_rolls_total":            {1, 0},
		"quiver_log_recovery_seconds":       {1, 0},
	} {
		if value, sum := gathered(t, r, name); value != want[0] || sum != want[1] {
			t.Errorf("%s is %v, its sum %v, want %v", name, value, sum, want)
		}
	}
	_, bytes := gathered(t, r, "quiver_log_group_bytes")
	if written, _ := gathered(t, r, "quiver_log_appended_bytes_total"); written != bytes || bytes == 0 {
		t.Errorf("%v bytes in groups, %v appended", bytes, written)
	}
	if say := `msg="a sync of the disk was slow; puts waited for it" bucket=`; strings.Count(log.String(), say) != 1 || !strings.Contains(log.String(), "took=2s") {
		t.Errorf("the log does not tell of the slow sync once: %s", &log)
	}
	w.close()
}

// TestMetricsOfAFence shows that a failed group leaves nothing staged behind, and that the fence shows.
func TestMetricsOfAFence(t *testing.T) {
	fail := false
	w := newWorld(t, fs.WithErrors(fs.NewMem(), func(op fs.Op, _ string) error {
		if fail && op == fs.OpSync {
			return syscall.EIO
		}
		return nil
	}))
	r := prometheus.NewRegistry()
	w.opts.Registerer = r
	w.opts.GroupBytes = 1
	l := w.lead()
	w.put(l, 1)
	fail = true
	for n := range int64(3) {
		if _, err := l.Stage([]*record.Batch{w.batch(n)}, anonymous(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(t.Context(), 4); err == nil {
		t.Fatal("a failed sync was answered well")
	}
	for name, want := range map[string]float64{
		"quiver_log_staged_units": 0, "quiver_log_group_failures_total": 1, "quiver_disk_fenced": 1, "quiver_log_appended_rows_total": 1,
	} {
		if value, _ := gathered(t, r, name); value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	_ = w.disk.Close()
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
