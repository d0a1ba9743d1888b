package filter

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

const (
	daySeconds = 24 * 60 * 60
	nanoScale  = 9 // moments are counted in nanoseconds: seconds / 10^9
)

// moment is a date, a time of day or a timestamp that was written as text, exactly.
type moment struct {
	seconds  int64 // since 1970, or since midnight
	nanos    int64 // [0, 1e9)
	dateOnly bool  // there is no time of day
	zoned    bool  // its offset from UTC is told, and taken into account
}

// number gives the moment in seconds.
func (m moment) number() number {
	n := new(big.Int).Mul(big.NewInt(m.seconds), big.NewInt(int64(time.Second)))
	return number{unscaled: n.Add(n, big.NewInt(m.nanos)), scale: nanoScale, integer: true}
}

// checkMoment says what is wrong with the text behind the word date, time or timestamp.
func checkMoment(kind literalKind, text string) error {
	var err error
	switch kind {
	case literalDate:
		_, err = parseDate(text)
	case literalTime:
		_, err = parseTime(text)
	default:
		_, err = parseTimestamp(text)
	}
	return err
}

// parseDate reads "2026-11-22".
func parseDate(text string) (moment, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return moment{}, fmt.Errorf("a date such as '2026-11-22' is expected")
	}
	return moment{seconds: t.Unix(), dateOnly: true}, nil
}

// parseTime reads "10:30", "10:30:00" and "10:30:00.5".
func parseTime(text string) (moment, error) {
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil && clockIsExact(text) {
			return moment{seconds: int64(t.Hour()*3600 + t.Minute()*60 + t.Second()), nanos: int64(t.Nanosecond())}, nil
		}
	}
	return moment{}, fmt.Errorf("a time such as '10:30:00.5' is expected, with at most nine digits behind the point")
}

// clockIsExact says whether package time takes the text as it stands: it also reads a comma for the point, an hour
// of one digit, and drops what is below the nanosecond.
func clockIsExact(text string) bool {
	_, fraction, _ := strings.Cut(text, ".")
	digits := len(fraction) - len(strings.TrimLeft(fraction, "0123456789"))
	return len(text) > 2 && text[2] == ':' && !strings.Contains(text, ",") && digits <= 9
}

// timestampLayouts are the forms of a timestamp behind its date.
var timestampLayouts = []struct {
	layout string
	zoned  bool
}{
	{"15:04:05Z07:00", true}, {"15:04Z07:00", true}, {"15:04:05", false}, {"15:04", false},
}

// parseTimestamp reads a date, and a time of day behind "T" or a space, with or without offset from UTC: "Z", "+01:00".
func parseTimestamp(text string) (moment, error) {
	if m, err := parseDate(text); err == nil {
		return m, nil
	}
	const dateLen = len(time.DateOnly)
	if len(text) > dateLen && strings.IndexByte("Tt ", text[dateLen]) >= 0 && clockIsExact(text[dateLen+1:]) {
		clock := strings.Replace(text[dateLen+1:], "z", "Z", 1)
		for _, l := range timestampLayouts {
			if t, err := time.Parse(time.DateOnly+" "+l.layout, text[:dateLen]+" "+clock); err == nil {
				return moment{seconds: t.Unix(), nanos: int64(t.Nanosecond()), zoned: l.zoned}, nil
			}
		}
	}
	return moment{}, fmt.Errorf("a timestamp such as '2026-11-22T10:30:00Z' is expected, with at most nine digits behind the point")
}

// durationUnits are the units of a duration, in nanoseconds.
var durationUnits = []struct {
	word  string
	nanos int64
}{
	{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", daySeconds * 1e9},
}

// parseDuration reads numbers with units, "1h30m", "-2.5s", "7d", in seconds.
func parseDuration(text string) (number, error) {
	total := new(big.Int) // in 10^-18 seconds, so that fractions of all units are exact
	const scale = 2 * nanoScale
	rest, negative := strings.CutPrefix(text, "-")
	fault := fmt.Errorf("a duration such as '1h30m' or '2.5s' is expected")
	for first := true; first || rest != ""; first = false {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		word := strings.TrimLeft(rest, "0123456789.")
		word = word[:len(word)-len(strings.TrimLeft(word, "nsumhd"))]
		amount := rest[:digits]
		whole, fraction, point := strings.Cut(amount, ".")
		if whole == "" || point && fraction == "" || strings.Contains(fraction, ".") || len(whole) > 30 || len(fraction) > nanoScale {
			return number{}, fault
		}
		unit := int64(0)
		for _, u := range durationUnits {
			if u.word == word {
				unit = u.nanos
			}
		}
		if unit == 0 {
			return number{}, fault
		}
		n, _ := new(big.Int).SetString(whole+fraction, 10)
		n.Mul(n, powerOfTen(nanoScale-len(fraction)))
		total.Add(total, n.Mul(n, big.NewInt(unit)))
		rest = rest[digits+len(word):]
	}
	if negative {
		total.Neg(total)
	}
	return number{unscaled: total, scale: scale, integer: true}, nil
}
