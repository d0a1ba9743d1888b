package record

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/planted"
)

// Meta is what the metadata of a stored batch says: enough to load the batch, or some columns of it. What it says of
// nodes, buffers and columns was checked, but is decoded only where it is asked for: a read of one column of a hundred
// needs a hundredth of it.
type Meta struct {
	Header
	BodyLen int64 // bytes that follow the metadata
	Codec   Compression

	raw       []byte // prefix and metadata, the caller's memory; what follows lies in it
	nodes     []byte // 16 bytes each
	buffers   []byte // 16 bytes each
	columns   []byte // checksum of each column's region, 8 digits each
	producers []byte // as stored; empty: one anonymous producer
	stats     []byte // as stored; empty: none
}

// PeekPrefix reads the 8 bytes that every message starts with: metaLen is the length of prefix and metadata together,
// a multiple of 64. ok is false if no batch of ours starts here, as in the zeros behind the last one.
func PeekPrefix(first8 []byte) (metaLen int, ok bool) {
	if len(first8) < prefixSize || binary.LittleEndian.Uint32(first8) != continuation {
		return 0, false
	}
	n := int64(binary.LittleEndian.Uint32(first8[4:])) + prefixSize
	if n <= prefixSize || n > maxMetadata || n%bodyAlign != 0 {
		return 0, false
	}
	return int(n), true
}

func corrupt(format string, args ...any) error {
	return quiver.Errorf(quiver.CorruptRange, format, args...)
}

// ParseHeader reads prefix and metadata of a stored batch and verifies their checksum. The seed is that of the bucket
// and segment the batch is expected in. The Meta refers to the bytes given, which must stay as they are while it is
// used.
//
// The error is CORRUPT_RANGE. That holds for whatever bytes are given; beyond a checksum that matches, what the
// metadata says of itself is consistent: buffers ascend and lie in the body, there is a checksum for each column.
func ParseHeader(meta []byte, seed Seed) (*Meta, error) {
	m := new(Meta)
	if err := m.Parse(meta, seed); err != nil {
		return nil, err
	}
	return m, nil
}

// Parse is ParseHeader into a Meta that may have been used before.
func (m *Meta) Parse(meta []byte, seed Seed) error {
	if n, ok := PeekPrefix(meta); !ok || n != len(meta) {
		return corrupt("no batch starts here")
	}
	msg, err := parseMessage(meta[prefixSize:])
	if err != nil {
		return corrupt("batch: %v", err)
	}
	if msg.kind != messageBatch || msg.version != metadataV5 || len(msg.variadic) != 0 {
		return corrupt("message is not a stored batch")
	}
	*m = Meta{BodyLen: msg.bodyLen, Codec: msg.codec, raw: meta}
	from, until, ok := msg.value(keyHeader)
	if !ok {
		return corrupt("message has no batch header")
	}
	if err := m.Header.parse(msg.fb.b[from:until]); err != nil {
		return corrupt("%v", err)
	}
	if got := headerSum(meta, prefixSize+from+atCRC, seed); got != m.CRC {
		return corrupt("batch header at offset %d: checksum %08x, stored %08x", m.BaseOffset, got, m.CRC)
	}
	return m.vectors(&msg)
}

// zeroDigitBytes is zeroDigits, made once.
var zeroDigitBytes = []byte(zeroDigits)

// headerSum is the checksum of prefix and metadata with zeros for the 8 digits at the place given.
func headerSum(meta []byte, digits int, seed Seed) uint32 {
	crc := checksum(uint32(seed), meta[:digits])
	crc = checksum(crc, zeroDigitBytes)
	return checksum(crc, meta[digits+len(zeroDigits):])
}

// vectors finds nodes, buffers, column checksums and producers, and checks them.
func (m *Meta) vectors(msg *message) error {
	if msg.rows != int64(m.Rows) {
		return corrupt("batch has %d rows, its header says %d", msg.rows, m.Rows)
	}
	if m.BodyLen%bodyAlign != 0 {
		return corrupt("body of %d bytes is not a multiple of %d", m.BodyLen, bodyAlign)
	}
	m.nodes, m.buffers = msg.nodes, msg.buffers
	var end int64
	for i := range m.numBuffers() {
		s := m.buffer(i)
		if s.off < end || s.off&7 != 0 || s.len < 0 || s.off > m.BodyLen || s.len > m.BodyLen-s.off {
			return corrupt("buffer %d lies at %d+%d of a body of %d bytes", i, s.off, s.len, m.BodyLen)
		}
		end = s.off + s.len
	}
	from, until, ok := msg.value(keyColumns)
	if !ok || (until-from)%8 != 0 {
		return corrupt("batch has no column checksums")
	}
	if m.columns = msg.fb.b[from:until]; !areHex(m.columns) {
		return corrupt("column checksums are not hexadecimal")
	}
	if from, until, ok := msg.value(keyProducers); ok {
		m.producers = msg.fb.b[from:until]
	}
	if from, until, ok := msg.value(keyStats); ok {
		m.stats = msg.fb.b[from:until]
	}
	return nil
}

func (m *Meta) numNodes() int   { return len(m.nodes) / 16 }
func (m *Meta) numBuffers() int { return len(m.buffers) / 16 }
func (m *Meta) numColumns() int { return len(m.columns) / 8 }

// node is the i-th node.
func (m *Meta) node(i int) node {
	b := m.nodes[16*i : 16*i+16]
	return node{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}
}

// buffer is the place of the i-th buffer in the body.
func (m *Meta) buffer(i int) span {
	b := m.buffers[16*i : 16*i+16]
	return span{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}
}

// column is the checksum of the region of the i-th column.
func (m *Meta) column(i int) uint32 {
	v, _ := parseHex(m.columns[8*i : 8*i+8])
	return uint32(v)
}

// MetaLen is the length of prefix and metadata.
func (m *Meta) MetaLen() int { return len(m.raw) }

// Size is what the batch takes in its segment.
func (m *Meta) Size() int64 { return int64(len(m.raw)) + m.BodyLen }

// Producers are the producers of the batch's rows, in row order.
func (m *Meta) Producers() ([]Producer, error) {
	if len(m.producers) == 0 {
		return []Producer{anonymous(m.Rows)}, nil
	}
	ps, err := decodeProducers(m.producers, m.Rows)
	if err != nil {
		return nil, corrupt("batch at offset %d: %v", m.BaseOffset, err)
	}
	return ps, nil
}

// fits says whether the batch has the shape of the layout.
func (m *Meta) fits(l *Layout) error {
	switch {
	case l.id != m.Schema:
		return quiver.Errorf(quiver.Internal, "batch of schema %d is loaded as one of schema %d", m.Schema, l.id)
	case !l.stored || m.numNodes() != l.numNodes() || m.numBuffers() != l.numBuffers() || m.numColumns() != l.NumColumns():
		return corrupt("batch at offset %d does not have the shape of schema %d", m.BaseOffset, l.id)
	}
	return nil
}

// Region is a range [From, Until) of bytes of a body.
type Region struct{ From, Until int64 }

// Len is the length in bytes.
func (r Region) Len() int64 { return r.Until - r.From }

// Regions are the ranges of the body that hold the chosen columns, ascending, those that touch joined; columns
// without bytes have none. The columns are places in the layout, strictly ascending.
func (m *Meta) Regions(l *Layout, cols []int) ([]Region, error) { return m.AppendRegions(nil, l, cols) }

// AppendRegions is Regions into memory that is there already.
func (m *Meta) AppendRegions(out []Region, l *Layout, cols []int) ([]Region, error) {
	if err := m.fits(l); err != nil {
		return nil, err
	}
	if err := ascending(cols, l.NumColumns()); err != nil {
		return nil, err
	}
	out = out[:0]
	for _, c := range cols {
		r := m.region(l, c)
		switch n := len(out); {
		case r.Len() == 0:
		case n > 0 && out[n-1].Until == r.From:
			out[n-1].Until = r.Until
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

func ascending(cols []int, n int) error {
	last := -1
	for _, c := range cols {
		if c <= last || c >= n {
			return quiver.Errorf(quiver.Internal, "columns %v are not ascending places of %d columns", cols, n)
		}
		last = c
	}
	return nil
}

// region is the range of one column.
func (m *Meta) region(l *Layout, c int) Region { return Region{m.start(l, c), m.start(l, c+1)} }

// start is where the region of column i starts, as regionStart tells it; i may be one past the last column.
func (m *Meta) start(l *Layout, i int) int64 {
	switch at := l.places[i].buffer; {
	case i > 0 && at == m.numBuffers():
		return m.BodyLen
	case at == 0:
		return 0
	default:
		return m.buffer(at).off
	}
}

// Load is the whole batch. The body is checked against the columns' checksums; a body that differs is CORRUPT_RANGE.
// The batch takes its own reference on the body.
func Load(l *Layout, m *Meta, body *buf.Buf) (*Batch, error) {
	if err := m.fits(l); err != nil {
		return nil, err
	}
	data := body.Bytes()
	if int64(len(data)) != m.BodyLen {
		return nil, quiver.Errorf(quiver.Internal, "body of %d bytes given, the batch has %d", len(data), m.BodyLen)
	}
	from := int64(0)
	for i := range m.numColumns() {
		until := m.start(l, i+1)
		if err := m.check(l, i, data[from:until]); err != nil {
			return nil, err
		}
		from = until
	}
	producers, err := m.storedProducers()
	if err != nil {
		return nil, err
	}
	nodes, spans := make([]node, m.numNodes()), make([]span, m.numBuffers())
	for i := range nodes {
		nodes[i] = m.node(i)
	}
	for i := range spans {
		spans[i] = m.buffer(i)
	}
	b := newWhole(l, m.Rows, nodes, spans, m.Codec, body.Retain())
	b.producers = producers
	b.stats, b.summary = slices.Clone(m.stats), storedSummary
	b.sealed.loaded, b.sealed.stamp = len(m.raw), m.Header
	return b, nil
}

// storedSummary is that of batches which are stored: they keep what they have.
var storedSummary = new(Summary)

// storedProducers are the producers as a batch keeps them: none for one anonymous producer.
func (m *Meta) storedProducers() ([]Producer, error) {
	if len(m.producers) == 0 {
		return nil, nil
	}
	return m.Producers()
}

// check compares the region of one column with its checksum.
func (m *Meta) check(l *Layout, column int, region []byte) error {
	if got, stored := checksum(0, region), m.column(column); got != stored && !planted.Is(planted.ColumnUnchecked) {
		return corrupt("batch at offset %d, column %s: checksum %08x, stored %08x",
			m.BaseOffset, l.slots[column].name, got, stored)
	}
	return nil
}

// LoadColumns is the batch with the chosen columns only, strictly ascending places in the layout: parts are the bytes
// of the ranges that Regions gives for them. Each column is checked against its checksum. The batch has the layout
// l.Pick(cols), keeps the header, and takes its own references on the parts.
func LoadColumns(l *Layout, m *Meta, cols []int, parts []*buf.Buf) (*Batch, error) {
	var memory [16]Region
	regions, err := m.AppendRegions(memory[:0], l, cols)
	if err != nil {
		return nil, err
	}
	if len(parts) != len(regions) {
		return nil, quiver.Errorf(quiver.Internal, "%d parts given for %d regions", len(parts), len(regions))
	}
	for i, p := range parts {
		if int64(p.Len()) != regions[i].Len() {
			return nil, quiver.Errorf(quiver.Internal, "part of %d bytes given for a region of %d", p.Len(), regions[i].Len())
		}
	}
	picked := l.Pick(cols)
	nodes := make([]node, 0, picked.numNodes())
	spans := make([]span, 0, picked.numBuffers())
	part, start := 0, int64(0) // of the region that the column is in
	for _, c := range cols {
		r := m.region(l, c)
		for r.Len() > 0 && r.From >= regions[part].Until {
			start += regions[part].Len()
			part++
		}
		shift := start
		if r.Len() > 0 {
			from := r.From - regions[part].From
			if err := m.check(l, c, parts[part].Bytes()[from:from+r.Len()]); err != nil {
				return nil, err
			}
			shift = start + from - r.From
		}
		for i := l.places[c].node; i < l.places[c+1].node; i++ {
			nodes = append(nodes, m.node(i))
		}
		for i := l.places[c].buffer; i < l.places[c+1].buffer; i++ {
			s := m.buffer(i)
			if r.Len() == 0 { // nothing but empty buffers: they lie where the column before ended
				s = span{columnEnd(spans), 0}
			} else {
				s.off += shift
			}
			spans = append(spans, s)
		}
	}
	b := m.pieced(picked, nodes, spans, parts)
	if b.producers, err = m.storedProducers(); err != nil {
		b.Release()
		return nil, err
	}
	b.sealed.stamp = m.Header
	return b, nil
}

// pieced is the batch whose body is the parts, one behind the other.
func (m *Meta) pieced(l *Layout, nodes []node, spans []span, parts []*buf.Buf) *Batch {
	if len(parts) == 1 && padding(int64(parts[0].Len())) == 0 {
		return newWhole(l, m.Rows, nodes, spans, m.Codec, parts[0].Retain())
	}
	body, owners := make([][]byte, 0, len(parts)+1), make([]*buf.Buf, 0, len(parts))
	size := int64(0)
	for _, p := range parts {
		owners = append(owners, p.Retain())
		body = append(body, p.Bytes())
		size += int64(p.Len())
	}
	if pad := padding(size); pad > 0 {
		body = append(body, zeros[:pad:pad])
	}
	b := newBatch(l, m.Rows, nodes, spans, m.Codec, owners)
	b.setParts(body)
	return b
}

// columnEnd is where the next buffer may start.
func columnEnd(spans []span) int64 {
	if len(spans) == 0 {
		return 0
	}
	last := spans[len(spans)-1]
	return (last.off + last.len + 7) &^ 7
}

// String describes the batch for logs and tools.
func (m *Meta) String() string {
	return fmt.Sprintf("batch [%d, %d) epoch %d schema %d, %d+%d bytes, %s",
		m.BaseOffset, m.Until(), m.Epoch, m.Schema, len(m.raw), m.BodyLen, m.Codec)
}
