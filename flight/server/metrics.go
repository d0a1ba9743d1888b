package server

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/intake"
	"github.com/quiverlog/quiver/tablet/scan"
)

// metrics counts what the service does. A message of a put costs it a few atomic additions; the clock is looked at for
// one message in timedEvery, and for large ones.
type metrics struct {
	calls   *prometheus.CounterVec
	errors  *prometheus.CounterVec
	panics  prometheus.Counter
	actions *prometheus.HistogramVec

	putStreams prometheus.Counter
	putOpen    prometheus.Gauge
	messages   prometheus.Counter
	received   prometheus.Counter
	putBatches prometheus.Counter
	putRows    prometheus.Counter
	duplicates prometheus.Counter
	answers    prometheus.Counter
	gate       prometheus.Histogram
	durable    prometheus.Histogram
	waits      prometheus.Counter
	waited     prometheus.Counter
	created    prometheus.Counter
	partitions prometheus.Counter
	divided    prometheus.Counter

	getStreams prometheus.Counter
	getOpen    prometheus.Gauge
	followers  prometheus.Gauge
	getBatches prometheus.Counter
	getRows    prometheus.Counter
	sent       prometheus.Counter
	sending    prometheus.Counter

	scan   *scan.Metrics
	tables *usages
}

// timedEvery is how many small messages of a stream go by before the next one is timed.
const timedEvery = 16

// newMetrics makes the metrics of a service and registers them; with nil they are shown to nobody.
func newMetrics(r prometheus.Registerer, s *Service) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	latency := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 us to 6.5 s
	m := &metrics{
		calls: f.NewCounterVec(prometheus.CounterOpts{Name: "quiver_calls_total", Help: "Calls that were begun, by method."}, []string{"call"}),
		errors: f.NewCounterVec(prometheus.CounterOpts{Name: "quiver_errors_total",
			Help: "Calls that ended with an error, by method and reason; CLIENT_GONE where the client left."}, []string{"call", "reason"}),
		panics: counter("quiver_panics_total", "Calls that ended because of a bug in the server."),
		actions: f.NewHistogramVec(prometheus.HistogramOpts{Name: "quiver_action_seconds", Help: "Carrying out an action, by its name.",
			Buckets: prometheus.ExponentialBuckets(250e-6, 4, 9)}, []string{"action"}),

		putStreams: counter("quiver_put_streams_total", "Put streams that were opened."),
		putOpen:    gauge("quiver_put_streams_open", "Put streams that are open."),
		messages:   counter("quiver_put_messages_total", "Messages of put streams: batches, dictionaries, flushes; without the first of each."),
		received:   counter("quiver_put_received_bytes_total", "Bytes of these messages as they came."),
		putBatches: counter("quiver_put_batches_total", "Batches that were put and are durable, as their clients sent them."),
		putRows:    counter("quiver_put_rows_total", "Rows of these batches."),
		duplicates: counter("quiver_put_duplicate_batches_total", "Batches among them that repeated an earlier one, and were not stored again."),
		answers:    counter("quiver_put_answers_total", "Answers sent to put streams; one may stand for many batches."),
		gate: histogram(f, "quiver_put_gate_seconds",
			"Verifying a batch and bringing it into the table's schema; of batches of 64 KiB at least, and of one in 16 others.", prometheus.ExponentialBuckets(2e-6, 4, 10)),
		durable: histogram(f, "quiver_put_durable_seconds",
			"From a batch having come to it being durable and readable; of batches of 64 KiB at least, and of one in 16 others.", latency),
		waits:      counter("quiver_put_memory_waits_total", "Messages that waited for memory, because the budget of puts was used up."),
		waited:     counter("quiver_put_memory_wait_seconds_total", "How long they waited, all of them together."),
		partitions: counter("quiver_put_partitions_created_total", "Partitions that were made by rows put into them."),
		divided:    counter("quiver_put_divided_batches_total", "Batches among those put that went to more than one bucket or partition."),
		created:    counter("quiver_put_tables_created_total", "Tables that were made by the first batch put into them."),

		getStreams: counter("quiver_get_streams_total", "Reads that were begun, following ones included."),
		getOpen:    gauge("quiver_get_streams_open", "Reads that are open, following ones included."),
		followers:  gauge("quiver_follow_streams_open", "Following reads that are open."),
		getBatches: counter("quiver_get_batches_total", "Batches sent to readers, those without rows included."),
		getRows:    counter("quiver_get_rows_total", "Rows sent to readers."),
		sent:       counter("quiver_get_sent_bytes_total", "Bytes of the batches sent to readers, without what gRPC adds."),
		sending:    counter("quiver_get_send_seconds_total", "Time that reads spent handing batches to the transport: much of it means that readers are slow."),

		scan:   scan.NewMetrics(r),
		tables: newUsages(r, s.isTable),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quiver_put_memory_bytes", Help: "Memory that puts on their way in hold of their budget."},
		func() float64 { return float64(s.memory.Used()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "quiver_put_memory_limit_bytes", Help: "The budget of puts."},
		func() float64 { return float64(s.memory.Limit()) })
	for name, about := range map[string]struct {
		help string
		of   func(intake.Usage) int64
	}{
		"quiver_receive_memory_bytes":       {"Memory of messages that come in and were not taken yet.", func(u intake.Usage) int64 { return u.Received }},
		"quiver_receive_memory_peak_bytes":  {"The most there was of it.", func(u intake.Usage) int64 { return u.PeakReceived }},
		"quiver_receive_memory_limit_bytes": {"The budget of it; small messages may go an eighth beyond it.", func(intake.Usage) int64 { return s.options.Receive }},
		"quiver_send_memory_bytes":          {"Memory of rows that were sent and not taken by their readers yet.", func(u intake.Usage) int64 { return u.Sent }},
		"quiver_send_memory_peak_bytes":     {"The most there was of it.", func(u intake.Usage) int64 { return u.PeakSent }},
		"quiver_send_memory_limit_bytes":    {"The budget of it.", func(intake.Usage) int64 { return s.options.Send }},
		"quiver_calls_open":                 {"Calls that run.", func(u intake.Usage) int64 { return int64(u.Streams) }},
		"quiver_connections_open":           {"Connections to the Flight port that are open.", func(u intake.Usage) int64 { return int64(u.Connections) }},
	} {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: about.help}, func() float64 { return float64(about.of(s.usage())) })
	}
	for name, about := range map[string]struct {
		help string
		of   func(intake.Usage) int64
	}{
		"quiver_memory_waits_total":        {"Messages and rows that waited for the memory of one of these budgets.", func(u intake.Usage) int64 { return u.Waits }},
		"quiver_calls_given_up_total":      {"Calls that were ended because they kept memory and went on too slowly.", func(u intake.Usage) int64 { return u.GivenUp }},
		"quiver_calls_refused_total":       {"Calls that were refused, or ended for others, because too many ran.", func(u intake.Usage) int64 { return u.RefusedStreams }},
		"quiver_connections_refused_total": {"Connections that were closed because too many were open.", func(u intake.Usage) int64 { return u.RefusedConnections }},
	} {
		f.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: about.help}, func() float64 { return float64(about.of(s.usage())) })
	}
	return m
}

func histogram(f promauto.Factory, name, help string, buckets []float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// usage is what calls and connections hold.
func (s *Service) usage() intake.Usage {
	if s.intake == nil {
		return intake.Usage{}
	}
	return s.intake.Usage()
}

// isTable tells whether there is such a table.
func (s *Service) isTable(id quiver.TableID) bool {
	_, err := s.coordinator.TableByID(id)
	return err == nil
}

// began counts a call.
func (m *metrics) began(method string) { m.calls.WithLabelValues(path.Base(method)).Inc() }

// failed counts a call that ended with an error.
func (m *metrics) failed(method string, err error) {
	m.errors.WithLabelValues(path.Base(method), reasonLabel(err)).Inc()
}

// reasonLabel is the reason of an error in metrics: ours, or for gRPC's own errors the name of their code.
func reasonLabel(err error) string {
	if reason := quiver.ReasonOf(err); reason != "" {
		return string(reason)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errClientGone):
		return "CLIENT_GONE"
	case errors.Is(err, context.DeadlineExceeded):
		return "DEADLINE_EXCEEDED"
	}
	return status.Code(err).String()
}

// acted tells how long an action took.
func (m *metrics) acted(name string, began time.Time) {
	m.actions.WithLabelValues(name).Observe(time.Since(began).Seconds())
}

// putOpened counts a put stream, until the function it gives is called.
func (m *metrics) putOpened() (closed func()) {
	m.putStreams.Inc()
	m.putOpen.Inc()
	return m.putOpen.Dec
}

// getOpened counts a read, until the function it gives is called.
func (m *metrics) getOpened(c *flight.ScanCommand) (closed func()) {
	m.getStreams.Inc()
	m.getOpen.Inc()
	if !c.Follow {
		return m.getOpen.Dec
	}
	m.followers.Inc()
	return func() { m.getOpen.Dec(); m.followers.Dec() }
}

// settled counts a batch of a put that is durable.
func (m *metrics) settled(item *staged, table *usage) {
	if item.flush != nil {
		return
	}
	m.putBatches.Inc()
	m.putRows.Add(float64(item.rows))
	if item.taken > 1 {
		m.divided.Inc()
	}
	if item.duplicate() {
		m.duplicates.Inc()
	}
	if table != nil {
		table.putRows.Add(item.rows)
	}
	if !item.came.IsZero() {
		m.durable.Observe(time.Since(item.came).Seconds())
	}
}

// shown counts a batch that was handed to the transport of a reader.
func (m *metrics) shown(rows, bytes int64, began time.Time, table *usage) {
	m.getBatches.Inc()
	m.getRows.Add(float64(rows))
	m.sent.Add(float64(bytes))
	m.sending.Add(time.Since(began).Seconds())
	table.getRows.Add(rows)
	table.getBytes.Add(bytes)
}
