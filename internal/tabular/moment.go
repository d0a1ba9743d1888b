package tabular

import "time"

// moment is a point of time or the reading of a clock: seconds since 1970 and nanoseconds from 0.
type moment struct {
	seconds int64
	nanos   int64
}

func (m moment) fits(least, most int64) bool { return m.seconds >= least && m.seconds <= most }

const daySeconds = 24 * 60 * 60

// digits reads exactly n digits.
func digits(s []byte, n int) (value int, ok bool) {
	if len(s) < n {
		return 0, false
	}
	for _, c := range s[:n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		value = value*10 + int(c-'0')
	}
	return value, true
}

// parseDate reads "2026-11-22" as days since 1970.
func parseDate(s []byte) (days int64, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	year, ok1 := digits(s, 4)
	month, ok2 := digits(s[5:], 2)
	day, ok3 := digits(s[8:], 2)
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix() / daySeconds, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// parseClock reads "10:30", "10:30:00" or "10:30:00.5" as nanoseconds since midnight.
func parseClock(s []byte) (nanos int64, ok bool) {
	n, rest, ok := takeClock(s)
	return n, ok && len(rest) == 0
}

func takeClock(s []byte) (nanos int64, rest []byte, ok bool) {
	hour, ok1 := digits(s, 2)
	if !ok1 || len(s) < 5 || s[2] != ':' {
		return 0, nil, false
	}
	minute, ok2 := digits(s[3:], 2)
	if !ok2 || hour > 23 || minute > 59 {
		return 0, nil, false
	}
	nanos = int64(hour*3600+minute*60) * int64(time.Second)
	s = s[5:]
	if len(s) == 0 || s[0] != ':' {
		return nanos, s, true
	}
	second, ok3 := digits(s[1:], 2)
	if !ok3 || second > 59 {
		return 0, nil, false
	}
	fraction, rest, ok := takeFraction(s[3:])
	return nanos + int64(second)*int64(time.Second) + fraction, rest, ok
}

// takeFraction reads ".5" as nanoseconds; what does not end in them is refused.
func takeFraction(s []byte) (nanos int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '.' {
		return 0, s, true
	}
	scale := int64(time.Second)
	i := 1
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if scale /= 10; scale == 0 && s[i] != '0' {
			return 0, nil, false
		}
		nanos += int64(s[i]-'0') * scale
	}
	return nanos, s[i:], i > 1
}

// parseMoment reads a date, alone or with a time of day after "T" or a space, and after that an offset from UTC.
func parseMoment(s []byte) (m moment, zoned, ok bool) {
	if len(s) < 10 {
		return moment{}, false, false
	}
	days, ok := parseDate(s[:10])
	if !ok || len(s) == 10 {
		return moment{seconds: days * daySeconds}, false, ok
	}
	if s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return moment{}, false, false
	}
	nanos, rest, ok := takeClock(s[11:])
	if !ok {
		return moment{}, false, false
	}
	if len(rest) > 1 && rest[0] == ' ' {
		rest = rest[1:]
	}
	offset, zoned, ok := parseOffset(rest)
	m = moment{seconds: days*daySeconds + nanos/int64(time.Second) - offset, nanos: nanos % int64(time.Second)}
	return m, zoned, ok
}

// parseOffset reads "", "Z", "UTC", "+01", "+0100" or "+01:00" as seconds east of UTC.
func parseOffset(s []byte) (seconds int64, zoned, ok bool) {
	switch {
	case len(s) == 0:
		return 0, false, true
	case len(s) == 1 && (s[0] == 'Z' || s[0] == 'z') || string(s) == "UTC":
		return 0, true, true
	case s[0] != '+' && s[0] != '-':
		return 0, false, false
	}
	hours, ok := digits(s[1:], 2)
	if !ok || hours > 23 {
		return 0, false, false
	}
	rest := s[3:]
	if len(rest) > 0 && rest[0] == ':' {
		rest = rest[1:]
	}
	minutes := 0
	if len(rest) > 0 || len(s) != 3 {
		if minutes, ok = digits(rest, 2); !ok || len(rest) != 2 || minutes > 59 {
			return 0, false, false
		}
	}
	seconds = int64(hours*3600 + minutes*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true, true
}
