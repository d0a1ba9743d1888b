package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram is an HDR histogram of durations, in nanoseconds, with three digits.
type histogram struct {
	mu     sync.Mutex
	values *hdrhistogram.Histogram
}

// longest is the longest duration a histogram can hold; longer ones count as that.
const longest = time.Minute

func newHistogram() *histogram {
	return &histogram{values: hdrhistogram.New(1000, int64(longest), 3)}
}

func (h *histogram) record(d time.Duration) {
	_ = h.values.RecordValue(min(int64(d), int64(longest))) // it is in range
}

func (h *histogram) merge(other *histogram) {
	if other == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.values.Merge(other.values)
}

// ladder are the percentiles that are kept of every sample, for the curves.
var ladder = []float64{0, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99}

// percentile names the metric of a percentile: p50, p99 and p999 are among them.
func percentile(q float64) string { return fmt.Sprintf("p%v ms", q) }

// report writes the percentiles into metrics.
func (h *histogram) report(m metrics) {
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	for _, q := range ladder {
		if (1-q/100)*float64(h.values.TotalCount()) >= 1 || q <= 99.9 { // beyond that a percentile is only the worst one
			m[percentile(q)] = ms(h.values.ValueAtQuantile(q))
		}
	}
	m[worst] = ms(h.values.Max())
}
