package record

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// values is one array as memory, whether it lies in a batch's body or in an arrow array: what Encode, Merge, Split
// and Slice work on. For a slot of the stored kinds its buffers are, by kind:
//
//	fixed, bool         validity, values
//	binary, list, map   validity, offsets, bytes (binary)
//	struct, fixed list  validity
//
// (for others see kind) and its children follow the slot's. An array without nulls may have no validity.
type values struct {
	off      int // of the first value, within the buffers (children have their own)
	length   int
	nulls    int // of the length values; unknownNulls: count them
	buffers  [3][]byte
	views    [][]byte // data buffers of an array of views
	children []values
}

const unknownNulls = -1

// sliced is the values [from, until).
func (v *values) sliced(from, until int) values {
	out := *v
	out.off, out.length = v.off+from, until-from
	if from != 0 || until != v.length {
		out.nulls = unknownNulls
		if v.nulls == 0 {
			out.nulls = 0
		}
	}
	return out
}

// countNulls counts the nulls of an array with a validity bitmap.
func (v *values) countNulls() int {
	switch {
	case v.nulls >= 0:
		return v.nulls
	case len(v.buffers[0]) == 0:
		return 0
	}
	return v.length - countOnes(v.buffers[0], v.off, v.length)
}

// isNull says whether value i is null.
func (v *values) isNull(i int) bool {
	if len(v.buffers[0]) == 0 {
		return v.nulls > 0 && v.nulls == v.length
	}
	i += v.off
	return v.buffers[0][i>>3]>>(i&7)&1 == 0
}

// bounds gives the range of bytes or child values that the offsets of the array span.
func (v *values) bounds(wide bool) (first, last int) {
	if v.length == 0 {
		return 0, 0
	}
	offsets := v.buffers[1]
	if wide {
		return int(binary.LittleEndian.Uint64(offsets[v.off*8:])), int(binary.LittleEndian.Uint64(offsets[(v.off+v.length)*8:]))
	}
	return int(binary.LittleEndian.Uint32(offsets[v.off*4:])), int(binary.LittleEndian.Uint32(offsets[(v.off+v.length)*4:]))
}

// wide says that the offsets of the kind are 64 bits wide.
func (k kind) wide() bool { return k == kindBinary64 || k == kindList64 || k == kindListView64 }

// valuesOf is an arrow array as memory. The array must outlive it.
func valuesOf(data arrow.ArrayData) values {
	v := values{off: data.Offset(), length: data.Len(), nulls: data.NullN()}
	for i, b := range data.Buffers() {
		if b != nil && i < len(v.buffers) {
			v.buffers[i] = b.Bytes()
		}
	}
	children := data.Children()
	if len(children) == 0 {
		return v
	}
	v.children = make([]values, len(children))
	for i, c := range children {
		v.children[i] = valuesOf(c)
	}
	return v
}

// column is the i-th column of a batch whose body is not compressed, as memory that the batch keeps alive. The layout
// must be a stored one.
func (b *Batch) column(i int) values {
	at := b.layout.places[i]
	w := walker{b: b, node: at.node, buffer: at.buffer}
	return w.array(&b.layout.slots[i])
}

// walker reads the arrays of a batch that is not compressed, one behind the other.
type walker struct {
	b      *Batch
	node   int
	buffer int
	view   int // arrays of views so far
}

// array reads the next array, which is the slot's, and its children.
func (w *walker) array(s *slot) values {
	n := w.b.nodes[w.node]
	w.node++
	v := values{length: int(n.length), nulls: int(n.nulls)}
	for i := range s.numBuffers() {
		v.buffers[i] = w.next()
	}
	if v.nulls == 0 && s.kind != kindNull {
		v.buffers[0] = nil
	}
	if s.kind == kindView {
		v.views = make([][]byte, w.b.views[w.view])
		for i := range v.views {
			v.views[i] = w.next()
		}
		w.view++
	}
	if len(s.children) > 0 {
		v.children = make([]values, len(s.children))
		for i := range s.children {
			v.children[i] = w.array(&s.children[i])
		}
	}
	return v
}

func (w *walker) next() []byte {
	data := w.b.buffer(w.buffer)
	w.buffer++
	return data
}

// skip moves over the next array and its children.
func (w *walker) skip(s *slot) {
	w.node++
	w.buffer += s.numBuffers()
	if s.kind == kindView {
		w.buffer += w.b.views[w.view]
		w.view++
	}
	for i := range s.children {
		w.skip(&s.children[i])
	}
}

// countOnes counts the ones among n bits from bit off on.
func countOnes(bitmap []byte, off, n int) int {
	count := 0
	for n > 0 && off&7 != 0 {
		count += int(bitmap[off>>3] >> (off & 7) & 1)
		off, n = off+1, n-1
	}
	whole := bitmap[off>>3:]
	for ; n >= 64; n, whole = n-64, whole[8:] {
		count += bits.OnesCount64(binary.LittleEndian.Uint64(whole))
	}
	for ; n >= 8; n, whole = n-8, whole[1:] {
		count += bits.OnesCount8(whole[0])
	}
	if n > 0 {
		count += bits.OnesCount8(whole[0] << (8 - n))
	}
	return count
}

// copyBits copies n bits of src from bit from on to dst, whose bits from at on must be zero up to the end of the
// last byte touched.
func copyBits(dst []byte, at int, src []byte, from, n int) {
	if n == 0 {
		return
	}
	if at&7 != 0 {
		head := min(8-at&7, n)
		dst[at>>3] |= loadBits(src, from, head) << (at & 7)
		at, from, n = at+head, from+head, n-head
		if n == 0 {
			return
		}
	}
	to := dst[at>>3:]
	shift := uint(from & 7)
	in := src[from>>3:]
	if shift == 0 {
		copy(to[:n>>3], in)
		to, in, n = to[n>>3:], in[n>>3:], n&7
	} else {
		for ; n >= 64 && len(in) >= 9; n -= 64 {
			word := binary.LittleEndian.Uint64(in)>>shift | uint64(in[8])<<(64-shift)
			binary.LittleEndian.PutUint64(to, word)
			to, in = to[8:], in[8:]
		}
		for ; n >= 8; n -= 8 {
			to[0] = in[0]>>shift | in[1]<<(8-shift)
			to, in = to[1:], in[1:]
		}
	}
	if n > 0 {
		to[0] |= loadBits(in, int(shift), n)
	}
}

// loadBits reads n <= 8 bits from bit off on into the low bits of a byte, the others being zero.
func loadBits(src []byte, off, n int) byte {
	i, shift := off>>3, uint(off&7)
	b := src[i] >> shift
	if int(shift)+n > 8 {
		b |= src[i+1] << (8 - shift)
	}
	return b & (1<<n - 1)
}

// setBits sets n bits of dst from bit at on.
func setBits(dst []byte, at, n int) {
	for n > 0 && at&7 != 0 {
		dst[at>>3] |= 1 << (at & 7)
		at, n = at+1, n-1
	}
	whole := dst[at>>3:]
	for ; n >= 8; n -= 8 {
		whole[0] = 0xFF
		whole = whole[1:]
	}
	if n > 0 {
		whole[0] |= 1<<n - 1
	}
}
