package quiver

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
)

// Limits of a Schema message from a client. A flatbuffer may name one table from many places, so a few bytes can
// stand for any number of fields: what counts is what it unfolds to, not its length.
const (
	maxSchemaMessage = 16 << 20
	maxFooter        = 64 << 20 // names all batches of its file
	maxSchemaText    = 16 << 20 // bytes of all names, keys, values and time zones together, as unfolded
	maxSchemaPairs   = 1 << 17  // key-value pairs, as unfolded
	maxUnionCodes    = 128
)

// continuation opens every message of the IPC stream format; the length of the metadata follows.
var continuation = []byte{0xff, 0xff, 0xff, 0xff}

// FormatSchemaMessage gives the IPC Schema message of a schema, with its prefix, as pyarrow's Schema.serialize does.
func FormatSchemaMessage(s *arrow.Schema) []byte {
	var b bytes.Buffer
	if err := aipc.NewWriter(&b, aipc.WithSchema(s)).Close(); err != nil {
		panic("quiver: writing a schema to memory failed: " + err.Error())
	}
	endOfStream := append(bytes.Clone(continuation), 0, 0, 0, 0)
	return bytes.TrimSuffix(b.Bytes(), endOfStream)
}

// ParseSchemaMessage reads an Arrow IPC Schema message from anyone: with its prefix (pyarrow's Schema.serialize)
// or without (data_header in Flight). Whatever it is given, it takes bounded memory. The error is MALFORMED_BATCH.
func ParseSchemaMessage(message []byte) (*arrow.Schema, error) {
	if len(message) > maxSchemaMessage {
		return nil, Errorf(MalformedBatch, "the schema message has %d bytes, at most %d are taken", len(message), maxSchemaMessage)
	}
	table, err := unframe(message)
	if err == nil {
		err = checkSchemaMessage(table)
	}
	var s *arrow.Schema
	if err == nil {
		s, err = readSchemaMessage(table)
	}
	if err != nil {
		return nil, Errorf(MalformedBatch, "the schema message cannot be read: %v", err)
	}
	return s, nil
}

// unframe drops the prefix of a message, if it has one.
func unframe(message []byte) ([]byte, error) {
	rest, framed := bytes.CutPrefix(message, continuation)
	if !framed {
		return message, nil
	}
	if len(rest) < 4 {
		return nil, fmt.Errorf("it ends within its prefix")
	}
	length := int64(binary.LittleEndian.Uint32(rest))
	if length > int64(len(rest)-4) {
		return nil, fmt.Errorf("its length is %d, and %d bytes are there", length, len(rest)-4)
	}
	return rest[4 : 4+length], nil
}

// readSchemaMessage has arrow-go read a message that was checked. What it cannot read it may tell by a panic.
func readSchemaMessage(table []byte) (s *arrow.Schema, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("%v", p)
		}
	}()
	padding := -len(table) & 7
	framed := make([]byte, 0, 8+len(table)+padding)
	framed = append(framed, continuation...)
	framed = binary.LittleEndian.AppendUint32(framed, uint32(len(table)+padding))
	framed = append(append(framed, table...), make([]byte, padding)...)
	r, err := aipc.NewReader(bytes.NewReader(framed), aipc.WithEnsureNativeEndian(false))
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return r.Schema(), nil
}

// checkSchemaMessage walks the flatbuffer of a Schema message and bounds all that a reader will make of it.
func checkSchemaMessage(table []byte) error {
	const headerSchema = 1
	w := schemaWalker{flat: flatbuffer{data: table}}
	message := w.flat.root()
	if kind := w.flat.byteAt(message, 1); !w.flat.broken && kind != headerSchema {
		return fmt.Errorf("it is no Schema message")
	}
	if w.flat.wordAt(message, 3) != 0 {
		return fmt.Errorf("it has a body")
	}
	return w.schema(w.flat.table(message, 2))
}

// CheckSchemaFooter bounds the schema in the footer of an Arrow file from anyone, as ParseSchemaMessage does: what passes
// may be given to a reader that believes its counts. The error is MALFORMED_BATCH.
func CheckSchemaFooter(footer []byte) error {
	if len(footer) > maxFooter {
		return Errorf(MalformedBatch, "the footer has %d bytes, at most %d are taken", len(footer), maxFooter)
	}
	w := schemaWalker{flat: flatbuffer{data: footer}}
	if err := w.schema(w.flat.table(w.flat.root(), 1)); err != nil {
		return Errorf(MalformedBatch, "the footer cannot be read: %v", err)
	}
	return nil
}

// schemaWalker counts what a Schema message unfolds to.
type schemaWalker struct {
	flat   flatbuffer
	nfield int
	npair  int
	text   int
	fault  error
}

// schema walks a Schema table.
func (w *schemaWalker) schema(table int) error {
	if table != 0 {
		w.pairs(table, 2)
		w.fields(table, 1, 1)
	}
	switch {
	case w.flat.broken:
		return fmt.Errorf("its bytes are no flatbuffer")
	case table == 0:
		return fmt.Errorf("it has no schema")
	}
	return w.fault
}

func (w *schemaWalker) done() bool { return w.flat.broken || w.fault != nil }

// fields walks the vector of Field tables in a slot of a table: of the Schema, or the children of a Field.
func (w *schemaWalker) fields(table, slot, depth int) {
	// A map has a struct between itself and its key, and a run-end encoded type a level of its own.
	if depth > 2*MaxNesting {
		w.fault = fmt.Errorf("types are nested too deep")
		return
	}
	vector, n := w.flat.vector(table, slot, 4)
	w.nfield += n
	if w.nfield > 2*MaxFields {
		w.fault = fmt.Errorf("it has more than %d fields", 2*MaxFields)
		return
	}
	for i := 0; i < n && !w.done(); i++ {
		w.field(w.flat.follow(vector+4*i), depth)
	}
}

// field walks a Field table: name, nullable, type_type, type, dictionary, children, custom_metadata.
func (w *schemaWalker) field(table, depth int) {
	const (
		typeTimestamp = 10
		typeUnion     = 14
	)
	w.string(table, 0)
	inner := w.flat.table(table, 3)
	switch w.flat.byteAt(table, 2) {
	case typeTimestamp: // unit, timezone
		w.string(inner, 1)
	case typeUnion: // mode, typeIds
		if _, n := w.flat.vector(inner, 1, 4); n > maxUnionCodes {
			w.fault = fmt.Errorf("a union has more than %d members", maxUnionCodes)
		}
	}
	w.flat.table(table, 4)
	w.pairs(table, 6)
	if !w.done() {
		w.fields(table, 5, depth+1)
	}
}

func (w *schemaWalker) pairs(table, slot int) {
	vector, n := w.flat.vector(table, slot, 4)
	if w.npair += n; w.npair > maxSchemaPairs {
		w.fault = fmt.Errorf("it has more than %d pieces of metadata", maxSchemaPairs)
	}
	for i := 0; i < n && !w.done(); i++ {
		pair := w.flat.follow(vector + 4*i)
		w.string(pair, 0)
		w.string(pair, 1)
	}
}

func (w *schemaWalker) string(table, slot int) {
	_, n := w.flat.vector(table, slot, 1)
	if w.text += n; w.text > maxSchemaText {
		w.fault = fmt.Errorf("its names and metadata have more than %d bytes", maxSchemaText)
	}
}

// flatbuffer reads tables and vectors within bounds. Positions are those in data; 0 stands for what is absent, of
// which everything is absent. After a read out of bounds it is broken and reads nothing but zeros.
type flatbuffer struct {
	data   []byte
	broken bool
}

// bytes gives n bytes, or zeros if they are not there.
func (f *flatbuffer) bytes(pos, n int) []byte {
	if f.broken || pos < 0 || pos > len(f.data)-n {
		f.broken = true
		return make([]byte, n)
	}
	return f.data[pos : pos+n]
}

func (f *flatbuffer) uint16(pos int) int { return int(binary.LittleEndian.Uint16(f.bytes(pos, 2))) }
func (f *flatbuffer) uint32(pos int) int { return int(binary.LittleEndian.Uint32(f.bytes(pos, 4))) }

// follow reads the offset that stands at a position, and gives where it points.
func (f *flatbuffer) follow(pos int) int {
	target := pos + f.uint32(pos)
	f.bytes(target, 4)
	return target
}

func (f *flatbuffer) root() int { return f.follow(0) }

// slot gives the position of a field in a table, or 0 if the table does not have it.
func (f *flatbuffer) slot(table, n int) int {
	if table == 0 {
		return 0
	}
	vtable := table - int(int32(binary.LittleEndian.Uint32(f.bytes(table, 4))))
	if at := 4 + 2*n; at < f.uint16(vtable) {
		if offset := f.uint16(vtable + at); offset != 0 {
			return table + offset
		}
	}
	return 0
}

// table gives the position of the table in a slot, or 0.
func (f *flatbuffer) table(table, n int) int {
	at := f.slot(table, n)
	if at == 0 {
		return 0
	}
	return f.follow(at)
}

// vector gives the position of a vector's first element and how many there are, all of them within bounds.
func (f *flatbuffer) vector(table, n, size int) (pos, length int) {
	at := f.slot(table, n)
	if at == 0 {
		return 0, 0
	}
	pos = f.follow(at)
	length = f.uint32(pos)
	if length > len(f.data) || pos+4+length*size > len(f.data) {
		f.broken = true
		return 0, 0
	}
	return pos + 4, length
}

func (f *flatbuffer) byteAt(table, n int) byte {
	at := f.slot(table, n)
	if at == 0 {
		return 0
	}
	return f.bytes(at, 1)[0]
}

func (f *flatbuffer) wordAt(table, n int) int64 {
	at := f.slot(table, n)
	if at == 0 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(f.bytes(at, 8)))
}
