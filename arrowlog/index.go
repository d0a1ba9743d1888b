package arrowlog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/quiverlog/quiver"
)

// entry is where one batch lies in its segment.
type entry struct {
	pos  int64         // of the batch's prefix in the segment
	base quiver.Offset // of its first row
	time int64         // when it was appended, milliseconds
	body int64         // bytes of the body
	meta int32         // bytes of prefix and metadata
	rows int32
}

func (e entry) until() quiver.Offset { return e.base + quiver.Offset(e.rows) }
func (e entry) end() int64           { return e.pos + int64(e.meta) + e.body }
func (e entry) size() int64          { return int64(e.meta) + e.body }

// find gives the first entry that reaches beyond the offset; len(entries) if none does.
func find(entries []entry, offset quiver.Offset) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].until() > offset })
}

// findTime gives the first entry that is not older than the time; len(entries) if all are.
func findTime(entries []entry, time int64) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].time >= time })
}

// index is what a segment's index file holds: the entries of all its batches and, verbatim, the metadata of each, so
// that a projected read of cold data reads no header from the segment. It is a cache. Every metadata block carries
// its own checksum; whenever anything about the file is in doubt, it is made anew from the segment.
//
//	frame    "INDX": bucket, base offset, bytes of the segment that are covered, entries (varint deltas)
//	blocks   prefix and metadata of each batch, in order, as in the segment
type index struct {
	entries []entry
	covered int64   // bytes of the segment that the entries tell about
	blocks  []int64 // where each entry's metadata stands in the index file; nil: in no file
}

const indexKind = "INDX"

// encodeIndex makes the first part of an index file; the blocks follow.
func encodeIndex(id quiver.BucketID, base quiver.Offset, covered int64, entries []entry) []byte {
	b := appendBucket(nil, id)
	b = binary.AppendVarint(b, int64(base))
	b = binary.AppendUvarint(b, uint64(covered))
	b = binary.AppendUvarint(b, uint64(len(entries)))
	var before entry
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(e.pos-before.pos))
		b = binary.AppendUvarint(b, uint64(e.base-before.base))
		b = binary.AppendVarint(b, e.time-before.time)
		b = binary.AppendUvarint(b, uint64(e.body))
		b = binary.AppendUvarint(b, uint64(e.meta))
		b = binary.AppendUvarint(b, uint64(e.rows))
		before = e
	}
	return sealFrame(indexKind, b)
}

// indexSize tells from the first bytes of an index file how long its frame is.
func indexSize(head []byte) (int64, error) {
	if len(head) < frameHead || string(head[:8]) != frameMagic+indexKind {
		return 0, fmt.Errorf("%w: it does not begin with %q", errFrame, frameMagic+indexKind)
	}
	return frameHead + int64(binary.LittleEndian.Uint32(head[12:])) + frameTrailer, nil
}

// decodeIndex reads the frame of an index file of the bucket's segment that begins at base, as long as said.
func decodeIndex(data []byte, id quiver.BucketID, base quiver.Offset, segmentSize int64) (*index, error) {
	payload, _, err := openFrame(indexKind, data)
	if err != nil {
		return nil, err
	}
	d := decoder{data: payload}
	gotID, gotBase := d.bucket(), quiver.Offset(d.varint())
	if d.err == nil && (gotID != id || gotBase != base) {
		return nil, fmt.Errorf("%w: it belongs to bucket %s, offset %d", errFrame, gotID, gotBase)
	}
	x := &index{covered: int64(d.uvarint())}
	n := d.count(6)
	x.entries = make([]entry, 0, n)
	x.blocks = make([]int64, 0, n)
	block := int64(len(data))
	var before entry
	for range n {
		e := entry{
			pos:  before.pos + int64(d.uvarint()),
			base: before.base + quiver.Offset(d.uvarint()),
			time: before.time + d.varint(),
			body: int64(d.uvarint()),
			meta: int32(d.uvarint()),
			rows: int32(d.uvarint()),
		}
		if d.err == nil && (e.pos < before.end() || e.base < before.until() || e.base < base || e.meta < 8 ||
			e.body < 0 || e.rows < 0 || e.end() > x.covered) {
			return nil, fmt.Errorf("%w: its entries do not follow each other", errFrame)
		}
		x.entries = append(x.entries, e)
		x.blocks = append(x.blocks, block)
		block += int64(e.meta)
		before = e
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	if x.covered < 0 || x.covered > segmentSize {
		return nil, fmt.Errorf("%w: it covers %d bytes of %d", errFrame, x.covered, segmentSize)
	}
	return x, nil
}

// gaps lists the offset ranges of [from, until) that no entry covers: rows that are lost.
func gaps(entries []entry, from, until quiver.Offset) []OffsetRange {
	var out []OffsetRange
	at := from
	for _, e := range entries[find(entries, from):] {
		if e.base >= until {
			break
		}
		if e.base > at {
			out = append(out, OffsetRange{at, e.base})
		}
		at = max(at, e.until())
	}
	if at < until {
		out = append(out, OffsetRange{at, until})
	}
	return slices.Clip(out)
}

// OffsetRange is the offsets [From, Until).
type OffsetRange struct{ From, Until quiver.Offset }
