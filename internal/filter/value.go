package filter

import (
	"cmp"
	"strings"
)

// value is a literal in the class of what it is compared with.
type value struct {
	class  class
	number number // numbers; what dates, times and durations are in seconds
	text   string // text and bytes
	truth  bool
}

// cmp compares two values of comparable classes, neither of them null.
func (v value) cmp(w value) int {
	switch v.class {
	case classBool:
		return cmp.Compare(truthNumber(v.truth), truthNumber(w.truth))
	case classText, classBytes:
		return strings.Compare(v.text, w.text)
	}
	return v.number.cmp(w.number)
}

func truthNumber(t bool) int {
	if t {
		return 1
	}
	return 0
}
