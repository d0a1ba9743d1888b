package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver"
)

// parseSchema reads columns as people write them:
//
//	id int64 not null, "Unit price" decimal128(12, 2) default 0, tags list<item: string>
//
// A column is a name, in double quotes if it holds more than letters, digits, '_' and '-', a type as pyarrow prints it or
// one of typeAliases, then "not null" and "default" with a number, true, false, 'text' or JSON, in either order.
func parseSchema(text string) ([]quiver.ColumnSpec, error) {
	var columns []quiver.ColumnSpec
	for rest := text; ; {
		column, after := cutColumn(rest)
		spec, err := parseColumn(column)
		if err != nil {
			return nil, err
		}
		columns = append(columns, spec)
		if after == "" {
			return columns, nil
		}
		rest = after[1:]
	}
}

// typeAliases are names of types that people know from elsewhere.
var typeAliases = map[string]string{
	"int": "int32", "integer": "int32", "smallint": "int16", "tinyint": "int8", "long": "int64", "bigint": "int64",
	"real": "float", "text": "string", "varchar": "string", "bytes": "binary", "blob": "binary",
	"date": "date32[day]", "time": "time64[us]", "datetime": "timestamp[us]", "timestamp": "timestamp[us]",
	"timestamptz": "timestamp[us, tz=UTC]",
}

// cutColumn cuts in front of the first comma that stands in no bracket and no quotes.
func cutColumn(text string) (column, after string) {
	depth, quote := 0, rune(0)
	escaped := false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case quote != 0:
			escaped = r == '\\' && quote == '"'
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case strings.ContainsRune("(<[{", r):
			depth++
		case strings.ContainsRune(")>]}", r):
			depth--
		case r == ',' && depth <= 0:
			return text[:i], text[i:]
		}
	}
	return text, ""
}

func parseColumn(text string) (quiver.ColumnSpec, error) {
	var c quiver.ColumnSpec
	name, rest, err := cutName(strings.TrimSpace(text))
	if err != nil {
		return c, err
	}
	c.Name = name
	for {
		rest = strings.TrimSpace(rest)
		at, word := lastClause(rest)
		if at < 0 {
			break
		}
		clause := strings.TrimSpace(rest[at+len(word):])
		switch {
		case word == "default" && c.Default == nil:
			if c.Default, err = parseLiteral(clause); err != nil {
				return c, fmt.Errorf("column %q: default: %w", name, err)
			}
		case word == "not null" && c.Nullable == nil && clause == "":
			c.Nullable = new(bool)
		case word == "null" && c.Nullable == nil && clause == "":
			yes := true
			c.Nullable = &yes
		default:
			return c, fmt.Errorf("column %q: %q cannot be understood", name, strings.TrimSpace(rest[at:]))
		}
		rest = rest[:at]
	}
	if rest == "" {
		return c, fmt.Errorf("column %q has no type; write %q", name, name+" int64")
	}
	c.Type = rest
	if alias, ok := typeAliases[strings.ToLower(rest)]; ok {
		c.Type = alias
	} else if arguments, ok := strings.CutPrefix(strings.ToLower(rest), "decimal("); ok {
		c.Type = "decimal128(" + arguments
	}
	dt, err := quiver.ParseType(c.Type)
	if err != nil {
		return c, fmt.Errorf("column %q: %s", name, strings.TrimPrefix(err.Error(), string(quiver.BadCommand)+": "))
	}
	c.Type = quiver.FormatType(dt)
	return c, nil
}

// cutName takes the name that a column begins with.
func cutName(text string) (name, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", fmt.Errorf("a quote is not closed: %s", text)
		}
		if name, err = strconv.Unquote(quoted); err != nil {
			return "", "", fmt.Errorf("%s is no name in quotes", quoted)
		}
		return name, text[len(quoted):], nil
	}
	i := strings.IndexAny(text, " \t\n")
	switch {
	case text == "":
		return "", "", fmt.Errorf(`a column is missing; write "id int64 not null, name string"`)
	case i < 0:
		return "", "", fmt.Errorf("column %q has no type; write %q", text, text+" int64")
	}
	return text[:i], text[i:], nil
}

// lastClause finds where the last of "not null", "null" and "default" begins, outside of brackets and quotes; -1: nowhere.
func lastClause(text string) (at int, word string) {
	at = -1
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte("(<[{", c) >= 0:
			depth++
		case strings.IndexByte(")>]}", c) >= 0:
			depth--
		case depth > 0 || i > 0 && text[i-1] != ' ' && text[i-1] != '\t' && text[i-1] != '\n':
		default:
			for _, clause := range []string{"not null", "default", "null"} {
				end := i + len(clause)
				if end > len(text) || !strings.EqualFold(text[i:end], clause) || end < len(text) && !strings.ContainsRune(" \t\n", rune(text[end])) {
					continue
				}
				if word == "default" && clause == "null" && strings.TrimSpace(text[at+len(word):i]) == "" {
					continue // the default is null
				}
				at, word = i, clause
				i = end - 1
				break
			}
		}
	}
	return at, word
}

// parseLiteral reads JSON, or text in single quotes, doubled within.
func parseLiteral(text string) (json.RawMessage, error) {
	if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
		inside := text[1 : len(text)-1]
		if strings.Contains(strings.ReplaceAll(inside, "''", ""), "'") {
			return nil, fmt.Errorf("a quote within %s is written twice", text)
		}
		quoted, err := json.Marshal(strings.ReplaceAll(inside, "''", "'"))
		return quoted, err
	}
	if !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("%q is no number, true, false, 'text' or JSON", text)
	}
	return json.RawMessage(text), nil
}
