package quiver

import (
	"fmt"
	"strings"
)

// maxSuggest bounds the words that Nearest compares, so that hints stay cheap whatever a client sends.
const maxSuggest = 64

// Nearest gives the known word that the given one was most likely meant to be, or "" if none is near.
//
// Near means at most a third of the word's letters inserted, dropped, replaced or swapped with their neighbour,
// case and the difference of "-", "_" and " " aside. Of equally near ones it is the first.
func Nearest(word string, known []string) string {
	if len(word) > maxSuggest {
		return ""
	}
	folded := foldWord(word)
	best, bestDistance := "", len(folded)/3+1
	for _, k := range known {
		if len(k) > maxSuggest {
			continue
		}
		if d := editDistance(folded, foldWord(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// suggest phrases Nearest as the end of a sentence: `; did you mean "x"?`, or nothing.
func suggest(word string, known []string) string {
	if n := Nearest(word, known); n != "" {
		return fmt.Sprintf(", did you mean %q?", n)
	}
	return ""
}

func foldWord(w string) []rune {
	return []rune(strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(w)))
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours between a and b
// (optimal string alignment).
func editDistance(a, b []rune) int {
	before := make([]int, len(b)+1) // the row for a[:i-2]
	last := make([]int, len(b)+1)   // the row for a[:i-1]
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
