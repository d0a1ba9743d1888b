package record

import (
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Convert gives the same rows in another schema of their table: columns are kept, left out, moved, cast or filled as
// the mapping says, nested fields by their column ids. m maps the columns of the batch's layout, which must be that of
// a stored schema or picked from it, and to is the layout of the mapping's columns. Bytes that need no change are
// shared, not copied, and a compressed body stays so: only columns that are cast are decompressed.
//
// The batch keeps its header and its producers. A value that does not fit into its new type is SCHEMA_CHANGED, a
// column that becomes too long BATCH_TOO_LARGE.
func (b *Batch) Convert(m *quiver.Mapping, to *Layout) (*Batch, error) {
	switch {
	case m.Identity() && b.layout == to:
		return b.Retain(), nil
	case m.Identity() && len(b.nodes) == to.numNodes() && len(b.buffers) == to.numBuffers():
		return b.renamed(to), nil
	}
	r, err := b.layout.reshaper(m, to)
	if err != nil {
		return nil, err
	}
	h := ownShaper()
	defer h.release()
	out, err := r.reshape(b, h)
	if err != nil {
		return nil, schemaChanged(err)
	}
	out.producers = b.producers
	out.sealed.stamp = b.sealed.stamp
	return out, nil
}

// renamed is the batch under another layout of the same arrays.
func (b *Batch) renamed(l *Layout) *Batch {
	out := newBatch(l, b.rows, b.nodes, b.buffers, b.codec, retained(b.owners))
	out.setParts(b.parts)
	out.producers = b.producers
	out.sealed.stamp = b.sealed.stamp
	return out
}

// schemaChanged is the error for a value that does not fit, as it is meant where the schema is what changed.
func schemaChanged(err error) error {
	var e *quiver.Error
	if !errors.As(err, &e) || e.Reason != quiver.SchemaMismatch {
		return err
	}
	changed := *e
	changed.Reason = quiver.SchemaChanged
	return &changed
}

// reshaper is what makes batches of this layout into those of a mapping of its columns. It is remembered.
func (l *Layout) reshaper(m *quiver.Mapping, to *Layout) (*reshaper, error) {
	d := &l.derived
	d.mu.Lock()
	defer d.mu.Unlock()
	key := reshapeKey{m, to}
	if r := d.reshapers[key]; r != nil {
		return r, nil
	}
	if err := l.mayBecome(m, to); err != nil {
		return nil, err
	}
	r, err := newReshaper(m, to, len(l.slots), func(source int) *slot { return &l.slots[source] }, byID)
	if err != nil {
		return nil, schemaChanged(err)
	}
	r.from = l
	if d.reshapers == nil || len(d.reshapers) >= maxDerived {
		d.reshapers = make(map[reshapeKey]*reshaper)
	}
	d.reshapers[key] = r
	return r, nil
}

// mayBecome checks that a mapping leads from this layout to the other.
func (l *Layout) mayBecome(m *quiver.Mapping, to *Layout) error {
	columns := m.Columns()
	if !l.stored || !to.stored || len(columns) != len(to.slots) {
		return quiver.Errorf(quiver.Internal, "a mapping of %d columns does not lead to a layout of %d", len(columns), len(to.slots))
	}
	for i, c := range columns {
		switch {
		case c.Source >= len(l.slots):
			return quiver.Errorf(quiver.Internal, "the mapping takes column %d of a batch that has %d", c.Source, len(l.slots))
		case c.Source >= 0 && !c.Cast && !sameArrays(&l.slots[c.Source], &to.slots[i]):
			return to.slots[i].fail(quiver.Internal, "its bytes are not those of %s", quiver.FormatType(l.slots[c.Source].typ))
		}
	}
	return nil
}

// sameArrays says that two slots have the same buffers and children.
func sameArrays(a, b *slot) bool {
	if a.kind != b.kind || a.width != b.width || len(a.children) != len(b.children) {
		return false
	}
	for i := range a.children {
		if !sameArrays(&a.children[i], &b.children[i]) {
			return false
		}
	}
	return true
}

// fieldKey is what the fields of two structs are paired by.
type fieldKey func(arrow.Field) string

// byName pairs what a client sends with a table's fields.
func byName(f arrow.Field) string { return f.Name }

// byID pairs the fields of two schemas of one table, whose names may have changed.
func byID(f arrow.Field) string {
	id, _ := f.Metadata.GetValue(quiver.FieldIDKey)
	return id
}
