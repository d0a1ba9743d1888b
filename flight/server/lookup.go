package server

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

// keysAtOnce is how many keys are looked up together, and about how large an answer may become by default.
const (
	keysAtOnce  = 8192
	foundBytes  = 16 << 20 // of the rows that these find
	answerBytes = 3 << 20
)

// lookup answers batches of keys of one table.
type lookup struct {
	service *Service
	command *flight.LookupCommand
	table   *quiver.Table
	shape   *answerShape
	keys    *quiver.Schema // of the batches that a client sends
	least   map[quiver.BucketID]quiver.Offset
	most    int   // keys that are looked up together
	request int64 // the key batch at hand
	found   int   // bytes of the rows that were found last
	changed bool  // rows that were missing were inserted for it: what fails later does not undo that
}

// newLookup resolves a lookup command.
func (s *Service) newLookup(c *flight.LookupCommand) (*lookup, error) {
	table, err := s.table(c.Table, c.TableID)
	if err != nil {
		return nil, err
	}
	if err := c.CheckTable(table); err != nil {
		return nil, err
	}
	columns, err := scan.Select(table.Schema, c.Columns, nil)
	if err != nil {
		return nil, about(table.Path(), err)
	}
	shape, err := newAnswerShape(table, columns, true, nil)
	if err != nil {
		return nil, about(table.Path(), err)
	}
	l := &lookup{service: s, command: c, table: table, shape: shape, most: keysAtOnce}
	if c.InsertMissing {
		if err := insertable(table); err != nil {
			return nil, err
		}
		weight, err := kv.EmptyWeight(table.Schema, table.PrimaryKey)
		if err != nil {
			return nil, err
		}
		l.most = max(1, min(keysAtOnce, foundBytes/max(weight, 1)))
	}
	return l, l.minOffsets()
}

// insertable refuses to insert rows of which only the key is known where other columns have to have a value.
func insertable(table *quiver.Table) error {
	for _, c := range table.Schema.Columns() {
		if !c.Field.Nullable && c.Default == nil && !slices.Contains(table.PrimaryKey, c.ID) {
			return quiver.Errorf(quiver.BadCommand, "insert_missing: column %q may not be null and has no default", c.Field.Name).
				On("table " + table.Path()).Advise("put the row, with __expected_offset -1")
		}
	}
	return nil
}

// minOffsets resolves what the rows have to show.
func (l *lookup) minOffsets() error {
	if l.command.MinOffsets.IsZero() {
		return nil
	}
	at, err := vectorPosition(l.table, "min_offsets", l.command.MinOffsets)
	if err != nil {
		return err
	}
	l.least = map[quiver.BucketID]quiver.Offset{}
	for bucket, offset := range at.Offsets {
		if err := checkBucket(l.table, bucket); err != nil {
			return err
		}
		l.least[quiver.BucketID{Table: l.table.ID, Bucket: bucket}] = offset
	}
	for name, p := range at.Partitions {
		if partition, ok := l.table.Partition(name); ok {
			for bucket, offset := range p.Offsets {
				if err := checkBucket(l.table, bucket); err != nil {
					return err
				}
				l.least[quiver.BucketID{Table: l.table.ID, Partition: partition.ID, Bucket: bucket}] = offset
			}
		}
	}
	return nil
}

// answers sends what was found for one batch of keys, whose columns are in the order of the primary key. base is the
// place of the first one in the client's batch; last tells that no more of it follow.
func (l *lookup) answers(ctx context.Context, send func(*kv.Answer, []bucketName, bool) error, columns []arrow.Array) error {
	if l.command.Prefix && len(columns) < len(l.table.PrimaryKey) {
		return l.prefixes(ctx, send, columns)
	}
	l.changed = false
	return l.partly(l.pieces(ctx, send, columns))
}

// pieces answers as many keys at a time as their rows allow.
func (l *lookup) pieces(ctx context.Context, send func(*kv.Answer, []bucketName, bool) error, columns []arrow.Array) error {
	rows, atOnce := columns[0].Len(), l.most
	for from, done := 0, false; !done; {
		until := min(from+atOnce, rows)
		a, names, err := l.some(ctx, columns, from, until)
		if errors.Is(err, kv.ErrTooMuch) { // large rows: fewer at a time
			atOnce = (until - from + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		if l.found < foundBytes/4 {
			atOnce = min(2*atOnce, l.most)
		}
		for i := range a.Index {
			a.Index[i] += int64(from)
		}
		from, done = until, until == rows
		err = send(a, names, done)
		a.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// some finds those of the keys that stand in [from, until).
func (l *lookup) some(ctx context.Context, columns []arrow.Array, from, until int) (*kv.Answer, []bucketName, error) {
	part := make([]arrow.Array, len(columns))
	for i := range columns {
		part[i] = array.NewSlice(columns[i], int64(from), int64(until))
		defer part[i].Release()
	}
	return l.find(ctx, part)
}

// find looks keys up in their buckets.
func (l *lookup) find(ctx context.Context, columns []arrow.Array) (*kv.Answer, []bucketName, error) {
	routes, err := l.route(ctx, columns)
	if err != nil {
		return nil, nil, err
	}
	missing, err := l.missing(ctx, routes, columns)
	if err != nil {
		return nil, nil, err
	}
	if missing != nil {
		defer missing.Batch.Release()
	}
	var found *kv.Lookup
	names := make([]bucketName, 0, len(routes))
	for _, r := range routes {
		if found, err = l.findIn(ctx, r, found, missing, columns, int32(len(names))); err != nil {
			return nil, nil, err
		}
		names = append(names, bucketName{r.tablet.Bucket(), r.tablet.PartitionName()})
	}
	if found == nil { // no key at all, or none whose partition there is
		return l.nothing(), nil, nil
	}
	l.found = found.Size()
	a, err := found.Answer(l.shape.places)
	return a, names, err
}

// partly gives the error of a batch of keys that inserted rows before it failed: it was done in part, so it is not "not done".
func (l *lookup) partly(err error) error {
	if e, ok := errors.AsType[*quiver.Error](err); ok && l.changed && e.Outcome == quiver.NotDone {
		return e.WithOutcome(quiver.Unknown)
	}
	return err
}

// findIn looks those of the keys up that lie in one bucket, beside those found before; nil: none yet. Those of missing
// that are not there are inserted before; nil: none is.
func (l *lookup) findIn(ctx context.Context, r keyRoute, found *kv.Lookup, missing *tablet.Rows, columns []arrow.Array, source int32) (*kv.Lookup, error) {
	for rows := r.rows; ; {
		var inserted tablet.Staged
		var err error
		if missing != nil {
			if inserted, err = insertMissing(ctx, r.tablet, rows, *missing); err != nil {
				return nil, err
			}
			l.changed = true
		}
		k, err := r.tablet.Lookup(ctx, l.least[r.tablet.ID()])
		if err != nil {
			return nil, err
		}
		if found == nil {
			if found, err = k.Rows.NewLookup(l.table.Schema, columns); err != nil {
				return nil, err
			}
			found.MaxBytes = foundBytes
		}
		if err := k.Find(ctx, found, rows, source); err != nil || missing == nil {
			return found, err
		}
		// What was inserted is told as it was then, so that insert and answer are one step, whatever others do meanwhile.
		// What was there then, but is not any more, is inserted anew.
		if err := k.Inserted(inserted, found, rows, source); err != nil {
			return nil, err
		}
		if rows = found.Missing(rows); len(rows) == 0 {
			return found, nil
		}
	}
}

// nothing is an answer without rows.
func (l *lookup) nothing() *kv.Answer { return noRows(l.table, l.shape.places) }

// missing makes of the keys the rows to be inserted where they are not there, nil if none is to be. Nothing is inserted
// where the rows do not show what is asked of them: that is refused for all buckets before.
func (l *lookup) missing(ctx context.Context, routes []keyRoute, columns []arrow.Array) (*tablet.Rows, error) {
	if !l.command.InsertMissing || len(routes) == 0 {
		return nil, nil
	}
	for _, r := range routes {
		if least := l.least[r.tablet.ID()]; least > 0 {
			if _, err := r.tablet.Lookup(ctx, least); err != nil {
				return nil, err
			}
		}
	}
	schema, err := l.table.Schema.Pick(l.table.PrimaryKey)
	if err != nil {
		return nil, err
	}
	layout, err := record.NewLayout(schema)
	if err != nil {
		return nil, err
	}
	ordered := make([]arrow.Array, len(columns)) // as the schema has them
	for i, id := range l.table.PrimaryKey {
		ordered[schema.Index(id)] = columns[i]
	}
	rec := array.NewRecordBatch(layout.Schema(), ordered, int64(columns[0].Len()))
	defer rec.Release()
	batch, err := record.Encode(layout, rec, record.None)
	if err != nil {
		return nil, err
	}
	return &tablet.Rows{Batch: batch, Schema: schema, Missing: true}, nil
}

// insertMissing puts those of the rows, by their places, nil: all, that are not there in a bucket. What it gives is
// settled.
func insertMissing(ctx context.Context, t *tablet.Tablet, places []int32, rows tablet.Rows) (staged tablet.Staged, err error) {
	if places != nil {
		if rows.Batch, err = rows.Batch.Select(places); err != nil {
			return staged, err
		}
		defer rows.Batch.Release()
	}
	staged, err = t.Upsert(ctx, &rows,
		tablet.Origin{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, Previous: quiver.NoSequence, ExpectOffset: -1, Rows: int64(rows.Batch.Rows())})
	if err != nil {
		return staged, err
	}
	return staged, t.Wait(ctx, staged)
}

// prefixes answers prefixes of keys one after the other, each with all rows whose key begins with it.
func (l *lookup) prefixes(ctx context.Context, send func(*kv.Answer, []bucketName, bool) error, columns []arrow.Array) error {
	tablets, err := l.allTablets()
	if err != nil {
		return err
	}
	names := make([]bucketName, len(tablets))
	views := make([]*tablet.Lookup, len(tablets))
	for i, t := range tablets {
		names[i] = bucketName{t.Bucket(), t.PartitionName()}
		if views[i], err = t.Lookup(ctx, l.least[t.ID()]); err != nil {
			return err
		}
	}
	n := columns[0].Len()
	for i := range n {
		values := make([]any, len(columns))
		for c := range columns {
			values[c] = valueAt(columns[c], i)
		}
		if err := l.prefix(ctx, send, views, names, values, int64(i)); err != nil {
			return err
		}
	}
	a := l.nothing()
	defer a.Release()
	return send(a, names, true)
}

// prefix answers one prefix.
func (l *lookup) prefix(ctx context.Context, send func(*kv.Answer, []bucketName, bool) error, views []*tablet.Lookup, names []bucketName, values []any, index int64) (err error) {
	if len(views) == 0 {
		return nil
	}
	key, err := views[0].Rows.KeyPrefix(values)
	if err != nil {
		return about(l.table.Path(), err)
	}
	scanner, err := views[0].Rows.Scan(ctx, l.table.Schema, nil, kv.PrefixBounds(key), l.shape.places)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scanner.Close()) }()
	for i := 1; i < len(views); i++ {
		if err := scanner.Add(ctx, views[i].Rows, nil, kv.PrefixBounds(key), int32(i)); err != nil {
			return err
		}
	}
	scanner.InKeyOrder()
	for {
		a, err := scanner.Next(ctx, keysAtOnce, l.maxBytes())
		if err != nil || a == nil {
			return err
		}
		for i := range a.Index {
			a.Index[i] = index
		}
		err = send(a, names, false)
		a.Release()
		if err != nil {
			return err
		}
	}
}

func (l *lookup) maxBytes() int {
	if l.command.MaxBytes > 0 {
		return int(min(l.command.MaxBytes, l.service.options.MaxMessage))
	}
	return answerBytes
}
