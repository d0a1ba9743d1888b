package record

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Input is the gate of one put stream: it takes the client's messages, in the client's schema, and gives batches as
// the table stores them. What it gives is as safe as what Verify gives.
//
//	the client's columns are the table's            the bytes pass as they are, verified
//	other order, columns missing                    buffers are picked and filled in, nothing is decoded
//	other types or layouts                          only those columns are decoded, converted and encoded,
//	                                                by the codec of the client's batch
//
// It belongs to one goroutine. Close releases its dictionaries.
type Input struct {
	layout *Layout // of the table
	client *Layout // of the client, with the table's own slots where the bytes are the table's
	limits Limits
	raw    bool // the client's batches are the table's as they come
	shape  *reshaper

	summary *Summary

	dictionaries map[int64]*dictionary
	arrays       map[int64]arrow.Array // the dictionaries' values, for the gate
	held         int64                 // bytes of all dictionaries
}

// NewInput makes the gate for a stream of the client's schema into a table whose layout is l. The ids are those of the
// schema's dictionaries, as ParseSchema gives them. The error is SCHEMA_MISMATCH, and names the columns.
func NewInput(client *arrow.Schema, ids []int64, table *quiver.Schema, l *Layout, lim Limits) (*Input, error) {
	mapping, err := quiver.MapInput(client, table)
	if err != nil {
		return nil, err
	}
	sent, err := InputLayout(client, ids)
	if err != nil {
		return nil, err
	}
	in := &Input{layout: l, limits: lim.withDefaults(), raw: mapping.Identity()}
	normal := func(source int) *slot { return sent.slots[source].normal() }
	if in.shape, err = newReshaper(mapping, l, len(sent.slots), normal, byName); err != nil {
		return nil, err
	}
	slots := append([]slot(nil), sent.slots...)
	for i, c := range mapping.Columns() {
		if c.Source >= 0 && !c.Cast {
			slots[c.Source] = l.slots[i] // the gate checks for nulls where the table has none
		}
	}
	if err := checkDictionaries(slots, make(map[int64]*slot)); err != nil {
		return nil, err
	}
	in.client = layoutOf(client, 0, slots)
	in.client.stored = false
	in.shape.from = in.client
	return in, nil
}

// checkDictionaries refuses a dictionary that two fields use as values of different types.
func checkDictionaries(slots []slot, known map[int64]*slot) error {
	for i := range slots {
		s := &slots[i]
		if s.kind == kindDictionary {
			other := known[s.dict]
			if other != nil && !other.values.fits(s.values.typ) {
				return s.fail(quiver.SchemaMismatch, "column %s uses its dictionary %d for other values", other.name, s.dict)
			}
			known[s.dict] = s
			if err := checkDictionaries([]slot{*s.values}, known); err != nil {
				return err
			}
		}
		if err := checkDictionaries(s.children, known); err != nil {
			return err
		}
	}
	return nil
}

// Summarize has compressed batches that pass as they are get statistics: that is where their bytes are plain. Others
// get them when they are stored, see Batch.Summarize; those of compressed batches that do not pass as they are have none.
func (in *Input) Summarize(s *Summary) { in.summary = s }

// Held is how many bytes the stream's dictionaries take until the next one comes, or Close.
func (in *Input) Held() int64 { return in.held }

// Close releases what the gate holds.
func (in *Input) Close() {
	for _, d := range in.dictionaries {
		d.release()
	}
	in.dictionaries, in.arrays, in.held = nil, nil, 0
}

// Batch takes one record batch: its metadata without prefix, and its body in memory that is ours. It keeps no
// reference on the body beyond those of the batch it gives. The error is MALFORMED_BATCH, BATCH_TOO_LARGE or
// SCHEMA_MISMATCH, and names the column.
func (in *Input) Batch(meta []byte, body *buf.Buf) (*Batch, error) {
	if in.raw {
		return verifyInput(in.layout, meta, body, in.limits, nil, in.summary)
	}
	sent, err := verifyInput(in.client, meta, body, in.limits, in.arrays, nil)
	if err != nil {
		return nil, err
	}
	defer sent.Release()
	h := in.newShaper()
	defer h.release()
	return in.shape.reshape(sent, h)
}

// Dictionary takes one dictionary batch. A delta adds to the dictionary of its number, any other replaces it. All
// dictionaries of a stream together take at most what a body may.
func (in *Input) Dictionary(meta []byte, body *buf.Buf) error {
	id, delta, sent, err := verifyDictionary(in.client, meta, body, in.limits, in.arrays)
	if err != nil {
		return err
	}
	defer sent.Release()
	plain, err := sent.inflate()
	if err != nil {
		return err
	}
	defer plain.Release()
	h := in.newShaper()
	defer h.release()
	s := &sent.layout.slots[0]
	w := walker{b: plain}
	v, err := h.normalize(s, w.array(s))
	if err != nil {
		return err
	}
	runs := []values{v}
	old := in.dictionaries[id]
	if delta {
		if old == nil {
			return malformed("dictionary %d is added to before it was sent", id)
		}
		runs = []values{old.batch.column(0), v}
	}
	return in.setDictionary(id, s.normal(), runs)
}

// setDictionary makes a dictionary of runs of normal values.
func (in *Input) setDictionary(id int64, s *slot, runs []values) error {
	field := arrow.Field{Name: s.name, Type: s.typ, Nullable: true}
	l := layoutOf(arrow.NewSchema([]arrow.Field{field}, nil), 0, []slot{*s})
	rows := 0
	for _, r := range runs {
		rows += r.length
	}
	p, err := planRows(l, func(int) []values { return runs })
	if err != nil {
		return err
	}
	held := in.held + p.size
	old := in.dictionaries[id]
	if old != nil {
		held -= old.batch.bodyLen
	}
	if held > in.limits.MaxBody {
		return quiver.Errorf(quiver.BatchTooLarge, "the stream's dictionaries take %d bytes, the limit is %d", held, in.limits.MaxBody).
			Advise("send these columns plainly")
	}
	if err := in.limits.admit(p.size); err != nil {
		return err
	}
	d := &dictionary{layout: l, batch: p.copied(l, rows)}
	arrays, err := d.batch.arrays(nil)
	if err != nil {
		d.batch.Release()
		return err
	}
	d.array = arrays[0]
	if old != nil {
		old.release()
	}
	if in.dictionaries == nil {
		in.dictionaries, in.arrays = make(map[int64]*dictionary), make(map[int64]arrow.Array)
	}
	in.dictionaries[id], in.arrays[id], in.held = d, d.array, held
	return nil
}
