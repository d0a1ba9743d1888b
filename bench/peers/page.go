package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver/bench/measure"
)

// What this program writes stands between these lines of the page. What is outside of them is written by people.
const (
	generatedBegin = "<!-- begin of what `make bench-peers` writes -->"
	generatedEnd   = "<!-- end of what `make bench-peers` writes -->"
)

// columnsInOrder are the metrics as the tables show them.
var columnsInOrder = []string{rowsPerSec, megabytes, perScan, lookups, p50, p99, p999, worst, requests, readySec, idleMB, idleCPU, diskRow, serverCPU, clientCPU}

// withSpread are the metrics whose least and most are shown, too.
var withSpread = []string{rowsPerSec, lookups, p50, p99, readySec}

// plotted are the metrics of plots: the first one that a job has.
var plotted = []string{rowsPerSec, lookups, p50, readySec}

// writePage writes the tables and the plots of all raw files.
func writePage(page, raw string) error {
	results, err := loadResults(raw)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(filepath.Dir(page), raw)
	if err != nil {
		return err
	}
	written, err := replaceGenerated(string(text), results, filepath.ToSlash(relative))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	for _, r := range results {
		if err := os.WriteFile(filepath.Join(raw, r.Job+".svg"), []byte(plot(r)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(written), 0o644)
}

// replaceGenerated puts what is made of the results between the two lines; raw is where the raw files are, from the page.
func replaceGenerated(page string, results []*result, raw string) (string, error) {
	before, rest, found := strings.Cut(page, generatedBegin)
	_, after, ended := strings.Cut(rest, generatedEnd)
	if !found || !ended {
		return "", fmt.Errorf("the lines %q and %q are not there", generatedBegin, generatedEnd)
	}
	return before + generatedBegin + "\n\n" + generated(results, raw) + generatedEnd + after, nil
}

// generated is everything that is made of the results.
func generated(results []*result, raw string) string {
	var text strings.Builder
	text.WriteString("### What was run\n\n| job | raw file | commit | command | machine, versions |\n|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&text, "| %s | [%s.json](%s/%s.json) | `%s`, %s | `%s` | %s |\n", r.Job, r.Job, raw, r.Job, r.Commit, r.Started.Format("2006-01-02 15:04"), r.Command, machineLine(r))
	}
	text.WriteString("\n" + losses(results))
	for _, r := range results {
		text.WriteString(oneJob(r, raw))
	}
	return text.String()
}

// machineLine tells where a result was taken and with what.
func machineLine(r *result) string {
	m := r.Machine
	versions := []string{}
	for _, from := range []map[string]string{r.Versions, m.Versions} {
		for name, version := range from {
			if line := name + " " + strings.TrimPrefix(version, name); !slices.Contains(versions, line) {
				versions = append(versions, line)
			}
		}
	}
	slices.Sort(versions)
	return fmt.Sprintf("%s, %d cores, %.0f GB, %s, data on %s; %s", m.CPU, m.Cores, m.MemoryGB, m.Kernel, m.Disk, strings.Join(versions, ", "))
}

// losses are all comparisons in which Quiver is behind.
func losses(results []*result) string {
	var text strings.Builder
	n, all := 0, 0
	for _, r := range results {
		for i := range r.Pairs {
			values, _ := r.ratios(&r.Pairs[i])
			if len(values) > 0 {
				all++
			}
			if measure.Median(values) < 1 {
				n++
				text.WriteString(pairRow(r, &r.Pairs[i], r.Job))
			}
		}
	}
	if n == 0 {
		return fmt.Sprintf("### Where Quiver loses\n\nIn none of the %d comparisons below.\n\n", all)
	}
	return fmt.Sprintf("### Where Quiver loses\n\nIn %d of the %d comparisons below:\n\n| job | Quiver | beside | in | times as good | least to most |\n|---|---|---|---|---|---|\n%s\n", n, all, text.String())
}

// pairRow is a comparison as a row of a table; a job's name comes first, if there is one.
func pairRow(r *result, c *pair, job string) string {
	values, disturbed := r.ratios(c)
	low, high := measure.Spread(values)
	mine, theirs := r.arm(c.Quiver), r.arm(c.Peer)
	if mine == nil || theirs == nil || len(values) == 0 {
		return ""
	}
	ratio := measure.Figure(measure.Median(values))
	switch {
	case measure.Median(values) < 1:
		ratio = "**" + ratio + "**"
	case disturbed:
	}
	if disturbed {
		ratio += " †"
	}
	first := ""
	if job != "" {
		first = "| " + job + " "
	}
	describe := func(a *armResult) string {
		return fmt.Sprintf("%s, %s, %s (%s)", a.System, a.Client, a.Setting, a.Durable)
	}
	return fmt.Sprintf("%s| %s | %s | %s | %s | %s to %s |\n", first, describe(mine), describe(theirs), c.Metric, ratio, measure.Figure(low), measure.Figure(high))
}

// oneJob is the section of a job: its notes, its plot, the medians, the comparisons.
func oneJob(r *result, raw string) string {
	var columns []string
	for _, name := range columnsInOrder {
		if slices.ContainsFunc(r.Arms, func(a armResult) bool { return len(a.values(name)) > 0 }) {
			columns = append(columns, name)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "### %s\n\n", r.Title)
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "- %s\n", note)
	}
	fmt.Fprintf(&text, "- %s\n", thrownOut(r))
	fmt.Fprintf(&text, "\n![%s](%s/%s.svg)\n\n", r.Title, raw, r.Job)
	fmt.Fprintf(&text, "| system | client | setting | an ack means | n | %s |\n|---|---|---|---|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for i := range r.Arms {
		a := &r.Arms[i]
		samples, disturbed := a.quiet()
		n := strconv.Itoa(len(samples))
		if disturbed {
			n += " †"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |", a.System, a.Client, a.Setting, a.Durable, n)
		for _, name := range columns {
			fmt.Fprintf(&text, " %s |", cell(a.values(name), name))
		}
		text.WriteString("\n")
	}
	text.WriteString("\n| Quiver | beside | in | times as good | least to most |\n|---|---|---|---|---|\n")
	for i := range r.Pairs {
		text.WriteString(pairRow(r, &r.Pairs[i], ""))
	}
	return text.String() + "\n"
}

// thrownOut tells what became of disturbed samples.
func thrownOut(r *result) string {
	all, loaded, most, disturbed := 0, 0, 0.0, 0
	for i := range r.Arms {
		for _, s := range r.Arms[i].Samples {
			all++
			most = max(most, s.Foreign)
			if s.Loaded {
				loaded++
			}
		}
		if _, only := r.Arms[i].quiet(); only {
			disturbed++
		}
	}
	text := fmt.Sprintf("%d of %d samples were thrown out, because other programs took more than %.2f CPUs meanwhile (at most %.2f in any).", loaded, all, r.ForeignLimit, most)
	if disturbed > 0 {
		text += fmt.Sprintf(" **%d arms, marked †, have disturbed samples only**: they are shown, but prove nothing.", disturbed)
	}
	return text
}

// cell is a median, with its spread where speeds and times are meant.
func cell(values []float64, metric string) string {
	if len(values) == 0 {
		return ""
	}
	text := measure.Figure(measure.Median(values))
	if slices.Contains(withSpread, metric) && len(values) > 1 {
		low, high := measure.Spread(values)
		text += fmt.Sprintf(" (%s to %s)", measure.Figure(low), measure.Figure(high))
	}
	return text
}
