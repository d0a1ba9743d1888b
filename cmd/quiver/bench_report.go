package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver/internal/tabular"
)

// report writes the result: pictures for people, one row for programs.
func (b *benching) report() error {
	if b.format() != tabular.Table {
		return b.reportRow()
	}
	r := &b.result
	at := func(q float64) time.Duration { return digits(time.Duration(r.times.ValueAtQuantile(q))) }
	_, err := fmt.Fprintf(b.cmd.OutOrStdout(), "%s, %s, %s and %s in %s\n%s  %s/s\n%s\np50 %s   p90 %s   p99 %s   p99.9 %s   max %s\n\n%s",
		b.name, count(r.ops, "operation"), tabular.CountRows(r.rows), bytesText(r.bytes), r.took.Round(10*time.Millisecond),
		rate(r.rows, r.took), bytesText(perSecond(r.bytes, r.took)), drawCourse(r.course),
		at(50), at(90), at(99), at(99.9), digits(time.Duration(r.times.Max())), drawTimes(r.times))
	return err
}

// reportRow writes the result as one row.
func (b *benching) reportRow() error {
	r := &b.result
	seconds := r.took.Seconds()
	g := newGrid("job", textColumn, "table", textColumn, "callers", intColumn, "rate", realColumn, "batch_rows", intColumn, "operations", intColumn, "rows", intColumn, "bytes", intColumn,
		"seconds", realColumn, "rows_per_second", realColumn, "bytes_per_second", realColumn,
		"p50_ms", realColumn, "p90_ms", realColumn, "p99_ms", realColumn, "p999_ms", realColumn, "max_ms", realColumn,
		"histogram", barsColumn)
	figure := func(v float64) *float64 { return &v }
	var wanted *float64  // operations a second that were asked for
	var batch, table any // null where there is none
	if b.rate > 0 {
		wanted = &b.rate
	}
	if b.job.batch > 0 {
		batch = int64(b.batch)
	}
	if !b.table.own {
		table = b.table.name
	}
	at := func(q float64) *float64 { return figure(float64(r.times.ValueAtQuantile(q)) / 1e6) }
	g.add(b.name, table, int64(b.callers), wanted, batch, r.ops, r.rows, r.bytes, figure(seconds), figure(float64(r.rows)/seconds), figure(float64(r.bytes)/seconds),
		at(50), at(90), at(99), at(99.9), figure(float64(r.times.Max())/1e6), barsOf(r.times))
	return b.print(g)
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

// timeBar is how many operations took less than a time, and not less than half of it.
type timeBar struct {
	under      time.Duration
	operations int64
}

// barsColumn is a grid's column of []timeBar.
var barsColumn = arrow.ListOf(arrow.StructOf(
	arrow.Field{Name: "under_ms", Type: arrow.PrimitiveTypes.Float64},
	arrow.Field{Name: "operations", Type: arrow.PrimitiveTypes.Int64}))

func appendBars(b *array.ListBuilder, bars []timeBar) {
	b.Append(true)
	items := b.ValueBuilder().(*array.StructBuilder)
	for _, bar := range bars {
		items.Append(true)
		items.FieldBuilder(0).(*array.Float64Builder).Append(float64(bar.under) / float64(time.Millisecond))
		items.FieldBuilder(1).(*array.Int64Builder).Append(bar.operations)
	}
}

// barsOf counts how many operations took how long: one bar for each doubling of the time, from the shortest that any took.
func barsOf(times *hdrhistogram.Histogram) (bars []timeBar) {
	const first = 10 * time.Microsecond // what is faster stands in the first bar
	for _, part := range times.Distribution() {
		if part.Count == 0 {
			continue
		}
		line := 0
		for until := first; time.Duration(part.From) >= until; until *= 2 {
			line++
		}
		for len(bars) <= line {
			bars = append(bars, timeBar{under: first << len(bars)})
		}
		bars[line].operations += part.Count
	}
	begun := slices.IndexFunc(bars, func(bar timeBar) bool { return bar.operations > 0 })
	return bars[max(0, begun):]
}

// drawTimes draws how many operations took how long.
func drawTimes(times *hdrhistogram.Histogram) string {
	bars, most := barsOf(times), int64(1)
	for _, bar := range bars {
		most = max(most, bar.operations)
	}
	var out strings.Builder
	for _, bar := range bars {
		picture := strings.Repeat("█", int(bar.operations*barWidth/most))
		if bar.operations > 0 && picture == "" {
			picture = "▏"
		}
		fmt.Fprintf(&out, "under %9s  %10s  %s\n", digits(bar.under), tabular.FormatCount(bar.operations), picture)
	}
	return out.String()
}

// courseWidth is how wide the picture of a run's course is.
const courseWidth = 60

// drawCourse draws rows a second over the time of the run, from nothing to the most there was. "" if it was too short to show one.
func drawCourse(course []int64) string {
	if len(course) > 1 {
		course = course[:len(course)-1] // the last one is not whole
	}
	if len(course) < 2 {
		return ""
	}
	width := (len(course) + courseWidth - 1) / courseWidth // slots of a column
	var rates []int64
	for slots := range slices.Chunk(course, width) {
		sum := int64(0)
		for _, rows := range slots {
			sum += rows
		}
		rates = append(rates, sum*int64(time.Second/benchSlot)/int64(len(slots)))
	}
	least, most := slices.Min(rates), slices.Max(rates)
	steps := []rune("▁▂▃▄▅▆▇█")
	var out strings.Builder
	for _, n := range rates {
		out.WriteRune(steps[n*int64(len(steps)-1)/max(1, most)])
	}
	fmt.Fprintf(&out, "  from %s to %s rows/s\n", tabular.FormatCount(least), tabular.FormatCount(most))
	return out.String()
}
