package tabular

import (
	"encoding/base64"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// bytesLike is an array of binary values, whatever their layout.
type bytesLike interface {
	arrow.Array
	Value(i int) []byte
}

// flatKind says how the text of a value stands in JSON.
type flatKind int8

const (
	bare    flatKind = iota // a number, true, false, or an object: as it is
	quoted                  // between quotes, nothing in it needs an escape
	escaped                 // a string that anything may stand in
)

// appendFlat appends the text of a value of a flat type that is not null; ok is false if the type is nested. separator
// stands between date and time of a timestamp.
func appendFlat(dst []byte, a arrow.Array, i int, separator byte) (text []byte, kind flatKind, ok bool) {
	switch a := a.(type) {
	case *array.Boolean:
		return strconv.AppendBool(dst, a.Value(i)), bare, true
	case *array.Int8:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10), bare, true
	case *array.Int16:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10), bare, true
	case *array.Int32:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10), bare, true
	case *array.Int64:
		return strconv.AppendInt(dst, a.Value(i), 10), bare, true
	case *array.Uint8:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10), bare, true
	case *array.Uint16:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10), bare, true
	case *array.Uint32:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10), bare, true
	case *array.Uint64:
		return strconv.AppendUint(dst, a.Value(i), 10), bare, true
	case *array.Float16:
		return appendFloatText(dst, float64(a.Value(i).Float32()), 32)
	case *array.Float32:
		return appendFloatText(dst, float64(a.Value(i)), 32)
	case *array.Float64:
		return appendFloatText(dst, a.Value(i), 64)
	case array.StringLike:
		return append(dst, a.Value(i)...), escaped, true
	case bytesLike:
		return base64.StdEncoding.AppendEncode(dst, a.Value(i)), quoted, true
	}
	return appendTemporal(dst, a, i, separator)
}

// appendFloatText writes a float so that it reads back the same; NaN and infinities are words.
func appendFloatText(dst []byte, f float64, bits int) ([]byte, flatKind, bool) {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...), quoted, true
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...), quoted, true
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...), quoted, true
	}
	format := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	for _, c := range dst[from:] {
		if c == '.' || c == 'e' {
			return dst, bare, true
		}
	}
	return append(dst, ".0"...), bare, true // so that it is seen to be a float
}

func appendTemporal(dst []byte, a arrow.Array, i int, separator byte) ([]byte, flatKind, bool) {
	switch a := a.(type) {
	case *array.Date32:
		return a.Value(i).ToTime().AppendFormat(dst, time.DateOnly), quoted, true
	case *array.Date64:
		return a.Value(i).ToTime().AppendFormat(dst, time.DateOnly), quoted, true
	case *array.Time32:
		return a.Value(i).ToTime(a.DataType().(*arrow.Time32Type).Unit).AppendFormat(dst, clockLayout), quoted, true
	case *array.Time64:
		return a.Value(i).ToTime(a.DataType().(*arrow.Time64Type).Unit).AppendFormat(dst, clockLayout), quoted, true
	case *array.Timestamp:
		return appendTimestampText(dst, a.Value(i), a.DataType().(*arrow.TimestampType), separator), quoted, true
	case *array.Duration:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10), bare, true
	case *array.MonthInterval:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10), bare, true
	}
	return appendWritten(dst, a, i)
}

const (
	clockLayout  = "15:04:05.999999999"
	offsetLayout = "Z07:00"
)

// appendTimestampText writes an instant as its time zone's clocks show it, with the offset from UTC, and a timestamp
// without a zone without one.
func appendTimestampText(dst []byte, value arrow.Timestamp, t *arrow.TimestampType, separator byte) []byte {
	at := instant(int64(value), t.Unit)
	if t.TimeZone == "" {
		at = at.UTC()
	} else {
		at = at.In(location(t.TimeZone))
		if _, offset := at.Zone(); offset%60 != 0 { // before zones were introduced; it could not be written
			at = at.UTC()
		}
	}
	dst = append(at.AppendFormat(dst, time.DateOnly), separator)
	dst = at.AppendFormat(dst, clockLayout)
	if t.TimeZone != "" {
		dst = at.AppendFormat(dst, offsetLayout)
	}
	return dst
}

func instant(n int64, unit arrow.TimeUnit) time.Time {
	perSecond := int64(time.Second) / int64(unit.Multiplier())
	seconds, part := n/perSecond, n%perSecond
	return time.Unix(seconds, part*int64(unit.Multiplier()))
}

var locations sync.Map // name -> *time.Location

// location gives a zone by its name or offset; an unknown one is UTC, whose instants are the same.
func location(name string) *time.Location {
	if known, ok := locations.Load(name); ok {
		return known.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		zone = time.UTC
		if seconds, zoned, ok := parseOffset([]byte(name)); ok && zoned {
			zone = time.FixedZone(name, int(seconds))
		}
	}
	locations.Store(name, zone)
	return zone
}

// appendWritten writes what has the text of a default: decimals and intervals.
func appendWritten(dst []byte, a arrow.Array, i int) ([]byte, flatKind, bool) {
	var value any
	kind := bare
	switch a := a.(type) {
	case *array.Decimal128:
		value, kind = a.Value(i), quoted
	case *array.Decimal256:
		value, kind = a.Value(i), quoted
	case *array.Decimal32, *array.Decimal64:
		return append(dst, a.ValueStr(i)...), quoted, true
	case *array.DayTimeInterval:
		value = a.Value(i)
	case *array.MonthDayNanoInterval:
		value = a.Value(i)
	default:
		return dst, bare, false
	}
	text, err := quiver.FormatDefault(a.DataType(), value)
	if err != nil {
		return append(dst, a.ValueStr(i)...), escaped, true
	}
	if kind == quoted && len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	return append(dst, text...), kind, true
}
