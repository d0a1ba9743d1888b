package scan

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// views say, for each schema that rows were stored in, how they become rows of the schema that the scan began with. A
// scanner has one, and asks once for each schema.
type views struct {
	table    *quiver.Schema
	columns  []quiver.ColumnID // what is read, in the order of the table's schema
	layout   *record.Layout    // of these columns; nil until a batch has to be converted
	bySchema map[quiver.SchemaID]*view
}

// view is the columns of a scan in rows of one schema.
type view struct {
	mapping *quiver.Mapping
	asIs    bool // the bytes are those already
	err     error
}

// of gives the view of batches of a layout, which has the wanted columns that were stored, and no others. The error is
// SCHEMA_CHANGED.
func (v *views) of(l *record.Layout) (*view, error) {
	id := l.ID()
	if known := v.bySchema[id]; known != nil {
		return known, known.err
	}
	made := &view{asIs: id == v.table.ID() || len(v.columns) == 0}
	if !made.asIs {
		made.err = v.look(made, l)
	}
	if v.bySchema == nil {
		v.bySchema = make(map[quiver.SchemaID]*view)
	}
	v.bySchema[id] = made
	return made, made.err
}

// look maps a layout that is not the table's.
func (v *views) look(to *view, l *record.Layout) (err error) {
	stored, err := quiver.SchemaFromStored(l.ID(), l.Schema())
	if err != nil {
		return err
	}
	if to.mapping, err = quiver.MapColumns(stored, v.table, v.columns); err != nil {
		return err
	}
	if to.asIs = to.mapping.Identity(); to.asIs || v.layout != nil {
		return nil
	}
	whole, err := record.NewLayout(v.table)
	if err != nil {
		return err
	}
	places := make([]int, len(v.columns))
	for i, id := range v.columns {
		places[i] = v.table.Index(id)
	}
	v.layout = whole.Pick(places)
	return nil
}

// bring makes a stored batch one of the scan's schema. It takes over the reference. converted is false where nothing
// was to be done.
func (v *views) bring(b *record.Batch) (out *record.Batch, converted bool, err error) {
	view, err := v.of(b.Layout())
	if err != nil {
		b.Release()
		return nil, false, err
	}
	if view.asIs {
		return b, false, nil
	}
	defer b.Release()
	out, err = b.Convert(view.mapping, v.layout)
	return out, true, err
}
