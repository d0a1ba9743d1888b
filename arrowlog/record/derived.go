package record

import (
	"encoding/binary"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// derivedLayouts remembers what was made of a layout: layouts of some of its columns and of mappings, and plans to make
// its batches those of another schema. A log is read in few projections by many readers, over and over.
type derivedLayouts struct {
	mu     sync.Mutex
	picked map[string]*Layout
	mapped map[mappedKey]*Layout

	reshapers map[reshapeKey]*reshaper
}

// maxDerived bounds how many of a kind are remembered; then they are forgotten, all at once.
const maxDerived = 64

type mappedKey struct {
	mapping *quiver.Mapping
	extra   string
}

type reshapeKey struct {
	mapping *quiver.Mapping
	to      *Layout
}

// Pick is the layout of some of the columns, by their places, in the order given.
func (l *Layout) Pick(cols []int) *Layout {
	var memory [64]byte
	key := memory[:0]
	for _, c := range cols {
		key = binary.AppendUvarint(key, uint64(c))
	}
	d := &l.derived
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.picked[string(key)]; p != nil {
		return p
	}
	fields := make([]arrow.Field, len(cols))
	slots := make([]slot, len(cols))
	for i, c := range cols {
		fields[i], slots[i] = l.schema.Field(c), l.slots[c]
	}
	md := l.schema.Metadata()
	p := layoutOf(arrow.NewSchema(fields, &md), l.id, slots)
	if d.picked == nil || len(d.picked) >= maxDerived {
		d.picked = make(map[string]*Layout)
	}
	d.picked[string(key)] = p
	return p
}

// layoutOf makes a layout of finished slots, all of them stored.
func layoutOf(s *arrow.Schema, id quiver.SchemaID, slots []slot) *Layout {
	l := &Layout{schema: s, id: id, slots: slots, places: make([]place, len(slots)+1), stored: true,
		columns: findColumnIDs(s, len(slots))}
	for i := range slots {
		l.places[i+1] = l.places[i]
		slots[i].count(&l.places[i+1])
	}
	return l
}

// mapped is the layout of what a mapping makes of batches of this layout, with extra columns behind.
func (l *Layout) mapped(m *quiver.Mapping, extra []arrow.Array) (*Layout, error) {
	var memory [64]byte
	name := memory[:0]
	for _, a := range extra {
		name = append(append(name, a.DataType().Fingerprint()...), ';')
	}
	d := &l.derived
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.mapped[mappedKey{m, string(name)}]; p != nil {
		return p, nil
	}
	fields := make([]arrow.Field, 0, len(m.Columns())+len(extra))
	for _, c := range m.Columns() {
		fields = append(fields, c.Column.Field)
	}
	for _, a := range extra {
		fields = append(fields, arrow.Field{Type: a.DataType(), Nullable: true})
	}
	p, err := newLayout(arrow.NewSchema(fields, nil), 0, nil)
	if err != nil {
		return nil, err
	}
	if d.mapped == nil || len(d.mapped) >= maxDerived {
		d.mapped = make(map[mappedKey]*Layout)
	}
	d.mapped[mappedKey{m, string(name)}] = p
	return p, nil
}
