package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// part is what the page has of one job.
type part struct {
	job     string
	machine string   // where it ran, and how
	goals   []string // rows of the table of goals
	table   string   // title, notes and medians
}

// partOf makes the part of a result.
func partOf(r *result) part {
	return part{job: r.Job, machine: machineLine(r), goals: goalRows(r), table: oneJob(r)}
}

// mergeParts takes the part of each job from the results, or, if its raw result is not there, as the page has it: a run
// of some jobs leaves the others' tables alone. The order is that of the jobs.
func mergeParts(results []*result, page []part) []part {
	merged := slices.Clone(page)
	for _, r := range results {
		merged = slices.DeleteFunc(merged, func(p part) bool { return p.job == r.Job })
		merged = append(merged, partOf(r))
	}
	place := func(p part) int { return slices.IndexFunc(jobs, func(j job) bool { return j.name == p.job }) }
	slices.SortStableFunc(merged, func(a, b part) int { return place(a) - place(b) })
	return merged
}

// Lines of the page that say which job they are about.
var (
	machineOf = regexp.MustCompile(`^- ((?:J\d+, )*J\d+): (.*)\.$`)
	goalOf    = regexp.MustCompile(`^\| (J\d+) \|`)
	tableOf   = regexp.MustCompile(`^### (J\d+): `)
)

// readParts reads the parts back that an earlier run wrote.
func readParts(tables string) []part {
	var parts []part
	of := func(job string) *part {
		i := slices.IndexFunc(parts, func(p part) bool { return p.job == job })
		if i < 0 {
			i, parts = len(parts), append(parts, part{job: job})
		}
		return &parts[i]
	}
	in := "" // whose table the line is part of
	for line := range strings.Lines(tables) {
		bare := strings.TrimSuffix(line, "\n")
		if m := tableOf.FindStringSubmatch(bare); m != nil {
			in = m[1]
		}
		if in != "" {
			of(in).table += line
		} else if m := machineOf.FindStringSubmatch(bare); m != nil {
			for name := range strings.SplitSeq(m[1], ", ") {
				of(name).machine = m[2]
			}
		} else if m := goalOf.FindStringSubmatch(bare); m != nil {
			of(m[1]).goals = append(of(m[1]).goals, line)
		}
	}
	for i := range parts {
		parts[i].table = strings.TrimRight(parts[i].table, "\n") + "\n\n"
	}
	return parts
}

// writeParts writes the tables of all parts.
func writeParts(parts []part) string {
	var text strings.Builder
	var lines []string
	jobsOf := map[string][]string{}
	for _, p := range parts {
		if jobsOf[p.machine] == nil {
			lines = append(lines, p.machine)
		}
		jobsOf[p.machine] = append(jobsOf[p.machine], p.job)
	}
	for _, line := range lines {
		fmt.Fprintf(&text, "- %s: %s.\n", strings.Join(jobsOf[line], ", "), line)
	}
	text.WriteString("\n### Goals\n\n| Job | Goal | Wanted | Median | Least to most | |\n|---|---|---|---|---|---|\n")
	for _, p := range parts {
		text.WriteString(strings.Join(p.goals, ""))
	}
	text.WriteString("\n")
	for _, p := range parts {
		text.WriteString(p.table)
	}
	return strings.TrimRight(text.String(), "\n") + "\n"
}
