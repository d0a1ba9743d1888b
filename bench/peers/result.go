package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// result is one job's outcome, as it is kept in a raw file.
type result struct {
	Job          string            `json:"job"`
	Title        string            `json:"title"`
	Notes        []string          `json:"notes"`
	Started      time.Time         `json:"started"`
	Command      string            `json:"command"`
	Commit       string            `json:"commit"`
	Machine      measure.Machine   `json:"machine"`
	Versions     map[string]string `json:"versions"` // of the peers and what they run on
	ForeignLimit float64           `json:"foreign_limit"`
	Arms         []armResult       `json:"arms"`
	Pairs        []pair            `json:"pairs"`
}

// armResult is all samples of one arm, in the order of the rounds.
type armResult struct {
	arm
	Samples []sample `json:"samples"`
}

// pair is a comparison of one arm of Quiver with one of a peer.
type pair struct {
	Metric string `json:"metric"`
	Quiver string `json:"quiver"`
	Peer   string `json:"peer"`
}

// less are the metrics of which less is better.
var less = []string{p50, p99, p999, worst, perScan, diskRow, serverCPU, clientCPU, readySec, idleMB, idleCPU}

// pair says that two arms are to be compared.
func (r *result) pair(metric string, quiver, peer *arm) {
	r.Pairs = append(r.Pairs, pair{metric, quiver.name(), peer.name()})
}

// arm finds an arm by name, nil if there is none.
func (r *result) arm(name string) *armResult {
	i := slices.IndexFunc(r.Arms, func(a armResult) bool { return a.name() == name })
	if i < 0 {
		return nil
	}
	return &r.Arms[i]
}

// quiet are the samples that count: those that nobody disturbed, or all, if all were disturbed.
func (a *armResult) quiet() (samples []sample, disturbed bool) {
	for _, s := range a.Samples {
		if !s.Loaded {
			samples = append(samples, s)
		}
	}
	if len(samples) == 0 {
		return a.Samples, len(a.Samples) > 0
	}
	return samples, false
}

// values are a metric of the samples that count.
func (a *armResult) values(metric string) (values []float64) {
	samples, _ := a.quiet()
	for _, s := range samples {
		if v, ok := s.Metrics[metric]; ok {
			values = append(values, v)
		}
	}
	return values
}

// ratios are how many times better Quiver was, round by round, in rounds of which both samples count; if there is no
// such round, in all.
func (r *result) ratios(c *pair) (values []float64, disturbed bool) {
	mine, theirs := r.arm(c.Quiver), r.arm(c.Peer)
	if mine == nil || theirs == nil {
		return nil, false
	}
	var all []float64
	for i := range min(len(mine.Samples), len(theirs.Samples)) {
		a, b := mine.Samples[i], theirs.Samples[i]
		x, y := a.Metrics[c.Metric], b.Metrics[c.Metric]
		if slices.Contains(less, c.Metric) {
			x, y = y, x
		}
		if y == 0 {
			continue
		}
		all = append(all, x/y)
		if !a.Loaded && !b.Loaded {
			values = append(values, x/y)
		}
	}
	if len(values) == 0 {
		return all, len(all) > 0
	}
	return values, false
}

// pairLine is a comparison in one line.
func (r *result) pairLine(c *pair) string {
	values, _ := r.ratios(c)
	low, high := measure.Spread(values)
	return fmt.Sprintf("%s × in %s (%s to %s): %s against %s", measure.Figure(measure.Median(values)), c.Metric, measure.Figure(low), measure.Figure(high), c.Quiver, c.Peer)
}

// save writes the result into the directory.
func (r *result) save(dir string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.Job, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Job+".json"), append(data, '\n'), 0o644)
}

// loadResults reads the raw files, in the order of the jobs.
func loadResults(dir string) (results []*result, err error) {
	for _, j := range jobs {
		data, err := os.ReadFile(filepath.Join(dir, j.name+".json"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := &result{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("%s.json: %w", j.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}
