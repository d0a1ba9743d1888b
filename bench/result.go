package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// result is one job's outcome, as it is kept in out/<job>.json.
type result struct {
	Job     string      `json:"job"`
	Title   string      `json:"title"`
	Notes   []string    `json:"notes"`
	Started time.Time   `json:"started"`
	Command string      `json:"command"`
	Commit  string      `json:"commit"`
	Machine machine     `json:"machine"`
	Arms    []armResult `json:"arms"`
	Goals   []goal      `json:"goals"`
}

// armResult is all samples of one arm, in the order of the rounds.
type armResult struct {
	Name    string   `json:"name"`
	Samples []sample `json:"samples"`
}

// goal is one line of the goals, judged.
type goal struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"` // median over the rounds
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Need  float64 `json:"need"`
	Less  bool    `json:"less"` // the value must be at most Need, not at least
	Met   bool    `json:"met"`
}

// arm finds an arm by name; nil if the run did not have it (no Python, say).
func (r *result) arm(name string) *armResult {
	i := slices.IndexFunc(r.Arms, func(a armResult) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Arms[i]
}

// values are the samples of one metric.
func (a *armResult) values(metric string) []float64 {
	if a == nil {
		return nil
	}
	var out []float64
	for _, s := range a.Samples {
		if v, ok := s.Metrics[metric]; ok {
			out = append(out, v)
		}
	}
	return out
}

// series is a metric of an arm, round by round.
func (r *result) series(arm, metric string) []float64 { return r.arm(arm).values(metric) }

// ratio is a metric of one arm against another's, round by round.
func (r *result) ratio(metric, arm, against string) []float64 {
	return pairwise(r.series(arm, metric), r.series(against, metric), divide)
}

// atLeast judges values whose median must not be below need. Without values there is nothing to judge.
func (r *result) atLeast(need float64, values []float64, text string) {
	r.judge(need, values, false, text)
}

// atMost judges values whose median must not be above need.
func (r *result) atMost(need float64, values []float64, text string) {
	r.judge(need, values, true, text)
}

func (r *result) judge(need float64, values []float64, less bool, text string) {
	value := median(values)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	g := goal{Text: text, Value: value, Need: need, Less: less}
	g.Low, g.High = spread(values)
	g.Met = value >= need
	if less {
		g.Met = value <= need
	}
	r.Goals = append(r.Goals, g)
}

// save writes the result into the directory.
func (r *result) save(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.Job, err)
	}
	return os.WriteFile(filepath.Join(dir, r.Job+".json"), append(data, '\n'), 0o644)
}

// loadResults reads what earlier runs left in the directory, in the order of the jobs.
func loadResults(dir string) ([]*result, error) {
	var results []*result
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
