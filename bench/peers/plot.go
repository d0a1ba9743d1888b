package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/quiverlog/quiver/bench/measure"
)

// Sizes of a plot, in pixels.
const (
	plotWidth = 960
	labelEnd  = 470 // where the bars begin
	barsEnd   = 840 // and where the longest ends; its figure follows
	rowHeight = 20
	plotHead  = 44
)

// colours of the systems.
var colours = map[string]string{quiverName: "#1f77b4", flussName: "#ff7f0e", kafkaName: "#7f7f7f"}

// manyTimes is the range of values from which on a plot's axis is logarithmic.
const manyTimes = 30

// plot draws the medians of a job's first metric as bars, with a line from the least to the most.
func plot(r *result) string {
	metric, bars := barsOf(r)
	var text strings.Builder
	height := plotHead + rowHeight*len(bars) + 12
	fmt.Fprintf(&text, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&text, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, height)
	scale, kind := scaleOf(bars)
	better := "more is better"
	if slices.Contains(less, metric) {
		better = "less is better"
	}
	fmt.Fprintf(&text, `<text x="12" y="20" font-size="14" font-weight="bold" fill="#222222">%s</text>`+"\n", html.EscapeString(r.Title))
	fmt.Fprintf(&text, `<text x="12" y="36" fill="#555555">%s, %s; median, least to most; %s axis</text>`+"\n", html.EscapeString(metric), better, kind)
	for i, b := range bars {
		y := plotHead + rowHeight*i
		end := scale(b.median)
		fmt.Fprintf(&text, `<text x="%d" y="%d" text-anchor="end" fill="#222222">%s</text>`+"\n", labelEnd-8, y+13, html.EscapeString(b.label))
		fmt.Fprintf(&text, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", labelEnd, y+3, math.Max(end-labelEnd, 1), rowHeight-6, colours[b.system])
		fmt.Fprintf(&text, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#222222"/>`+"\n", scale(b.low), y+rowHeight/2, scale(b.high), y+rowHeight/2)
		fmt.Fprintf(&text, `<text x="%.1f" y="%d" fill="#222222">%s</text>`+"\n", math.Max(end, scale(b.high))+6, y+13, measure.Figure(b.median))
	}
	return text.String() + "</svg>\n"
}

// bar is one arm in a plot.
type bar struct {
	system, label     string
	median, low, high float64
}

// barsOf are the bars of a job, and the metric that they show.
func barsOf(r *result) (metric string, bars []bar) {
	for _, metric = range plotted {
		for i := range r.Arms {
			a := &r.Arms[i]
			values := a.values(metric)
			if len(values) == 0 {
				continue
			}
			b := bar{system: a.System, label: shorten(a.name()+" ("+a.Durable+")", 76), median: measure.Median(values)}
			b.low, b.high = measure.Spread(values)
			bars = append(bars, b)
		}
		if len(bars) > 0 {
			return metric, bars
		}
	}
	return "", nil
}

// shorten cuts the middle out of a text that is too long.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	half := (most - 1) / 2
	return text[:half] + "…" + text[len(text)-half:]
}

// scaleOf gives where a value lies: on a logarithmic axis where some are many times others.
func scaleOf(bars []bar) (scale func(float64) float64, kind string) {
	low, high := math.Inf(1), 0.0
	for _, b := range bars {
		if b.low > 0 {
			low = math.Min(low, b.low)
		}
		high = math.Max(high, b.high)
	}
	if high <= 0 {
		return func(float64) float64 { return labelEnd }, "linear"
	}
	if high/low < manyTimes {
		return func(v float64) float64 { return labelEnd + (barsEnd-labelEnd)*v/high }, "linear"
	}
	low = math.Pow(10, math.Floor(math.Log10(low)-0.2))
	return func(v float64) float64 {
		return labelEnd + (barsEnd-labelEnd)*math.Max(math.Log(math.Max(v, low)/low), 0)/math.Log(high/low)
	}, "logarithmic"
}
