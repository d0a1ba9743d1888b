package record

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// Decode gives the batch as an Arrow record, without copying a body that is not compressed. The record holds
// references of its own: it and the batch are released each on its own, in any order, and whatever is retained of
// the record (a column, a slice) keeps the memory.
func (b *Batch) Decode() (arrow.RecordBatch, error) {
	cols, err := b.arrays(nil)
	if err != nil {
		return nil, err
	}
	defer releaseAll(cols)
	return array.NewRecordBatch(b.layout.schema, cols, int64(b.rows)), nil
}

func releaseAll(cols []arrow.Array) {
	for _, c := range cols {
		if c != nil {
			c.Release()
		}
	}
}

// arrays decodes the columns. Dictionaries are by the layout's numbers.
func (b *Batch) arrays(dictionaries map[int64]arrow.Array) ([]arrow.Array, error) {
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	d := decoder{b: plain, dictionaries: dictionaries}
	cols := make([]arrow.Array, len(b.layout.slots))
	for i := range cols {
		data, err := d.array(&b.layout.slots[i])
		if err != nil {
			releaseAll(cols)
			return nil, err
		}
		cols[i] = array.MakeFromData(data)
		data.Release()
	}
	return cols, nil
}

// decoder walks the nodes and buffers of a batch that is not compressed, in order.
type decoder struct {
	b            *Batch
	dictionaries map[int64]arrow.Array
	node         int
	buffer       int
	view         int // arrays with views so far
}

// keeper lets Arrow buffers hold a batch: each has a reference, and "frees" it with its own last one.
type keeper struct{ b *Batch }

func (k keeper) Free([]byte) { k.b.Release() }

func (k keeper) Allocate(int) []byte           { panic("record: the memory of a batch does not grow") }
func (k keeper) Reallocate(int, []byte) []byte { panic("record: the memory of a batch does not grow") }

// next is the next buffer of the body, with a reference. An absent one is given as empty: zero bytes, long enough
// for the one offset that an array without values may lack.
func (d *decoder) next() *memory.Buffer {
	data := d.b.buffer(d.buffer)
	d.buffer++
	if len(data) == 0 {
		return memory.NewBufferBytes(zeros[:16:16])
	}
	d.b.Retain()
	return memory.NewBufferWithAllocator(data, keeper{d.b})
}

// validity is the bitmap of an array, nil where it says nothing.
func (d *decoder) validity(n node) *memory.Buffer {
	if n.nulls == 0 || d.b.buffers[d.buffer].len == 0 {
		d.buffer++
		return nil
	}
	return d.next()
}

// array decodes one array and those within it.
func (d *decoder) array(s *slot) (*array.Data, error) {
	n := d.b.nodes[d.node]
	d.node++
	var buffers []*memory.Buffer
	var children []arrow.ArrayData
	defer func() {
		for _, b := range buffers {
			if b != nil {
				b.Release()
			}
		}
		for _, c := range children {
			c.Release()
		}
	}()
	if s.kind == kindNull {
		return array.NewData(s.typ, int(n.length), []*memory.Buffer{nil}, nil, int(n.length), 0), nil
	}
	switch {
	case s.numBuffers() > 0:
		buffers = append(buffers, d.validity(n))
	case s.kind == kindRunEnd:
		buffers = append(buffers, nil) // arrow-go counts the bitmap that such an array does not have
	}
	for len(buffers) < s.numBuffers() {
		buffers = append(buffers, d.next())
	}
	if s.kind == kindView {
		for range d.b.views[d.view] {
			buffers = append(buffers, d.next())
		}
		d.view++
	}
	for i := range s.children {
		c, err := d.array(&s.children[i])
		if err != nil {
			return nil, err
		}
		children = append(children, c)
	}
	if s.kind != kindDictionary {
		return array.NewData(s.typ, int(n.length), buffers, children, int(n.nulls), 0), nil
	}
	values, ok := d.dictionaries[s.dict]
	if !ok {
		if n.length > n.nulls {
			return nil, quiver.Errorf(quiver.MalformedBatch, "no dictionary was sent for it").On("column " + s.name)
		}
		values = array.MakeArrayOfNull(memory.DefaultAllocator, s.values.typ, 0)
		defer values.Release()
	}
	return array.NewDataWithDictionary(s.typ, int(n.length), buffers, int(n.nulls), 0, values.Data().(*array.Data)), nil
}
