package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// The tables stand between these lines of the page. What is outside of them is written by people.
const (
	summaryBegin = "<!-- begin of what `make bench` writes -->"
	summaryEnd   = "<!-- end of what `make bench` writes -->"
)

// summary is what is made of the raw files.
type summary struct {
	page  string            // the whole page
	plots map[string][]byte // by the name of the file
}

// summarize makes tables and plots of the raw files in the directory; page is the page as it is. It does not write.
func summarize(page, raw string) (*summary, error) {
	results, err := loadResults(raw)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(page)
	if os.IsNotExist(err) {
		text, err = []byte("# Benchmarks\n\n"+summaryBegin+"\n"+summaryEnd+"\n"), nil
	}
	if err != nil {
		return nil, err
	}
	below, err := filepath.Rel(filepath.Dir(page), raw)
	if err != nil {
		return nil, err
	}
	s := &summary{plots: map[string][]byte{}}
	for _, r := range results {
		for _, p := range plotsOf(r) {
			s.plots[p.file] = p.svg
		}
	}
	if s.page, err = replaceSummary(string(text), filepath.ToSlash(below), results); err != nil {
		return nil, fmt.Errorf("%s: %w", page, err)
	}
	return s, nil
}

// writeSummary writes the page and the plots, and removes plots that nothing is plotted in any more.
func writeSummary(page, raw string) error {
	s, err := summarize(page, raw)
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(raw, "J*.svg"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if s.plots[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, svg := range s.plots {
		if err := os.WriteFile(filepath.Join(raw, name), svg, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(s.page), 0o644)
}

// stale names what is not as the raw files have it.
func (s *summary) stale(page, raw string) (names []string) {
	if text, err := os.ReadFile(page); err != nil || string(text) != s.page {
		names = append(names, page)
	}
	for name, svg := range s.plots {
		if text, err := os.ReadFile(filepath.Join(raw, name)); err != nil || !bytes.Equal(text, svg) {
			names = append(names, name)
		}
	}
	there, _ := filepath.Glob(filepath.Join(raw, "J*.svg")) // the pattern is good
	for _, path := range there {
		if s.plots[filepath.Base(path)] == nil {
			names = append(names, path)
		}
	}
	return names
}

// replaceSummary puts the tables between the two lines; below is where the page finds raw files and plots.
func replaceSummary(page, below string, results []*result) (string, error) {
	before, rest, found := strings.Cut(page, summaryBegin)
	_, after, ended := strings.Cut(rest, summaryEnd)
	if !found || !ended {
		return "", fmt.Errorf("the lines %q and %q are not there", summaryBegin, summaryEnd)
	}
	var text strings.Builder
	writeMachines(&text, results)
	writeGoals(&text, results)
	for _, r := range results {
		writeJob(&text, below, r)
	}
	return before + summaryBegin + "\n\n" + strings.TrimRight(text.String(), "\n") + "\n\n" + summaryEnd + after, nil
}

// writeMachines tells where the results come from, jobs of the same run in one line.
func writeMachines(text *strings.Builder, results []*result) {
	var lines []string
	jobsOf := map[string][]string{}
	for _, r := range results {
		line := machineLine(r)
		if jobsOf[line] == nil {
			lines = append(lines, line)
		}
		jobsOf[line] = append(jobsOf[line], r.Job)
	}
	for _, line := range lines {
		fmt.Fprintf(text, "- %s: %s.\n", strings.Join(jobsOf[line], ", "), line)
	}
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

// writeGoals writes the table of what was judged. Missed goals lead to the entry that tells why.
func writeGoals(text *strings.Builder, results []*result) {
	text.WriteString("\n### Goals\n\n| Job | Goal | Wanted | Median | Least to most | |\n|---|---|---|---|---|---|\n")
	met, all := 0, 0
	for _, r := range results {
		for _, g := range r.goals {
			verdict := fmt.Sprintf("[**missed**](%s)", anchor(g.topic))
			if g.met {
				verdict = "met"
				met++
			}
			all++
			fmt.Fprintf(text, "| %s | %s | %s %s | %s | %s to %s | %s |\n", r.Job, g.text, g.relation(), measure.Figure(g.need),
				measure.Figure(g.value), measure.Figure(g.low), measure.Figure(g.high), verdict)
		}
	}
	fmt.Fprintf(text, "\n%d of %d goals are met.\n\n", met, all)
}

// columnsInOrder are the metrics as the tables show them.
var columnsInOrder = []string{
	seconds, gbPerSec, storedPerSec, rowsPerSec, acksPerSec, keysPerSec, p50, p99, p999, worst, serverCPU, clientCPU, serverRow, clientRow, serverPeak,
	messageKB, groupMB, storedRatio, changeBytes, bytesPerRow, ofArrow, createMS, readyMS, firstReadMS, foundMS, keyFoundMS, idleMB, idleCPU, descriptors, dataMB, binaryMB,
}

// writeJob writes what there is of a job: notes, plots, and medians with least and most of what speed is told by.
func writeJob(text *strings.Builder, below string, r *result) {
	var columns []string
	for _, name := range columnsInOrder {
		if slices.ContainsFunc(r.Arms, func(a armResult) bool { return a.has(name) }) {
			columns = append(columns, name)
		}
	}
	fmt.Fprintf(text, "### %s: %s\n\n", r.Job, r.Title)
	for _, note := range r.Notes {
		fmt.Fprintf(text, "- %s\n", note)
	}
	fmt.Fprintf(text, "- %d rounds in %v. All samples: [%s.json](%s).\n", rounds(r), time.Duration(r.Took*1e9).Round(time.Second), r.Job, path.Join(below, r.Job+".json"))
	writeNoise(text, r)
	for _, p := range plotsOf(r) {
		fmt.Fprintf(text, "\n![%s](%s)\n", p.title, path.Join(below, p.file))
	}
	fmt.Fprintf(text, "\n| | %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for i := range r.Arms {
		a := &r.Arms[i]
		cells := make([]string, len(columns))
		for c, name := range columns {
			if a.has(name) {
				cells[c] = cell(a.values(name), name)
			}
		}
		mark := ""
		if a.noisy() {
			mark = " †"
		}
		fmt.Fprintf(text, "| %s%s | %s |\n", a.Name, mark, strings.Join(cells, " | "))
	}
	text.WriteString("\n")
}

func rounds(r *result) (n int) {
	for _, a := range r.Arms {
		n = max(n, len(a.Samples))
	}
	return n
}

// writeNoise tells of samples that other programs disturbed.
func writeNoise(text *strings.Builder, r *result) {
	again, out, kept := 0, 0, 0
	for _, a := range r.Arms {
		for _, s := range a.Samples {
			again += s.Again
			switch {
			case s.Loaded && a.noisy():
				kept++
			case s.Loaded:
				out++
			}
		}
	}
	if again+out+kept == 0 {
		return
	}
	fmt.Fprintf(text, "- Other programs used more than %.2f CPUs during %d samples: %d were taken again, %d do not count", foreignLimit, again+out+kept, again, out)
	if kept > 0 {
		fmt.Fprintf(text, ", %d do, of arms with fewer than %d undisturbed ones (†)", kept, leastQuiet)
	}
	text.WriteString(".\n")
}

// cell is a median, and its spread where times and speeds are meant.
func cell(values []float64, metric string) string {
	text := measure.Figure(measure.Median(values))
	switch metric {
	case gbPerSec, acksPerSec, keysPerSec, p50, p99, p999, createMS, readyMS, firstReadMS, foundMS, keyFoundMS:
		low, high := measure.Spread(values)
		text += fmt.Sprintf(" (%s to %s)", measure.Figure(low), measure.Figure(high))
	}
	return text
}
