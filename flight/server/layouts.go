package server

import (
	"sync"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// layoutColumns is how many columns the layouts that are kept may have, all together. Tables come and go and change;
// nobody tells which schemas are out of use.
const layoutColumns = 1 << 16

// layouts keeps the layouts of schemas that are in use: making one costs more than using it.
type layouts struct {
	mu       sync.Mutex
	bySchema map[*quiver.Schema]*record.Layout
	columns  int // of all of them
}

// of returns the layout of a table's current schema.
func (l *layouts) of(schema *quiver.Schema) (*record.Layout, error) {
	l.mu.Lock()
	layout := l.bySchema[schema]
	l.mu.Unlock()
	if layout != nil {
		return layout, nil
	}
	layout, err := record.NewLayout(schema)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := l.bySchema[schema]; kept != nil {
		return kept, nil // somebody was faster
	}
	l.keep(schema, layout)
	return layout, nil
}

// keep adds a layout, and forgets all others if they have become too many. The caller holds the lock.
func (l *layouts) keep(schema *quiver.Schema, layout *record.Layout) {
	if l.columns += schema.NumColumns(); l.bySchema == nil || l.columns > layoutColumns {
		l.bySchema, l.columns = map[*quiver.Schema]*record.Layout{}, schema.NumColumns()
	}
	l.bySchema[schema] = layout
}
