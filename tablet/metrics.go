package tablet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what the tablets of one server do. Nothing of it is on the way of a put or a read.
type metrics struct {
	visits      prometheus.Counter
	leaderships prometheus.Counter
	unavailable prometheus.Counter
	failures    prometheus.Counter
	retained    prometheus.Counter

	checkpointSeconds  prometheus.Histogram
	checkpointFailures prometheus.Counter
	checkpointHeld     prometheus.Gauge
	restored           prometheus.Counter
	rescued            prometheus.Counter
}

// newMetrics makes the metrics of a server and registers them; with nil they are shown to nobody.
func newMetrics(r prometheus.Registerer, s *Server) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quiver_tablet_leaders", Help: "Buckets whose log is open and that this server leads."},
		func() float64 { return float64(s.leaders()) })
	return &metrics{
		visits:      counter("quiver_tablet_maintained_total", "Buckets that a round of maintenance looked at, because something was staged in them or retention may find something."),
		leaderships: counter("quiver_tablet_leaderships_total", "Leaderships of buckets that were begun: the first use of each, and one after every failure."),
		unavailable: counter("quiver_tablet_unavailable_total", "Attempts to open a bucket that failed; its callers were told LEADER_NOT_AVAILABLE."),
		retained:    counter("quiver_tablet_retention_failures_total", "Times a bucket could not lose the rows that retention lets go; it is tried again."),
		failures:    counter("quiver_tablet_maintenance_failures_total", "Rounds of maintenance in which something failed; it is tried again."),

		checkpointSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "quiver_rows_checkpoint_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
			Help: "Making a checkpoint of the current rows of primary-key tables, with writing out what is in memory."}),
		checkpointFailures: counter("quiver_rows_checkpoint_failures_total", "Checkpoints of the current rows that could not be made; retention keeps the logs of primary-key tables meanwhile."),
		checkpointHeld: f.NewGauge(prometheus.GaugeOpts{Name: "quiver_rows_checkpoint_held_bytes",
			Help: "Bytes on the disk that only the checkpoint of the current rows holds, as of the last minute."}),
		restored: counter("quiver_rows_restored_total", "Times the store of current rows was lost or damaged, and made again from its checkpoint."),
		rescued:  counter("quiver_rows_rescued_buckets_total", "Buckets whose rows were taken from a checkpoint or from a damaged store, because the log does not go back far enough."),
	}
}

// leaders counts the tablets that lead.
func (s *Server) leaders() int {
	n := 0
	for _, t := range s.openTablets() {
		if t.serves(t.leading.Load()) {
			n++
		}
	}
	return n
}
