package scan

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
)

// row is one row of the model, as a reader is to see it.
type row struct {
	timestamp int64
	id        int64
	name      string // "" is null
	flag      bool
	tags      []int32
}

// testColumns are the columns of the tables in these tests.
var testColumns = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "tags", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
}, nil)

func testTable(t testing.TB, buckets int32) *quiver.Table {
	t.Helper()
	table, err := quiver.TableSpec{Database: "default", Name: "events", Schema: testColumns, Buckets: buckets}.Table(7, 0)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// bucket is a source over stored batches in memory: what a log would answer, without one.
type bucket struct {
	t      testing.TB
	table  *quiver.Table
	layout *record.Layout
	number int32
	within quiver.Partition
	codec  record.Compression

	mu      sync.Mutex
	rows    []row // the model: all rows, by offset
	stored  []storedBatch
	start   quiver.Offset
	high    quiver.Offset
	gone    error
	readers map[*chan<- struct{}]chan<- struct{}
	breaks  error // what the next reader's second batch answers, once
	reads   int   // readers opened
	open    int   // readers not closed yet
}

type storedBatch struct {
	from, until quiver.Offset
	layout      *record.Layout
	meta, body  []byte
}

func newBucket(t testing.TB, table *quiver.Table, number int32) *bucket {
	t.Helper()
	layout, err := record.NewLayout(table.Schema)
	if err != nil {
		t.Fatal(err)
	}
	return &bucket{t: t, table: table, layout: layout, number: number, readers: map[*chan<- struct{}]chan<- struct{}{}}
}

// seed is what the stored batches of a bucket are checked with.
func (b *bucket) seed() record.Seed {
	return record.NewSeed(b.ID(), 42)
}

// put stores the rows as one batch, and shows them.
func (b *bucket) put(rows ...row) {
	b.stage(rows...)
	b.show(b.end())
}

// stage stores the rows as one batch, above the high watermark.
func (b *bucket) stage(rows ...row) {
	b.t.Helper()
	rec := recordOf(rows)
	defer rec.Release()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store(b.layout, rec, rows[0].timestamp)
	b.rows = append(b.rows, rows...)
}

// store keeps a record as one batch behind the last one. The caller holds the lock.
func (b *bucket) store(layout *record.Layout, rec arrow.RecordBatch, timestamp int64) {
	b.t.Helper()
	batch, err := record.Encode(layout, rec, b.codec)
	if err != nil {
		b.t.Fatal(err)
	}
	defer batch.Release()
	batch.Summarize(record.NewSummary(nil))
	from := quiver.Offset(0)
	if n := len(b.stored); n > 0 {
		from = b.stored[n-1].until
	}
	batch.Stamp(record.Stamp{BaseOffset: from, Epoch: 1, Timestamp: timestamp}, b.seed())
	meta, body := batch.Stored()
	b.stored = append(b.stored, storedBatch{from, from + quiver.Offset(batch.Rows()), layout, slices.Clone(meta), slices.Concat(body...)})
}

func (b *bucket) end() quiver.Offset {
	b.mu.Lock()
	defer b.mu.Unlock()
	return quiver.Offset(len(b.rows))
}

// show moves the high watermark.
func (b *bucket) show(high quiver.Offset) {
	b.change(func() { b.high = high })
}

// change alters the bucket and wakes its readers.
func (b *bucket) change(alter func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	alter()
	for _, ch := range b.readers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (b *bucket) ID() quiver.BucketID {
	return quiver.BucketID{Table: b.table.ID, Partition: b.within.ID, Bucket: b.number}
}

func (b *bucket) PartitionName() string { return b.within.Name }

func (b *bucket) Offsets(context.Context) (Offsets, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Offsets{Start: b.start, HighWatermark: b.high}, b.gone
}

func (b *bucket) End(context.Context) (quiver.Offset, error) { return b.end(), b.gone }

func (b *bucket) OffsetAt(_ context.Context, timestamp int64) (quiver.Offset, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for o := b.start; o < b.high; o++ {
		if b.rows[o].timestamp >= timestamp {
			return o, b.gone
		}
	}
	return b.high, b.gone
}

func (b *bucket) Subscribe(ch chan<- struct{}) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := &ch
	b.readers[key] = ch
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.readers, key)
	}
}

func (b *bucket) Read(_ context.Context, from, until quiver.Offset, spec ReadSpec) (Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until > b.high || from < b.start || from >= until {
		b.t.Errorf("bucket %d was read at [%d, %d), there is [%d, %d)", b.number, from, until, b.start, b.high)
	}
	b.reads++
	b.open++
	if !slices.IsSorted(spec.Columns) || spec.Columns == nil {
		b.t.Errorf("columns %v", spec.Columns)
	}
	r := &bucketReader{b: b, spec: spec, breaks: b.breaks}
	b.breaks = nil
	for _, s := range b.stored {
		if s.until > from && s.from < until {
			r.left = append(r.left, s)
		}
	}
	return r, nil
}

type bucketReader struct {
	b      *bucket
	spec   ReadSpec
	left   []storedBatch
	given  int
	breaks error
	closed bool
}

func (r *bucketReader) Step() (h record.Header, _ *record.Batch, _ error) {
	if r.given == 1 && r.breaks != nil {
		return h, nil, r.breaks
	}
	if len(r.left) == 0 {
		return h, nil, io.EOF
	}
	s := r.left[0]
	r.left = r.left[1:]
	r.given++
	meta, err := record.ParseHeader(s.meta, r.b.seed())
	if err != nil {
		return h, nil, err
	}
	if r.spec.Skip != nil && r.spec.Skip(meta, s.layout) {
		return meta.Header, nil, nil
	}
	var columns []int
	for at, f := range s.layout.Schema().Fields() {
		if id, _ := quiver.FieldID(f); slices.Contains(r.spec.Columns, id) {
			columns = append(columns, at)
		}
	}
	if len(columns) == s.layout.NumColumns() {
		body := buf.Wrap(s.body)
		defer body.Release()
		b, err := record.Load(s.layout, meta, body)
		return meta.Header, b, err
	}
	regions, err := meta.Regions(s.layout, columns)
	if err != nil {
		return h, nil, err
	}
	var parts []*buf.Buf
	for _, g := range regions {
		part := buf.Get(int(g.Len()))
		defer part.Release()
		copy(part.Bytes(), s.body[g.From:g.Until])
		parts = append(parts, part)
	}
	b, err := record.LoadColumns(s.layout, meta, columns, parts)
	return meta.Header, b, err
}

func (r *bucketReader) Close() {
	if !r.closed {
		r.closed = true
		r.b.mu.Lock()
		r.b.open--
		r.b.mu.Unlock()
	}
}

// recordOf is the rows as an Arrow record.
func recordOf(rows []row) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, testColumns)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.id)
		if r.name == "" {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(r.name)
		}
		b.Field(2).(*array.BooleanBuilder).Append(r.flag)
		list := b.Field(3).(*array.ListBuilder)
		list.Append(true)
		for _, v := range r.tags {
			list.ValueBuilder().(*array.Int32Builder).Append(v)
		}
	}
	return b.NewRecordBatch()
}

// cell is what a reader is to see of a row in a column, as text.
func (r row) cell(column string, bucket int32, offset quiver.Offset) string {
	switch column {
	case "id":
		return fmt.Sprint(r.id)
	case "name":
		if r.name == "" {
			return "(null)"
		}
		return r.name
	case "flag":
		return fmt.Sprint(r.flag)
	case "tags":
		return strings.ReplaceAll(fmt.Sprint(r.tags), " ", ",")
	case "__bucket":
		return fmt.Sprint(bucket)
	case "__offset":
		return fmt.Sprint(offset)
	case "__timestamp":
		return fmt.Sprint(r.timestamp)
	case "__partition":
		return ""
	}
	panic(column)
}

// cells is a served batch as text, row by row. It is decoded by the schema that readers see.
func cells(t testing.TB, schema *arrow.Schema, b *record.Batch) [][]string {
	t.Helper()
	rec, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if int(rec.NumCols()) != schema.NumFields() || int(rec.NumRows()) != b.Rows() {
		t.Fatalf("%d columns, %d rows; the schema has %d, the batch %d", rec.NumCols(), rec.NumRows(), schema.NumFields(), b.Rows())
	}
	out := make([][]string, b.Rows())
	for c, col := range rec.Columns() {
		if !arrow.TypeEqual(col.DataType(), schema.Field(c).Type) {
			t.Fatalf("column %d is %s, the schema says %s", c, col.DataType(), schema.Field(c).Type)
		}
		for i := range out {
			text := strings.Clone(col.ValueStr(i))
			if at, ok := col.(*array.Timestamp); ok {
				text = fmt.Sprint(int64(at.Value(i)))
			}
			out[i] = append(out[i], text)
		}
	}
	return out
}
