package quiver

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

const (
	day         = 24 * time.Hour
	daySeconds  = int64(day / time.Second)
	dateLayout  = "2006-01-02"
	clockLayout = "15:04:05"
)

// parseTemporal reads dates, times and timestamps, which are strings.
func parseTemporal(dt arrow.DataType, text []byte) (any, error) {
	switch dt.(type) {
	case *arrow.Date32Type, *arrow.Date64Type, *arrow.Time32Type, *arrow.Time64Type, *arrow.TimestampType:
	default:
		return nil, fmt.Errorf("values of this type cannot be written in JSON")
	}
	s, err := jsonOf[string](text, "a string")
	if err != nil {
		return nil, err
	}
	switch t := dt.(type) {
	case *arrow.Date32Type:
		days, err := parseDate(s)
		return arrow.Date32(days), err
	case *arrow.Date64Type:
		days, err := parseDate(s)
		return arrow.Date64(days * daySeconds * 1000), err
	case *arrow.Time32Type:
		n, err := parseClock(s, t.Unit)
		return arrow.Time32(n), err
	case *arrow.Time64Type:
		n, err := parseClock(s, t.Unit)
		return arrow.Time64(n), err
	case *arrow.TimestampType:
		n, err := parseTimestamp(s, t)
		return arrow.Timestamp(n), err
	}
	return nil, fmt.Errorf("values of this type cannot be written in JSON")
}

// parseDate gives the days since 1970.
func parseDate(s string) (int64, error) {
	t, err := time.Parse(dateLayout, s)
	if err != nil {
		return 0, fmt.Errorf("a date such as \"2026-11-22\" is expected")
	}
	return t.Unix() / daySeconds, nil
}

// parseClock gives the time of day in its unit.
func parseClock(s string, unit arrow.TimeUnit) (int64, error) {
	t, err := time.Parse(clockLayout, s)
	if err != nil || strings.Contains(s, ",") {
		return 0, fmt.Errorf("a time such as \"10:30:00.5\" is expected")
	}
	return inUnit(t.Hour()*3600+t.Minute()*60+t.Second(), t.Nanosecond(), unit, s)
}

// parseTimestamp gives the time since 1970 in the type's unit. With a zone it is an instant and its text tells the
// offset from UTC; without one it is the reading of a clock somewhere and its text does not.
func parseTimestamp(s string, dt *arrow.TimestampType) (int64, error) {
	layout, want := dateLayout+"T"+clockLayout, "2026-11-22T10:30:00"
	if dt.TimeZone != "" {
		layout, want = time.RFC3339, "2026-11-22T10:30:00Z"
	}
	if len(s) > len(dateLayout) && s[len(dateLayout)] == ' ' {
		s = s[:len(dateLayout)] + "T" + s[len(dateLayout)+1:]
	}
	t, err := time.Parse(layout, s)
	if err != nil || strings.Contains(s, ",") {
		return 0, fmt.Errorf("a timestamp such as %q is expected", want)
	}
	return inUnit(t.Unix(), t.Nanosecond(), dt.Unit, s)
}

// inUnit adds seconds and nanoseconds up in a unit, if none of the digits of the text is lost.
func inUnit[S int | int64](seconds S, nanos int, unit arrow.TimeUnit, text string) (int64, error) {
	step := int64(unit.Multiplier()) // nanoseconds in one unit
	perSecond := int64(time.Second) / step
	if int64(nanos)%step != 0 || lostDigits(text) {
		return 0, fmt.Errorf("it has more digits than the unit %s holds", unit)
	}
	s, fraction := int64(seconds), int64(nanos)/step
	if s < 0 { // so that the least value is reached without going below it
		s, fraction = s+1, fraction-perSecond
	}
	if s > 0 && s > (math.MaxInt64-fraction)/perSecond || s < 0 && s < (math.MinInt64-fraction)/perSecond {
		return 0, fmt.Errorf("it is out of the range of the unit %s", unit)
	}
	return s*perSecond + fraction, nil
}

// lostDigits says whether the text has a digit below the nanosecond that is not 0: package time drops those.
func lostDigits(text string) bool {
	_, fraction, found := strings.Cut(text, ".")
	if !found {
		return false
	}
	digits := fraction[:len(fraction)-len(strings.TrimLeft(fraction, "0123456789"))]
	return len(digits) > 9 && strings.Trim(digits[9:], "0") != ""
}

func formatTemporal(dt arrow.DataType, value any) (json.RawMessage, bool) {
	switch v := value.(type) {
	case arrow.Date32:
		return jsonText(v.ToTime().Format(dateLayout)), dt.ID() == arrow.DATE32
	case arrow.Date64:
		return jsonText(v.ToTime().Format(dateLayout)), dt.ID() == arrow.DATE64
	case arrow.Time32:
		t, ok := dt.(*arrow.Time32Type)
		return ifSo(ok, func() string { return v.ToTime(t.Unit).Format(clockLayout + ".999999999") }), ok
	case arrow.Time64:
		t, ok := dt.(*arrow.Time64Type)
		return ifSo(ok, func() string { return v.ToTime(t.Unit).Format(clockLayout + ".999999999") }), ok
	case arrow.Timestamp:
		t, ok := dt.(*arrow.TimestampType)
		return ifSo(ok, func() string {
			layout := dateLayout + "T" + clockLayout + ".999999999"
			if t.TimeZone != "" {
				layout += "Z07:00"
			}
			return v.ToTime(t.Unit).UTC().Format(layout)
		}), ok
	}
	return nil, false
}

func ifSo(ok bool, text func() string) json.RawMessage {
	if !ok {
		return nil
	}
	return jsonText(text())
}
