package record

import "encoding/binary"

// The metadata of a batch is one Message flatbuffer that we lay out by hand. Everything stands at a fixed place, which
// the numbers of nodes n and of buffers m shift, so it is filled in rather than built. doc.go draws it.
const (
	fbMessageVTable = 4  // version, header type, header, body length, custom metadata
	fbMessage       = 24 // the Message table
	fbBatchOffset   = fbMessage + 4
	fbBodyLength    = fbMessage + 8
	fbCustomOffset  = fbMessage + 16
	fbVersion       = fbMessage + 20
	fbHeaderType    = fbMessage + 22
	fbBatchVTable   = 48 // length, nodes, buffers, compression, variadic counts
	fbBatch         = 64 // the RecordBatch table
	fbNodesOffset   = fbBatch + 4
	fbRows          = fbBatch + 8
	fbBuffersOffset = fbBatch + 16
	fbCodecOffset   = fbBatch + 20
	fbCodecVTable   = 92  // codec, method
	fbCodec         = 100 // the BodyCompression table
	fbNodeCount     = 108
	fbNodes         = 112 // n times (length, null count)
	//                fbNodes + 16 n + 8: m times (offset, length), before it their count
)

// Numbers of the Arrow format.
const (
	metadataV4 = 3
	metadataV5 = 4

	messageSchema     = 1
	messageDictionary = 2
	messageBatch      = 3

	codecLZ4  = 0
	codecZstd = 1
)

// prefixSize is the continuation marker and the length before every message's metadata.
const prefixSize = 8

// continuation is the marker, as a little-endian number.
const continuation = 0xFFFFFFFF

// batchTemplate is the part of the metadata up to the nodes, all but the numbers.
var batchTemplate = makeBatchTemplate()

func makeBatchTemplate() (t [fbNodes]byte) {
	le := binary.LittleEndian
	put16 := func(at int, values ...uint16) {
		for i, v := range values {
			le.PutUint16(t[at+2*i:], v)
		}
	}
	le.PutUint32(t[0:], fbMessage)
	put16(fbMessageVTable, 14, 24, fbVersion-fbMessage, fbHeaderType-fbMessage, fbBatchOffset-fbMessage, fbBodyLength-fbMessage, 0)
	le.PutUint32(t[fbMessage:], fbMessage-fbMessageVTable)
	le.PutUint32(t[fbBatchOffset:], fbBatch-fbBatchOffset)
	put16(fbVersion, metadataV5)
	t[fbHeaderType] = messageBatch
	put16(fbBatchVTable, 14, 28, fbRows-fbBatch, fbNodesOffset-fbBatch, fbBuffersOffset-fbBatch, 0, 0)
	le.PutUint32(t[fbBatch:], fbBatch-fbBatchVTable)
	le.PutUint32(t[fbNodesOffset:], fbNodeCount-fbNodesOffset)
	put16(fbCodecVTable, 8, 8, 4, 5)
	le.PutUint32(t[fbCodec:], fbCodec-fbCodecVTable)
	return t
}

// batchMessageSize is the size of the message up to the last buffer, without custom metadata.
func batchMessageSize(nodes, buffers int) int { return fbNodes + 16*nodes + 8 + 16*buffers }

// putBatchMessage fills in the message, all but the custom metadata. It has the size that batchMessageSize gives.
func (b *Batch) putBatchMessage(dst []byte) {
	le := binary.LittleEndian
	n := copy(dst, batchTemplate[:])
	le.PutUint64(dst[fbBodyLength:], uint64(b.bodyLen))
	le.PutUint64(dst[fbRows:], uint64(b.rows))
	if b.codec != None {
		le.PutUint16(dst[fbBatchVTable+4+2*3:], fbCodecOffset-fbBatch)
		le.PutUint32(dst[fbCodecOffset:], fbCodec-fbCodecOffset)
		dst[fbCodec+4] = codecLZ4
		if b.codec == Zstd {
			dst[fbCodec+4] = codecZstd
		}
	}
	le.PutUint32(dst[fbNodeCount:], uint32(len(b.nodes)))
	for _, v := range b.nodes {
		le.PutUint64(dst[n:], uint64(v.length))
		le.PutUint64(dst[n+8:], uint64(v.nulls))
		n += 16
	}
	le.PutUint32(dst[n:], 0)
	le.PutUint32(dst[n+4:], uint32(len(b.buffers)))
	le.PutUint32(dst[fbBuffersOffset:], uint32(n+4-fbBuffersOffset))
	n += 8
	for _, v := range b.buffers {
		le.PutUint64(dst[n:], uint64(v.off))
		le.PutUint64(dst[n+8:], uint64(v.len))
		n += 16
	}
}

// pair is a key and its value in a message's custom metadata.
type pair struct {
	key   string
	value int // bytes; the caller fills them in
}

// stringSize is what a string takes in a flatbuffer: length, bytes, a zero, and what rounds it up to 4.
func stringSize(n int) int { return (4 + n + 1 + 3) &^ 3 }

// customSize is what custom metadata of these pairs takes.
func customSize(pairs []pair) int {
	size := 4 + 4*len(pairs) + 8 + 12*len(pairs)
	for _, p := range pairs {
		size += stringSize(len(p.key)) + stringSize(p.value)
	}
	return size
}

// putCustom writes custom metadata at position at of the message and returns where each value goes.
func putCustom(dst []byte, at int, pairs []pair, values []int) {
	le := binary.LittleEndian
	k := len(pairs)
	le.PutUint32(dst[at:], uint32(k))
	vtable := at + 4 + 4*k
	le.PutUint16(dst[vtable:], 8)
	le.PutUint16(dst[vtable+2:], 12)
	le.PutUint16(dst[vtable+4:], 4)
	le.PutUint16(dst[vtable+6:], 8)
	tables := vtable + 8
	text := tables + 12*k
	for i, p := range pairs {
		slot, table := at+4+4*i, tables+12*i
		le.PutUint32(dst[slot:], uint32(table-slot))
		le.PutUint32(dst[table:], uint32(table-vtable))
		le.PutUint32(dst[table+4:], uint32(text-(table+4)))
		le.PutUint32(dst[text:], uint32(len(p.key)))
		copy(dst[text+4:], p.key)
		text += stringSize(len(p.key))
		le.PutUint32(dst[table+8:], uint32(text-(table+8)))
		le.PutUint32(dst[text:], uint32(p.value))
		values[i] = text + 4
		text += stringSize(p.value)
	}
}

// maxPairs is how many keys a batch's custom metadata has at most.
const maxPairs = 4

// customPairs are the keys of the batch's custom metadata: those that are always there first.
func (b *Batch) customPairs(into *[maxPairs]pair, producers []byte) []pair {
	into[0] = pair{keyHeader, headerDigits}
	into[1] = pair{keyColumns, 8 * b.layout.NumColumns()}
	n := 2
	for _, p := range []pair{{keyProducers, len(producers)}, {keyStats, len(b.stats)}} {
		if p.value > 0 {
			into[n] = p
			n++
		}
	}
	return into[:n]
}

// roundUp rounds n up to a multiple of 64.
func roundUp(n int) int { return (n + bodyAlign - 1) &^ (bodyAlign - 1) }

// metadataSize is the size of prefix and metadata.
func (b *Batch) metadataSize() int {
	var pairs [maxPairs]pair
	custom := customSize(b.customPairs(&pairs, encodeProducers(b.producers)))
	return roundUp(prefixSize + batchMessageSize(len(b.nodes), len(b.buffers)) + custom)
}

// encodeMetadata writes prefix and metadata as they are stored, with a header of zeros, and returns where the
// header's text starts.
func (b *Batch) encodeMetadata() (meta []byte, header int) {
	var pairsMemory [maxPairs]pair
	var values [maxPairs]int
	producers := encodeProducers(b.producers)
	pairs := b.customPairs(&pairsMemory, producers)
	message := batchMessageSize(len(b.nodes), len(b.buffers))
	meta = make([]byte, roundUp(prefixSize+message+customSize(pairs)))
	putPrefix(meta)
	fb := meta[prefixSize:]
	b.putBatchMessage(fb)
	binary.LittleEndian.PutUint16(fb[fbMessageVTable+4+2*4:], fbCustomOffset-fbMessage)
	binary.LittleEndian.PutUint32(fb[fbCustomOffset:], uint32(message-fbCustomOffset))
	putCustom(fb, message, pairs, values[:])
	for i := range headerDigits {
		fb[values[0]+i] = '0'
	}
	hexColumns(fb[values[1]:], b.sealed.columns)
	for i, p := range pairs[2:] {
		if p.key == keyProducers {
			copy(fb[values[2+i]:], producers)
		} else {
			copy(fb[values[2+i]:], b.stats)
		}
	}
	return meta, prefixSize + values[0]
}

// putPrefix writes the prefix of a message whose prefix and metadata are all of dst.
func putPrefix(dst []byte) {
	binary.LittleEndian.PutUint32(dst, continuation)
	binary.LittleEndian.PutUint32(dst[4:], uint32(len(dst)-prefixSize))
}
