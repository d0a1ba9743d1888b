package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the recorded plots and the raw file")

const (
	pageOfResults = "../docs/benchmarks.md"
	rawResults    = "../docs/benchmarks"
)

// sampled is a result with everything that a page can show.
func sampled() *result {
	at := func(v float64, loaded bool) sample {
		m := metrics{gbPerSec: v, serverCPU: 0.25}
		for i, q := range ladder {
			m[percentile(q)] = v / 3 * float64(int(1)<<i) / 8
		}
		return sample{Metrics: m, Foreign: 0.5, Loaded: loaded}
	}
	r := &result{
		Job: "J1", Title: "Nothing", Notes: []string{"a note"}, Command: "go run ./bench", Commit: "abc", Took: 61,
		Started: time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC),
		Machine: machine{CPU: "a CPU", Cores: 2, Versions: map[string]string{"go": "go1.26", "arrow-go": "v18"}},
		Arms: []armResult{
			{"Quiver, a way", []sample{at(1.5, false), at(2.5, false), at(1, false), at(99, true)}},
			{"a floor", []sample{at(2, true), at(2.5, true), at(1.8, false)}},
			{"another floor, with a name & a sign", []sample{at(1.9, false), at(2.6, false), at(1.7, false)}},
		},
	}
	judgeSampled(r)
	return r
}

func judgeSampled(r *result) {
	r.about("speed, of all")
	r.atLeast(1, r.series("Quiver, a way", gbPerSec), "speed")
	r.atLeast(1.2, r.ratio(gbPerSec, "Quiver, a way", "another floor, with a name & a sign"), "speed of the other floor")
	r.atMost(0.2, r.series("Quiver, a way", serverCPU), "CPU")
}

// TestRaw checks that a raw file has a line for each sample, and comes back as it was.
func TestRaw(t *testing.T) {
	r, dir := sampled(), t.TempDir()
	if err := r.save(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "J1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n\t\t\t\t{ ")); lines != 10 || bytes.Count(text, []byte("\n")) > 60 {
		t.Errorf("%d lines of samples:\n%s", lines, text)
	}
	back, err := loadResult(dir, &job{name: "J1", judge: judgeSampled})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.encode(); err != nil || !bytes.Equal(again, text) {
		t.Errorf("it came back as %s, %v", again, err)
	}
	if !slices.Equal(back.goals, r.goals) {
		t.Errorf("goals %v, they were %v", back.goals, r.goals)
	}
	if none, err := loadResult(dir, &job{name: "J2"}); none != nil || err != nil {
		t.Errorf("a job that was not run: %v, %v", none, err)
	}
}

func TestSummary(t *testing.T) {
	page, err := replaceSummary("before\n"+summaryBegin+"\nold\n"+summaryEnd+"\nafter\n", "raw", []*result{sampled()})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n", "\nafter\n", "- J1: a CPU, 2 cores, 0 GB, , data on ; arrow-go v18, go 1.26; commit `abc`, 2026-11-27",
		"| J1 | speed | ≥ 1.00 | 1.50 | 1.00 to 2.50 | met |", "| J1 | CPU | ≤ 0.200 | 0.250 | 0.250 to 0.250 | [**missed**](#j1-speed-of-all) |",
		"1 of 3 goals are met.", "- 4 rounds in 1m1s. All samples: [J1.json](raw/J1.json).", "![J1: latency by percentile](raw/J1-latency.svg)",
		"| a floor † | 2.00 (1.80 to 2.50) |", "| Quiver, a way | 1.50 (1.00 to 2.50) |",
		"during 3 samples: 0 were taken again, 1 do not count, 2 do, of arms with fewer than 3 undisturbed ones (†).",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "old") {
		t.Error("what was between the lines is still there")
	}
	if _, err := replaceSummary("no lines", "raw", nil); err == nil {
		t.Error("a page without the lines was taken")
	}
}

// TestPlots compares plots with recorded ones, which people have looked at.
func TestPlots(t *testing.T) {
	plots := plotsOf(sampled())
	if len(plots) != 3 {
		t.Fatalf("%d plots", len(plots))
	}
	for _, p := range plots {
		path := filepath.Join("testdata", p.file)
		if *update {
			if err := os.WriteFile(path, p.svg, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(p.svg, want) {
			t.Errorf("%s is not as it was recorded (-update writes it): %v", path, err)
		}
	}
}

// TestPage checks that page and plots are what the raw files give: go run ./bench -summary makes them so.
func TestPage(t *testing.T) {
	s, err := summarize(pageOfResults, rawResults)
	if err != nil {
		t.Fatal(err)
	}
	if names := s.stale(pageOfResults, rawResults); len(names) > 0 {
		t.Errorf("not as the raw results have it: %q", names)
	}
}

// TestMissed checks that each missed goal has an entry on the page: the profile, what was tried, and the next idea.
func TestMissed(t *testing.T) {
	results, err := loadResults(rawResults)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(pageOfResults)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range missed(results) {
		if lacks := lacking(string(text), topic); len(lacks) > 0 {
			t.Errorf("%q is missed, and its entry lacks %q", topic, lacks)
		}
	}
}

// lacking gives what a topic's entry does not have; the heading, if there is none.
func lacking(page, topic string) (parts []string) {
	_, entry, found := strings.Cut(page, "\n### "+topic+"\n")
	if !found {
		return []string{"### " + topic}
	}
	entry, _, _ = strings.Cut(entry, "\n##")
	for _, part := range []string{"**Profile.** ", "**Tried.** ", "**Next.** "} {
		if !strings.Contains(entry, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

func TestLacking(t *testing.T) {
	page := "\n### J1: a\n\n**Profile.** x **Tried.** y **Next.** z\n\n### J1: b\n\n**Tried.** y\n\n## End\n\n**Next.** z\n"
	for topic, want := range map[string][]string{
		"J1: a": nil, "J1: b": {"**Profile.** ", "**Next.** "}, "J1: c": {"### J1: c"},
	} {
		if got := lacking(page, topic); !slices.Equal(got, want) {
			t.Errorf("%s lacks %q, want %q", topic, got, want)
		}
	}
}

// TestTopTable reads what pprof prints.
func TestTopTable(t *testing.T) {
	printed := "File: bench\nType: cpu\n      flat  flat%   sum%        cum   cum%\n     1.20s 12.00% 12.00%      3.00s 30.00%  hash/crc32.update (inline)\n"
	want := "| own | with callees | |\n|---|---|---|\n| 12.00% | 30.00% | `hash/crc32.update (inline)` |\n"
	if got := topTable(printed); got != want {
		t.Errorf("%s", got)
	}
}
