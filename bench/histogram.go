package main

import (
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

// report writes the percentiles into metrics.
func (h *histogram) report(m metrics) {
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	m[p50] = ms(h.values.ValueAtQuantile(50))
	m[p99] = ms(h.values.ValueAtQuantile(99))
	m[p999] = ms(h.values.ValueAtQuantile(99.9))
	m[worst] = ms(h.values.Max())
}
