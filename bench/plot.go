package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/quiverlog/quiver/bench/measure"
)

// plot is a drawing of some results.
type plot struct {
	file, title string
	svg         []byte
}

// plotsOf are the plots of a job: goals, speeds, latencies, as far as it has them.
func plotsOf(r *result) (plots []plot) {
	for _, p := range []struct {
		kind, title string
		draw        func(r *result, title string) []byte
	}{
		{"goals", "what was reached, of what is wanted", plotGoals},
		{"speed", "speed beside the floors", plotSpeed},
		{"latency", "latency by percentile", plotLatency},
	} {
		title := fmt.Sprintf("%s: %s", r.Job, p.title)
		if drawn := p.draw(r, title); drawn != nil {
			plots = append(plots, plot{file: fmt.Sprintf("%s-%s.svg", r.Job, p.kind), title: title, svg: drawn})
		}
	}
	return plots
}

// Places of the bar plots, in pixels.
const (
	plotWidth = 900
	plotTop   = 44  // above the first row
	plotRow   = 22  // of a row
	plotLeft  = 430 // where the axis begins
	plotRight = 770 // where it ends; figures stand behind it
	barHeight = 12
)

// bar is one row of a bar plot.
type bar struct {
	label            string
	class            string
	value, low, high float64
	figure           string // behind the bar
}

// logAxis maps values between two powers of ten, or two nice fractions of them, to places.
type axis struct {
	low, high, from, to float64
	log                 bool
}

func (a axis) place(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(max(v, a.low)), math.Log10(low), math.Log10(high)
	}
	share := max(0, min(1, (v-low)/(high-low)))
	return a.from + share*(a.to-a.from)
}

// drawBars draws rows of bars from an origin, with a whisker from the least to the most value.
func drawBars(title, note string, a axis, origin float64, ticks []float64, bars []bar) []byte {
	s := &svg{width: plotWidth, height: plotTop + plotRow*float64(len(bars)) + 40}
	bottom := plotTop + plotRow*float64(len(bars)) + 4
	s.text("t", "start", 12, 22, title)
	s.text("m", "end", plotWidth-12, 22, note)
	for _, tick := range ticks {
		s.line("g", 1, a.place(tick), plotTop-6, a.place(tick), bottom)
		s.text("m", "middle", a.place(tick), bottom+16, measure.Figure(tick))
	}
	for i, b := range bars {
		y := plotTop + plotRow*float64(i)
		s.text("", "end", plotLeft-10, y+barHeight-1, b.label)
		x0, x1 := a.place(origin), a.place(b.value)
		s.rect(b.class, min(x0, x1), y, math.Abs(x1-x0), barHeight)
		if b.high > b.low {
			s.line("w", 1, a.place(b.low), y+barHeight/2, a.place(b.high), y+barHeight/2)
			for _, end := range []float64{b.low, b.high} {
				s.line("w", 1, a.place(end), y+barHeight/2-3, a.place(end), y+barHeight/2+3)
			}
		}
		s.text("", "start", plotRight+10, y+barHeight-1, b.figure)
	}
	s.line("w", 1, a.place(origin), plotTop-6, a.place(origin), bottom)
	return s.bytes(title)
}

// plotGoals draws for each goal how far it was reached: 1 is what is wanted, more is better.
func plotGoals(r *result, title string) []byte {
	if len(r.goals) == 0 {
		return nil
	}
	bars := make([]bar, 0, len(r.goals))
	reach := 1.0
	for _, g := range r.goals {
		b := bar{label: shorten(g.text, 62), class: "x", figure: fmt.Sprintf("%s, %s %s", measure.Figure(g.value), g.relation(), measure.Figure(g.need)),
			value: g.value / g.need, low: g.low / g.need, high: g.high / g.need}
		if g.less {
			b.value, b.low, b.high = 1/b.value, 1/b.high, 1/b.low
		}
		if g.met {
			b.class = "q"
		}
		bars = append(bars, b)
		reach = max(reach, math.Abs(math.Log10(b.value)))
	}
	reach = min(math.Ceil(reach), 3)
	a := axis{low: math.Pow(10, -reach), high: math.Pow(10, reach), from: plotLeft, to: plotRight, log: true}
	var ticks []float64
	for e := -reach; e <= reach; e++ {
		ticks = append(ticks, math.Pow(10, e))
	}
	return drawBars(title, "1 is what is wanted; line: least to most", a, 1, ticks, bars)
}

// shorten cuts a label that does not fit.
func shorten(text string, most int) string {
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}

// speeds are the metrics of speed, the one that says most of a job first.
var speeds = []string{acksPerSec, keysPerSec, gbPerSec, rowsPerSec}

// plotSpeed draws the medians of the first metric of speed that two arms have.
func plotSpeed(r *result, title string) []byte {
	for _, metric := range speeds {
		var bars []bar
		most := 0.0
		for i := range r.Arms {
			values := r.Arms[i].values(metric)
			if math.IsNaN(measure.Median(values)) {
				continue
			}
			b := bar{label: shorten(r.Arms[i].Name, 62), class: "f", value: measure.Median(values), figure: measure.Figure(measure.Median(values))}
			b.low, b.high = measure.Spread(values)
			if strings.Contains(b.label, "Quiver") {
				b.class = "q"
			}
			bars = append(bars, b)
			most = max(most, b.high)
		}
		if len(bars) < 2 {
			continue
		}
		step := niceStep(most)
		a := axis{high: step * math.Ceil(most/step), from: plotLeft, to: plotRight}
		var ticks []float64
		for i := 0.0; i*step <= a.high*1.001; i++ {
			ticks = append(ticks, i*step)
		}
		return drawBars(title, metric+", Quiver blue; line: least to most", a, 0, ticks, bars)
	}
	return nil
}

// niceStep is a step of 1, 2 or 5 times a power of ten that reaches the most in at most five.
func niceStep(most float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(most/5)))
	for _, n := range []float64{1, 2, 5} {
		if n*power*5 >= most {
			return n * power
		}
	}
	return 10 * power
}

// plotLatency draws the percentiles of every arm that waits for something, each the median of the rounds.
func plotLatency(r *result, title string) []byte {
	type curve struct {
		name   string
		points []float64 // percentile and ms in turns
	}
	var curves []curve
	low, high := math.Inf(1), 0.0
	for i := range r.Arms {
		c := curve{name: r.Arms[i].Name}
		for _, q := range ladder {
			if ms := measure.Median(r.Arms[i].values(percentile(q))); ms > 0 { // and not NaN
				c.points = append(c.points, q, ms)
				low, high = min(low, ms), max(high, ms)
			}
		}
		if len(c.points) > 4 {
			curves = append(curves, c)
		}
	}
	if len(curves) == 0 {
		return nil
	}
	const left, right, top, bottom = 64, 560, 44, 344
	s := &svg{width: plotWidth, height: bottom + 48}
	s.text("t", "start", 12, 22, title)
	s.text("m", "end", plotWidth-12, 22, "ms; median of the rounds")
	y := axis{low: math.Pow(10, math.Floor(math.Log10(low))), high: math.Pow(10, math.Ceil(math.Log10(high))), from: bottom, to: top, log: true}
	x := axis{low: 0, high: 4, from: left, to: right}
	for v := y.low; v <= y.high*1.001; v *= 10 {
		s.line("g", 1, left, y.place(v), right, y.place(v))
		s.text("m", "end", left-8, y.place(v)+4, measure.Figure(v))
	}
	for _, q := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		s.line("g", 1, x.place(nines(q)), top, x.place(nines(q)), bottom)
		s.text("m", "middle", x.place(nines(q)), bottom+18, fmt.Sprintf("%v %%", q))
	}
	labels := make([]float64, 0, len(curves)) // the places of names that stand already
	for i, c := range curves {
		class := fmt.Sprintf("l%d", i%lineColors)
		places := make([]float64, 0, len(c.points))
		for k := 0; k < len(c.points); k += 2 {
			places = append(places, x.place(nines(c.points[k])), y.place(c.points[k+1]))
		}
		s.polyline(class, i >= lineColors, places)
		last := len(places) - 2
		label := freePlace(places[last+1], labels)
		labels = append(labels, label)
		s.line(class, 1, places[last], places[last+1], right+14, label)
		s.rect(class, right+14, label-4, 8, 8)
		s.text("", "start", right+28, label+4, shorten(c.name, 48))
	}
	return s.bytes(title)
}

// nines is how many nines a percentile has: 0 at 0, 1 at 90, 2 at 99, 3 at 99.9.
func nines(q float64) float64 { return -math.Log10(1 - q/100) }

// freePlace finds the place next to y that is a line away from all others.
func freePlace(y float64, taken []float64) float64 {
	const line = 15
	free := func(y float64) bool {
		return !slices.ContainsFunc(taken, func(t float64) bool { return math.Abs(t-y) < line })
	}
	for away := 0.0; ; away++ {
		if free(y + away) {
			return y + away
		}
		if free(y - away) {
			return y - away
		}
	}
}
