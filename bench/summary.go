package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The tables stand between these lines of the page. What is outside of them is written by people.
const (
	summaryBegin = "<!-- begin of what `make bench` writes -->"
	summaryEnd   = "<!-- end of what `make bench` writes -->"
)

// writeSummary writes the tables of all results in the directory into the page.
func writeSummary(page, dir string) error {
	results, err := loadResults(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if os.IsNotExist(err) {
		text, err = []byte("# Benchmarks\n\n"+summaryBegin+"\n"+summaryEnd+"\n"), nil
	}
	if err != nil {
		return err
	}
	written, err := replaceSummary(string(text), summarize(results))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(written), 0o644)
}

// replaceSummary puts the tables between the two lines.
func replaceSummary(page, tables string) (string, error) {
	before, rest, found := strings.Cut(page, summaryBegin)
	_, after, ended := strings.Cut(rest, summaryEnd)
	if !found || !ended {
		return "", fmt.Errorf("the lines %q and %q are not there", summaryBegin, summaryEnd)
	}
	return before + summaryBegin + "\n\n" + tables + "\n" + summaryEnd + after, nil
}

// summarize makes the tables.
func summarize(results []*result) string {
	var text strings.Builder
	text.WriteString(machines(results))
	text.WriteString(allGoals(results))
	for _, r := range results {
		text.WriteString(oneJob(r))
	}
	return strings.TrimRight(text.String(), "\n") + "\n"
}

// machines tells where the results come from; one line for each kind of run.
func machines(results []*result) string {
	var lines []string
	jobsOf := map[string][]string{}
	for _, r := range results {
		m := r.Machine
		var versions []string
		for name, version := range m.Versions {
			versions = append(versions, name+" "+strings.TrimPrefix(version, name))
		}
		slices.Sort(versions)
		line := fmt.Sprintf("%s, %d cores, %.0f GB, %s, data on %s; %s; commit `%s`, %s, `%s`", m.CPU, m.Cores, m.MemoryGB,
			m.Kernel, m.Disk, strings.Join(versions, ", "), r.Commit, r.Started.Format("2006-01-02"), r.Command)
		if jobsOf[line] == nil {
			lines = append(lines, line)
		}
		jobsOf[line] = append(jobsOf[line], r.Job)
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "- %s: %s.\n", strings.Join(jobsOf[line], ", "), line)
	}
	return text.String() + "\n"
}

// allGoals is one table of everything that was judged.
func allGoals(results []*result) string {
	var text strings.Builder
	text.WriteString("### Goals\n\n| Job | Goal | Wanted | Median | Least to most | |\n|---|---|---|---|---|---|\n")
	for _, r := range results {
		for _, g := range r.Goals {
			relation, verdict := "≥", "**missed**"
			if g.Less {
				relation = "≤"
			}
			if g.Met {
				verdict = "met"
			}
			fmt.Fprintf(&text, "| %s | %s | %s %s | %s | %s to %s | %s |\n", r.Job, g.Text, relation, format(g.Need),
				format(g.Value), format(g.Low), format(g.High), verdict)
		}
	}
	return text.String() + "\n"
}

// columnsInOrder are the metrics as the tables show them.
var columnsInOrder = []string{
	seconds, gbPerSec, storedPerSec, rowsPerSec, acksPerSec, keysPerSec, p50, p99, p999, worst, serverCPU, clientCPU, serverRow, clientRow, serverPeak,
	messageKB, groupMB, storedRatio, changeBytes, readyMS, firstReadMS, idleMB, idleCPU, binaryMB,
}

// oneJob is the table of a job: medians, with least and most of the first metric of speed.
func oneJob(r *result) string {
	var columns []string
	for _, name := range columnsInOrder {
		if slices.ContainsFunc(r.Arms, func(a armResult) bool { return len(a.values(name)) > 0 }) {
			columns = append(columns, name)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "### %s: %s\n\n", r.Job, r.Title)
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "- %s\n", note)
	}
	if loaded := countLoaded(r); loaded > 0 {
		fmt.Fprintf(&text, "- %d samples were taken while other programs used more than %.2f CPUs.\n", loaded, foreignLimit)
	}
	fmt.Fprintf(&text, "\n| | %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for i := range r.Arms {
		a := &r.Arms[i]
		cells := make([]string, len(columns))
		for c, name := range columns {
			cells[c] = cell(a.values(name), name)
		}
		fmt.Fprintf(&text, "| %s | %s |\n", a.Name, strings.Join(cells, " | "))
	}
	return text.String() + "\n"
}

func countLoaded(r *result) (n int) {
	for _, a := range r.Arms {
		for _, s := range a.Samples {
			if s.Loaded {
				n++
			}
		}
	}
	return n
}

// cell is a median, and its spread where times and speeds are meant.
func cell(values []float64, metric string) string {
	if len(values) == 0 {
		return ""
	}
	text := format(median(values))
	switch metric {
	case gbPerSec, acksPerSec, keysPerSec, p50, p99, p999, readyMS, firstReadMS:
		low, high := spread(values)
		text += fmt.Sprintf(" (%s to %s)", format(low), format(high))
	}
	return text
}

// format writes a figure with three digits that count.
func format(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "?"
	case size >= 1e6:
		return trimmed(v/1e6, size/1e6) + " M"
	case size >= 10_000:
		return trimmed(v/1e3, size/1e3) + " K"
	default:
		return trimmed(v, size)
	}
}

func trimmed(v, size float64) string {
	digits := 3
	switch {
	case size >= 100:
		digits = 0
	case size >= 10:
		digits = 1
	case size >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
