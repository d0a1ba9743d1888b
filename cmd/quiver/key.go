package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// keyReader reads keys of a table the way people write them: 17, or 17,eu with quotes as in CSV, or JSON.
type keyReader struct {
	table flight.TableDescription
}

// newKeyReader refuses a table without primary key. hint says what to do with one.
func newKeyReader(table flight.TableDescription, hint string) (keyReader, error) {
	if len(table.PrimaryKey) == 0 {
		return keyReader{}, quiver.Errorf(quiver.BadCommand, "only a table with a primary key has keys, and this is a log table").
			On("table " + table.Table).Advise(hint)
	}
	return keyReader{table}, nil
}

// read makes JSON of a key, or with prefix of the first values of one.
func (r keyReader) read(text string, prefix bool) (json.RawMessage, error) {
	if strings.HasPrefix(text, "[") && json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	columns := r.table.PrimaryKey
	fields := []string{text}
	if len(columns) > 1 {
		in := csv.NewReader(strings.NewReader(text))
		var err error
		if fields, err = in.Read(); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf(`%q is no key; write 17,eu or '[17, "eu"]'`, text)
		}
	}
	if len(fields) > len(columns) || len(fields) < len(columns) && !prefix {
		hint := ""
		if len(fields) < len(columns) {
			hint = "; --prefix finds all rows whose key begins so"
		}
		return nil, fmt.Errorf("it has %d values, the primary key has %d columns: %s%s", len(fields), len(columns), strings.Join(columns, ", "), hint)
	}
	values := make([]json.RawMessage, len(fields))
	for i, field := range fields {
		values[i] = r.value(columns[i], field)
	}
	return json.Marshal(values)
}

// value writes one value of a key in JSON. The server says what is wrong with it.
func (r keyReader) value(column, text string) json.RawMessage {
	plain := false
	for _, c := range r.table.Columns {
		if c.Name == column {
			plain = c.Type == "bool" || strings.HasPrefix(c.Type, "int") || strings.HasPrefix(c.Type, "uint")
		}
	}
	if plain && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string can always be written
	return quoted
}

// readRange reads FROM..UNTIL, of which one may be missing: keys, or the first values of them. What holds dots itself is
// written in JSON, as the wire has it: {"from": […], "until": […]}.
func (r keyReader) readRange(text string) (json.RawMessage, error) {
	if strings.HasPrefix(text, "{") {
		if !json.Valid([]byte(text)) {
			return nil, usageError{fmt.Errorf("--key-range %s: it is no JSON; %s", text, hintKeyRange)}
		}
		return json.RawMessage(text), nil
	}
	from, until, found := strings.Cut(text, "..")
	if !found || strings.Contains(until, "..") {
		return nil, usageError{fmt.Errorf("--key-range %s: %s", text, hintKeyRange)}
	}
	ends := map[string]json.RawMessage{}
	for end, key := range map[string]string{"from": from, "until": until} {
		if key == "" {
			continue
		}
		var err error
		if ends[end], err = r.read(key, true); err != nil {
			return nil, usageError{fmt.Errorf("--key-range %s: %s: %w", text, end, err)}
		}
	}
	return json.Marshal(ends)
}

const hintKeyRange = `write 17..42, 17.. or ..42 (the end is exclusive), of several columns 17,eu..18, or {"from": [17], "until": [42]}`
