package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// choice is what a reader of the log table wants of it: some columns, in an order of its own, of some rows. The judge
// makes the same of the rows that it reads whole, by what each is known to hold.
type choice struct {
	columns []string
	filter  string // "": all rows
	keeps   func(logRow) bool
}

// choices are those that there are.
var choices = []choice{
	{[]string{"text", "check", "put"}, "", func(logRow) bool { return true }},
	{[]string{"row", "put"}, "client in (0, 2)", func(r logRow) bool { return r.client == 0 || r.client == 2 }},
	{[]string{"check"}, "text is null", func(r logRow) bool { _, ok := textOf(r.check, r.put); return !ok }},
	{[]string{"of", "text"}, "row = 0 or row >= 100", func(r logRow) bool { return r.row == 0 || r.row >= 100 }},
	{[]string{"part", "check"}, "part = 1 and not (client = 1)", func(r logRow) bool { return partOf(r.put) == 1 && r.client != 1 }},
	{[]string{"put", "client"}, "check between 1000000000000000000 and 3000000000000000000", func(r logRow) bool { return r.check >= 1e18 && r.check <= 3e18 }},
	{[]string{"text"}, "text like '1%'", func(r logRow) bool {
		text, ok := textOf(r.check, r.put)
		return ok && text[0] == '1'
	}},
	{[]string{"client", "row"}, "of = 1 or text > '5' and put >= 40", func(r logRow) bool {
		text, ok := textOf(r.check, r.put)
		return r.of == 1 || ok && text > "5" && r.put >= 40
	}},
}

// noText is the text of a null.
const noText = "(null)"

// text is what the choice leaves of a row.
func (c *choice) text(r logRow) string {
	parts := make([]string, len(c.columns))
	for i, name := range c.columns {
		switch name {
		case "client":
			parts[i] = strconv.Itoa(int(r.client))
		case "put":
			parts[i] = strconv.FormatInt(r.put, 10)
		case "row":
			parts[i] = strconv.Itoa(int(r.row))
		case "of":
			parts[i] = strconv.Itoa(int(r.of))
		case "check":
			parts[i] = strconv.FormatInt(r.check, 10)
		case "part":
			parts[i] = strconv.FormatInt(partOf(r.put), 10)
		case "text":
			text, ok := textOf(r.check, r.put)
			if parts[i] = text; !ok {
				parts[i] = noText
			}
		}
	}
	return strings.Join(parts, "|")
}

// chain goes on with the hash over what the choice leaves of all rows, by one of them.
func (c *choice) chain(before uint64, r logRow) uint64 {
	if !c.keeps(r) {
		return before
	}
	return chainText(before, c.text(r))
}

// chainShown does so with what was shown.
func (c *choice) chainShown(before uint64, batch arrow.RecordBatch) (uint64, error) {
	fields := batch.Schema().Fields()
	for i, f := range fields {
		if len(fields) != len(c.columns) || f.Name != c.columns[i] {
			return 0, fmt.Errorf("changed: the columns %v were asked for, a batch has the schema %s", c.columns, batch.Schema())
		}
	}
	parts := make([]string, len(fields))
	for i := range int(batch.NumRows()) {
		for n, a := range batch.Columns() {
			if parts[n] = noText; a.IsValid(i) {
				parts[n] = a.ValueStr(i)
			}
		}
		before = chainText(before, strings.Join(parts, "|"))
	}
	return before, nil
}

// chainText is a hash over texts.
func chainText(before uint64, text string) uint64 {
	h := before ^ 14695981039346656037
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}
