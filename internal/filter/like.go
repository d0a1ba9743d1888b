package filter

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// escape takes the meaning from the character behind it in a pattern.
const escape = '\\'

// pattern is what "like" compares with: runs of characters and single wildcards between any number of characters.
//
// It is matched without going back: the first run must stand at the beginning, the last one at the end, and each of
// the others at its first place behind the one before, which leaves most to those that follow.
type pattern struct {
	runs   [][]piece // between the "%", one more than there are; may be empty
	prefix string    // the characters before the first wildcard
	exact  bool      // there is no wildcard
	open   bool      // there is none but one "%" at the end
	plain  [][]byte  // the runs if none has a "_", else nil
}

// piece is one character of a pattern: itself, or any one.
type piece struct {
	any  bool
	char rune
}

// parsePattern reads a pattern.
func parsePattern(text string) (*pattern, error) {
	p := &pattern{runs: [][]piece{nil}}
	last := 0
	wild := false
	chars := []rune(text)
	for i := 0; i < len(chars); i++ {
		switch chars[i] {
		case '%':
			if len(p.runs) == 1 || len(p.runs[last]) > 0 { // "%%" is "%"
				p.runs = append(p.runs, nil)
				last++
			}
			wild = true
			continue
		case '_':
			p.runs[last] = append(p.runs[last], piece{any: true})
			wild = true
			continue
		case escape:
			if i++; i == len(chars) {
				return nil, fmt.Errorf("the pattern ends with the escape character \\; write \\\\ for itself")
			}
		}
		p.runs[last] = append(p.runs[last], piece{char: chars[i]})
		if !wild {
			p.prefix += string(chars[i])
		}
	}
	p.exact = !wild
	p.open = len(p.runs) == 2 && len(p.runs[1]) == 0 && len(p.prefix) > 0 && !hasAny(p.runs[0])
	p.plain = plainRuns(p.runs)
	return p, nil
}

func hasAny(run []piece) bool {
	for _, c := range run {
		if c.any {
			return true
		}
	}
	return false
}

func plainRuns(runs [][]piece) [][]byte {
	plain := make([][]byte, len(runs))
	for i, run := range runs {
		if hasAny(run) {
			return nil
		}
		for _, c := range run {
			plain[i] = utf8.AppendRune(plain[i], c.char)
		}
	}
	return plain
}

// match says whether a text is like the pattern.
func (p *pattern) match(text []byte) bool {
	if p.plain != nil {
		return p.matchPlain(text)
	}
	first, last := p.runs[0], p.runs[len(p.runs)-1]
	n := matchRun(first, text)
	if n < 0 {
		return false
	}
	text = text[n:]
	if len(p.runs) == 1 {
		return len(text) == 0
	}
	for _, run := range p.runs[1 : len(p.runs)-1] {
		for {
			if n = matchRun(run, text); n >= 0 {
				text = text[n:]
				break
			}
			if len(text) == 0 {
				return false
			}
			text = text[charLen(text):]
		}
	}
	tail := len(text)
	for range last {
		_, size := utf8.DecodeLastRune(text[:tail])
		if size == 0 {
			return false
		}
		tail -= size
	}
	return matchRun(last, text[tail:]) == len(text)-tail
}

func charLen(text []byte) int {
	_, size := utf8.DecodeRune(text)
	return size
}

// matchRun gives the bytes at the beginning of the text that a run takes, or -1.
func matchRun(run []piece, text []byte) int {
	at := 0
	for _, c := range run {
		if at == len(text) {
			return -1
		}
		char, size := utf8.DecodeRune(text[at:])
		if !c.any && char != c.char {
			return -1
		}
		at += size
	}
	return at
}

func (p *pattern) matchPlain(text []byte) bool {
	last := len(p.plain) - 1
	if last == 0 {
		return bytes.Equal(text, p.plain[0])
	}
	if !bytes.HasPrefix(text, p.plain[0]) {
		return false
	}
	text = text[len(p.plain[0]):]
	for _, run := range p.plain[1:last] {
		i := bytes.Index(text, run)
		if i < 0 {
			return false
		}
		text = text[i+len(run):]
	}
	return bytes.HasSuffix(text, p.plain[last])
}
