package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReport writes the table between its marks, and all of it as JSON.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	o := options{seed: 7, rounds: 2, docs: filepath.Join(dir, "page.md"), out: filepath.Join(dir, "report.json")}
	page := "before\n<!-- hostile run -->\nold\n<!-- end of hostile run -->\nbehind\n"
	if err := os.WriteFile(o.docs, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newReport(o)
	for i := range 100 {
		r.took["calm"]["put"] = append(r.took["calm"]["put"], time.Duration(i)*time.Millisecond)
		r.took["attack"]["put"] = append(r.took["attack"]["put"], time.Duration(3*i)*time.Millisecond)
	}
	r.compare()
	r.count("12\tbombs\n3\tpings\n")
	r.count("1\tbombs\n")
	if err := r.write(o, &strings.Builder{}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(o.docs)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nbehind\n") || strings.Contains(text, "old") ||
		!strings.Contains(text, "| put | 50.00, 99.00 | 150.00, 297.00 | 3.00 |") {
		t.Errorf("the page is\n%s", text)
	}
	var read report
	data, err := os.ReadFile(o.out)
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err != nil || read.Seed != 7 || read.Attacks["bombs"] != 13 || read.Attacks["pings"] != 3 || read.Calls["put"].Ratio != 3 {
		t.Errorf("%v, the report is %s", err, data)
	}
	if err := os.WriteFile(o.docs, []byte("a page without marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.write(o, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "<!-- hostile run -->") {
		t.Errorf("a page without marks: %v", err)
	}
}

// TestPercentile is about few values, and none.
func TestPercentile(t *testing.T) {
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("of none: %v", got)
	}
	if got := percentile([]time.Duration{3, 1, 2}, 99); got != 3 {
		t.Errorf("of three: %v", got)
	}
}
