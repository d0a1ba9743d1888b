package registertest

import (
	"fmt"
	"strings"
)

// Kind is what a call does.
type Kind uint8

// The kinds of calls.
const (
	Lookup        Kind = iota
	Upsert             // of a whole row; one that changes nothing gives no version
	Delete             // does nothing to a key without a row
	InsertMissing      // a lookup that inserts a row with value 0 where there is none
)

// Call is what a caller asks for.
type Call struct {
	Key   int64
	Kind  Kind
	Value int64 // of an Upsert
	// Conditional says that an Upsert or Delete is to be done only if the row's version is Expected; Absent: if there
	// is no row. Expected is to be a version that the key was seen with, as a caller knows no other.
	Conditional bool
	Expected    int64
}

// Versions that are none.
const (
	Absent = int64(-1) // there is no row
	Untold = int64(-2) // the caller does not know
)

// Effect is what a put's answer tells about the row.
type Effect uint8

// The effects of puts.
const (
	Silent    Effect = iota // it does not tell
	Changed                 // the row was changed
	Unchanged               // it was as it was to be
)

// Answer is what a caller was told when the call was done.
type Answer struct {
	Found   bool   // of lookups
	Value   int64  // of lookups that found
	Version int64  // of the row found, or of the change made; Untold
	Effect  Effect // of puts
}

// outcome is how a call ended.
type outcome uint8

const (
	done outcome = iota
	refused
	lost
)

// ending is all that is known of a call's end.
type ending struct {
	outcome outcome
	answer  Answer // of done; Version of refused, too: what the key had, Absent, or Untold
}

// state is a register.
type state struct {
	present bool
	value   int64 // 0 if absent
	version int64 // Untold: above floor. Absent if absent
	floor   int64 // an earlier version: later ones are above
}

var initial = state{version: Absent, floor: Absent}

// after is the register after a change.
func (s state) after(present bool, value int64) state {
	next := state{present: present, value: value, version: Untold, floor: max(s.floor, s.version)}
	if !present {
		next.value, next.version = 0, Absent
	}
	return next
}

// carryOut does a call whose condition holds, and says whether that changes anything.
func (s state) carryOut(c Call) (state, bool) {
	switch {
	case c.Kind == Upsert && !(s.present && s.value == c.Value):
		return s.after(true, c.Value), true
	case c.Kind == Delete && s.present:
		return s.after(false, 0), true
	case c.Kind == InsertMissing && !s.present:
		return s.after(true, 0), true
	}
	return s, false
}

// at is the register if its version is the one told.
func (s state) at(version int64) (state, bool) {
	switch {
	case version == Untold:
		return s, true
	case version == Absent || !s.present:
		return s, version == Absent && !s.present
	case s.version == Untold && version > s.floor:
		s.version = version
		return s, true
	}
	return s, s.version == version
}

// shows is the register if it is what a lookup gave.
func (s state) shows(a Answer) (state, bool) {
	if !a.Found || !s.present || a.Value != s.value {
		return s, !a.Found && !s.present
	}
	return s.at(a.Version)
}

// meets is the register if it meets the call's condition, and whether it may fail it.
func (s state) meets(c Call) (met state, may, mayFail bool) {
	if !c.Conditional {
		return s, true, false
	}
	met, may = s.at(c.Expected)
	return met, may, !may || s.present && s.version == Untold
}

// step gives what the register may be after a call that ended so: nothing if it cannot have ended so.
func step(s state, c Call, e ending) (may []state) {
	if c.Kind == Lookup {
		if s, ok := s.shows(e.answer); ok {
			may = append(may, s)
		}
		return may
	}
	met, meets, fails := s.meets(c)
	switch e.outcome {
	case lost:
		may = append(may, s)
		if meets {
			next, _ := met.carryOut(c)
			may = append(may, next)
		}
	case refused:
		if s, ok := s.at(e.answer.Version); ok && fails && e.answer.Version != c.Expected {
			may = append(may, s)
		}
	case done:
		if next, ok := met.doneAs(c, e.answer); meets && ok {
			may = append(may, next)
		}
	}
	return may
}

// doneAs carries a call out, if what comes of that is what was told.
func (s state) doneAs(c Call, a Answer) (state, bool) {
	next, changed := s.carryOut(c)
	if c.Kind == InsertMissing {
		return next.shows(a)
	}
	if a.Effect != Silent && changed != (a.Effect == Changed) {
		return next, false
	}
	if !changed || a.Version == Untold {
		return next, true
	}
	if !next.present { // the version of a delete is nobody's afterwards
		ok := a.Version > next.floor
		next.floor = max(next.floor, a.Version)
		return next, ok
	}
	return next.at(a.Version)
}

func (s state) String() string {
	if !s.present {
		return fmt.Sprintf("absent, above %d", s.floor)
	}
	return fmt.Sprintf("%d at %s, above %d", s.value, versionText(s.version), s.floor)
}

func versionText(v int64) string {
	switch v {
	case Absent:
		return "absent"
	case Untold:
		return "?"
	}
	return fmt.Sprint(v)
}

// describe tells a call and its end in one line.
func describe(c Call, e ending) string {
	var b strings.Builder
	switch c.Kind {
	case Lookup:
		b.WriteString("lookup")
	case Upsert:
		fmt.Fprintf(&b, "upsert %d", c.Value)
	case Delete:
		b.WriteString("delete")
	case InsertMissing:
		b.WriteString("insert missing")
	}
	if c.Conditional {
		fmt.Fprintf(&b, " if at %s", versionText(c.Expected))
	}
	a := e.answer
	switch {
	case e.outcome == lost:
		b.WriteString(" -> lost")
	case e.outcome == refused:
		fmt.Fprintf(&b, " -> refused, at %s", versionText(a.Version))
	case c.Kind != Lookup && c.Kind != InsertMissing:
		fmt.Fprintf(&b, " -> done%s, at %s", []string{"", ", changed", ", unchanged"}[a.Effect], versionText(a.Version))
	case a.Found:
		fmt.Fprintf(&b, " -> %d at %s", a.Value, versionText(a.Version))
	default:
		b.WriteString(" -> absent")
	}
	return b.String()
}
