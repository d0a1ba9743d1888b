package tabular

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/text/width"
)

// Sizes of a table.
const (
	sampleRows  = 1000 // rows whose widths decide those of the columns
	maxCell     = 64   // characters of one value; longer ones are cut
	leastColumn = 8    // characters that a column keeps however narrow the terminal is
)

// tableWriter writes an aligned table, numbers to the right, and at its end how many rows there were. The first rows
// are held back until the widths are known.
type tableWriter struct {
	w      io.Writer
	width  int
	fields []arrow.Field
	right  []bool
	widths []int // nil: not known yet
	held   [][]string
	rows   int64
	buf    []byte
}

func newTableWriter(w io.Writer, schema *arrow.Schema, o WriteOptions) *tableWriter {
	t := &tableWriter{w: w, width: o.Width, fields: schema.Fields()}
	for _, f := range t.fields {
		id := f.Type.ID()
		t.right = append(t.right, arrow.IsInteger(id) || arrow.IsFloating(id) || arrow.IsDecimal(id) || id == arrow.DURATION)
	}
	return t
}

func (t *tableWriter) Write(batch arrow.RecordBatch) error {
	t.rows += batch.NumRows()
	if len(t.fields) == 0 {
		return nil
	}
	for row := range int(batch.NumRows()) {
		cells := make([]string, len(t.fields))
		for c := range cells {
			cells[c] = cell(batch.Column(c), row)
		}
		if t.widths == nil && len(t.held) < sampleRows {
			t.held = append(t.held, cells)
			continue
		}
		if err := t.release(); err != nil {
			return err
		}
		t.line(cells, ' ')
	}
	return t.write(writeAt)
}

// release decides the widths and writes the head and what was held back.
func (t *tableWriter) release() error {
	if t.widths != nil || len(t.fields) == 0 {
		return nil
	}
	t.widths = t.fit()
	names := make([]string, len(t.fields))
	for i, f := range t.fields {
		names[i] = sanitize(f.Name)
	}
	t.line(names, ' ')
	t.line(make([]string, len(t.fields)), '─')
	for _, cells := range t.held {
		t.line(cells, ' ')
	}
	t.held = nil
	return t.write(writeAt)
}

// fit gives the widths: those of the widest cells, less where the terminal is too narrow.
func (t *tableWriter) fit() []int {
	widths := make([]int, len(t.fields))
	total := 0
	for i, f := range t.fields {
		widths[i] = cellWidth(sanitize(f.Name))
		for _, cells := range t.held {
			widths[i] = max(widths[i], cellWidth(cells[i]))
		}
		widths[i] = min(widths[i], maxCell)
		total += widths[i] + len(gap)
	}
	for total-len(gap) > t.width && t.width > 0 {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastColumn {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

const gap = "  "

// line writes one line; fill stands where a cell does not.
func (t *tableWriter) line(cells []string, fill rune) {
	for i, text := range cells {
		if i > 0 {
			t.buf = append(t.buf, gap...)
		}
		text = cut(text, t.widths[i])
		pad := t.widths[i] - cellWidth(text)
		if t.right[i] {
			t.pad(pad, fill)
		}
		t.buf = append(t.buf, text...)
		if !t.right[i] && (i < len(cells)-1 || fill != ' ') {
			t.pad(pad, fill)
		}
	}
	t.buf = append(trimSpaces(t.buf), '\n')
}

func trimSpaces(line []byte) []byte {
	for len(line) > 0 && line[len(line)-1] == ' ' {
		line = line[:len(line)-1]
	}
	return line
}

func (t *tableWriter) pad(n int, fill rune) {
	for range n {
		t.buf = utf8.AppendRune(t.buf, fill)
	}
}

func (t *tableWriter) write(least int) error {
	if len(t.buf) < least {
		return nil
	}
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// Flush writes the rows there are; widths stay as they are from then on. Without a row nothing is decided.
func (t *tableWriter) Flush() error {
	if len(t.held) > 0 {
		if err := t.release(); err != nil {
			return err
		}
	}
	return t.write(1)
}

func (t *tableWriter) Close() error {
	if err := t.release(); err != nil {
		return err
	}
	t.buf = append(append(t.buf, CountRows(t.rows)...), '\n')
	return t.write(1)
}

// cell is a value as a table shows it.
func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case bytesLike:
		return hexCell(a.Value(i))
	case *array.Duration:
		return durationCell(int64(a.Value(i)), a.DataType().(*arrow.DurationType).Unit)
	case *array.MonthInterval:
		return fmt.Sprintf("%d months", a.Value(i))
	case *array.DayTimeInterval:
		v := a.Value(i)
		return fmt.Sprintf("%d days %d ms", v.Days, v.Milliseconds)
	case *array.MonthDayNanoInterval:
		v := a.Value(i)
		return fmt.Sprintf("%d months %d days %s", v.Months, v.Days, time.Duration(v.Nanoseconds))
	case *array.Dictionary:
		return cell(a.Dictionary(), a.GetValueIndex(i))
	}
	text, _, ok := appendFlat(nil, a, i, ' ')
	if !ok {
		text = appendNested(nil, a, i)
	}
	if len(text) > 4*maxCell {
		text = append(text[:4*maxCell], "…"...)
	}
	return sanitize(string(text))
}

// hexCell writes bytes the way a filter takes them.
func hexCell(b []byte) string {
	if len(b) > maxCell {
		return "x'" + hex.EncodeToString(b[:maxCell]) + "…"
	}
	return "x'" + hex.EncodeToString(b) + "'"
}

func durationCell(n int64, unit arrow.TimeUnit) string {
	step := int64(unit.Multiplier())
	if n > math.MaxInt64/step || n < math.MinInt64/step {
		return fmt.Sprintf("%d%s", n, unit)
	}
	return time.Duration(n * step).String()
}

// sanitize shows what would move the cursor, or be no text at all, instead of doing it.
func sanitize(s string) string {
	if strings.IndexFunc(s, needsEscape) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case needsEscape(r) && r != utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// needsEscape finds control characters, those that turn the direction of writing, and what is no UTF-8.
func needsEscape(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// cut shortens a text to a width, with a sign that it was.
func cut(s string, most int) string {
	if cellWidth(s) <= most {
		return s
	}
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > most-1 {
			return s[:i] + "…"
		}
	}
	return s
}

func cellWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is the columns of a terminal that a character takes.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
