package record

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Clients may lay out values in ways that are not stored: dictionaries, views, list views, runs. Normalising writes
// the same values in the plain way, nested ones too. All of it may blow up: a few indices can stand for gigabytes of
// text, a few runs for billions of rows. So everything is sized and charged to a budget before memory is taken.

// shaper makes memory for the values it lays out anew, within a budget. They live until it is released.
type shaper struct {
	left         int64 // bytes that may still be taken
	limits       Limits
	dictionaries map[int64]*dictionary
	taken        []*buf.Buf
}

func (in *Input) newShaper() *shaper {
	return &shaper{left: in.limits.MaxDecompressed, limits: in.limits, dictionaries: in.dictionaries}
}

// ownShaper is one for values of our own, whose makers did not ask for limits.
func ownShaper() *shaper {
	lim := DefaultLimits()
	return &shaper{left: lim.MaxDecompressed, limits: lim}
}

func (h *shaper) release() {
	for _, b := range h.taken {
		b.Release()
	}
	h.taken = nil
}

// dictionary is what a client's dictionary holds at the moment, normalised.
type dictionary struct {
	layout *Layout // one column
	batch  *Batch
	array  arrow.Array // the same values
}

func (d *dictionary) release() {
	d.array.Release()
	d.batch.Release()
}

// charge takes n bytes off the budget.
func (h *shaper) charge(n int64) error {
	if n > h.left {
		return quiver.Errorf(quiver.BatchTooLarge, "laid out plainly the batch takes more than the limit of %d bytes", h.limits.MaxDecompressed).
			Advise("put smaller batches")
	}
	h.left -= n
	return h.limits.admit(n)
}

// take is n bytes of zeros.
func (h *shaper) take(n int64) ([]byte, error) {
	if err := h.charge(n); err != nil {
		return nil, err
	}
	b := buf.Get(int(n))
	h.taken = append(h.taken, b)
	clear(b.Bytes())
	return b.Bytes(), nil
}

// normal is the slot of the values once they are normalised.
func (s *slot) normal() *slot {
	n := *s
	switch s.kind {
	case kindDictionary:
		n = *s.values.normal()
	case kindRunEnd:
		n = *s.children[1].normal()
	case kindView:
		n.kind, n.typ = kindBinary32, arrow.BinaryTypes.Binary
		if s.utf8 {
			n.typ = arrow.BinaryTypes.String
		}
	case kindListView32, kindListView64:
		n.kind = kindList32
		if s.kind == kindListView64 {
			n.kind = kindList64
		}
		n.typ, n.children = quiver.Normalize(s.typ), []slot{*s.children[0].normal()}
	default:
		if s.plain() {
			return &n
		}
		n.typ, n.children = quiver.Normalize(s.typ), make([]slot, len(s.children))
		for i := range s.children {
			n.children[i] = *s.children[i].normal()
		}
	}
	n.name, n.nullable = s.name, s.nullable || n.nullable && (s.kind == kindDictionary || s.kind == kindRunEnd)
	return &n
}

// plain says that the slot and all nested in it are laid out as stored.
func (s *slot) plain() bool {
	switch s.kind {
	case kindDictionary, kindRunEnd, kindView, kindListView32, kindListView64:
		return false
	}
	for i := range s.children {
		if !s.children[i].plain() {
			return false
		}
	}
	return true
}

// normalize lays out values of the slot as its normal slot has them. The values are as a gate let them pass.
func (h *shaper) normalize(s *slot, v values) (values, error) {
	switch s.kind {
	case kindDictionary:
		return h.unpackDictionary(s, v)
	case kindRunEnd:
		return h.unpackRuns(s, v)
	case kindView:
		return h.unpackViews(s, v)
	case kindListView32, kindListView64:
		return h.unpackListViews(s, v)
	}
	if s.plain() {
		return v, nil
	}
	out := v
	out.children = make([]values, len(v.children))
	for i := range v.children {
		var err error
		if out.children[i], err = h.normalize(&s.children[i], v.children[i]); err != nil {
			return values{}, err
		}
	}
	return out, nil
}

// unpackDictionary writes the value in place of each index.
func (h *shaper) unpackDictionary(s *slot, v values) (values, error) {
	d := h.dictionaries[s.dict]
	picks, err := h.picks(v.length)
	if err != nil {
		return values{}, err
	}
	size := 0
	if d != nil {
		size = d.batch.rows
	}
	for i := range picks {
		if picks[i] = -1; v.isNull(i) {
			continue
		}
		at := loadIndex(v.buffers[1], v.off+i, s.width)
		if at >= uint64(size) {
			return values{}, s.malformed("row %d has index %d, the dictionary %d values", i, at, size)
		}
		picks[i] = int64(at)
	}
	if d == nil { // all null
		return h.nulls(s.normal(), v.length)
	}
	return h.gather(&d.layout.slots[0], d.batch.column(0), picks)
}

// loadIndex reads an unsigned index, or a signed one that is not negative.
func loadIndex(indices []byte, i, width int) uint64 {
	switch width {
	case 1:
		return uint64(indices[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(indices[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(indices[4*i:]))
	}
	return binary.LittleEndian.Uint64(indices[8*i:])
}

// unpackRuns writes the value of each run as often as the run is long.
func (h *shaper) unpackRuns(s *slot, v values) (values, error) {
	ends, width := &v.children[0], s.children[0].width
	inner, err := h.normalize(&s.children[1], v.children[1])
	if err != nil {
		return values{}, err
	}
	picks, err := h.picks(v.length)
	if err != nil {
		return values{}, err
	}
	run := 0
	for i := range picks {
		for run < ends.length && loadIndex(ends.buffers[1], ends.off+run, width) <= uint64(v.off+i) {
			run++
		}
		if run >= min(ends.length, inner.length) {
			return values{}, s.malformed("the runs end before row %d", i)
		}
		picks[i] = int64(run)
	}
	return h.gather(s.children[1].normal(), inner, picks)
}

// Views of strings and binaries: length uint32, then the bytes themselves if there are at most 12, else four of
// them, the data buffer's number and the place in it.
const (
	viewSize   = 16
	viewInline = 12
)

// unpackViews writes texts one behind the other.
func (h *shaper) unpackViews(s *slot, v values) (values, error) {
	views := v.buffers[1][v.off*viewSize:]
	var total int64
	for i := range v.length {
		if !v.isNull(i) {
			total += int64(binary.LittleEndian.Uint32(views[i*viewSize:]))
		}
	}
	if total > math.MaxInt32 {
		return values{}, s.tooLong(total)
	}
	offsets, err := h.take(int64(v.length+1) * 4)
	if err != nil {
		return values{}, err
	}
	data, err := h.take(total)
	if err != nil {
		return values{}, err
	}
	at := 0
	for i := range v.length {
		if !v.isNull(i) {
			at += copy(data[at:], v.view(views[i*viewSize:][:viewSize]))
		}
		binary.LittleEndian.PutUint32(offsets[4*(i+1):], uint32(at))
	}
	out, err := h.withValidity(&v)
	out.buffers[1], out.buffers[2] = offsets, data
	return out, err
}

// view is the bytes that a view stands for.
func (v *values) view(view []byte) []byte {
	n := int(binary.LittleEndian.Uint32(view))
	if n <= viewInline {
		return view[4 : 4+n]
	}
	data := v.views[binary.LittleEndian.Uint32(view[8:])]
	at := int(binary.LittleEndian.Uint32(view[12:]))
	return data[at : at+n]
}

func (s *slot) tooLong(n int64) error {
	return s.fail(quiver.BatchTooLarge, "the column has %d bytes or values, 32-bit offsets reach to %d", n, math.MaxInt32)
}

// withValidity is the nulls of the values for new buffers, whose first value is their own.
func (h *shaper) withValidity(v *values) (values, error) {
	out := values{length: v.length, nulls: v.countNulls()}
	switch {
	case out.nulls == 0:
	case v.off == 0:
		out.buffers[0] = v.buffers[0]
	default:
		bitmap, err := h.take(bitBytes(v.length))
		if err != nil {
			return values{}, err
		}
		copyBits(bitmap, 0, v.buffers[0], v.off, v.length)
		out.buffers[0] = bitmap
	}
	return out, nil
}

// unpackListViews writes lists one behind the other. Often they lie so already: then only offsets are new.
func (h *shaper) unpackListViews(s *slot, v values) (values, error) {
	child, err := h.normalize(&s.children[0], v.children[0])
	if err != nil {
		return values{}, err
	}
	width := 4
	if s.kind == kindListView64 {
		width = 8
	}
	list := func(i int) (from, n int64) {
		if v.isNull(i) {
			return 0, 0
		}
		return int64(loadIndex(v.buffers[1], v.off+i, width)), int64(loadIndex(v.buffers[2], v.off+i, width))
	}
	offsets, err := h.take(int64(v.length+1) * int64(width))
	if err != nil {
		return values{}, err
	}
	var total, first int64
	inOrder := true
	for i := range v.length {
		from, n := list(i)
		if n > 0 && total == 0 {
			first = from
		}
		inOrder = inOrder && (n == 0 || from == first+total)
		if total += n; total > math.MaxInt32 && width == 4 || total > math.MaxInt64/64 {
			return values{}, s.tooLong(total)
		}
		storeIndex(offsets, i+1, width, total)
	}
	out, err := h.withValidity(&v)
	if err != nil {
		return values{}, err
	}
	out.buffers[1] = offsets
	if inOrder {
		out.children = []values{child.sliced(int(first), int(first+total))}
		return out, nil
	}
	picks, err := h.picks(int(total))
	if err != nil {
		return values{}, err
	}
	at := 0
	for i := range v.length {
		from, n := list(i)
		for k := range n {
			picks[at] = from + k
			at++
		}
	}
	child, err = h.gather(s.children[0].normal(), child, picks)
	out.children = []values{child}
	return out, err
}

func storeIndex(dst []byte, i, width int, n int64) {
	if width == 4 {
		binary.LittleEndian.PutUint32(dst[4*i:], uint32(n))
	} else {
		binary.LittleEndian.PutUint64(dst[8*i:], uint64(n))
	}
}

// picks is room for n places of values, all of them 0.
func (h *shaper) picks(n int) ([]int64, error) {
	room, err := h.take(8 * int64(n))
	return cast[int64](room), err
}
