package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/quiverlog/quiver/internal/tabular"
)

// report writes the result: a picture for people, one row for programs.
func (b *benching) report() error {
	r := &b.result
	seconds := r.took.Seconds()
	if b.format() != tabular.Table {
		g := newGrid("job", textColumn, "callers", intColumn, "rate", realColumn, "batch_rows", intColumn, "operations", intColumn, "rows", intColumn, "bytes", intColumn,
			"seconds", realColumn, "rows_per_second", realColumn, "bytes_per_second", realColumn,
			"p50_ms", realColumn, "p90_ms", realColumn, "p99_ms", realColumn, "p999_ms", realColumn, "max_ms", realColumn)
		figure := func(v float64) *float64 { return &v }
		var wanted *float64 // operations a second that were asked for
		if b.rate > 0 {
			wanted = &b.rate
		}
		at := func(q float64) *float64 { return figure(float64(r.times.ValueAtQuantile(q)) / 1e6) }
		g.add(b.name, int64(b.callers), wanted, int64(b.batch), r.ops, r.rows, r.bytes, figure(seconds), figure(float64(r.rows)/seconds), figure(float64(r.bytes)/seconds),
			at(50), at(90), at(99), at(99.9), figure(float64(r.times.Max())/1e6))
		return b.print(g)
	}
	at := func(q float64) time.Duration { return digits(time.Duration(r.times.ValueAtQuantile(q))) }
	_, err := fmt.Fprintf(b.cmd.OutOrStdout(), "%s, %s, %s and %s in %s\n%s  %s/s\n\np50 %s   p90 %s   p99 %s   p99.9 %s   max %s\n\n%s",
		b.name, count(r.ops, "operation"), tabular.CountRows(r.rows), bytesText(r.bytes), r.took.Round(10*time.Millisecond),
		rate(r.rows, r.took), bytesText(perSecond(r.bytes, r.took)),
		at(50), at(90), at(99), at(99.9), digits(time.Duration(r.times.Max())), drawTimes(r.times))
	return err
}

// digits leaves three digits of a duration.
func digits(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

const barWidth = 50

// drawTimes draws how many operations took how long: a line for each doubling of the time.
func drawTimes(times *hdrhistogram.Histogram) string {
	const first = 10 * time.Microsecond // what is faster stands in the first line
	var counts []int64
	for _, bar := range times.Distribution() {
		if bar.Count == 0 {
			continue
		}
		line := 0
		for until := first; time.Duration(bar.From) >= until; until *= 2 {
			line++
		}
		for len(counts) <= line {
			counts = append(counts, 0)
		}
		counts[line] += bar.Count
	}
	most, begun := int64(1), false
	for _, n := range counts {
		most = max(most, n)
	}
	var out strings.Builder
	for line, n := range counts {
		if begun = begun || n > 0; !begun {
			continue
		}
		bar := strings.Repeat("█", int(n*barWidth/most))
		if n > 0 && bar == "" {
			bar = "▏"
		}
		fmt.Fprintf(&out, "under %9s  %10s  %s\n", digits(first<<line), tabular.FormatCount(n), bar)
	}
	return out.String()
}
