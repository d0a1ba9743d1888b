package coordinator

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// metrics counts what a coordinator decides.
type metrics struct {
	commands  *prometheus.CounterVec // by kind and outcome
	group     prometheus.Histogram
	commit    prometheus.Histogram
	commits   *prometheus.CounterVec // by outcome
	reconcile prometheus.Histogram
	diverged  prometheus.Counter
}

// newMetrics makes the metrics of a coordinator and registers them; with nil they are shown to nobody.
func newMetrics(r prometheus.Registerer, c *Coordinator) *metrics {
	f := promauto.With(r)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	gauge := func(name, help string, of func(*State) int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(of(c.shown.Load())) })
	}
	gauge("quiver_databases", "Databases that there are.", func(s *State) int { return len(s.databases) })
	gauge("quiver_tables", "Tables that there are, dropped ones aside.", func(s *State) int { return len(s.tables) })
	gauge("quiver_buckets", "Buckets of all tables and partitions.", func(s *State) int { return len(s.assignments) })
	gauge("quiver_partitions", "Partitions of the tables that have some.", func(s *State) (n int) {
		for _, t := range s.tables {
			n += len(t.Partitions)
		}
		return n
	})
	gauge("quiver_cursors", "Named cursors.", func(s *State) int { return len(s.cursors) })
	gauge("quiver_dropped_partitions", "Dropped partitions whose data is not known to be deleted yet.", func(s *State) int { return len(s.droppedPartitions) })
	gauge("quiver_writers", "Writers that are remembered.", func(s *State) int { return len(s.writers) })
	gauge("quiver_dropped_tables", "Dropped tables whose data is not known to be deleted yet.", func(s *State) int { return len(s.dropped) })
	latency := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 us to 6.5 s
	return &metrics{
		commands: f.NewCounterVec(prometheus.CounterOpts{Name: "quiver_coordinator_commands_total",
			Help: "Commands to the metadata, by kind and by outcome: done, not done, unknown."}, []string{"command", "outcome"}),
		group:  histogram("quiver_coordinator_group_commands", "Commands that one round decided together.", prometheus.ExponentialBuckets(1, 4, 6)),
		commit: histogram("quiver_coordinator_commit_seconds", "Committing a transaction of metadata, its sync included.", latency),
		commits: f.NewCounterVec(prometheus.CounterOpts{Name: "quiver_coordinator_transactions_total",
			Help: "Transactions of metadata, by outcome: done, not done, unknown."}, []string{"outcome"}),
		reconcile: histogram("quiver_coordinator_reconcile_seconds", "Telling the tablets what is desired, until they have converged.", latency),
		diverged: f.NewCounter(prometheus.CounterOpts{Name: "quiver_coordinator_reconcile_failures_total",
			Help: "Times the tablets did not converge; it is tried again."}),
	}
}

// decided counts what became of the commands of a round.
func (m *metrics) decided(calls []*call) {
	commands := 0
	for _, call := range calls {
		if call.command == nil {
			continue
		}
		commands++
		outcome := outcomeLabel(quiver.OutcomeOf(call.err).String())
		m.commands.WithLabelValues(commandName(call.command), outcome).Inc()
	}
	if commands > 0 {
		m.group.Observe(float64(commands))
	}
}

// committed counts a transaction.
func (m *metrics) committed(outcome metastore.Outcome, took time.Duration) {
	m.commits.WithLabelValues(outcomeLabel(outcome.String())).Inc()
	m.commit.Observe(took.Seconds())
}

// outcomeLabel is the name of an outcome in metrics.
func outcomeLabel(outcome string) string { return strings.ReplaceAll(outcome, " ", "_") }

// commandName is the kind of a command in metrics: "CreateTable" is create-table.
func commandName(c Command) string {
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", c), ".")
	var b strings.Builder
	for i, r := range kind {
		if 'A' <= r && r <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
