package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
	"github.com/quiverlog/quiver/tablet/scan"
)

// keysAtOnce is how many keys are looked up together, and about how large an answer may become by default.
const (
	keysAtOnce  = 8192
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
	request int64 // the key batch at hand
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
	l := &lookup{service: s, command: c, table: table, shape: shape}
	if c.InsertMissing {
		if err := insertable(table); err != nil {
			return nil, err
		}
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
		l.least[quiver.BucketID{Table: l.table.ID, Bucket: bucket}] = offset
	}
	for name, p := range at.Partitions {
		if partition, ok := l.table.Partition(name); ok {
			for bucket, offset := range p.Offsets {
				l.least[quiver.BucketID{Table: l.table.ID, Partition: partition.ID, Bucket: bucket}] = offset
			}
		}
	}
	return nil
}

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
	return l.table.Schema.Pick(want)
}

// answers sends what was found for one batch of keys, whose columns are in the order of the primary key. base is the
// place of the first one in the client's batch; last tells that no more of it follow.
func (l *lookup) answers(ctx context.Context, send func(*kv.Answer, []bucketName, bool) error, columns []arrow.Array) error {
	if l.command.Prefix && len(columns) < len(l.table.PrimaryKey) {
		return l.prefixes(ctx, send, columns)
	}
	rows := columns[0].Len()
	for from := 0; from == 0 || from < rows; from += keysAtOnce {
		until := min(from+keysAtOnce, rows)
		part := make([]arrow.Array, len(columns))
		for i := range columns {
			part[i] = array.NewSlice(columns[i], int64(from), int64(until))
			defer part[i].Release()
		}
		a, names, err := l.find(ctx, part)
		if err != nil {
			return err
		}
		for i := range a.Index {
			a.Index[i] += int64(from)
		}
		err = send(a, names, until == rows)
		a.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// find looks keys up in their buckets.
func (l *lookup) find(ctx context.Context, columns []arrow.Array) (*kv.Answer, []bucketName, error) {
	routes, err := l.route(columns)
	if err != nil {
		return nil, nil, err
	}
	var found *kv.Lookup
	names := make([]bucketName, 0, len(routes))
	for _, r := range routes {
		if l.command.InsertMissing {
			if err := l.insert(ctx, r, columns); err != nil {
				return nil, nil, err
			}
		}
		k, err := r.tablet.Lookup(ctx, l.least[r.tablet.ID()])
		if err != nil {
			return nil, nil, err
		}
		if found == nil {
			if found, err = k.Rows.NewLookup(columns); err != nil {
				return nil, nil, err
			}
		}
		if err := k.Find(ctx, found, r.rows, int32(len(names))); err != nil {
			return nil, nil, err
		}
		names = append(names, bucketName{r.tablet.Bucket(), r.tablet.PartitionName()})
	}
	if found == nil { // no key at all, or none whose partition there is
		return l.nothing(), nil, nil
	}
	a, err := found.Answer(l.shape.places)
	return a, names, err
}

// nothing is an answer without rows.
func (l *lookup) nothing() *kv.Answer { return noRows(l.table, l.shape.places) }

// noRows is an answer without rows.
func noRows(table *quiver.Table, places []int) *kv.Answer {
	a := &kv.Answer{Schema: table.Schema}
	for _, place := range slices.Compact(slices.Sorted(slices.Values(places))) {
		a.Places = append(a.Places, place)
		a.Columns = append(a.Columns, array.MakeArrayOfNull(memory.DefaultAllocator, table.Schema.Columns()[place].Field.Type, 0))
	}
	return a
}

// keyRoute is the keys that belong to one bucket, by their places; nil: all.
type keyRoute struct {
	tablet *tablet.Tablet
	rows   []int32
}

// route finds the bucket of each key. Keys of partitions that are not there have none.
func (l *lookup) route(columns []arrow.Array) ([]keyRoute, error) {
	rows := columns[0].Len()
	if rows == 0 {
		return nil, nil
	}
	table, err := l.service.coordinator.TableByID(l.table.ID)
	if err != nil {
		return nil, err
	}
	if !table.Partitioned() && table.Buckets == 1 {
		t, err := l.service.tablets.Tablet(quiver.BucketID{Table: table.ID})
		return []keyRoute{{t, nil}}, err
	}
	byBucket := map[quiver.BucketID][]int32{}
	for i := range rows {
		id, ok, err := bucketOfKey(table, columns, i)
		if err != nil {
			return nil, err
		}
		if ok {
			byBucket[id] = append(byBucket[id], int32(i))
		}
	}
	routes := make([]keyRoute, 0, len(byBucket))
	for id, which := range byBucket {
		t, err := l.service.tablets.Tablet(id)
		if err != nil {
			return nil, err
		}
		routes = append(routes, keyRoute{t, which})
	}
	return routes, nil
}

// bucketOfKey gives the bucket of a whole key, whose columns are in the order of the primary key; ok is false where
// its partition is not there.
func bucketOfKey(table *quiver.Table, columns []arrow.Array, i int) (id quiver.BucketID, ok bool, err error) {
	id = quiver.BucketID{Table: table.ID}
	value := func(column quiver.ColumnID) (arrow.DataType, any) {
		at := slices.Index(table.PrimaryKey, column)
		return columns[at].DataType(), valueAt(columns[at], i)
	}
	hashes := make([]uint32, len(table.BucketKey))
	for n, column := range table.BucketKey {
		dt, v := value(column)
		if hashes[n], ok = quiver.HashValue(dt, v); !ok {
			return id, false, quiver.Errorf(quiver.Internal, "a key of %s has no bucket", dt)
		}
	}
	id.Bucket = quiver.BucketOf(hashes, table.Buckets)
	if !table.Partitioned() {
		return id, true, nil
	}
	values := make([]any, len(table.PartitionBy))
	for n, column := range table.PartitionBy {
		_, values[n] = value(column)
	}
	name, err := table.PartitionName(values)
	if err != nil {
		return id, false, err
	}
	p, ok := table.Partition(name)
	id.Partition = p.ID
	return id, ok, nil
}

// insert puts the keys of one bucket that are not there.
func (l *lookup) insert(ctx context.Context, r keyRoute, columns []arrow.Array) error {
	schema, err := l.table.Schema.Pick(l.table.PrimaryKey)
	if err != nil {
		return err
	}
	layout, err := record.NewLayout(schema)
	if err != nil {
		return err
	}
	ordered := make([]arrow.Array, len(columns)) // as the schema has them
	for i, id := range l.table.PrimaryKey {
		ordered[schema.Index(id)] = columns[i]
	}
	rec := array.NewRecordBatch(layout.Schema(), ordered, int64(columns[0].Len()))
	defer rec.Release()
	batch, err := record.Encode(layout, rec, record.None)
	if err != nil {
		return err
	}
	defer batch.Release()
	if r.rows != nil {
		if batch, err = batch.Select(r.rows); err != nil {
			return err
		}
		defer batch.Release()
	}
	staged, err := r.tablet.Upsert(ctx, &tablet.Rows{Batch: batch, Schema: schema, Missing: true},
		tablet.Origin{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, Previous: quiver.NoSequence, ExpectOffset: -1, Rows: int64(batch.Rows())})
	if err != nil {
		return err
	}
	return r.tablet.Wait(ctx, staged)
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
	scanner, err := views[0].Rows.Scan(ctx, nil, kv.PrefixBounds(key), l.shape.places)
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

// allTablets are those of all buckets of the table.
func (l *lookup) allTablets() ([]*tablet.Tablet, error) {
	table, err := l.service.coordinator.TableByID(l.table.ID)
	if err != nil {
		return nil, err
	}
	return l.service.tabletsOf(table, nil, nil)
}

// tabletsOf are the tablets of a table: of one partition or all, of one bucket or all.
func (s *Service) tabletsOf(table *quiver.Table, partition *quiver.Partition, bucket *int32) ([]*tablet.Tablet, error) {
	partitions := table.Partitions
	if !table.Partitioned() {
		partitions = []quiver.Partition{{}}
	}
	if partition != nil {
		partitions = []quiver.Partition{*partition}
	}
	var tablets []*tablet.Tablet
	for _, p := range partitions {
		for b := range table.Buckets {
			if bucket != nil && *bucket != b {
				continue
			}
			t, err := s.tablets.Tablet(quiver.BucketID{Table: table.ID, Partition: p.ID, Bucket: b})
			if err != nil {
				return nil, err
			}
			tablets = append(tablets, t)
		}
	}
	return tablets, nil
}

// send sends one answer in as many batches as its size asks for.
func (l *lookup) send(stream grpc.ServerStream, a *kv.Answer, names []bucketName, last bool) error {
	batch, err := l.shape.batch(a, names, nil)
	if err != nil {
		return err
	}
	pieces := []*record.Batch{batch}
	if batch.Rows() > 0 {
		pieces, err = batch.Split(l.maxBytes())
		batch.Release()
		if err != nil {
			return err
		}
	}
	for i, piece := range pieces {
		header, body := piece.Served()
		metadata := fmt.Appendf(nil, `{"request":%d,"last":%t}`, l.request, last && i == len(pieces)-1)
		if err := codec.Send(stream, &codec.Out{Metadata: metadata, Header: header, Body: body, Owner: piece}); err != nil {
			for _, left := range pieces[i+1:] {
				left.Release()
			}
			return err
		}
	}
	return nil
}

func (l *lookup) sendSchema(stream grpc.ServerStream) error {
	header, err := record.ServedSchema(l.shape.schema)
	if err != nil {
		return err
	}
	return codec.Send(stream, &codec.Out{Header: header})
}

// single answers the keys of a ticket.
func (s *Service) single(ctx context.Context, c *flight.LookupCommand, stream grpc.ServerStream) error {
	l, err := s.newLookup(c)
	if err != nil {
		return err
	}
	columns, err := l.ticketKeys()
	if err != nil {
		return about(l.table.Path(), err)
	}
	defer func() {
		for _, column := range columns {
			column.Release()
		}
	}()
	if err := l.sendSchema(stream); err != nil {
		return err
	}
	return l.answers(ctx, func(a *kv.Answer, names []bucketName, last bool) error { return l.send(stream, a, names, last) }, columns)
}

// ticketKeys reads the keys of a ticket: [[1],[2]].
func (l *lookup) ticketKeys() ([]arrow.Array, error) {
	if l.command.Keys == nil {
		return nil, quiver.Errorf(quiver.BadCommand, "a lookup in a ticket names its keys").Advise(`write {"lookup": "t", "keys": [[1],[2]]}`)
	}
	width := len(l.table.PrimaryKey)
	builders := make([]array.Builder, 0, width)
	defer func() {
		for _, b := range builders {
			b.Release()
		}
	}()
	for n, raw := range l.command.Keys {
		values, err := l.keyValues(raw, l.command.Prefix)
		if err != nil {
			return nil, quiver.Errorf(quiver.BadCommand, "key %d: %s", n, err.Detail)
		}
		if n == 0 {
			width = len(values)
			for _, id := range l.table.PrimaryKey[:width] {
				c, _ := l.table.Schema.Column(id)
				builders = append(builders, array.NewBuilder(memory.DefaultAllocator, c.Field.Type))
			}
		}
		if len(values) != width {
			return nil, quiver.Errorf(quiver.BadCommand, "key %d has %d values, those before it have %d", n, len(values), width)
		}
		for i, v := range values {
			appendValue(builders[i], v)
		}
	}
	if len(builders) == 0 {
		for _, id := range l.table.PrimaryKey {
			c, _ := l.table.Schema.Column(id)
			builders = append(builders, array.NewBuilder(memory.DefaultAllocator, c.Field.Type))
		}
	}
	columns := make([]arrow.Array, len(builders))
	for i, b := range builders {
		columns[i] = b.NewArray()
	}
	return columns, nil
}

// keyValues reads one key, or the first values of one.
func (l *lookup) keyValues(raw json.RawMessage, prefix bool) ([]any, *quiver.Error) {
	return keyValues(l.table, raw, prefix)
}

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

// exchange answers key batches until the client has sent its last.
func (l *lookup) exchange(ctx context.Context, stream grpc.ServerStream, in *codec.In) error {
	if err := l.sendSchema(stream); err != nil {
		return err
	}
	var input *record.Input
	defer func() {
		if input != nil {
			input.Close()
		}
	}()
	header := slices.Clone(in.Header) // the first message may bring the schema along
	for {
		if len(header) > 0 {
			var err error
			if input, err = l.message(ctx, stream, input, header, in); err != nil {
				return about(l.table.Path(), err)
			}
		}
		in.Reset()
		err := codec.Recv(stream, in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header = in.Header
	}
}

// message takes the schema of the keys, a dictionary, or a batch of keys.
func (l *lookup) message(ctx context.Context, stream grpc.ServerStream, input *record.Input, header []byte, in *codec.In) (*record.Input, error) {
	if input == nil {
		client, dictionaries, err := record.ParseSchema(header)
		if err != nil {
			return nil, err
		}
		if l.keys, err = l.keySchema(client); err != nil {
			return nil, err
		}
		layout, err := record.NewLayout(l.keys)
		if err != nil {
			return nil, err
		}
		return record.NewInput(client, dictionaries, l.keys, layout, l.service.limits)
	}
	switch record.KindOf(header) {
	case record.KindDictionary:
		return input, input.Dictionary(header, in.Body)
	case record.KindBatch:
		return input, l.batch(ctx, stream, input, in)
	default:
		return input, quiver.Errorf(quiver.MalformedBatch, "a message in the middle of the stream holds no record batch")
	}
}

// batch answers one batch of keys.
func (l *lookup) batch(ctx context.Context, stream grpc.ServerStream, input *record.Input, in *codec.In) error {
	batch, err := input.Batch(in.Header, in.Body)
	if err != nil {
		return err
	}
	defer batch.Release()
	rec, err := batch.Decode()
	if err != nil {
		return err
	}
	defer rec.Release()
	columns := make([]arrow.Array, 0, rec.NumCols())
	for _, id := range l.table.PrimaryKey {
		if at := l.keys.Index(id); at >= 0 {
			columns = append(columns, rec.Column(at))
		}
	}
	err = l.answers(ctx, func(a *kv.Answer, names []bucketName, last bool) error { return l.send(stream, a, names, last) }, columns)
	l.request++
	return err
}
