package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quiverlog/quiver/bench/measure"
)

// result is one job's outcome: the raw file docs/benchmarks/<job>.json, from which everything else is made.
type result struct {
	Job     string      `json:"job"`
	Title   string      `json:"title"`
	Notes   []string    `json:"notes"`
	Started time.Time   `json:"started"`
	Took    float64     `json:"took_s"`
	Command string      `json:"command"`
	Commit  string      `json:"commit"`
	Machine machine     `json:"machine"`
	Arms    []armResult `json:"arms"`

	goals []goal // judged from the arms
	topic string // of the goals that are judged now
}

// armResult is all samples of one arm, in the order of the rounds.
type armResult struct {
	Name    string   `json:"name"`
	Samples []sample `json:"samples"`
}

// goal is one line of the goals, judged.
type goal struct {
	topic     string  // names the entry that tells why, if it is missed
	text      string  //
	value     float64 // median over the rounds
	low, high float64 //
	need      float64 //
	less      bool    // the value must be at most need, not at least
	met       bool
}

// arm finds an arm by name; nil if the run did not have it (no Python, say).
func (r *result) arm(name string) *armResult {
	i := slices.IndexFunc(r.Arms, func(a armResult) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Arms[i]
}

// leastQuiet is how many undisturbed samples of an arm are enough to do without the others.
const leastQuiet = 3

// noisy says that too many samples of the arm were disturbed: all of them count, and the tables mark the arm.
func (a *armResult) noisy() bool {
	quiet := 0
	for _, s := range a.Samples {
		if !s.Loaded {
			quiet++
		}
	}
	return quiet < min(leastQuiet, len(a.Samples))
}

// values are the samples of one metric, round by round: NaN where the sample does not have it, or does not count since
// other programs disturbed it.
func (a *armResult) values(metric string) []float64 {
	if a == nil {
		return nil
	}
	out := make([]float64, len(a.Samples))
	noisy := a.noisy()
	for i, s := range a.Samples {
		v, ok := s.Metrics[metric]
		if !ok || (s.Loaded && !noisy) {
			v = math.NaN()
		}
		out[i] = v
	}
	return out
}

// has says whether the arm has a metric at all.
func (a *armResult) has(metric string) bool {
	return slices.ContainsFunc(a.Samples, func(s sample) bool { _, ok := s.Metrics[metric]; return ok })
}

// series is a metric of an arm, round by round.
func (r *result) series(arm, metric string) []float64 { return r.arm(arm).values(metric) }

// ratio is a metric of one arm against another's, round by round.
func (r *result) ratio(metric, arm, against string) []float64 {
	return pairwise(r.series(arm, metric), r.series(against, metric), divide)
}

// about names the topic of the goals that follow.
func (r *result) about(topic string) { r.topic = r.Job + ": " + topic }

// atLeast judges values whose median must not be below need. Without values there is nothing to judge.
func (r *result) atLeast(need float64, values []float64, text string) {
	r.judge(need, values, false, text)
}

// atMost judges values whose median must not be above need.
func (r *result) atMost(need float64, values []float64, text string) {
	r.judge(need, values, true, text)
}

func (r *result) judge(need float64, values []float64, less bool, text string) {
	value := measure.Median(values)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	g := goal{topic: r.topic, text: text, value: value, need: need, less: less}
	g.low, g.high = measure.Spread(values)
	g.met = value >= need
	if less {
		g.met = value <= need
	}
	r.goals = append(r.goals, g)
}

// relation is ≥ or ≤.
func (g *goal) relation() string {
	if g.less {
		return "≤"
	}
	return "≥"
}

// line is a goal in one line.
func (g *goal) line() string {
	verdict := "missed"
	if g.met {
		verdict = "met"
	}
	return fmt.Sprintf("  %-6s %s: %s (%s to %s), wanted %s %s", verdict, g.text, measure.Figure(g.value), measure.Figure(g.low), measure.Figure(g.high), g.relation(), measure.Figure(g.need))
}

// encode makes the raw file: indented, but for a sample, which takes one line.
func (r *result) encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("result of %s: %w", r.Job, err)
	}
	data = deepLines.ReplaceAll(data, []byte(" "))
	return append(shutLines.ReplaceAll(data, []byte(" $1")), '\n'), nil
}

// What stands deeper than a sample's brace, and the brace that ends it.
var (
	deepLines = regexp.MustCompile(`\n\t{5,}`)
	shutLines = regexp.MustCompile(`\n\t{4}(\})`)
)

// save writes the raw file into the directory.
func (r *result) save(dir string) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Job+".json"), data, 0o644)
}

// loadResult reads the raw file of a job and judges it; nil if there is none.
func loadResult(dir string, j *job) (*result, error) {
	data, err := os.ReadFile(filepath.Join(dir, j.name+".json"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &result{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s.json: %w", j.name, err)
	}
	j.judge(r)
	return r, nil
}

// loadResults reads the raw files of all jobs, in their order.
func loadResults(dir string) ([]*result, error) {
	var results []*result
	for i := range jobs {
		r, err := loadResult(dir, &jobs[i])
		if err != nil {
			return nil, err
		}
		if r != nil {
			results = append(results, r)
		}
	}
	return results, nil
}

// missed are the topics with a missed goal, each once.
func missed(results []*result) (topics []string) {
	for _, r := range results {
		for _, g := range r.goals {
			if !g.met && !slices.Contains(topics, g.topic) {
				topics = append(topics, g.topic)
			}
		}
	}
	return topics
}

// anchor is where a topic's entry is on the page, as Markdown readers make it of a heading.
func anchor(topic string) string {
	return "#" + strings.ReplaceAll(strings.Map(func(c rune) rune {
		if strings.ContainsRune(":,.%", c) {
			return -1
		}
		return c
	}, strings.ToLower(topic)), " ", "-")
}
