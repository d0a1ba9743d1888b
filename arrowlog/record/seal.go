package record

// seal is what a batch is given once its rows are settled, before it is stored: checksums and metadata.
type seal struct {
	columns []uint32 // checksum of each column's region of the body; nil: not summed yet
	body    uint32   // checksum of the body, not seeded
	meta    []byte   // prefix and metadata, a multiple of 64; nil: not made yet
	header  int      // where in meta the header's text starts
	stamp   Header   // as last written into meta
	loaded  int      // of a batch as it was loaded: the length of its metadata, which is made anew if it is asked for
}

// Seal computes the checksums and makes the metadata, all of it but what Stamp fills in. It is called by the one who
// owns the batch, off the log's lock, since it reads the whole body. Calling it again costs nothing.
func (b *Batch) Seal() {
	if b.sealed.columns == nil {
		b.sum()
	}
	if b.sealed.meta != nil {
		return
	}
	b.sealed.meta, b.sealed.header = b.encodeMetadata()
	if b.sealed.loaded == 0 {
		b.sealed.stamp = Header{}
		return
	}
	text := b.sealed.meta[b.sealed.header : b.sealed.header+headerDigits]
	b.sealed.stamp.put(text)
	putHex(text[atCRC:], uint64(b.sealed.stamp.CRC))
}

// unseal forgets metadata that is no longer the batch's.
func (b *Batch) unseal() { b.sealed.meta, b.sealed.loaded = nil, 0 }

// A column's region of the body reaches from its first buffer to the first buffer of the next column, padding
// included; the first region starts with the body, the last one ends with it. A column without buffers (null) has an
// empty region.

// regionStart is where the region of column i starts; i may be one past the last column.
func regionStart(l *Layout, buffers []span, bodyLen int64, i int) int64 {
	switch at := l.places[i].buffer; {
	case i > 0 && at == len(buffers):
		return bodyLen
	case at == 0:
		return 0
	default:
		return buffers[at].off
	}
}

// directSum is the size of a column up to which summing its bytes a second time is cheaper than combining.
const directSum = 512

// sum computes the checksums of the columns and of the body.
func (b *Batch) sum() {
	n := b.layout.NumColumns()
	crcs := make([]uint32, n)
	c := cursor{parts: b.parts}
	var body uint32
	combined := b.bodyLen > int64(n)*directSum
	for i := range crcs {
		from := regionStart(b.layout, b.buffers, b.bodyLen, i)
		until := regionStart(b.layout, b.buffers, b.bodyLen, i+1)
		crcs[i] = c.sum(until - from)
		if combined {
			body = combine(body, crcs[i], until-from)
		}
	}
	if !combined {
		for _, p := range b.parts {
			body = checksum(body, p)
		}
	}
	b.sealed.columns, b.sealed.body = crcs, body
}

// cursor walks over the parts of a body.
type cursor struct {
	parts [][]byte
	part  int
	at    int
}

// sum is the checksum of the next n bytes.
func (c *cursor) sum(n int64) uint32 {
	var crc uint32
	for n > 0 {
		rest := c.parts[c.part][c.at:]
		if int64(len(rest)) > n {
			c.at += int(n)
			return checksum(crc, rest[:n])
		}
		crc = checksum(crc, rest)
		n -= int64(len(rest))
		c.part, c.at = c.part+1, 0
	}
	return crc
}

// Stored is the batch as it stands in a segment: prefix and metadata in one piece, a multiple of 64 bytes, then the
// parts of the body, padding included. They are the batch's own memory: not to be changed, and valid while the
// caller holds a reference.
func (b *Batch) Stored() (meta []byte, body [][]byte) {
	b.Seal()
	return b.sealed.meta, b.parts
}
