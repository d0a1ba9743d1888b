package tabular

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/quiverlog/quiver"
)

// textAppender appends the value that a text stands for. Its error is the end of a sentence that begins with the
// text: "is no int64".
type textAppender func(text []byte) error

// newTextAppender gives the appender for a builder of a flat type, or nil if the type is nested.
func newTextAppender(b array.Builder) textAppender {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return appendBool(b)
	case *array.Int64Builder:
		return appendInt[int64](b, 64)
	case *array.Int32Builder:
		return appendInt[int32](b, 32)
	case *array.Int16Builder:
		return appendInt[int16](b, 16)
	case *array.Int8Builder:
		return appendInt[int8](b, 8)
	case *array.Uint64Builder:
		return appendUint[uint64](b, 64)
	case *array.Uint32Builder:
		return appendUint[uint32](b, 32)
	case *array.Uint16Builder:
		return appendUint[uint16](b, 16)
	case *array.Uint8Builder:
		return appendUint[uint8](b, 8)
	case *array.Float64Builder:
		return appendFloat(b, 64, func(f float64) float64 { return f })
	case *array.Float32Builder:
		return appendFloat(b, 32, func(f float64) float32 { return float32(f) })
	case *array.Float16Builder:
		return appendFloat(b, 16, func(f float64) float16.Num { return float16.New(float32(f)) })
	case *array.StringBuilder:
		return appendString(b.BinaryBuilder)
	case *array.LargeStringBuilder:
		return appendString(b.BinaryBuilder)
	case *array.BinaryBuilder:
		return appendBase64(b)
	case *array.FixedSizeBinaryBuilder:
		return appendFixed(b)
	}
	return newTemporalAppender(b)
}

func newTemporalAppender(b array.Builder) textAppender {
	switch b := b.(type) {
	case *array.Date32Builder:
		return appendDate(b, func(days int64) arrow.Date32 { return arrow.Date32(days) })
	case *array.Date64Builder:
		return appendDate(b, func(days int64) arrow.Date64 { return arrow.Date64(days * daySeconds * 1000) })
	case *array.Time32Builder:
		return appendTime(b, b.Type().(*arrow.Time32Type).Unit, func(n int64) arrow.Time32 { return arrow.Time32(n) })
	case *array.Time64Builder:
		return appendTime(b, b.Type().(*arrow.Time64Type).Unit, func(n int64) arrow.Time64 { return arrow.Time64(n) })
	case *array.TimestampBuilder:
		return appendTimestamp(b)
	}
	return newWrittenAppender(b)
}

// newWrittenAppender is for types whose texts are those of defaults: decimals, durations, intervals.
func newWrittenAppender(b array.Builder) textAppender {
	var put func(value any)
	switch b := b.(type) {
	case *array.Decimal128Builder:
		put = func(v any) { b.Append(v.(decimal128.Num)) }
	case *array.Decimal256Builder:
		put = func(v any) { b.Append(v.(decimal256.Num)) }
	case *array.DurationBuilder:
		put = func(v any) { b.Append(v.(arrow.Duration)) }
	case *array.MonthIntervalBuilder:
		put = func(v any) { b.Append(v.(arrow.MonthInterval)) }
	case *array.DayTimeIntervalBuilder:
		put = func(v any) { b.Append(v.(arrow.DayTimeInterval)) }
	case *array.MonthDayNanoIntervalBuilder:
		put = func(v any) { b.Append(v.(arrow.MonthDayNanoInterval)) }
	case *array.NullBuilder:
		return func([]byte) error { return errors.New("is not null, and the column can hold nothing else") }
	default:
		return nil
	}
	dt := b.Type()
	return func(text []byte) error {
		if len(text) == 0 || text[0] != '{' {
			text, _ = json.Marshal(strings.TrimPrefix(string(text), "+")) // a string always marshals
		}
		value, err := quiver.ParseDefault(dt, text)
		if err != nil {
			_, why, _ := strings.Cut(detailOf(err), " is ")
			return errors.New("is " + why)
		}
		if value == nil {
			return noSuch(dt)
		}
		put(value)
		return nil
	}
}

func detailOf(err error) string {
	var e *quiver.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// noSuch says that a text is no value of the type.
func noSuch(dt arrow.DataType) error { return fmt.Errorf("is no %s", quiver.FormatType(dt)) }

// appender is a builder of one Go type.
type appender[T any] interface {
	Append(T)
	Type() arrow.DataType
}

// view gives the text without a copy; nothing keeps it.
func view(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

func appendBool(b *array.BooleanBuilder) textAppender {
	return func(text []byte) error {
		value, ok := parseBool(text)
		switch {
		case ok:
			b.Append(value)
		case string(text) == "1" || string(text) == "0":
			b.Append(text[0] == '1')
		default:
			return noSuch(b.Type())
		}
		return nil
	}
}

func parseBool(text []byte) (value, ok bool) {
	switch string(text) {
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

func appendInt[T int8 | int16 | int32 | int64](b appender[T], bits int) textAppender {
	return func(text []byte) error {
		n, err := strconv.ParseInt(view(text), 10, bits)
		if err != nil {
			return noSuch(b.Type())
		}
		b.Append(T(n))
		return nil
	}
}

func appendUint[T uint8 | uint16 | uint32 | uint64](b appender[T], bits int) textAppender {
	return func(text []byte) error {
		n, err := strconv.ParseUint(strings.TrimPrefix(view(text), "+"), 10, bits)
		if err != nil {
			return noSuch(b.Type())
		}
		b.Append(T(n))
		return nil
	}
}

func appendFloat[T any](b appender[T], bits int, convert func(float64) T) textAppender {
	return func(text []byte) error {
		f, err := parseFloat(text, max(bits, 32))
		const beyondHalf = 65520 // what is less rounds to the largest, 65504
		if err != nil || bits == 16 && math.Abs(f) >= beyondHalf && !math.IsInf(f, 0) {
			return noSuch(b.Type())
		}
		b.Append(convert(f))
		return nil
	}
}

var errNoFloat = errors.New("no float")

// parseFloat reads decimal digits, and the words for NaN and infinity; not the hexadecimal that strconv takes.
func parseFloat(text []byte, bits int) (float64, error) {
	if !isFloatWord(text) {
		for _, c := range text {
			if c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E' {
				continue
			}
			return 0, errNoFloat
		}
	}
	s := view(text)
	if len(s) == len("-nan") && strings.EqualFold(s[1:], "nan") {
		s = s[1:] // strconv takes no sign there
	}
	return strconv.ParseFloat(s, bits)
}

var errNoText = errors.New("is not UTF-8")

func appendString(b *array.BinaryBuilder) textAppender {
	return func(text []byte) error {
		if !utf8.Valid(text) {
			return errNoText
		}
		b.Append(text)
		return nil
	}
}

func decodeBase64(text []byte) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(view(text))
	if err != nil {
		return nil, errors.New("is no base64")
	}
	return b, nil
}

func appendBase64(b *array.BinaryBuilder) textAppender {
	return func(text []byte) error {
		value, err := decodeBase64(text)
		if err == nil {
			b.Append(value)
		}
		return err
	}
}

func appendFixed(b *array.FixedSizeBinaryBuilder) textAppender {
	width := b.Type().(*arrow.FixedSizeBinaryType).ByteWidth
	return func(text []byte) error {
		value, err := decodeBase64(text)
		switch {
		case err != nil:
			return err
		case len(value) != width:
			return fmt.Errorf("has %d bytes, the column holds %d", len(value), width)
		}
		b.Append(value)
		return nil
	}
}

func appendDate[T any](b appender[T], convert func(days int64) T) textAppender {
	return func(text []byte) error {
		days, ok := parseDate(text)
		if !ok { // a date with a time of midnight is how pandas writes some
			m, zoned, isMoment := parseMoment(text)
			if !isMoment || zoned || m.nanos != 0 || m.seconds%daySeconds != 0 {
				return errors.New(`is no date such as "2026-11-22"`)
			}
			days = m.seconds / daySeconds
		}
		b.Append(convert(days))
		return nil
	}
}

func appendTime[T any](b appender[T], unit arrow.TimeUnit, convert func(int64) T) textAppender {
	return func(text []byte) error {
		nanos, ok := parseClock(text)
		if !ok {
			return errors.New(`is no time such as "10:30:00.5"`)
		}
		if nanos%int64(unit.Multiplier()) != 0 {
			return fmt.Errorf("has more digits than %s holds", quiver.FormatType(b.Type()))
		}
		b.Append(convert(nanos / int64(unit.Multiplier())))
		return nil
	}
}

func appendTimestamp(b *array.TimestampBuilder) textAppender {
	dt := b.Type().(*arrow.TimestampType)
	return func(text []byte) error {
		m, zoned, ok := parseMoment(text)
		switch {
		case !ok && dt.TimeZone != "":
			return errors.New(`is no timestamp such as "2026-11-22T10:30:00Z"`)
		case !ok:
			return errors.New(`is no timestamp such as "2026-11-22T10:30:00"`)
		case zoned && dt.TimeZone == "":
			return errors.New("tells its offset from UTC, and the column has no time zone")
		case !zoned && dt.TimeZone != "":
			return errors.New(`does not tell its offset from UTC, as in "2026-11-22T10:30:00Z"`)
		}
		n, err := m.in(dt.Unit)
		if err == nil {
			b.Append(arrow.Timestamp(n))
		}
		return err
	}
}

// in counts the units since 1970.
func (m moment) in(unit arrow.TimeUnit) (int64, error) {
	step := int64(unit.Multiplier())
	perSecond := int64(1_000_000_000) / step
	if m.nanos%step != 0 {
		return 0, fmt.Errorf("has more digits than the unit %s holds", unit)
	}
	if !m.fits(math.MinInt64/perSecond, math.MaxInt64/perSecond-1) {
		return 0, fmt.Errorf("is out of the range of the unit %s", unit)
	}
	return m.seconds*perSecond + m.nanos/step, nil
}
