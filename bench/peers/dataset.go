package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// kind is a type of column as each system has it.
type kind struct {
	word   string // of the orders to clients, which make tables and read records by it
	quiver string
	arrow  arrow.DataType
}

// The kinds.
var (
	int64s   = kind{"int64", "int64", arrow.PrimitiveTypes.Int64}
	int32s   = kind{"int32", "int32", arrow.PrimitiveTypes.Int32}
	float64s = kind{"float64", "double", arrow.PrimitiveTypes.Float64}
	texts    = kind{"utf8", "string", arrow.BinaryTypes.String}
	millis   = kind{"ms", "timestamp[ms]", &arrow.TimestampType{Unit: arrow.Millisecond}}
	micros   = kind{"us", "timestamp[us]", &arrow.TimestampType{Unit: arrow.Microsecond}}
)

// column is a column of a dataset.
type column struct {
	name string
	kind kind
}

// columnWords are columns as orders tell them.
func columnWords(columns []column) string {
	words := make([]string, len(columns))
	for i, c := range columns {
		words[i] = c.name + ":" + c.kind.word
	}
	return strings.Join(words, ",")
}

// dataset is a seeded generator: the same rows for every system.
type dataset struct {
	name    string
	columns []column
	batch   int // rows of a batch
	batches int
	fill    func(b *array.RecordBuilder, rng *rand.Rand, first, rows int)
}

func (d *dataset) rows() int { return d.batch * d.batches }

// schema is that of its batches.
func (d *dataset) schema() *arrow.Schema {
	fields := make([]arrow.Field, len(d.columns))
	for i, c := range d.columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.kind.arrow, Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

// generate gives the i-th batch. The caller releases it.
func (d *dataset) generate(i int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, d.schema())
	defer b.Release()
	b.Reserve(d.batch)
	d.fill(b, rand.New(rand.NewPCG(1, uint64(i))), i*d.batch, d.batch)
	return b.NewRecordBatch()
}

// bids are rows of NEXMark's kind: 6 columns, about 115 bytes.
func bids(batch, batches int) *dataset {
	return &dataset{name: "bid", batch: batch, batches: batches, columns: []column{
		{"auction", int64s}, {"bidder", int64s}, {"price", int64s}, {"channel", texts}, {"url", texts}, {"at", millis},
	}, fill: func(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
		channels := []string{"Google", "Facebook", "Baidu", "Apple"}
		for row := first; row < first+rows; row++ {
			number := rng.IntN(10_000)
			channel := channels[number%len(channels)]
			if number >= len(channels) {
				channel = fmt.Sprintf("channel-%d", number)
			}
			b.Field(0).(*array.Int64Builder).Append(1000 + int64(row/100) - rng.Int64N(100))
			b.Field(1).(*array.Int64Builder).Append(1000 + rng.Int64N(int64(row/50)+1000))
			b.Field(2).(*array.Int64Builder).Append(100 + rng.Int64N(10_000_000))
			b.Field(3).(*array.StringBuilder).Append(channel)
			b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("https://www.nexmark.com/item.htm?channel=%d&q=%08x", number, rng.Uint32()))
			b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000 + int64(row)/10))
		}
	}}
}

// wide20 has 20 columns, about 230 bytes: five each of int64, float64, int32 and utf8.
func wide20(batch, batches int) *dataset {
	d := &dataset{name: "wide20", batch: batch, batches: batches, fill: func(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
		for c, builder := range b.Fields() {
			for row := first; row < first+rows; row++ {
				switch column := builder.(type) {
				case *array.Int64Builder:
					column.Append(int64(row)*int64(c+1) + rng.Int64N(1000))
				case *array.Float64Builder:
					column.Append(rng.NormFloat64() * 100)
				case *array.Int32Builder:
					column.Append(rng.Int32N(1 << 20))
				case *array.StringBuilder:
					column.Append(fmt.Sprintf("value %05d of column %02d", rng.IntN(100_000), c))
				}
			}
		}
	}}
	for _, part := range []struct {
		prefix string
		kind   kind
	}{{"i", int64s}, {"f", float64s}, {"s", int32s}, {"t", texts}} {
		for i := range 5 {
			d.columns = append(d.columns, column{fmt.Sprintf("%s%d", part.prefix, i), part.kind})
		}
	}
	return d
}

// keyed has a key and six values, about 100 bytes. With every, each key below the number comes once, in no order, and
// the number is a power of two; else any key as often as any other. Versions have the same keys with other values.
func keyed(name string, batch, batches, keys int, every bool, version uint64) *dataset {
	cities := []string{"Amsterdam", "Buenos Aires", "Copenhagen", "Johannesburg", "Reykjavik", "San Francisco", "Thessaloniki", "Yokohama"}
	return &dataset{name: name, batch: batch, batches: batches, columns: []column{
		{"id", int64s}, {"amount", int64s}, {"score", float64s}, {"name", texts}, {"city", texts}, {"changed", micros}, {"visits", int32s},
	}, fill: func(b *array.RecordBuilder, rng *rand.Rand, first, rows int) {
		values := rand.New(rand.NewPCG(2+version, uint64(first)))
		for row := first; row < first+rows; row++ {
			key := rng.Int64N(int64(keys))
			if every {
				key = int64(row) * 0x5851F42D4C957F2D & int64(keys-1) // one to one, and neighbours are torn apart
			}
			b.Field(0).(*array.Int64Builder).Append(key)
			b.Field(1).(*array.Int64Builder).Append(values.Int64N(1_000_000_000))
			b.Field(2).(*array.Float64Builder).Append(values.NormFloat64())
			b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("customer number %08d of all", values.IntN(100_000_000)))
			b.Field(4).(*array.StringBuilder).Append(cities[values.IntN(len(cities))])
			b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + values.Int64N(1e12)))
			b.Field(6).(*array.Int32Builder).Append(values.Int32N(10_000))
		}
	}}
}

// datafile is a dataset on the disk: as an Arrow file, and its first rows as records for clients that have no Arrow.
type datafile struct {
	*dataset
	arrow    string
	records  string
	recorded int     // rows in records
	rowBytes float64 // uncompressed Arrow bytes of a row
}

// data writes a dataset, unless it was written before.
func (p *peers) data(d *dataset, recorded int) (*datafile, error) {
	recorded = min(recorded, d.rows())
	base := filepath.Join(p.work, "data", fmt.Sprintf("%s-%dx%d", d.name, d.batches, d.batch))
	f := &datafile{dataset: d, arrow: base + ".arrow", records: fmt.Sprintf("%s-%d.records", base, recorded), recorded: recorded}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return nil, err
	}
	if err := whole(f.arrow, d.writeArrow); err != nil {
		return nil, err
	}
	if err := whole(f.records, f.writeRecords); err != nil {
		return nil, err
	}
	first := d.generate(0)
	defer first.Release()
	f.rowBytes = float64(batchBytes(first)) / float64(d.batch)
	return f, nil
}

// batchBytes is the size of a batch's buffers without padding.
func batchBytes(batch arrow.RecordBatch) (total int) {
	for _, c := range batch.Columns() {
		total += columnBytes(c)
	}
	return total
}

func columnBytes(c arrow.Array) int {
	if values, ok := c.(*array.String); ok {
		return len(values.ValueBytes()) + 4*(values.Len()+1)
	}
	return c.DataType().(arrow.FixedWidthDataType).BitWidth() / 8 * c.Len()
}

// whole writes a file under another name first, so that a file that is there is whole.
func whole(path string, write func(w io.Writer) error) (err error) {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = errors.Join(write(buffered), buffered.Flush(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(path+".new", path)
}

func (d *dataset) writeArrow(out io.Writer) error {
	w, err := aipc.NewFileWriter(out, aipc.WithSchema(d.schema()))
	if err != nil {
		return err
	}
	for i := range d.batches {
		batch := d.generate(i)
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func (f *datafile) writeRecords(out io.Writer) error {
	var record, head []byte
	left := f.recorded
	for i := 0; left > 0; i++ {
		batch := f.generate(i)
		for row := 0; row < int(batch.NumRows()) && left > 0; row++ {
			record = appendRecord(record[:0], batch, row)
			head = binary.BigEndian.AppendUint32(head[:0], uint32(len(record)))
			if _, err := out.Write(append(head, record...)); err != nil {
				return err
			}
			left--
		}
		batch.Release()
	}
	return nil
}

// appendRecord encodes a row: numbers big-endian in their own size, texts behind a length of four bytes.
func appendRecord(to []byte, batch arrow.RecordBatch, row int) []byte {
	for _, c := range batch.Columns() {
		switch values := c.(type) {
		case *array.Int64:
			to = binary.BigEndian.AppendUint64(to, uint64(values.Value(row)))
		case *array.Int32:
			to = binary.BigEndian.AppendUint32(to, uint32(values.Value(row)))
		case *array.Float64:
			to = binary.BigEndian.AppendUint64(to, math.Float64bits(values.Value(row)))
		case *array.Timestamp:
			to = binary.BigEndian.AppendUint64(to, uint64(values.Value(row)))
		case *array.String:
			text := values.Value(row)
			to = append(binary.BigEndian.AppendUint32(to, uint32(len(text))), text...)
		}
	}
	return to
}

// eachBatch reads the Arrow file batch by batch.
func (f *datafile) eachBatch(do func(arrow.RecordBatch) error) (err error) {
	file, err := os.Open(f.arrow)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	r, err := aipc.NewFileReader(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			return err
		}
		err = do(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// describe is the dataset in a sentence.
func (f *datafile) describe() string {
	return fmt.Sprintf("`%s`: %d rows of %d columns, %.0f bytes a row in Arrow, in batches of %d rows", f.name, f.rows(), len(f.columns), f.rowBytes, f.batch)
}
