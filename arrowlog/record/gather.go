package record

import (
	"encoding/binary"
	"math"
)

// gather is the values at the given places, in their order; -1 stands for null. The slot is a normal one.
func (h *shaper) gather(s *slot, v values, picks []int64) (values, error) {
	n := len(picks)
	if s.kind == kindNull {
		return values{length: n, nulls: n}, nil
	}
	out, err := h.gatherValidity(&v, picks)
	if err != nil {
		return values{}, err
	}
	switch s.kind {
	case kindBool:
		out.buffers[1], err = h.gatherBits(&v, picks)
	case kindFixed:
		out.buffers[1], err = h.gatherFixed(&v, picks, s.width)
	case kindBinary32, kindBinary64:
		err = h.gatherBinary(s, &v, picks, &out)
	case kindList32, kindList64, kindMap:
		err = h.gatherLists(s, &v, picks, &out)
	case kindFixedList:
		err = h.gatherFixedLists(s, &v, picks, &out)
	case kindStruct:
		err = h.gatherStructs(s, &v, picks, &out)
	default:
		panic("record: gather of values that are not normal")
	}
	return out, err
}

func (h *shaper) gatherValidity(v *values, picks []int64) (values, error) {
	out := values{length: len(picks)}
	some := v.countNulls() > 0
	for _, p := range picks {
		if p < 0 || some && v.isNull(int(p)) {
			out.nulls++
		}
	}
	if out.nulls == 0 {
		return out, nil
	}
	bitmap, err := h.take(bitBytes(len(picks)))
	if err != nil {
		return out, err
	}
	for i, p := range picks {
		if p >= 0 && !(some && v.isNull(int(p))) {
			bitmap[i>>3] |= 1 << (i & 7)
		}
	}
	out.buffers[0] = bitmap
	return out, nil
}

func (h *shaper) gatherBits(v *values, picks []int64) ([]byte, error) {
	dst, err := h.take(bitBytes(len(picks)))
	if err != nil {
		return nil, err
	}
	bits := v.buffers[1]
	for i, p := range picks {
		if p >= 0 {
			p += int64(v.off)
			dst[i>>3] |= bits[p>>3] >> (p & 7) & 1 << (i & 7)
		}
	}
	return dst, nil
}

func (h *shaper) gatherFixed(v *values, picks []int64, width int) ([]byte, error) {
	dst, err := h.take(int64(len(picks)) * int64(width))
	if err != nil {
		return nil, err
	}
	src := v.buffers[1]
	for i, p := range picks {
		if p >= 0 {
			at := (int(p) + v.off) * width
			copy(dst[i*width:(i+1)*width], src[at:])
		}
	}
	return dst, nil
}

// item is the range of bytes or child values of value i.
func (v *values) item(i int, wide bool) (from, until int) {
	i += v.off
	if wide {
		return int(binary.LittleEndian.Uint64(v.buffers[1][8*i:])), int(binary.LittleEndian.Uint64(v.buffers[1][8*i+8:]))
	}
	return int(binary.LittleEndian.Uint32(v.buffers[1][4*i:])), int(binary.LittleEndian.Uint32(v.buffers[1][4*i+4:]))
}

// gatherOffsets writes the offsets of the items picked, and gives how much they span. Null items span nothing.
func (h *shaper) gatherOffsets(s *slot, v *values, picks []int64, out *values) (total int64, err error) {
	wide, width := s.kind.wide(), 4
	if wide {
		width = 8
	}
	offsets, err := h.take(int64(len(picks)+1) * int64(width))
	if err != nil {
		return 0, err
	}
	for i, p := range picks {
		if p >= 0 && !v.isNull(int(p)) {
			from, until := v.item(int(p), wide)
			total += int64(until - from)
		}
		if total > math.MaxInt32 && !wide || total > math.MaxInt64/64 {
			return 0, s.tooLong(total)
		}
		storeIndex(offsets, i+1, width, total)
	}
	out.buffers[1] = offsets
	return total, nil
}

func (h *shaper) gatherBinary(s *slot, v *values, picks []int64, out *values) error {
	total, err := h.gatherOffsets(s, v, picks, out)
	if err != nil {
		return err
	}
	dst, err := h.take(total)
	if err != nil {
		return err
	}
	out.buffers[2] = dst
	wide, src := s.kind.wide(), v.buffers[2]
	for _, p := range picks {
		if p >= 0 && !v.isNull(int(p)) {
			from, until := v.item(int(p), wide)
			dst = dst[copy(dst, src[from:until]):]
		}
	}
	return nil
}

func (h *shaper) gatherLists(s *slot, v *values, picks []int64, out *values) error {
	total, err := h.gatherOffsets(s, v, picks, out)
	if err != nil {
		return err
	}
	inner, err := h.picks(int(total))
	if err != nil {
		return err
	}
	wide, at := s.kind.wide(), 0
	for _, p := range picks {
		if p < 0 || v.isNull(int(p)) {
			continue
		}
		for from, until := v.item(int(p), wide); from < until; from++ {
			inner[at] = int64(from)
			at++
		}
	}
	return h.gatherChildren(s, v, inner, out)
}

func (h *shaper) gatherFixedLists(s *slot, v *values, picks []int64, out *values) error {
	if s.width > 0 && int64(len(picks)) > math.MaxInt64/64/int64(s.width) {
		return s.tooLong(math.MaxInt64)
	}
	inner, err := h.picks(len(picks) * s.width)
	if err != nil {
		return err
	}
	for i, p := range picks {
		for k := range s.width {
			inner[i*s.width+k] = below(p, (int(p)+v.off)*s.width+k)
		}
	}
	return h.gatherChildren(s, v, inner, out)
}

func (h *shaper) gatherStructs(s *slot, v *values, picks []int64, out *values) error {
	inner := picks
	if v.off != 0 {
		var err error
		if inner, err = h.picks(len(picks)); err != nil {
			return err
		}
		for i, p := range picks {
			inner[i] = below(p, int(p)+v.off)
		}
	}
	return h.gatherChildren(s, v, inner, out)
}

// below is the place of a child's value below the parent's pick: null where the parent is.
func below(pick int64, place int) int64 {
	if pick < 0 {
		return -1
	}
	return int64(place)
}

func (h *shaper) gatherChildren(s *slot, v *values, picks []int64, out *values) error {
	out.children = make([]values, len(s.children))
	for i := range s.children {
		var err error
		if out.children[i], err = h.gather(&s.children[i], v.children[i], picks); err != nil {
			return err
		}
	}
	return nil
}
