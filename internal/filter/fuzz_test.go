package filter

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quiverlog/quiver"
)

// seeds are conditions of every kind on the columns c0, c1, … and s.
var seeds = []string{
	"c0 > 1 and c1 in ('a', 'b') or not c2 is null",
	"c0 between -1.5 and 1e3 and c1 not like 'a\\%_%'",
	"\"Same 0\" = x'00ff' or s.b.c != 'ä' and s is not null",
	"date '2026-11-22' <= c3 or timestamp '2026-11-22T10:00:00.5Z' > c4 or time '10:30' = c5",
	"c0 in (1, null, 2.50) and (c1) = (c2) and true or false",
	"__offset >= 5 and __partition like 'dt=%' and __change_type in ('+I', '-D')",
	"c0 = '1d2h3.5s' or c1 = c2 and 1 < 2",
	"not not (c0 or (c1 and not c2))",
	"c0 = 1e400 or c1 = .000000000000000000000000000000000000001",
	"((((", "a in (", "'", "\"", "x'0", "1.e", "\xff", "c0 <> <>", "not", "is null",
}

// FuzzParse holds the canonical text of whatever is taken against itself.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			if quiver.ReasonOf(err) != quiver.BadFilter {
				t.Fatal(err)
			}
			return
		}
		canonical := e.String()
		again, err := Parse(canonical)
		if len(canonical) > MaxText {
			return
		}
		if err != nil || again.String() != canonical {
			t.Fatalf("%q gives %q, which gives %v, %v", text, canonical, again, err)
		}
	})
}

// FuzzRows binds whatever is taken to random tables. The canonical text must find the same rows, a row and its
// opposite must never both match, and statistics must not rule out what matches.
func FuzzRows(f *testing.F) {
	for i, s := range seeds {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		m := newModelTable(rand.New(rand.NewPCG(seed, 0)), 70)
		filter, err := e.Bind(m.schema)
		if err != nil {
			if quiver.ReasonOf(err) != quiver.BadFilter {
				t.Fatal(err)
			}
			return
		}
		rows := m.find(t, filter)
		if len(rows) > 0 && !m.mayMatch(filter, 0, m.rows) {
			t.Fatalf("%s: ruled out, but rows %v match", text, rows)
		}
		if e, err = Parse(e.String()); err != nil {
			return
		}
		if again := m.find(t, bind(t, m.schema, e.String())); !slices.Equal(rows, again) {
			t.Fatalf("%s finds %v, %s finds %v", text, rows, e, again)
		}
		opposite, err := Parse("not (" + e.String() + ")")
		if err != nil {
			return
		}
		for _, row := range m.find(t, bind(t, m.schema, opposite.String())) {
			if slices.Contains(rows, row) {
				t.Fatalf("%s and its opposite both match row %d", text, row)
			}
		}
	})
}

// find gives the rows of the whole table that match.
func (m *modelTable) find(t *testing.T, f *Filter) []int32 {
	rows, err := f.Rows(t.Context(), m.batch(f, 0, m.rows))
	if err != nil {
		t.Fatal(err)
	}
	if rows == nil {
		for i := range m.rows {
			rows = append(rows, int32(i))
		}
	}
	return rows
}
