package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/quiverlog/quiver"
)

// Flags mark a batch.
type Flags uint16

// Continued marks all but the last batch of a unit: the high watermark never stands behind such a batch.
const Continued Flags = 1 << 0

// Header is what a stored batch tells of itself, besides its rows.
type Header struct {
	Version       uint8
	BaseOffset    quiver.Offset // of the first row
	Rows          int
	Epoch         quiver.Epoch // of the leader that stamped it
	Timestamp     int64        // when it was appended, milliseconds since 1970 UTC; never goes back in a bucket
	Schema        quiver.SchemaID
	Flags         Flags
	HighWatermark quiver.Offset // as of the stamp
	Previous      uint32        // header checksum of the batch before: a chain
	Payload       uint32        // checksum of the body
	CRC           uint32        // checksum of prefix and metadata
}

// Until is one past the offset of the last row.
func (h *Header) Until() quiver.Offset { return h.BaseOffset + quiver.Offset(h.Rows) }

// Stamp is what a leader adds to a batch at the moment it is written.
type Stamp struct {
	BaseOffset    quiver.Offset
	Epoch         quiver.Epoch
	Timestamp     int64
	Flags         Flags
	HighWatermark quiver.Offset
	Previous      uint32
}

// Seed starts both checksums of a batch: what was written for one bucket and segment is valid nowhere else.
type Seed uint32

// NewSeed is the seed of a bucket's segment. The salt is the segment's, drawn at random when it is made; it is
// stored in the segment and served to nobody, so no body can be made up to look like a header.
func NewSeed(id quiver.BucketID, salt uint64) Seed {
	var b [28]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(id.Table))
	binary.LittleEndian.PutUint64(b[8:], uint64(id.Partition))
	binary.LittleEndian.PutUint32(b[16:], uint32(id.Bucket))
	binary.LittleEndian.PutUint64(b[20:], salt)
	return Seed(checksum(0, b[:]))
}

// FormatVersion is the version of the batch header and of the segment header.
const FormatVersion = 1

// Where the fields of the header stand in its text, in hexadecimal digits.
const (
	atVersion       = 0
	atBaseOffset    = atVersion + 2
	atRows          = atBaseOffset + 16
	atEpoch         = atRows + 8
	atTimestamp     = atEpoch + 8
	atSchema        = atTimestamp + 16
	atFlags         = atSchema + 8
	atHighWatermark = atFlags + 4
	atPrevious      = atHighWatermark + 16
	atPayload       = atPrevious + 8
	atCRC           = atPayload + 8
	headerDigits    = atCRC + 8
)

// The digits of a header checksum while it is computed.
const zeroDigits = "00000000"

const hexDigits = "0123456789abcdef"

// putHex writes the lowest digits of v, as many as dst holds.
func putHex(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = hexDigits[v&15]
		v >>= 4
	}
}

// parseHex reads lower-case digits, at most 16 of them.
func parseHex(src []byte) (v uint64, ok bool) {
	var all byte
	for _, c := range src {
		d := hexValues[c]
		all |= d
		v = v<<4 | uint64(d&15)
	}
	if all > 15 {
		return 0, false
	}
	return v, true
}

// areHex says whether all bytes are lower-case hexadecimal digits.
func areHex(src []byte) bool {
	var all byte
	for _, c := range src {
		all |= hexValues[c]
	}
	return all <= 15
}

// hexValues are the values of the digits; what is no digit is above 15.
var hexValues = func() (values [256]byte) {
	for c := range values {
		values[c] = 255
	}
	for d, c := range []byte(hexDigits) {
		values[c] = byte(d)
	}
	return values
}()

// put writes all fields but the header checksum, which is left as zeros.
func (h *Header) put(dst []byte) {
	_ = dst[headerDigits-1]
	putHex(dst[atVersion:atBaseOffset], uint64(h.Version))
	putHex(dst[atBaseOffset:atRows], uint64(h.BaseOffset))
	putHex(dst[atRows:atEpoch], uint64(h.Rows))
	putHex(dst[atEpoch:atTimestamp], uint64(h.Epoch))
	putHex(dst[atTimestamp:atSchema], uint64(h.Timestamp))
	putHex(dst[atSchema:atFlags], uint64(h.Schema))
	putHex(dst[atFlags:atHighWatermark], uint64(h.Flags))
	putHex(dst[atHighWatermark:atPrevious], uint64(h.HighWatermark))
	putHex(dst[atPrevious:atPayload], uint64(h.Previous))
	putHex(dst[atPayload:atCRC], uint64(h.Payload))
	copy(dst[atCRC:headerDigits], zeroDigits)
}

var errHeaderText = errors.New("batch header: not the expected hexadecimal digits")

// parse reads what put and the stamp wrote.
func (h *Header) parse(src []byte) error {
	if len(src) != headerDigits {
		return fmt.Errorf("batch header: %d characters, not %d", len(src), headerDigits)
	}
	var raw [headerDigits / 2]byte
	for i := range raw {
		v, ok := parseHex(src[2*i : 2*i+2])
		if !ok {
			return errHeaderText
		}
		raw[i] = byte(v)
	}
	be := binary.BigEndian
	h.Version = raw[atVersion/2]
	h.BaseOffset = quiver.Offset(be.Uint64(raw[atBaseOffset/2:]))
	rows := be.Uint32(raw[atRows/2:])
	h.Epoch = quiver.Epoch(be.Uint32(raw[atEpoch/2:]))
	h.Timestamp = int64(be.Uint64(raw[atTimestamp/2:]))
	h.Schema = quiver.SchemaID(be.Uint32(raw[atSchema/2:]))
	h.Flags = Flags(be.Uint16(raw[atFlags/2:]))
	h.HighWatermark = quiver.Offset(be.Uint64(raw[atHighWatermark/2:]))
	h.Previous = be.Uint32(raw[atPrevious/2:])
	h.Payload = be.Uint32(raw[atPayload/2:])
	h.CRC = be.Uint32(raw[atCRC/2:])
	if h.Version != FormatVersion {
		return fmt.Errorf("batch header: version %d, this program reads %d", h.Version, FormatVersion)
	}
	if rows > maxRows {
		return fmt.Errorf("batch header: %d rows", rows)
	}
	h.Rows = int(rows)
	if h.BaseOffset < 0 || h.BaseOffset > maxOffset {
		return fmt.Errorf("batch header: offset %d", h.BaseOffset)
	}
	return nil
}

const (
	// maxRows is the most rows a batch may have: what an int32 counts, as other readers do.
	maxRows = 1<<31 - 1
	// maxOffset leaves room above every offset, so that sums do not overflow.
	maxOffset = 1<<62 - 1
)

// The keys of a stored batch's custom metadata.
const (
	keyHeader    = "quiver.batch"
	keyColumns   = "quiver.columns"
	keyProducers = "quiver.producers"
	keyStats     = "quiver.stats"
)

// Stamp fills in what only the leader knows, in place, and returns the header's checksum, which the next batch names
// as Previous. A batch may be stamped again, as long as nobody reads what Stored gave.
func (b *Batch) Stamp(s Stamp, seed Seed) uint32 {
	b.Seal()
	h := Header{
		Version:       FormatVersion,
		BaseOffset:    s.BaseOffset,
		Rows:          b.rows,
		Epoch:         s.Epoch,
		Timestamp:     s.Timestamp,
		Schema:        b.layout.id,
		Flags:         s.Flags,
		HighWatermark: s.HighWatermark,
		Previous:      s.Previous,
		Payload:       combine(uint32(seed), b.sealed.body, b.bodyLen),
	}
	text := b.sealed.meta[b.sealed.header : b.sealed.header+headerDigits]
	h.put(text)
	h.CRC = checksum(uint32(seed), b.sealed.meta)
	putHex(text[atCRC:], uint64(h.CRC))
	b.sealed.stamp = h
	return h.CRC
}

// Header is the header as last stamped or loaded. Before that only Rows and Schema are told.
func (b *Batch) Header() Header {
	if b.sealed.stamp.Version == 0 {
		return Header{Rows: b.rows, Schema: b.layout.id}
	}
	return b.sealed.stamp
}

// hexColumns writes the columns' checksums, 8 digits each.
func hexColumns(dst []byte, crcs []uint32) {
	for i, c := range crcs {
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], c)
		hex.Encode(dst[8*i:], raw[:])
	}
}
