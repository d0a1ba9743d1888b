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

// writeSummary writes the tables of all results in the directory into the page. Jobs without a result there keep theirs.
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
	written, err := replaceSummary(string(text), results)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(written), 0o644)
}

// replaceSummary puts the tables between the two lines.
func replaceSummary(page string, results []*result) (string, error) {
	before, rest, found := strings.Cut(page, summaryBegin)
	tables, after, ended := strings.Cut(rest, summaryEnd)
	if !found || !ended {
		return "", fmt.Errorf("the lines %q and %q are not there", summaryBegin, summaryEnd)
	}
	parts := mergeParts(results, readParts(tables))
	return before + summaryBegin + "\n\n" + writeParts(parts) + "\n" + summaryEnd + after, nil
}

// machineLine tells where a result comes from.
func machineLine(r *result) string {
	m := r.Machine
	versions := make([]string, 0, len(m.Versions))
	for name, version := range m.Versions {
		versions = append(versions, name+" "+strings.TrimPrefix(version, name))
	}
	slices.Sort(versions)
	return fmt.Sprintf("%s, %d cores, %.0f GB, %s, data on %s; %s; commit `%s`, %s, `%s`", m.CPU, m.Cores, m.MemoryGB,
		m.Kernel, m.Disk, strings.Join(versions, ", "), r.Commit, r.Started.Format("2006-01-02"), r.Command)
}

// goalRows are the rows of what was judged.
func goalRows(r *result) []string {
	rows := make([]string, 0, len(r.Goals))
	for _, g := range r.Goals {
		relation, verdict := "≥", "**missed**"
		if g.Less {
			relation = "≤"
		}
		if g.Met {
			verdict = "met"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s %s | %s | %s to %s | %s |\n", r.Job, g.Text, relation, format(g.Need),
			format(g.Value), format(g.Low), format(g.High), verdict))
	}
	return rows
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
