package quiver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseOnly reads a count of which this version supports one value.
func parseOnly(to *int, text string, only int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("%s is no positive integer", quote(text))
	}
	if n != only {
		return fmt.Errorf("one node supports %d only, not %d", only, n)
	}
	*to = n
	return nil
}

// parseCount reads an integer from 0 to a bound.
func parseCount(to *int, text string, most int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return fmt.Errorf("%s is no integer from 0 to %d", quote(text), most)
	}
	*to = n
	return nil
}

func parseBool(to *bool, text string) error {
	if text != "true" && text != "false" {
		return fmt.Errorf("%s is neither true nor false", quote(text))
	}
	*to = text == "true"
	return nil
}

// parseChoice reads one of two words; the second one is true.
func parseChoice(to *bool, text, no, yes string) error {
	word := ""
	err := parseWord(&word, text, no, yes)
	*to = word == yes
	return err
}

func parseColumnOrNone(to *string, text string) error {
	if *to = text; text == "none" {
		*to = ""
	}
	return nil
}

func parseAssignment(o *Options, text string) error {
	word := ""
	err := parseWord(&word, text, "sticky", "round-robin")
	o.RoundRobin = word == "round-robin"
	return err
}

// parseNames reads "all", "none", or names of columns with commas between; a name with a comma or with space at an end
// stands in double quotes, a quote within them is doubled. All is nil, none is empty.
func parseNames(text string) ([]string, error) {
	switch text {
	case "all":
		return nil, nil
	case "none":
		return []string{}, nil
	}
	names := []string{}
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " ")
		name, after, err := cutName(rest)
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, fmt.Errorf("%s is neither all nor none nor a list of columns such as id,price", quote(text))
		}
		names = append(names, name)
		if after == "" {
			return names, nil
		}
		rest = after[1:]
	}
}

// cutName takes one name off a list; what is left begins with the comma behind it, or is empty.
func cutName(text string) (name, after string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexByte(text, ',')
		if end < 0 {
			end = len(text)
		}
		return strings.TrimRight(text[:end], " "), text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
			b.WriteByte(text[i])
		case strings.HasPrefix(text[i:], `""`):
			b.WriteByte('"')
			i++
		default:
			after = strings.TrimLeft(text[i+1:], " ")
			if after != "" && after[0] != ',' {
				return "", "", fmt.Errorf("a comma is expected behind %s", quote(text[:i+1]))
			}
			return b.String(), after, nil
		}
	}
	return "", "", fmt.Errorf("the quote in %s does not end", quote(text))
}

// formatNames is the inverse of parseNames.
func formatNames(names []string) string {
	switch {
	case names == nil:
		return "all"
	case len(names) == 0:
		return "none"
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name
		if strings.ContainsAny(name, `,"`) || strings.TrimSpace(name) != name || len(names) == 1 && (name == "all" || name == "none") {
			parts[i] = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return strings.Join(parts, ",")
}

func parseWord(to *string, text string, words ...string) error {
	if !slices.Contains(words, text) {
		return fmt.Errorf("%s is none of %s%s", quote(text), strings.Join(words, ", "), suggest(text, words))
	}
	*to = text
	return nil
}

func parseDurationOrNone(to *time.Duration, text string) error {
	if text == "none" {
		*to = 0
		return nil
	}
	return parseDuration(to, text)
}

func parseDuration(to *time.Duration, text string) error {
	d, err := ParseDuration(text)
	if err != nil {
		return err
	}
	if d < time.Second {
		return fmt.Errorf("%s is less than 1s", quote(text))
	}
	*to = d
	return nil
}

func parseSizeOrNone(to *int64, text string) error {
	if text == "none" {
		*to = 0
		return nil
	}
	n, err := ParseSize(text)
	if err == nil && n < 1 {
		err = fmt.Errorf("%s is not above 0 (to keep everything, write none)", quote(text))
	}
	if err != nil {
		return err
	}
	*to = n
	return nil
}

func parseSegmentBytes(to *int64, text string) error {
	n, err := ParseSize(text)
	if err == nil && (n < minSegmentBytes || n > maxSegmentBytes) {
		err = fmt.Errorf("%s does not lie between 64KiB and 16GiB", quote(text))
	}
	if err != nil {
		return err
	}
	*to = n
	return nil
}

// units are tried in order, so that "ms" comes before "s" and "MiB" before "B".
var (
	durationUnits = []unit{
		{"ms", int64(time.Millisecond)}, {"s", int64(time.Second)}, {"m", int64(time.Minute)},
		{"h", int64(time.Hour)}, {"d", int64(24 * time.Hour)},
	}
	sizeUnits = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}
)

type unit struct {
	name string
	size int64
}

// ParseDuration reads a whole number and its unit: 250ms, 90s, 5m, 12h, 7d.
func ParseDuration(text string) (time.Duration, error) {
	n, ok := parseUnits(text, durationUnits, int64(maxDuration))
	if !ok {
		return 0, fmt.Errorf("%s is no duration such as 90s, 12h or 7d, of at most 100 years", quote(text))
	}
	return time.Duration(n), nil
}

// ParseSize reads a whole number of bytes, or of the unit behind it: 4096, 64KiB, 256MiB, 1GiB.
func ParseSize(text string) (int64, error) {
	n, ok := parseUnits(text, sizeUnits, 1<<62)
	if !ok {
		return 0, fmt.Errorf("%s is no size such as 64MiB or 1GiB", quote(text))
	}
	return n, nil
}

func parseUnits(text string, units []unit, most int64) (int64, bool) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > most/u.size {
			return 0, false
		}
		return n * u.size, true
	}
	return 0, false
}
