package filter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// condition is a random condition: its text, and its truth in a row.
type condition struct {
	text  string
	holds func(row int) truth
}

// condition makes one of at most a depth.
func (m *modelTable) condition(depth int) condition {
	r := m.r
	if depth == 0 || r.IntN(4) == 0 {
		return m.predicate()
	}
	switch r.IntN(3) {
	case 0:
		part := m.condition(depth - 1)
		return condition{"not (" + part.text + ")", func(row int) truth { return yes - part.holds(row) }}
	case 1:
		a, b := m.condition(depth-1), m.condition(depth-1)
		return condition{"(" + a.text + ") and (" + b.text + ")", func(row int) truth { return min(a.holds(row), b.holds(row)) }}
	}
	a, b := m.condition(depth-1), m.condition(depth-1)
	return condition{"(" + a.text + ") or (" + b.text + ")", func(row int) truth { return max(a.holds(row), b.holds(row)) }}
}

var comparisons = []string{"=", "!=", "<", "<=", ">", ">="}

func (m *modelTable) predicate() condition {
	r := m.r
	c := m.columns[r.IntN(len(m.columns))]
	not, is := "", func(t truth) truth { return t }
	if r.IntN(3) == 0 {
		not, is = "not ", func(t truth) truth { return yes - t }
	}
	choice := r.IntN(10)
	if c.kind == "other" || choice == 0 {
		return condition{c.name + " is " + not + "null", func(row int) truth { return is(truthOf(c.cell[row] == nil)) }}
	}
	switch {
	case choice == 1 && c.kind == "bool":
		return condition{not + c.name, func(row int) truth {
			if c.cell[row] == nil {
				return unknown
			}
			return is(truthOf(c.cell[row].(bool)))
		}}
	case choice == 2:
		texts, cells := []string{}, []cell{}
		for range 1 + r.IntN(6) {
			t, v := m.literal(c)
			texts, cells = append(texts, t), append(cells, v)
		}
		return condition{c.name + " " + not + "in (" + strings.Join(texts, ", ") + ")", func(row int) truth {
			found := no
			for _, v := range cells {
				found = max(found, obvious("=", c.cell[row], v))
			}
			return is(found)
		}}
	case choice == 3:
		low, lowCell := m.literal(c)
		high, highCell := m.literal(c)
		return condition{c.name + " " + not + "between " + low + " and " + high, func(row int) truth {
			return is(min(obvious(">=", c.cell[row], lowCell), obvious("<=", c.cell[row], highCell)))
		}}
	case choice == 4 && c.kind == "text":
		pattern := randomPattern(r)
		return condition{c.name + " " + not + "like " + quoteText(pattern), func(row int) truth {
			if c.cell[row] == nil {
				return unknown
			}
			return is(truthOf(obviousLike([]rune(string(c.cell[row].(text))), []rune(pattern))))
		}}
	case choice <= 6:
		if other := m.comparable(c); other != nil {
			o := comparisons[r.IntN(6)]
			return condition{c.name + " " + o + " " + other.name, func(row int) truth { return obvious(o, c.cell[row], other.cell[row]) }}
		}
	}
	o := comparisons[r.IntN(6)]
	t, v := m.literal(c)
	if r.IntN(4) == 0 {
		return condition{t + " " + o + " " + c.name, func(row int) truth { return obvious(o, v, c.cell[row]) }}
	}
	return condition{c.name + " " + o + " " + t, func(row int) truth { return obvious(o, c.cell[row], v) }}
}

// comparable gives a random column that compares with another, or nil.
func (m *modelTable) comparable(c *modelColumn) *modelColumn {
	var found []*modelColumn
	for _, other := range m.columns {
		kinds := []string{c.kind, other.kind}
		slices.Sort(kinds)
		if kinds[0] == kinds[1] && c.kind != "other" || kinds[0] == "date" && (kinds[1] == "instant" || kinds[1] == "reading") ||
			slices.Contains(kinds, "null") && !slices.Contains(kinds, "other") {
			found = append(found, other)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[m.r.IntN(len(found))]
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func randomPattern(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString([]string{"a", "b", "ä", "%", "%", "_", `\%`, `\_`, `\\`, "'", "日"}[r.IntN(11)])
	}
	return b.String()
}

// literal writes a value that is near those of a column, and says what it is beside them.
func (m *modelTable) literal(c *modelColumn) (string, cell) {
	r := m.r
	if r.IntN(20) == 0 || c.kind == "null" {
		return "null", nil
	}
	var v cell
	if m.rows > 0 && r.IntN(3) > 0 {
		v = c.cell[r.IntN(m.rows)]
	}
	if f, ok := v.(notFinite); v == nil || ok && f != 0 {
		v = cellOf(c.dt, randomValueOf(r, c.dt))
		if _, ok := v.(notFinite); ok {
			v = new(big.Rat)
		}
	}
	switch v := v.(type) {
	case bool:
		return fmt.Sprint(v), v
	case text:
		return quoteText(string(v)), v
	case blob:
		return fmt.Sprintf("x'%x'", string(v)), v
	}
	n := new(big.Rat).Set(v.(*big.Rat))
	if r.IntN(3) == 0 { // next to it
		n.Add(n, big.NewRat(int64(r.IntN(3)-1), []int64{1, 2, 1000, 1e9}[r.IntN(4)]))
	}
	return writeMoment(r, c, n)
}

func randomValueOf(r *rand.Rand, dt arrow.DataType) any {
	for {
		if v := randomValue(r, dt, r.IntN(2) == 0); v != nil {
			return v
		}
	}
}

// writeMoment writes a number, or seconds as date, time, timestamp or duration.
func writeMoment(r *rand.Rand, c *modelColumn, n *big.Rat) (string, cell) {
	nanos := new(big.Int).Div(new(big.Int).Mul(n.Num(), big.NewInt(1e9)), n.Denom())
	exact := new(big.Rat).SetFrac(nanos, big.NewInt(1e9))
	word := func(w, layout string, t time.Time) string {
		if r.IntN(2) == 0 {
			return w + " '" + t.Format(layout) + "'"
		}
		return "'" + t.Format(layout) + "'"
	}
	least, most := big.NewInt(-62135596800), big.NewInt(253402300799)
	whole, rest := new(big.Int).DivMod(nanos, big.NewInt(1e9), new(big.Int))
	inYears := whole.Cmp(least) >= 0 && whole.Cmp(most) <= 0
	if !inYears && (c.kind == "instant" || c.kind == "reading") {
		whole, rest, exact = new(big.Int), new(big.Int), new(big.Rat)
	}
	t := time.Unix(whole.Int64(), rest.Int64()).UTC()
	switch c.kind {
	case "number":
		return writeNumber(r, c, n)
	case "duration":
		return "'" + durationText(r, nanos) + "'", exact
	case "date":
		t = t.Truncate(24 * time.Hour)
		return word("date", time.DateOnly, t), big.NewRat(t.Unix(), 1)
	case "time":
		t = time.Unix(((whole.Int64()%86400)+86400)%86400, rest.Int64()).UTC()
		return word("time", "15:04:05.999999999", t), new(big.Rat).Add(big.NewRat(t.Unix(), 1), big.NewRat(int64(t.Nanosecond()), 1e9))
	case "reading":
		if r.IntN(4) == 0 {
			t = t.Truncate(24 * time.Hour)
			return word("date", time.DateOnly, t), big.NewRat(t.Unix(), 1)
		}
		return word("timestamp", "2006-01-02T15:04:05.999999999", t), exact
	}
	switch r.IntN(4) {
	case 0:
		t = t.Truncate(24 * time.Hour)
		return "date '" + t.Format(time.DateOnly) + "'", big.NewRat(t.Unix(), 1)
	case 1:
		t = t.In(time.FixedZone("", -5*3600-1800))
	}
	return word("timestamp", "2006-01-02 15:04:05.999999999Z07:00", t), exact
}

func durationText(r *rand.Rand, nanos *big.Int) string {
	if r.IntN(2) == 0 || !nanos.IsInt64() || nanos.Int64() == math.MinInt64 {
		return nanos.String() + "ns"
	}
	abs, sign := nanos.Int64(), ""
	if abs < 0 {
		abs, sign = -abs, "-"
	}
	return fmt.Sprintf("%s%dd%dh%d.%09ds", sign, abs/(86400*1e9), abs/(3600*1e9)%24, abs/1e9%3600, abs%1e9)
}

// writeNumber writes a number with digits enough, rounded down if it has more; beside floats, a number with a point is
// the closest double.
func writeNumber(r *rand.Rand, c *modelColumn, n *big.Rat) (string, cell) {
	s := n.FloatString(80)
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	if r.IntN(4) == 0 {
		s += "e0"
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && r.IntN(3) == 0 {
		s = strconv.FormatFloat(f, 'e', -1, 64)
	}
	v, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	if f, err := strconv.ParseFloat(s, 64); arrow.IsFloating(c.dt.ID()) && strings.ContainsAny(s, ".e") && err == nil {
		return s, floatCell(f)
	}
	return s, v
}

// batch gives the columns that a filter needs, from some row on.
func (m *modelTable) batch(f *Filter, from, until int) arrow.RecordBatch {
	var fields []arrow.Field
	var columns []arrow.Array
	add := func(name string) {
		columns = append(columns, array.NewSlice(m.arrays[name], int64(from), int64(until)))
		fields = append(fields, arrow.Field{Name: name, Type: m.arrays[name].DataType(), Nullable: true})
	}
	for _, id := range f.Columns() {
		c, _ := m.schema.Column(id)
		add(c.Field.Name)
	}
	for _, name := range f.System() {
		add(name)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(until-from))
}

// mayMatch asks the filter with naive statistics of some rows.
func (m *modelTable) mayMatch(f *Filter, from, until int) bool {
	rows := make([]int, 0, until-from)
	for i := from; i < until; i++ {
		rows = append(rows, i)
	}
	hide := m.r.IntN(10) // one column in ten is not known
	find := func(match func(*modelColumn) bool) (quiver.ColumnStats, bool) {
		for i, c := range m.columns {
			if match(c) && c.top {
				return c.stat(rows), i%10 != hide
			}
		}
		return quiver.ColumnStats{}, false
	}
	return f.MayMatch(int64(len(rows)),
		func(id quiver.ColumnID) (quiver.ColumnStats, bool) {
			return find(func(c *modelColumn) bool { return c.sys == "" && c.id == id })
		},
		func(name string) (quiver.ColumnStats, bool) {
			return find(func(c *modelColumn) bool { return c.sys == name })
		})
}

// TestRowsLikeObvious compares random conditions over random tables with the obvious way, and holds what statistics
// rule out against the rows.
func TestRowsLikeObvious(t *testing.T) {
	r := seeded(t)
	tables := 400
	if testing.Short() {
		tables = 60
	}
	ruledOut, empty := 0, 0
	for range tables {
		m := newModelTable(r, []int{0, 1, 3, 63, 64, 65, 200}[r.IntN(7)])
		for range 40 {
			c := m.condition(r.IntN(4))
			e, err := Parse(c.text)
			if err != nil {
				t.Fatalf("%s: %v", c.text, err)
			}
			if again, err := Parse(e.String()); err != nil || again.String() != e.String() {
				t.Fatalf("%s: %s: %v", c.text, e, err)
			} else if r.IntN(2) == 0 {
				e = again
			}
			f, err := e.Bind(m.schema)
			if err != nil {
				t.Fatalf("%s on %v: %v", c.text, m.schema.Arrow(), err)
			}
			from := r.IntN(m.rows + 1)
			until := from + r.IntN(m.rows+1-from)
			if r.IntN(2) == 0 {
				from, until = 0, m.rows
			}
			var want []int32
			for row := from; row < until; row++ {
				if c.holds(row) == yes {
					want = append(want, int32(row-from))
				}
			}
			got, err := f.Rows(t.Context(), m.batch(f, from, until))
			if err != nil {
				t.Fatalf("%s: %v", c.text, err)
			}
			if got == nil {
				for i := range until - from {
					got = append(got, int32(i))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s\nrows [%d, %d) of %v\ngot  %v\nwant %v\n%s", c.text, from, until, m.schema.Arrow(), got, want, m.show(f, from, got, want))
			}
			may := m.mayMatch(f, from, until)
			if !may && len(want) > 0 {
				t.Fatalf("%s: ruled out, but rows %v of [%d, %d) match\n%s", c.text, want, from, until, m.show(f, from, nil, want))
			}
			if until > from && len(want) == 0 {
				empty++
				if !may {
					ruledOut++
				}
			}
		}
	}
	t.Logf("statistics ruled out %d of %d conditions that match no row", ruledOut, empty)
	if ruledOut*4 < empty {
		t.Error("statistics rule out less than a quarter of what they could")
	}
}

// show prints the cells of the first row in which two answers differ.
func (m *modelTable) show(f *Filter, from int, got, want []int32) string {
	var b strings.Builder
	for i := range int32(m.rows) {
		if slices.Contains(got, i) != slices.Contains(want, i) {
			fmt.Fprintf(&b, "row %d:", i)
			for _, c := range m.columns {
				if slices.Contains(f.Columns(), c.id) || slices.Contains(f.System(), c.sys) {
					fmt.Fprintf(&b, " %s=%v", c.name, c.cell[from+int(i)])
				}
			}
			break
		}
	}
	return b.String()
}
