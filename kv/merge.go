package kv

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/planted"
)

// merger decides what becomes of the current row of a key when another one comes. It is immutable.
type merger struct {
	codec      *codec
	config     Config
	version    int                // the number of the version column among the values
	aggregates []quiver.Aggregate // of each value column
	counter    int                // the number of the auto-increment column, -1: none
}

// defaultDelimiter is what listagg puts between values.
const defaultDelimiter = ","

func newMerger(c *codec, config Config) (merger, error) {
	m := merger{codec: c, config: config, version: -1, counter: -1}
	var err error
	if config.Engine == Versioned {
		m.version, err = c.valueOf(config.Version)
	}
	if config.AutoIncrement != 0 && err == nil {
		m.counter, err = c.valueOf(config.AutoIncrement)
	}
	for i := range c.values {
		column := c.schema.Columns()[c.values[i].place]
		a, ok := config.Aggregates[column.ID]
		if !ok {
			a = quiver.Aggregate{Function: quiver.DefaultFunction}
		}
		if a.Delimiter == "" {
			a.Delimiter = defaultDelimiter
		}
		m.aggregates = append(m.aggregates, a)
	}
	return m, err
}

// valueOf gives the number of a column among the values.
func (c *codec) valueOf(id quiver.ColumnID) (int, error) {
	place := c.schema.Index(id)
	if place < 0 || c.ofVal[place] < 0 {
		return -1, quiver.Errorf(quiver.BadOption, "column %d is not outside the primary key", id)
	}
	return c.ofVal[place], nil
}

// upsert gives the row that an upsert leaves, where there is a current one. sent tells which columns it is about; nil:
// all of them. The result may be the current row, or the one that came.
func (m *merger) upsert(now, next row, sent []bool) (row, error) {
	switch m.config.Engine {
	case FirstRow:
		if planted.Is(planted.FirstReplaced) {
			return next, nil
		}
		return now, nil
	case Versioned:
		if m.older(now, next) {
			return now, nil
		}
	case Aggregation:
		return m.aggregate(now, next, sent)
	}
	if sent == nil && m.counter < 0 {
		return next, nil
	}
	return m.codec.compose(func(i int) value {
		if sent != nil && !sent[i] || i == m.counter {
			return m.codec.get(now, i)
		}
		return m.codec.get(next, i)
	}), nil
}

// older says that a row loses against the current one by its version.
func (m *merger) older(now, next row) bool {
	if planted.Is(planted.VersionIgnored) {
		return false
	}
	a, b := m.codec.get(now, m.version), m.codec.get(next, m.version)
	switch {
	case b.null:
		return true
	case a.null:
		return false
	}
	return compareValues(m.codec.values[m.version].field.Type, b.raw, a.raw) < 0
}

func (m *merger) aggregate(now, next row, sent []bool) (row, error) {
	var failed error
	r := m.codec.compose(func(i int) value {
		if sent != nil && !sent[i] || i == m.counter {
			return m.codec.get(now, i)
		}
		field := m.codec.values[i].field
		v, err := aggregate(m.aggregates[i], field.Type, m.codec.get(now, i), m.codec.get(next, i))
		if err != nil && failed == nil {
			failed = columnError(field.Name, err)
		}
		return v
	})
	return r, failed
}

// first gives the row that an upsert leaves where there is none.
func (m *merger) first(next row) error {
	if m.config.Engine != Aggregation {
		return nil
	}
	for i := range m.codec.values {
		v := m.codec.get(next, i)
		if err := checkBitmap(m.aggregates[i].Function, v.raw); !v.null && err != nil {
			return columnError(m.codec.values[i].field.Name, err)
		}
	}
	return nil
}

// partialDelete gives the row that a delete of some columns leaves: these null. nil if nothing is left in it.
func (m *merger) partialDelete(now row, sent []bool) row {
	left := false
	for i := range m.codec.values {
		left = left || !sent[i] && !m.codec.get(now, i).null
	}
	if !left {
		return nil
	}
	return m.codec.compose(func(i int) value {
		if sent[i] {
			return value{null: true}
		}
		return m.codec.get(now, i)
	})
}

// count fills the auto-increment column of a row that is new.
func (m *merger) count(next row, id int64) row {
	width := m.codec.values[m.counter].width
	return m.codec.compose(func(i int) value {
		if i == m.counter {
			return value{raw: putInteger(uint64(id), width)}
		}
		return m.codec.get(next, i)
	})
}

// columnError names the column in an error that names none.
func columnError(name string, err error) error {
	if e, ok := err.(*quiver.Error); ok { //nolint:errorlint // ours, just made
		return e.On("column " + name)
	}
	return err
}
