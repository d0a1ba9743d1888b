package tablet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what the tablets of one server do. Nothing of it is on the way of a put or a read.
type metrics struct {
	leaderships prometheus.Counter
	unavailable prometheus.Counter
	failures    prometheus.Counter
	retained    prometheus.Counter
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
		leaderships: counter("quiver_tablet_leaderships_total", "Leaderships of buckets that were begun: the first use of each, and one after every failure."),
		unavailable: counter("quiver_tablet_unavailable_total", "Attempts to open a bucket that failed; its callers were told LEADER_NOT_AVAILABLE."),
		retained:    counter("quiver_tablet_retention_failures_total", "Times a bucket could not lose the rows that retention lets go; it is tried again."),
		failures:    counter("quiver_tablet_maintenance_failures_total", "Rounds of maintenance in which something failed; it is tried again."),
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
