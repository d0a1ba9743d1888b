package scan

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts what the scans of one instance do, all of them together.
type Metrics struct {
	BatchesRead      prometheus.Counter // stored batches that readers gave
	BatchesSkipped   prometheus.Counter // stored batches that no filter could match, by their statistics
	RowsFiltered     prometheus.Counter // rows that were read and did not match a filter
	BatchesMerged    prometheus.Counter // stored batches that were sent together with their neighbours
	BatchesConverted prometheus.Counter // stored batches that were brought from another schema to the scan's
	ReadersLost      prometheus.Counter // readers whose log failed, and that were opened again

	FollowLag   prometheus.Observer // rows between a chunk's end and the high watermark, for each chunk of a follower
	FollowDelay prometheus.Observer // seconds from rows being shown to the chunk that ends with them, of followers that keep up
}

// NewMetrics makes the metrics and registers them; with nil they are counted, and shown to nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	return &Metrics{
		BatchesRead:      counter("quiver_scan_batches_read_total", "Stored batches that scans read."),
		BatchesSkipped:   counter("quiver_scan_batches_skipped_total", "Stored batches that scans did not read: by their statistics no row matches the filter."),
		RowsFiltered:     counter("quiver_scan_rows_filtered_total", "Rows that scans read and that did not match their filter."),
		BatchesMerged:    counter("quiver_scan_batches_merged_total", "Stored batches that were too small to be sent alone, and were merged with their neighbours."),
		BatchesConverted: counter("quiver_scan_batches_converted_total", "Stored batches of another schema than the reader's, converted when they were read."),
		ReadersLost:      counter("quiver_scan_readers_lost_total", "Readers whose bucket's log failed, and that were opened again where they stood."),
		FollowLag: histogram("quiver_follow_lag_rows", "Rows between the end of a batch sent to a follower and the high watermark of its bucket.",
			append([]float64{0}, prometheus.ExponentialBuckets(1, 10, 9)...)),
		FollowDelay: histogram("quiver_follow_delay_seconds", "From rows being durable and shown to the batch for a follower that ends with them, of followers that keep up.",
			prometheus.ExponentialBuckets(25e-6, 2, 18)),
	}
}
