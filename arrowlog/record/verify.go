package record

import (
	"encoding/binary"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Verify is the gate for a client's batch whose columns are laid out as the table stores them: what passes it is safe
// to store as it is, and to hand to any reader. The metadata comes without prefix, the body in memory that is ours:
// what lies between and behind the buffers' contents is set to zero in it. The batch takes its own reference on the
// body, which may be nil if it is empty.
//
// It looks at everything: the flatbuffer, the number, place and length of every buffer, null counts, offsets, text,
// the ranges of times and decimals, the lengths of children. Compressed buffers are decompressed for that, within
// the limits, and stored as they came. Buffers that overlap, do not ascend or are not aligned are laid out anew.
//
// The error is MALFORMED_BATCH, BATCH_TOO_LARGE, or SCHEMA_MISMATCH for a null in a required column, which it names.
func Verify(l *Layout, meta []byte, body *buf.Buf, lim Limits) (*Batch, error) {
	return verifyInput(l, meta, body, lim, nil, nil)
}

// verifyInput is Verify for any layout. Indices are checked against the dictionaries known so far, by their numbers. A
// batch whose body is compressed gets the statistics of the summary, if there is one: its bytes are plain only here.
func verifyInput(l *Layout, meta []byte, body *buf.Buf, lim Limits, dictionaries map[int64]arrow.Array, s *Summary) (*Batch, error) {
	g := gate{layout: l, lim: lim.withDefaults(), dictionaries: dictionaries, summary: s}
	var err error
	if g.msg, err = parseMessage(meta); err != nil {
		return nil, malformed("%v", err)
	}
	if g.msg.kind != messageBatch {
		return nil, malformed("message of type %d is not a record batch", g.msg.kind)
	}
	return g.batch(body)
}

// verifyDictionary is the gate for a dictionary: the number it is for, whether it adds to the one before, and its
// values as a batch of one column.
func verifyDictionary(l *Layout, meta []byte, body *buf.Buf, lim Limits, dictionaries map[int64]arrow.Array) (id int64, delta bool, values *Batch, err error) {
	g := gate{lim: lim.withDefaults(), dictionaries: dictionaries}
	if g.msg, err = parseMessage(meta); err != nil {
		return 0, false, nil, malformed("%v", err)
	}
	if g.msg.kind != messageDictionary {
		return 0, false, nil, malformed("message of type %d is not a dictionary", g.msg.kind)
	}
	if g.layout = l.dictionaryLayout(g.msg.dictionary); g.layout == nil {
		return 0, false, nil, malformed("the schema has no dictionary %d", g.msg.dictionary)
	}
	values, err = g.batch(body)
	return g.msg.dictionary, g.msg.delta, values, err
}

// dictionaryLayout is the layout of the values of the dictionary with this number, nil if there is none.
func (l *Layout) dictionaryLayout(id int64) *Layout {
	for i := range l.slots {
		if s := l.slots[i].findDictionary(id); s != nil {
			slots := []slot{*s.values}
			field := arrow.Field{Name: s.values.name, Type: s.values.typ, Nullable: true}
			d := layoutOf(arrow.NewSchema([]arrow.Field{field}, nil), 0, slots)
			d.stored = false
			return d
		}
	}
	return nil
}

func (s *slot) findDictionary(id int64) *slot {
	if s.kind == kindDictionary {
		if s.dict == id {
			return s
		}
		return s.values.findDictionary(id)
	}
	for i := range s.children {
		if d := s.children[i].findDictionary(id); d != nil {
			return d
		}
	}
	return nil
}

func malformed(format string, args ...any) *quiver.Error {
	return quiver.Errorf(quiver.MalformedBatch, format, args...)
}

// gate goes once over a batch.
type gate struct {
	layout       *Layout
	lim          Limits
	dictionaries map[int64]arrow.Array
	summary      *Summary // nil: no statistics are asked for

	msg     message
	nodes   []node
	buffers []span
	views   []int
	body    []byte
	relay   bool // the buffers have to be laid out anew

	// Where the walk stands.
	node   int
	buffer int
	view   int

	// Of a compressed body: the contents of the current column's buffers, the first of which is the base-th.
	scratch  *buf.Buf
	contents [][]byte
	base     int
}

// spareRows is how many rows a batch may have without a bit of its body to show for each.
const spareRows = 1 << 20

// batch checks the message against the body and makes a batch of the two.
func (g *gate) batch(body *buf.Buf) (*Batch, error) {
	if body == nil {
		body = buf.Wrap(nil)
		defer body.Release()
	}
	g.body = body.Bytes()
	if n := int64(len(g.body)); n > g.lim.MaxBody {
		return nil, quiver.Errorf(quiver.BatchTooLarge, "body of %d bytes, the limit is %d", n, g.lim.MaxBody).
			Advise("put smaller batches: write_table(t, max_chunksize=65536)")
	} else if n != g.msg.bodyLen {
		return nil, malformed("the metadata gives the body %d bytes, it has %d", g.msg.bodyLen, n)
	}
	if err := g.vectors(); err != nil {
		return nil, err
	}
	if g.relay {
		own, err := g.layOut()
		if err != nil {
			return nil, err
		}
		defer own.Release()
		body, g.body = own, own.Bytes()
	}
	content := int64(len(g.body))
	if g.msg.codec != None {
		var err error
		if content, err = g.declared(); err != nil {
			return nil, err
		}
		if err = g.lim.admit(content); err != nil {
			return nil, err
		}
		defer g.releaseScratch()
	}
	if err := g.lengths(content); err != nil {
		return nil, err
	}
	var z *summarizer
	if g.summary != nil && g.msg.codec != None && g.msg.rows >= statsRows && g.layout.stored {
		z = newSummarizer(g.summary, g.layout, int(g.msg.rows))
	}
	for i := range g.layout.slots {
		n := g.node
		if err := g.column(&g.layout.slots[i]); err != nil {
			return nil, err
		}
		if z != nil && z.wants(i) {
			v := values{length: int(g.nodes[n].length), nulls: int(g.nodes[n].nulls)}
			copy(v.buffers[:], g.contents[:g.layout.slots[i].numBuffers()])
			z.column(i, &v)
		}
	}
	b := g.taken(body)
	if z != nil {
		b.stats, b.summary = z.text(), g.summary
	}
	return b, nil
}

// vectors reads nodes, buffers and counts, and checks that they are as many as the layout has, and where they lie.
func (g *gate) vectors() error {
	m, l := &g.msg, g.layout
	if n := len(m.nodes) / 16; n != l.numNodes() {
		return malformed("%d arrays, the schema has %d", n, l.numNodes())
	}
	buffers := int64(l.numBuffers())
	if n := l.numViews(); n > 0 || len(m.variadic) > 0 {
		if len(m.variadic)/8 != n {
			return malformed("counts for %d arrays of views, the schema has %d", len(m.variadic)/8, n)
		}
		g.views = make([]int, n)
		for i := range g.views {
			count := int64(binary.LittleEndian.Uint64(m.variadic[8*i:]))
			if count < 0 || count > int64(len(m.buffers)/16) {
				return malformed("array of views with %d data buffers", count)
			}
			g.views[i] = int(count)
			buffers += count
		}
	}
	if n := int64(len(m.buffers) / 16); n != buffers {
		return malformed("%d buffers, the schema has %d", n, buffers)
	}
	g.nodes = make([]node, len(m.nodes)/16)
	for i := range g.nodes {
		n := m.node(i)
		if n.length < 0 || n.length > maxRows || n.nulls < -1 || n.nulls > n.length {
			return malformed("array %d has %d values and %d nulls", i, n.length, n.nulls)
		}
		g.nodes[i] = n
	}
	return g.places()
}

// places reads the buffers. Those that are empty lie nowhere: clean gives them the next place there is.
func (g *gate) places() error {
	g.buffers = make([]span, len(g.msg.buffers)/16)
	size := int64(len(g.body))
	var end int64
	for i := range g.buffers {
		s := g.msg.buffer(i)
		if s.len == 0 {
			g.buffers[i].off = min(end, size)
			continue
		}
		if s.off < 0 || s.len < 0 || s.off > size || s.len > size-s.off {
			return malformed("buffer %d lies at %d+%d, the body has %d bytes", i, s.off, s.len, size)
		}
		if s.off < end || s.off&7 != 0 || s.off-end > bodyAlign {
			g.relay = true
		}
		g.buffers[i] = s
		end = (s.off + s.len + 7) &^ 7
	}
	return nil
}

// numViews is the number of arrays of views.
func (l *Layout) numViews() int {
	if l.stored {
		return 0
	}
	n := 0
	for i := range l.slots {
		n += l.slots[i].numViews()
	}
	return n
}

func (s *slot) numViews() int {
	n := 0
	if s.kind == kindView {
		n = 1
	}
	for i := range s.children {
		n += s.children[i].numViews()
	}
	return n
}

// column checks one column, all of its nested arrays included.
func (g *gate) column(s *slot) error {
	if g.msg.codec != None {
		if err := g.decompress(s); err != nil {
			return err
		}
	}
	return g.array(s, g.msg.rows)
}

// taken is the batch of what was checked.
func (g *gate) taken(body *buf.Buf) *Batch {
	end := g.clean()
	b := newBatch(g.layout, int(g.msg.rows), g.nodes, g.buffers, g.msg.codec, nil)
	b.views = g.views
	size, have := end+padding(end), int64(len(g.body))
	within := min(size, have)
	b.setBody(body.Retain(), g.body[:within:within], zeros[:size-within:size-within])
	return b
}

// clean sets to zero what lies between the buffers' contents, up to the next 64 bytes behind the last one. It returns
// where the last one ends, rounded up to 8.
func (g *gate) clean() int64 {
	var end int64
	for i, s := range g.buffers {
		if s.len == 0 {
			g.buffers[i].off = (end + 7) &^ 7
			continue
		}
		clear(g.body[end:s.off])
		end = s.off + s.len
	}
	clear(g.body[end:min(end+padding(end), int64(len(g.body)))])
	return (end + 7) &^ 7
}

// layOut copies the buffers' contents, one behind the other, into a body of our own, before they are looked at:
// buffers that share bytes must not be changed under each other.
func (g *gate) layOut() (*buf.Buf, error) {
	var size int64
	for _, s := range g.buffers {
		if size += s.len + padding(s.len); size > g.lim.MaxBody+int64(len(g.buffers))*bodyAlign {
			return nil, quiver.Errorf(quiver.BatchTooLarge, "buffers share the bytes of the body; apart they take more than %d bytes",
				g.lim.MaxBody)
		}
	}
	own := buf.Get(int(size))
	to, at := own.Bytes(), int64(0)
	for i, s := range g.buffers {
		copy(to[at:], g.body[s.off:s.off+s.len])
		g.buffers[i].off = at
		end := at + s.len
		at = end + padding(s.len)
		clear(to[end:at])
	}
	return own, nil
}

// fail names the column in which something is wrong.
func (s *slot) fail(reason quiver.Reason, format string, args ...any) *quiver.Error {
	return quiver.Errorf(reason, format, args...).On("column " + strconv.Quote(s.name))
}

func (s *slot) malformed(format string, args ...any) error {
	return s.fail(quiver.MalformedBatch, format, args...)
}

// content is the next buffer's content, n bytes of it, which it must have. What it has beyond them does not count as
// its content.
func (g *gate) content(s *slot, n int64) ([]byte, error) {
	i := g.buffer
	g.buffer++
	if g.msg.codec != None {
		c := g.contents[i-g.base]
		if int64(len(c)) < n {
			return nil, s.malformed("buffer %d has %d bytes, its values take %d", i, len(c), n)
		}
		return c[:n:n], nil
	}
	p := g.buffers[i]
	if p.len < n {
		return nil, s.malformed("buffer %d has %d bytes, its values take %d", i, p.len, n)
	}
	g.buffers[i].len = n
	return g.body[p.off : p.off+n : p.off+n], nil
}

// available is how many bytes the next buffer has.
func (g *gate) available() int64 {
	if g.msg.codec != None {
		return int64(len(g.contents[g.buffer-g.base]))
	}
	return g.buffers[g.buffer].len
}

// declared adds up what the compressed buffers declare, and checks it before anything is decompressed.
func (g *gate) declared() (total int64, err error) {
	for i, s := range g.buffers {
		n, _, err := declaredLength(g.body[s.off : s.off+s.len])
		if err != nil {
			return 0, malformed("buffer %d: %v", i, err)
		}
		// Each is below the limit before it is added, so the sum does not overflow.
		if err := g.lim.decompressed(n, int64(len(g.body))); err != nil {
			return 0, err
		}
		total += n
		if err := g.lim.decompressed(total, int64(len(g.body))); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// lengths refuses arrays with more values than the body's content can account for: a few bytes must not stand for
// billions of rows, which cost memory as soon as somebody lays them out.
func (g *gate) lengths(content int64) error {
	most := spareRows + 8*content
	if g.msg.rows > most {
		return quiver.Errorf(quiver.BatchTooLarge, "%d rows in a body of %d bytes", g.msg.rows, content).Advise("put smaller batches")
	}
	for i := range g.nodes {
		if n := g.nodes[i].length; n > most {
			return quiver.Errorf(quiver.BatchTooLarge, "array %d has %d values in a body of %d bytes", i, n, content).
				Advise("put smaller batches")
		}
	}
	return nil
}

// decompress makes the contents of a column's buffers.
func (g *gate) decompress(s *slot) error {
	var p place
	view := g.view
	g.extent(s, &p, &view)
	g.base = g.buffer
	g.contents = g.contents[:0]
	var size int64
	for _, b := range g.buffers[g.base : g.base+p.buffer] {
		n, plain, _ := declaredLength(g.body[b.off : b.off+b.len])
		if !plain {
			size += n + padding(n)
		}
	}
	if g.scratch == nil || int64(g.scratch.Len()) < size {
		g.releaseScratch()
		g.scratch = buf.Get(int(size))
	}
	memory := g.scratch.Bytes()
	for i, b := range g.buffers[g.base : g.base+p.buffer] {
		raw := g.body[b.off : b.off+b.len]
		n, plain, _ := declaredLength(raw)
		switch {
		case len(raw) == 0:
			g.contents = append(g.contents, nil)
			continue
		case plain:
			g.contents = append(g.contents, raw[lengthPrefix:])
			continue
		}
		dst := memory[:n:n]
		memory = memory[n+padding(n):]
		if err := g.msg.codec.decompress(dst, raw); err != nil {
			return s.malformed("buffer %d: %v", g.base+i, err)
		}
		g.contents = append(g.contents, dst)
	}
	return nil
}

// extent counts the arrays and buffers of a column in this message.
func (g *gate) extent(s *slot, p *place, view *int) {
	p.node++
	p.buffer += s.numBuffers()
	if s.kind == kindView {
		p.buffer += g.views[*view]
		*view++
	}
	for i := range s.children {
		g.extent(&s.children[i], p, view)
	}
}

func (g *gate) releaseScratch() {
	if g.scratch != nil {
		g.scratch.Release()
		g.scratch = nil
	}
}
