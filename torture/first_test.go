package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestFirsts judges made-up histories of one key of a first-row table.
func TestFirsts(t *testing.T) {
	for _, c := range []struct {
		story string
		want  string
	}{
		{"begin 1/1, begin 2/1, done, shown 2/1, done, +I 2/1", ""},
		{"begin 1/1, done, begin 2/1, done, shown 1/1, +I 1/1", ""},
		{"begin 1/1, begin 2/1, done, shown 1/1, shown 2/1", "is 2/1 and was 1/1"},
		{"begin 1/1, begin 2/1, done, shown 1/1, +I 2/1", "is 2/1 and was 1/1"},
		{"begin 1/1, done, begin 2/1, shown 2/1", "put when it had a row"},
		{"begin 1/1, shown 1/1, begin 2/1, +I 2/1", "is 2/1 and was 1/1"},
		{"begin 1/1, done, begin 2/1, +I 2/1", "put when it had a row"},
		{"begin 1/1, never 1/1, shown 1/1", "was refused"},
		{"begin 1/1, +I 1/1, -U 1/1", "-U of key 7"},
		{"begin 1/1, done", "has no row"},
		{"begin 1/1", ""},
	} {
		f, there := newFirsts(), false
		var err error
		for step := range strings.SplitSeq(c.story, ", ") {
			var what, row string
			_, _ = fmt.Sscan(step, &what, &row)
			switch what {
			case "begin":
				f.begin(7, row)
			case "done":
				f.done(7)
			case "never":
				f.never(row)
			case "shown":
				err = f.learn(7, row)
			default:
				there = true
				err = f.change(what, 7, row)
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			err = f.all(func(int64) bool { return there })
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.story, err, c.want)
		}
	}
}
