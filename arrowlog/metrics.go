package arrowlog

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what the logs of one disk do. Per unit it costs one atomic addition; everything else is counted once
// a group commit, once a read of a window, or when somebody asks.
type metrics struct {
	staged atomic.Int64 // units that wait to be durable

	groupUnits   prometheus.Histogram
	groupBytes   prometheus.Histogram
	writeSeconds prometheus.Histogram
	syncSeconds  prometheus.Histogram
	failed       prometheus.Counter
	rows         prometheus.Counter
	bytes        prometheus.Counter
	batches      prometheus.Counter
	merged       prometheus.Counter

	visits      prometheus.Counter
	givenBack   prometheus.Counter
	rolls       prometheus.Counter
	recovery    prometheus.Histogram
	checkpoint  prometheus.Histogram
	cutTails    prometheus.Counter
	damaged     prometheus.Counter
	badReads    prometheus.Counter
	quarantined prometheus.Counter
	readBytes   prometheus.Counter

	deletedRows     prometheus.Counter
	deletedSegments prometheus.Counter
	expiredRows     prometheus.Counter
	expiredBytes    prometheus.Counter
}

// newMetrics makes the metrics of a disk and registers them; with nil they are shown to nobody.
func newMetrics(r prometheus.Registerer, d *Disk) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	latency := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 us to 6.5 s
	m := &metrics{
		groupUnits:   histogram("quiver_log_group_units", "Puts that one group commit made durable.", prometheus.ExponentialBuckets(1, 4, 8)),
		groupBytes:   histogram("quiver_log_group_bytes", "Bytes that one group commit wrote.", prometheus.ExponentialBuckets(1<<10, 4, 9)),
		writeSeconds: histogram("quiver_log_write_seconds", "Writing a group's bytes to the page cache.", latency),
		syncSeconds:  histogram("quiver_log_sync_seconds", "The fdatasync of a group commit.", latency),
		failed:       counter("quiver_log_group_failures_total", "Group commits that failed; each ends a bucket's leadership."),
		rows:         counter("quiver_log_appended_rows_total", "Rows made durable."),
		bytes:        counter("quiver_log_appended_bytes_total", "Bytes of the batches made durable, as they are stored."),
		batches:      counter("quiver_log_appended_batches_total", "Batches made durable, as they are stored: after small ones were merged."),
		merged:       counter("quiver_log_merged_units_total", "Puts that were too small to be stored alone, and were merged with others of their group."),

		visits:      counter("quiver_log_maintained_total", "Logs that a round of maintenance looked at, because something of them was due."),
		givenBack:   counter("quiver_log_given_back_bytes_total", "Bytes that segments held ahead of their last batch and gave back: when they were closed, or nobody wrote to them for a while."),
		rolls:       counter("quiver_log_rolls_total", "Segments that were begun."),
		recovery:    histogram("quiver_log_recovery_seconds", "Opening the log of a bucket: finding its end, verifying and repairing it.", prometheus.ExponentialBuckets(50e-6, 4, 10)),
		checkpoint:  histogram("quiver_log_checkpoint_seconds", "Writing the checkpoint file.", latency),
		cutTails:    counter("quiver_log_cut_tails_total", "Ends of logs that a crash left unfinished, and that recovery cut off. Nothing of them was acknowledged."),
		damaged:     counter("quiver_log_damaged_ranges_total", "Ranges of rows that were found damaged when a log was opened."),
		badReads:    counter("quiver_log_damaged_reads_total", "Reads that met damaged rows, and ended with CORRUPT_RANGE."),
		quarantined: counter("quiver_log_quarantined_segments_total", "Segments of which nothing can be read, kept under a name of their own."),
		readBytes:   counter("quiver_log_read_bytes_total", "Bytes read from segments and their indexes to serve readers."),

		deletedRows:     counter("quiver_log_deleted_rows_total", "Rows before the start of a log, deleted by retention or by log.delete-before."),
		expiredRows:     counter("quiver_log_expired_rows_total", "Rows among those deleted that retention.time or retention.bytes let go."),
		expiredBytes:    counter("quiver_log_expired_bytes_total", "Bytes of the segments that retention.time or retention.bytes let go."),
		deletedSegments: counter("quiver_log_deleted_segments_total", "Segments whose files were deleted: by retention, by log.delete-before, or left behind earlier."),
	}
	if r != nil {
		r.MustRegister(newDiskCollector(d))
	}
	return m
}

// committed counts a group that has become durable.
func (m *metrics) committed(g *group) {
	m.staged.Add(-int64(len(g.units)))
	m.groupUnits.Observe(float64(len(g.units)))
	m.groupBytes.Observe(float64(g.size))
	m.rows.Add(float64(g.until - g.from))
	m.bytes.Add(float64(g.size))
	m.batches.Add(float64(len(g.batches)))
}

// diskCollector tells what a disk is like at the moment somebody asks.
type diskCollector struct {
	disk *Disk

	staged, open, segments, bytes, files, fenced, free, size, reserve *prometheus.Desc
}

func newDiskCollector(d *Disk) *diskCollector {
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &diskCollector{
		disk:     d,
		staged:   gauge("quiver_log_staged_units", "Puts that have their offsets and are not durable yet."),
		open:     gauge("quiver_log_open_buckets", "Buckets whose log was opened since the start."),
		segments: gauge("quiver_log_segments", "Segments of the logs that are open."),
		bytes:    gauge("quiver_log_size_bytes", "Bytes in the segments of the logs that are open."),
		files:    gauge("quiver_log_open_files", "Files of logs that are open."),
		fenced:   gauge("quiver_disk_fenced", "1 once a write or sync failed: no put is taken until the server is started again."),
		free:     gauge("quiver_disk_free_bytes", "Free bytes on the disk of the data directory."),
		size:     gauge("quiver_disk_size_bytes", "Size of the disk of the data directory."),
		reserve:  gauge("quiver_disk_reserve_bytes", "Free bytes below which puts are refused with DISK_FULL."),
	}
}

// Describe lists what Collect gives.
func (c *diskCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.staged, c.open, c.segments, c.bytes, c.files, c.fenced, c.free, c.size, c.reserve} {
		ch <- d
	}
}

// Collect looks at every open log for a moment.
func (c *diskCollector) Collect(ch chan<- prometheus.Metric) {
	d := c.disk
	gauge := func(desc *prometheus.Desc, value int64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	gauge(c.staged, d.metrics.staged.Load())
	var segments, bytes int64
	logs := d.openLogs()
	for _, l := range logs {
		if s, err := l.Stats(); err == nil {
			segments += int64(s.Segments)
			bytes += s.Bytes
		}
	}
	gauge(c.open, int64(len(logs)))
	gauge(c.segments, segments)
	gauge(c.bytes, bytes)
	gauge(c.files, int64(d.files.count()))
	fenced := int64(0)
	if d.fence.Load() != nil {
		fenced = 1
	}
	gauge(c.fenced, fenced)
	if free, size, err := d.usage(); err == nil { // a disk that cannot tell has no such metric
		gauge(c.free, free)
		gauge(c.size, size)
		gauge(c.reserve, d.space.keeps(size))
	}
}

// openLogs lists the logs that are open.
func (d *Disk) openLogs() []*Log {
	d.mu.Lock()
	slots := make([]*slot, 0, len(d.slots))
	for _, s := range d.slots {
		slots = append(slots, s)
	}
	d.mu.Unlock()
	logs := make([]*Log, 0, len(slots))
	for _, s := range slots {
		if !s.mu.TryLock() { // it is being opened: whoever asks for metrics does not wait for that
			continue
		}
		if s.log != nil {
			logs = append(logs, s.log)
		}
		s.mu.Unlock()
	}
	return logs
}

// count is how many files are open.
func (c *files) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
