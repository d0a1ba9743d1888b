package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// maxFaults bounds the faults that one error names; the rest is counted.
const maxFaults = 10

// maxQuote bounds the bytes of a text that an error repeats.
const maxQuote = 64

// hintPosition tells what the positions of an error count.
const hintPosition = "positions count characters from 0"

// syntaxError says what is wrong at a byte of the text.
func syntaxError(text string, at int, format string, args ...any) error {
	return quiver.Errorf(quiver.BadFilter, "filter, position %d: %s", position(text, at), fmt.Sprintf(format, args...)).
		Advise(hintPosition)
}

// position counts the characters before a byte of the text.
func position(text string, at int) int { return utf8.RuneCountInString(text[:min(at, len(text))]) }

// quote quotes text for an error, cut short if it is long.
func quote(s string) string {
	if len(s) <= maxQuote {
		return fmt.Sprintf("%q", s)
	}
	cut := maxQuote
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", s[:cut])
}

// faultList gathers all for which a filter does not fit its table.
type faultList struct {
	filter string
	texts  []string
	more   int
}

func (l *faultList) add(at int, format string, args ...any) {
	if l.full() {
		l.more++
		return
	}
	l.texts = append(l.texts, fmt.Sprintf("position %d: %s", position(l.filter, at), fmt.Sprintf(format, args...)))
}

// full says that further faults are only counted: their texts need not be made.
func (l *faultList) full() bool { return len(l.texts) == maxFaults }

// any says that there is a fault already.
func (l *faultList) any() bool { return len(l.texts) > 0 }

// error gives nil if nothing is wrong.
func (l *faultList) error() error {
	if len(l.texts) == 0 {
		return nil
	}
	text := strings.Join(l.texts, "; ")
	if l.more > 0 {
		text += fmt.Sprintf("; and %d more", l.more)
	}
	return quiver.Errorf(quiver.BadFilter, "filter, %s", text).Advise(hintPosition)
}
