package filter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// class is what a literal is as long as nothing else says what it is compared with.
func (l *literal) class() class {
	switch l.kind {
	case literalNull:
		return classNull
	case literalBool:
		return classBool
	case literalNumber:
		return classNumber
	case literalText:
		return classText
	case literalBytes:
		return classBytes
	case literalDate:
		return classDate
	case literalTime:
		return classTime
	}
	if m, err := parseTimestamp(l.text); err == nil && m.zoned {
		return classInstant
	}
	return classReading
}

// read gives a literal as a value that compares with a column, or names the fault. A column that does not resolve
// is none of the literal's.
func (b *binder) read(l *literal, r *ref) (value, bool) {
	if r == nil || !b.compares(r, l.at) {
		return value{}, false
	}
	if r.class == classNull {
		return value{class: classNull}, true
	}
	zone := ""
	if t, ok := r.dt.(*arrow.TimestampType); ok {
		zone = t.TimeZone
	}
	v, ok := b.readAs(l, r.class, zone, fmt.Sprintf("column %s is %s", r.name, shortType(r.dt)))
	if ok && r.isFloat() {
		v.number = v.number.closest()
	}
	return v, ok
}

// readAs gives a literal as a value that compares with those of a class; zone is that of the instants it is compared
// with, and beside says what that is: `column price is double`, empty for another literal.
func (b *binder) readAs(l *literal, c class, zone, beside string) (value, bool) {
	v := value{class: l.class(), text: l.text}
	if v.class == classNull || c == classNull {
		return value{class: classNull}, true
	}
	if beside == "" {
		beside = "the other side is " + classNouns[c]
	}
	var err error
	switch l.kind {
	case literalBool:
		v.truth = l.text == "true"
	case literalNumber:
		v.number = l.number
	case literalText:
		err = v.readText(c, zone)
	case literalDate, literalTime, literalTimestamp:
		err = v.readMoment(l.kind, c, zone)
	}
	switch {
	case err != nil:
		b.faults.add(l.at, "%s, and %s is none: %v", beside, quote(l.text), err)
		return value{}, false
	case !v.class.comparable(c):
		b.faults.add(l.at, "%s, and %s does not compare with it%s", beside, l.describe(), literalHint(l.kind, c))
		return value{}, false
	}
	return v, true
}

// readText reads text as what it is compared with, if that has a form as text.
func (v *value) readText(c class, zone string) error {
	var m moment
	var err error
	switch c {
	case classDate:
		m, err = parseDate(v.text)
	case classTime:
		m, err = parseTime(v.text)
	case classInstant, classReading:
		if m, err = parseTimestamp(v.text); err == nil {
			err = fitZone(m, c, zone)
		}
	case classDuration:
		v.number, err = parseDuration(v.text)
		v.class = c
		return err
	default:
		return nil
	}
	v.class, v.number = c, m.number()
	return err
}

// readMoment reads the text behind date, time or timestamp, whose form is right.
func (v *value) readMoment(kind literalKind, c class, zone string) error {
	var m moment
	var err error
	switch kind {
	case literalDate:
		m, err = parseDate(v.text)
	case literalTime:
		m, err = parseTime(v.text)
	default:
		if m, err = parseTimestamp(v.text); err == nil && (c == classInstant || c == classReading) {
			err = fitZone(m, c, zone)
			v.class = c
		}
	}
	v.number = m.number()
	return err
}

// fitZone says why a timestamp cannot be compared with those of a class, if it cannot. One without an offset is taken
// for UTC where the zone of the others is UTC, and nowhere else.
func fitZone(m moment, c class, zone string) error {
	switch {
	case c == classReading && m.zoned:
		return errors.New("the others have no time zone, so leave out the offset from UTC")
	case c == classInstant && !m.zoned && !isUTC(zone):
		return fmt.Errorf("the others have the time zone %s, so write the offset from UTC, as in '2026-11-22T10:30:00Z'", zone)
	}
	return nil
}

// isUTC says whether a time zone is UTC under one of its names.
func isUTC(zone string) bool {
	switch strings.ToUpper(zone) {
	case "UTC", "ETC/UTC", "Z", "ZULU", "GMT", "+00:00", "UCT", "ETC/UCT", "ETC/GMT":
		return true
	}
	return false
}

// describe names a literal in an error.
func (l *literal) describe() string {
	switch l.kind {
	case literalNumber:
		if len(l.text) > maxQuote {
			return l.text[:maxQuote] + "…"
		}
		return l.text
	case literalBool:
		return l.text
	case literalText:
		return "the text " + quote(l.text)
	}
	return classNouns[l.class()]
}

// literalHint says how what was probably meant is written.
func literalHint(kind literalKind, c class) string {
	switch {
	case kind == literalText && (c == classNumber || c == classBool):
		return "; leave out the quotes"
	case kind == literalText && c == classBytes:
		return "; write bytes as x'00ff'"
	case kind == literalBytes && c == classText:
		return "; write text in single quotes, without x"
	case kind == literalNumber && c == classDuration:
		return "; write its unit, as in '90s'"
	case c == classText:
		return "; write text in single quotes"
	case kind == literalNumber && c == classDate:
		return "; write it as '2026-11-22'"
	case kind == literalNumber && (c == classInstant || c == classReading):
		return "; write it as '2026-11-22T10:30:00Z'"
	}
	return ""
}
