package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// printProfiles prints the top of the profiles of a job's servers, ready to be put into the page.
func (b *bench) printProfiles(ctx context.Context) error {
	if b.top == 0 {
		return nil
	}
	paths, err := filepath.Glob(filepath.Join(b.profiles, b.job+"-*.pprof"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		for _, order := range []string{"-flat", "-cum"} {
			out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", order, "-nodecount", fmt.Sprint(b.top), path).Output()
			if err != nil {
				return fmt.Errorf("go tool pprof %s: %w", path, err)
			}
			b.logf("\n%s, %s:\n\n%s", strings.TrimSuffix(filepath.Base(path), ".pprof"), orders[order], topTable(string(out)))
		}
	}
	return nil
}

var orders = map[string]string{"-flat": "by a function's own time", "-cum": "with what it calls"}

// topTable makes a Markdown table of what pprof -top prints: flat flat% sum% cum cum% name.
func topTable(printed string) string {
	var text strings.Builder
	text.WriteString("| own | with callees | |\n|---|---|---|\n")
	_, rows, _ := strings.Cut(printed, "cum%\n")
	for line := range strings.Lines(rows) {
		fields := strings.Fields(line)
		const own, all, name = 1, 4, 5
		if len(fields) > name {
			fmt.Fprintf(&text, "| %s | %s | `%s` |\n", fields[own], fields[all], strings.Join(fields[name:], " "))
		}
	}
	return text.String()
}
