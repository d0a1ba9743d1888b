package filter

import (
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"price > 100 and region in ('eu','us')", "price > 100 and region in ('eu', 'us')"},
		{"a = 1 or b = 2 and not c = 3", "a = 1 or b = 2 and not c = 3"},
		{"(a = 1 or b = 2) and c", "(a = 1 or b = 2) and c"},
		{"((a = 1) AND (b <> 2)) AND c", "a = 1 and b != 2 and c"},
		{"NOT (a OR b)", "not (a or b)"},
		{"not not a", "not not a"},
		{"a not between 1 and 2 and b", "a not between 1 and 2 and b"},
		{"a Is Not Null or b is null", "a is not null or b is null"},
		{`"Unit price" >= -1.5`, `"Unit price" >= -1.5`},
		{`"price" < 1`, "price < 1"},
		{`"and" = "a""b"."c.d".e`, `"and" = "a""b"."c.d".e`},
		{"Größe = 1", `"Größe" = 1`},
		{"x = x'00fF'", "x = x'00ff'"},
		{"date >= date '2026-11-22'", "date >= date '2026-11-22'"},
		{"TIMESTAMP '2026-11-22 10:00:00Z' < timestamp", "timestamp '2026-11-22 10:00:00Z' < timestamp"},
		{"t = time '10:30'", "t = time '10:30'"},
		{"name like 'it''s %'", "name like 'it''s %'"},
		{"name not like '50\\%'", "name not like '50\\%'"},
		{"((price)) > (1)", "price > 1"},
		{"(price) between (1) and ((2))", "price between 1 and 2"},
		{"a = +1E3 and b = .5", "a = 1e3 and b = .5"},
		{"a = null or null", "a = null or null"},
		{"a in (1, null, 'x')", "a in (1, null, 'x')"},
		{"true", "true"},
		{"a.b.c is null", "a.b.c is null"},
		{"1 < 2", "1 < 2"},
		{"a=1\n\tand b=2", "a = 1 and b = 2"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := e.String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
		if again, err := Parse(e.String()); err != nil || again.String() != e.String() {
			t.Errorf("%s: again %v, %v", e, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("(", 65) + "a" + strings.Repeat(")", 65)
	for _, c := range []struct{ text, want string }{
		{"", "position 0: a column or a literal is expected, not the end"},
		{"price >", "position 7: a column or a literal is expected, not the end"},
		{"price > 1 and", "position 13: "},
		{"price > 1 2", `position 10: "and", "or" or the end is expected, not "2"`},
		{"price == 1", `position 6: "==" is no operator here; write "="`},
		{"a && b", `write "and"`},
		{"!a", `write "not"`},
		{"a = 'x", "position 4: a text begins here and has no ' at its end"},
		{`"a = 1`, "position 0: a name begins here"},
		{"a in ()", "position 6: a literal is expected"},
		{"a in (b)", `"in" takes literals`},
		{"a in (1 2)", `position 8: "," or ")" is expected, not "2"`},
		{"a in 1", `position 5: "(" is expected`},
		{"a like b", "position 7: a pattern in single quotes is expected"},
		{"a like 'b\\'", "ends with the escape character"},
		{"a like 'b!%' escape '!'", "the escape character is \\"},
		{"a = b = c", "position 6: a condition cannot be compared"},
		{"(a = b) = c", "position 8: a condition cannot be compared"},
		{"a = (b and c)", "not a condition"},
		{"a is 1", `position 5: "null" is expected`},
		{"a not 1", `"in", "between" or "like" is expected`},
		{"x'0'", "pairs of hexadecimal digits"},
		{"a = date '2026-02-30'", `position 9: "2026-02-30" is no date`},
		{"a = timestamp '2026-11-22T25:00'", "is no timestamp"},
		{"a = 1x", "followed by"},
		{"a = 1.", "behind the point"},
		{"a = 1e", "exponent"},
		{"a = 1e99999", "exponent"},
		{"in = 1", `position 0: a column or a literal is expected, not the keyword "in"; a column of that name`},
		{"a.in = 1", "a name is expected"},
		{`"" = 1`, "a name is empty"},
		{"größe ? 1", `position 6: "?" means nothing`},
		{deep, "nested deeper than 64"},
		{strings.Repeat("not ", 65) + "a", "nested deeper than 64"},
		{strings.Repeat(" ", MaxText+1), "at most 65536"},
		{"a = '\xff'", "not UTF-8"},
		{"a in (" + strings.Repeat("1,", MaxList) + "1)", "at most 10000 values"},
	} {
		_, err := Parse(c.text)
		if err == nil || quiver.ReasonOf(err) != quiver.BadFilter || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %s", c.text, err, c.want)
		}
	}
}
