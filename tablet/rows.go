package tablet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/planted"
	"github.com/quiverlog/quiver/kv"
)

// rows is the current rows of a primary-key bucket under one leadership.
type rows struct {
	store  *kv.Store
	tablet *kv.Tablet

	// mu orders upserts: each is prepared on what the one before left, and staged in the same order in log and rows.
	mu     sync.Mutex
	meta   *quiver.Table  // as the rows are configured by
	schema *quiver.Schema // the table's
	layout *record.Layout // of the changelog
	codec  *record.Compression
	judged judged
	ids    idBlock
	over   bool // another leadership has taken over: nothing is decided here any more
}

// errOver means that another leadership took over while something was on its way to the rows of this one.
var errOver = errors.New("tablet: another leadership took over")

// retire ends the rows of a leadership that another one takes over from, perhaps with the same log: what is being
// decided is staged first, so that the other one finds it in the log, and what is staged is left to it.
func (r *rows) retire() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.tablet.Retire()
}

// applyRows writes what lies below the high watermark into the store. The epoch is that of the log, which may lead by a
// higher one than this leadership by now: no change may have a higher one than the rows say.
func (l *leadership) applyRows() error {
	high := l.log.HighWatermark()
	return l.rows.tablet.Advance(high, l.log.Epoch())
}

// openRows brings the rows of a bucket up to its log: what lies below the high watermark goes into the store, the rest
// is staged.
func (t *Tablet) openRows(ctx context.Context, log *arrowlog.Log, meta *quiver.Table, epoch quiver.Epoch) (*rows, error) {
	if old := t.leading.Load(); old != nil && old.rows != nil {
		old.rows.retire()
		// What it staged in the log is read from there, which takes that it is durable.
		if err := log.Sync(ctx, log.End()); err != nil {
			return nil, err
		}
	}
	store, err := t.server.rows.get()
	if err != nil {
		return nil, err
	}
	tablet, err := store.Tablet(t.id, rowsConfig(meta))
	if err != nil {
		return nil, err
	}
	r := &rows{store: store, tablet: tablet, judged: judged{}}
	if err := r.configure(meta); err != nil {
		return nil, err
	}
	return r, t.replay(ctx, log, r, epoch)
}

// configure takes over what the table says. The caller holds mu, or is alone.
func (r *rows) configure(meta *quiver.Table) error {
	if r.meta == meta || r.schema != nil && r.schema.ID() > meta.Schema.ID() {
		return nil
	}
	layout, err := record.NewLayout(meta.LogSchema())
	if err != nil {
		return err
	}
	if err := r.tablet.Configure(rowsConfig(meta)); err != nil {
		return err
	}
	r.meta, r.schema, r.layout, r.codec = meta, meta.Schema, layout, nil
	if codec, err := record.ParseCompression(meta.Options.Compression); err == nil && codec != record.None {
		r.codec = &codec
	}
	return nil
}

// replay folds the log from where the rows end.
func (t *Tablet) replay(ctx context.Context, log *arrowlog.Log, r *rows, epoch quiver.Epoch) error {
	high, end := log.HighWatermark(), log.End()
	if err := t.match(ctx, log, r); err != nil {
		return err
	}
	from := r.tablet.Mark().Applied
	if planted.Is(planted.ReplayFromEnd) {
		from = high
	}
	reader := log.Read(from, end, arrowlog.ReadSpec{})
	defer reader.Close()
	for {
		if gone := t.closed(); gone != nil {
			return gone
		}
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = r.fold(batch, high, epoch)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// match makes sure that the log goes on from where the rows end. Rows that are ahead of the log, or were made of changes
// that it lost, are made again from its start. Where it does not go back far enough, they are those of a checkpoint.
func (t *Tablet) match(ctx context.Context, log *arrowlog.Log, r *rows) error {
	start, high := log.Start(), log.HighWatermark()
	fits := func(m kv.Mark) bool {
		return m.Applied >= start && m.Applied <= high && log.EpochEnd(m.Epoch) >= m.Applied
	}
	mark := r.tablet.Mark()
	if fits(mark) {
		return nil
	}
	if start == 0 {
		if err := r.store.Drop(ctx, t.id); err != nil {
			return err
		}
	} else if ok, err := t.server.rows.rescue(ctx, r.store, t.id, fits); err != nil {
		return err
	} else if !ok {
		return lost(mark, start, high)
	}
	var err error
	r.tablet, err = r.store.Tablet(t.id, rowsConfig(t.Table()))
	return err
}

// lost says that rows and log do not fit together, and nothing is there to mend that.
func lost(mark kv.Mark, start, high quiver.Offset) error {
	return quiver.Errorf(quiver.CorruptRange, "the rows are those at offset %d of epoch %d, and the log has the changes [%d, %d): they do not go on from there",
		mark.Applied, mark.Epoch, start, high).Advise("restore a copy of the data directory, or load the table anew")
}

// fold takes one batch of the log.
func (r *rows) fold(batch *record.Batch, high quiver.Offset, epoch quiver.Epoch) error {
	piece, done, err := changelogOf(batch)
	if err != nil {
		return err
	}
	defer done()
	if piece.Base < high {
		return r.tablet.Fold(piece, epoch)
	}
	return r.tablet.StageLog(piece)
}

// changelogOf decodes a stored batch of a changelog. done gives it back.
func changelogOf(batch *record.Batch) (piece *kv.Changelog, done func(), err error) {
	stored, err := quiver.SchemaFromStored(batch.Layout().ID(), batch.Layout().Schema())
	if err != nil {
		return nil, nil, err
	}
	schema, err := stored.WithoutChangeType()
	if err != nil {
		return nil, nil, err
	}
	rec, err := batch.Decode()
	if err != nil {
		return nil, nil, err
	}
	n := int(rec.NumCols()) - 1
	types, ok := rec.Column(n).(*array.Int8)
	if !ok || schema == stored {
		rec.Release()
		return nil, nil, quiver.Errorf(quiver.CorruptRange, "rows from offset %d on have no change type", batch.Header().BaseOffset)
	}
	h := batch.Header()
	return &kv.Changelog{Schema: schema, Base: h.BaseOffset, Columns: rec.Columns()[:n], Types: types, Continued: h.Flags&record.Continued != 0}, rec.Release, nil
}

// rowsConfig is what a table says about its rows.
func rowsConfig(meta *quiver.Table) kv.Config {
	m := &meta.Options.Merging
	c := kv.Config{
		Schema: meta.Schema, Key: meta.PrimaryKey, OmitBefore: m.OmitBefore, EmitNoOp: m.EmitNoOp,
		Version: columnID(meta, m.VersionColumn), AutoIncrement: columnID(meta, m.AutoIncrement),
	}
	switch m.Engine {
	case quiver.EngineFirstRow:
		c.Engine = kv.FirstRow
	case quiver.EngineVersioned:
		c.Engine = kv.Versioned
	case quiver.EngineAggregation:
		c.Engine = kv.Aggregation
	}
	switch m.Deletes {
	case quiver.DeleteIgnore:
		c.Deletes = kv.IgnoreDelete
	case quiver.DeleteDisable:
		c.Deletes = kv.DisableDelete
	}
	for name, a := range m.Aggregates {
		if c.Aggregates == nil {
			c.Aggregates = make(map[quiver.ColumnID]quiver.Aggregate, len(m.Aggregates))
		}
		c.Aggregates[columnID(meta, name)] = a
	}
	return c
}

func columnID(meta *quiver.Table, name string) quiver.ColumnID {
	c, _ := meta.Schema.ByName(name)
	return c.ID
}

// Rows is what an upsert or delete is about, in one bucket.
type Rows struct {
	Batch  *record.Batch  // the caller's; its columns are those of Schema
	Schema *quiver.Schema // the table's, or some of its columns, and perhaps change types and expected offsets
	Op     kv.Op          // of all rows, where no column tells
	// Partial says that columns which are not sent keep their values. Columns are those that are taken as sent, beside
	// the primary key; nil: all of Schema. A delete may name some that are not sent.
	Partial bool
	Columns []quiver.ColumnID
	// Missing inserts absent keys only.
	Missing bool
}

// Upsert stages what becomes of rows: the changelog of it, all or nothing. See Put for what it refuses; beside that it
// refuses CONDITION_FAILED, DELETE_DISABLED and SCHEMA_MISMATCH. Rows that change nothing are settled by Wait, too: what
// they were judged by has to be durable before that may be told.
//
// A change that takes much more memory than the rows that were sent is durable when Upsert returns, and a large one is
// made while no other is: what is under way at one time stays bounded, however much a few keys are about.
func (t *Tablet) Upsert(ctx context.Context, in *Rows, o Origin) (Staged, error) {
	alone := false
	defer func() {
		if alone {
			t.server.large.Release(1)
		}
	}()
	for {
		l, err := t.admit(ctx, o)
		if err == nil && l.rows == nil {
			err = quiver.Errorf(quiver.BadCommand, "the table has no primary key")
		}
		if err != nil {
			return Staged{}, t.explain(err)
		}
		s, err := t.upsert(ctx, l, in, o, alone)
		if errors.Is(err, arrowlog.ErrSchema) || errors.Is(err, errOver) {
			continue // altered meanwhile, or led anew: what was decided is decided anew
		}
		if errors.Is(err, kv.ErrAlone) {
			if err = t.server.large.Acquire(ctx, 1); err == nil {
				alone = true
				continue
			}
		}
		if quiver.ReasonOf(err) == quiver.ConditionFailed {
			// The refusal is told once what it was judged by is durable.
			if failed := t.settle(ctx, l, s.through); failed != nil {
				err = failed
			}
		}
		if err != nil {
			return Staged{}, t.explain(t.rowsFailed(l, err))
		}
		s.tablet, s.lead = t, l
		if alone || s.bytes > amplified*in.Batch.Size()+smallChange {
			t.drain(ctx, s, alone)
		}
		return s, nil
	}
}

// A change of at most smallChange bytes, or of so many times the bytes that were sent, is under way together with those
// before it: the budget for what is received bounds them.
const (
	smallChange = 4 << 20
	amplified   = 8
	hugeChange  = 256 << 20 // from here on the memory goes back to the system at once
)

// drain waits until the memory of a change is free. What became of it is told to whoever waits for it.
func (t *Tablet) drain(ctx context.Context, s Staged, alone bool) {
	_ = t.Wait(ctx, s)
	if alone && s.bytes >= hugeChange {
		debug.FreeOSMemory()
	}
}

// rowsFailed makes an error of the store one that may pass: the store is opened anew, and the rows made again.
func (t *Tablet) rowsFailed(l *leadership, err error) error {
	var known *quiver.Error
	if errors.As(err, &known) || l.rows.store.Failed() == nil {
		return err
	}
	return t.unavailable("the store of rows failed", err)
}

// upsert does it under the bucket's lock. With CONDITION_FAILED it tells until where the log has what that was judged by.
func (t *Tablet) upsert(ctx context.Context, l *leadership, in *Rows, o Origin, alone bool) (Staged, error) {
	r := l.rows
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return Staged{}, errOver
	}
	if err := r.configure(t.Table()); err != nil {
		return Staged{}, err
	}
	o.Keyed = true
	if s, repeat, err := r.seen(l.log, &o); (repeat || err != nil) && !planted.Is(planted.RepeatAfterCondition) {
		return s, err
	}
	if o.ExpectOffset >= 0 && o.ExpectOffset != l.log.End() {
		return Staged{}, quiver.Errorf(quiver.ExpectedOffsetMismatch, "the log ends at %d, not at %d", l.log.End(), o.ExpectOffset).
			Advise("read what was appended meanwhile, then decide again")
	}
	change, err := t.prepare(ctx, r, in, alone)
	if err != nil {
		return Staged{through: l.log.End()}, err
	}
	if change.Len() == 0 {
		return Staged{through: l.log.End()}, t.judge(r, o)
	}
	unit, err := r.changelog(change)
	if err != nil {
		return Staged{}, err
	}
	o.Rows, o.ExpectOffset = int64(change.Len()), -1
	if err := l.log.Configure(logConfig(r.meta)); err != nil {
		release(unit)
		return Staged{}, err
	}
	staged, err := t.stage(l, unit, o)
	if errors.Is(err, arrowlog.ErrSchema) {
		release(unit) // it is still ours
	}
	if err != nil {
		return Staged{}, err
	}
	r.tablet.Stage(change, staged.From)
	s := Staged{Staged: staged, through: staged.Until, bytes: change.Bytes}
	if in.Missing {
		s.inserted = change
	}
	return s, nil
}

// seen tells a repeat, of what stands in the log and of what left no row.
func (r *rows) seen(log *arrowlog.Log, o *Origin) (Staged, bool, error) {
	if o.Writer == quiver.NoWriter {
		return Staged{}, false, nil
	}
	judged, ok := r.judged.of(o.Writer)
	if ok && o.Previous != quiver.NoSequence && o.Previous <= judged {
		o.PreviousAcked = true // it was taken, and left nothing
	}
	s, repeat, err := log.Seen(*o)
	if err != nil {
		return Staged{}, false, err
	}
	if !repeat && ok && o.Sequence <= judged {
		s, repeat = arrowlog.Staged{Duplicate: true}, true
	}
	if !repeat {
		return Staged{}, false, nil
	}
	return Staged{Staged: s, through: log.End()}, true, nil
}

// judge takes a batch that leaves no row. It is refused as one that leaves rows would be: what a fenced writer sent
// must not stand in the way of the sequences of its successor.
func (t *Tablet) judge(r *rows, o Origin) error {
	w := &t.server.writers
	w.mu.RLock()
	defer w.mu.RUnlock()
	if refused := t.refuseLocked(o); refused != nil {
		return refused
	}
	r.judged.add(o, t.server.options.Now(), r.meta.Options.WriterExpiry)
	return nil
}

// prepare decides what the rows do.
func (t *Tablet) prepare(ctx context.Context, r *rows, in *Rows, alone bool) (*kv.Change, error) {
	batch, schema := in.Batch.Retain(), in.Schema
	if schema.ID() < r.schema.ID() {
		var err error
		if batch, schema, err = modern(batch, schema, r.schema); err != nil {
			return nil, err
		}
	}
	defer batch.Release()
	rec, err := batch.Decode()
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	p := &kv.Rows{Len: batch.Rows(), Columns: make([]arrow.Array, r.schema.NumColumns()), Op: in.Op, Partial: in.Partial, Missing: in.Missing, Alone: alone}
	for i, c := range schema.Columns() {
		switch c.ID {
		case quiver.ChangeTypeID:
			p.Ops, err = opsOf(rec.Column(i))
		case quiver.ExpectedOffsetID:
			p.Expected, _ = rec.Column(i).(*array.Int64)
		default:
			if in.Columns == nil || slices.Contains(in.Columns, c.ID) || slices.Contains(r.meta.PrimaryKey, c.ID) {
				p.Columns[r.schema.Index(c.ID)] = rec.Column(i)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	for _, id := range in.Columns {
		if place := r.schema.Index(id); place >= 0 && p.Columns[place] == nil {
			p.Listed = append(p.Listed, place)
		}
	}
	return r.tablet.Prepare(p, func() (int64, error) { return r.ids.next(ctx, t) })
}

// modern brings a batch of an older schema up to the table's: the columns that it has and the table still has.
func modern(batch *record.Batch, old, now *quiver.Schema) (*record.Batch, *quiver.Schema, error) {
	defer batch.Release()
	var ids []quiver.ColumnID
	var system []quiver.ColumnID
	for _, c := range old.Columns() {
		switch {
		case c.ID == quiver.ChangeTypeID || c.ID == quiver.ExpectedOffsetID:
			system = append(system, c.ID)
		case now.Index(c.ID) >= 0:
			ids = append(ids, c.ID)
		}
	}
	target, err := now.Pick(ids, system...)
	if err != nil {
		return nil, nil, err
	}
	mapping, err := quiver.MapColumns(old, target, nil)
	if err != nil {
		return nil, nil, err
	}
	layout, err := record.NewLayout(target)
	if err != nil {
		return nil, nil, err
	}
	converted, err := batch.Convert(mapping, layout)
	return converted, target, err
}

// opsOf reads the change types that a client sends, which were checked.
func opsOf(column arrow.Array) ([]kv.Op, error) {
	words, ok := column.(*array.String)
	if !ok {
		return nil, quiver.Errorf(quiver.Internal, "change types are %s", column.DataType())
	}
	ops := make([]kv.Op, words.Len())
	for i := range ops {
		switch words.Value(i) {
		case "-D":
			ops[i] = kv.Delete
		case "-U":
			ops[i] = kv.Skip
		}
	}
	return ops, nil
}

// changeBytes is the size of a stored batch of a changelog; only a row that is larger alone is a larger batch.
const changeBytes = 3 << 20

// changelog makes the unit of a change, piece by piece: what it takes beside the pieces does not depend on their number.
func (r *rows) changelog(change *kv.Change) (unit []*record.Batch, err error) {
	defer func() {
		if err != nil {
			release(unit)
			unit = nil
		}
	}()
	for {
		columns, err := change.Piece(changeBytes)
		if err != nil || columns == nil {
			return unit, err
		}
		batch, err := r.encode(columns)
		if err != nil {
			return unit, err
		}
		pieces, err := batch.Split(changeBytes + changeBytes/4) // it is cut by what rows take as they are stored in kv
		batch.Release()
		if err != nil {
			return unit, err
		}
		unit = append(unit, pieces...)
	}
}

// encode makes a batch of columns of the changelog, which it takes over.
func (r *rows) encode(columns []arrow.Array) (*record.Batch, error) {
	rec := array.NewRecordBatch(r.layout.Schema(), columns, int64(columns[0].Len()))
	for _, c := range columns {
		c.Release()
	}
	defer rec.Release()
	batch, err := record.Encode(r.layout, rec, record.None)
	if err != nil {
		return nil, fmt.Errorf("tablet: encode a changelog: %w", err)
	}
	if r.codec == nil {
		return batch, nil
	}
	defer batch.Release()
	return batch.Recompress(*r.codec)
}
