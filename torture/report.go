package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// report is what a run comes to.
type report struct {
	Seed       uint64           `json:"seed"`
	Began      time.Time        `json:"began"`
	Seconds    float64          `json:"seconds"`
	Planted    string           `json:"planted,omitempty"`
	Faults     string           `json:"faults"`
	Binary     string           `json:"binary"`
	Pyarrow    bool             `json:"pyarrow"`
	Counts     map[string]int64 `json:"counts"`
	Violations []string         `json:"violations"`
}

func (h *harness) report() *report {
	h.mu.Lock()
	violations := append([]string{}, h.violations...)
	h.mu.Unlock()
	return &report{Seed: h.seed, Began: h.began, Seconds: time.Since(h.began).Seconds(), Planted: h.options.planted, Faults: h.options.faults,
		Binary: h.options.binary, Pyarrow: h.options.python != "", Counts: h.counted(), Violations: violations}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// table is the report for people.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| seed %d, %.0f s | |\n|---|---:|\n", r.Seed, r.Seconds)
	for _, what := range sortedKeys(r.Counts) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, r.Counts[what])
	}
	fmt.Fprintf(&b, "| contradictions | %d |\n", len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "\n%s\n", v)
	}
	return b.String()
}
