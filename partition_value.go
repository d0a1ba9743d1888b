package quiver

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// keyText writes a value of a key type as Iceberg's identity transform prints it, not yet encoded; nil gives "".
func keyText(dt arrow.DataType, value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), nil
	case decimal128.Num:
		return formatUnscaled(v.BigInt(), dt.(arrow.DecimalType).GetScale()), nil
	case decimal256.Num:
		return formatUnscaled(v.BigInt(), dt.(arrow.DecimalType).GetScale()), nil
	case arrow.Date32:
		return timeText(time.Unix(int64(v)*daySeconds, 0), dateLayout)
	case arrow.Date64:
		return timeText(time.UnixMilli(int64(v)), dateLayout)
	case arrow.Time32:
		return clockText(int64(v), dt.(*arrow.Time32Type).Unit)
	case arrow.Time64:
		return clockText(int64(v), dt.(*arrow.Time64Type).Unit)
	case arrow.Timestamp:
		t := dt.(*arrow.TimestampType)
		layout := dateLayout + "T" + clockLayout
		text, err := timeText(v.ToTime(t.Unit), layout+fraction(int64(v), t.Unit))
		if t.TimeZone != "" {
			text += "+00:00"
		}
		return text, err
	}
	return "", fmt.Errorf("a value of Go type %T is in no key", value)
}

// timeText writes a time in UTC if its year has four digits, so that it can be read again.
func timeText(t time.Time, layout string) (string, error) {
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return "", fmt.Errorf("the year %d does not lie between 1 and 9999", t.Year())
	}
	return t.Format(layout), nil
}

func clockText(v int64, unit arrow.TimeUnit) (string, error) {
	step := int64(unit.Multiplier())
	if v < 0 || v >= int64(day)/step {
		return "", fmt.Errorf("the time %d%s does not lie within a day", v, unit)
	}
	return timeText(time.Unix(0, v*step), clockLayout+fraction(v, unit))
}

// fraction gives the layout of a time's fraction of a second: none if it is 0, six digits, or nine if these are needed.
func fraction(v int64, unit arrow.TimeUnit) string {
	perSecond := int64(time.Second) / int64(unit.Multiplier())
	switch rest := v % perSecond; {
	case rest == 0:
		return ""
	case unit == arrow.Nanosecond && rest%1000 != 0:
		return ".000000000"
	}
	return ".000000"
}

// parsePartitionValue reads an encoded value. Text that is no value of the type is an error that says what is.
func parsePartitionValue(dt arrow.DataType, encoded string) (any, error) {
	text, ok := decodePercent(encoded)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is not percent-encoded", quote(encoded))
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("%s is not UTF-8", quote(encoded))
	}
	value, err := parseDefaultText(dt, text)
	if err != nil {
		return nil, fmt.Errorf("%s is no %s: %w", quote(text), shortType(dt), err)
	}
	return value, nil
}

// parseDefaultText reads the text of a value of a key type.
func parseDefaultText(dt arrow.DataType, text string) (any, error) {
	if dt.ID() == arrow.BOOL {
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("true or false is expected")
		}
		return text == "true", nil
	}
	return parseValue(dt, jsonText(text))
}
