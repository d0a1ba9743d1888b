package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// keySchema is that of the keys that a client sends, whose schema is given: the columns of the primary key, or of
// prefixes the first ones, in any order.
func (l *lookup) keySchema(client *arrow.Schema) (*quiver.Schema, error) {
	want := l.table.PrimaryKey
	if l.command.Prefix {
		want = want[:min(len(want), max(1, client.NumFields()))]
	}
	for _, id := range want {
		if c, _ := l.table.Schema.Column(id); !client.HasField(c.Field.Name) {
			what := "all columns of the primary key"
			if l.command.Prefix {
				what = "the first columns of the primary key"
			}
			return nil, quiver.Errorf(quiver.SchemaMismatch, "the keys have no column %q; they are %s: %q", c.Field.Name, what, l.table.ColumnNames(l.table.PrimaryKey)).
				On("table " + l.table.Path())
		}
	}
	names := l.table.ColumnNames(want)
	for _, f := range client.Fields() {
		if !slices.Contains(names, f.Name) {
			return nil, quiver.Errorf(quiver.SchemaMismatch, "the keys have a column %q, and they are made of %q alone", cutWord(f.Name), names).
				On("table " + l.table.Path()).Advise("leave it out")
		}
	}
	return l.table.Schema.Pick(want)
}

// ticketKeys reads the keys of a ticket: [[1],[2]].
func (l *lookup) ticketKeys() ([]arrow.Array, error) {
	if l.command.Keys == nil {
		return nil, quiver.Errorf(quiver.BadCommand, "a lookup in a ticket names its keys").Advise(`write {"lookup": "t", "keys": [[1],[2]]}`)
	}
	keys := make([][]any, len(l.command.Keys))
	width := len(l.table.PrimaryKey)
	for n, raw := range l.command.Keys {
		values, err := keyValues(l.table, raw, l.command.Prefix)
		if err != nil {
			return nil, quiver.Errorf(quiver.BadCommand, "key %d: %s", n, err.Detail)
		}
		if n == 0 {
			width = len(values)
		}
		if len(values) != width {
			return nil, quiver.Errorf(quiver.BadCommand, "key %d has %d values, those before it have %d", n, len(values), width)
		}
		keys[n] = values
	}
	columns := make([]arrow.Array, width)
	for i, id := range l.table.PrimaryKey[:width] {
		c, _ := l.table.Schema.Column(id)
		columns[i] = keyColumn(c.Field.Type, keys, i)
	}
	return columns, nil
}

// keyColumn builds a column of the i-th values of keys.
func keyColumn(dt arrow.DataType, keys [][]any, i int) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	defer b.Release()
	b.Reserve(len(keys))
	for _, values := range keys {
		appendValue(b, values[i])
	}
	return b.NewArray()
}

// keyValues reads one key, or with prefix the first values of one.
func keyValues(table *quiver.Table, raw json.RawMessage, prefix bool) ([]any, *quiver.Error) {
	var texts []json.RawMessage
	if err := json.Unmarshal(raw, &texts); err != nil {
		return nil, quiver.Errorf(quiver.BadCommand, "it is no list of values")
	}
	if len(texts) > len(table.PrimaryKey) || len(texts) == 0 || !prefix && len(texts) < len(table.PrimaryKey) {
		return nil, quiver.Errorf(quiver.BadCommand, "it has %d values, the primary key has %d columns: %q", len(texts), len(table.PrimaryKey), table.ColumnNames(table.PrimaryKey))
	}
	values := make([]any, len(texts))
	for i, text := range texts {
		c, _ := table.Schema.Column(table.PrimaryKey[i])
		v, err := quiver.ParseDefault(c.Field.Type, text)
		var known *quiver.Error
		switch {
		case errors.As(err, &known):
			return nil, quiver.Errorf(quiver.BadCommand, "column %s: %s", strconv.Quote(c.Field.Name), known.Detail)
		case err != nil || v == nil:
			return nil, quiver.Errorf(quiver.BadCommand, "column %s: a key has no null", strconv.Quote(c.Field.Name))
		}
		values[i] = v
	}
	return values, nil
}
