package record

import "encoding/binary"

// flatbuf reads a flatbuffer that nobody vouches for. Nothing in it is believed: every place is checked against the
// bytes there are before it is read, in arithmetic that does not overflow. The first bad place sets bad, and what is
// read then is zero; the caller looks at bad once, at the end.
type flatbuf struct {
	b   []byte
	bad bool
}

// fbTable is a table of the flatbuffer, its vtable found and within bounds.
type fbTable struct {
	pos    int // where the table starts
	vtable int
	fields int // that the vtable has
}

// u16 reads at a place that is known to be within bounds.
func (f *flatbuf) u16(at int) int { return int(binary.LittleEndian.Uint16(f.b[at:])) }

// refuse marks the flatbuffer as bad.
func (f *flatbuf) refuse() { f.bad = true }

// root is the table that the flatbuffer starts with.
func (f *flatbuf) root() fbTable {
	if len(f.b) < 8 || len(f.b) > maxMetadata {
		f.refuse()
		return fbTable{}
	}
	return f.table(f.deref(0))
}

// deref follows the offset that stands at a place: to at most 4 bytes before the end.
func (f *flatbuf) deref(at int) int {
	if at < 0 || at > len(f.b)-4 {
		f.refuse()
		return 0
	}
	to := int64(at) + int64(binary.LittleEndian.Uint32(f.b[at:]))
	if to > int64(len(f.b)-4) {
		f.refuse()
		return 0
	}
	return int(to)
}

// table reads the table at a place.
func (f *flatbuf) table(at int) fbTable {
	if f.bad || at <= 0 || at > len(f.b)-4 {
		f.refuse()
		return fbTable{}
	}
	vtable := int64(at) - int64(int32(binary.LittleEndian.Uint32(f.b[at:])))
	if vtable < 0 || vtable > int64(len(f.b)-4) {
		f.refuse()
		return fbTable{}
	}
	t := fbTable{pos: at, vtable: int(vtable)}
	size := f.u16(t.vtable)
	if size < 4 || size&1 != 0 || size > len(f.b)-t.vtable {
		f.refuse()
		return fbTable{}
	}
	t.fields = (size - 4) / 2
	return t
}

// field is where the i-th field of the table stands, 0 if it is absent. The table's own size is no bound: the Go
// builder shares vtables between tables of different sizes.
func (f *flatbuf) field(t fbTable, i, size int) int {
	if i >= t.fields {
		return 0
	}
	off := f.u16(t.vtable + 4 + 2*i)
	if off == 0 {
		return 0
	}
	if off < 4 || off > len(f.b)-t.pos-size {
		f.refuse()
		return 0
	}
	return t.pos + off
}

func (f *flatbuf) int64(t fbTable, i int, absent int64) int64 {
	if at := f.field(t, i, 8); at > 0 {
		return int64(binary.LittleEndian.Uint64(f.b[at:]))
	}
	return absent
}

func (f *flatbuf) int16(t fbTable, i int, absent int16) int16 {
	if at := f.field(t, i, 2); at > 0 {
		return int16(binary.LittleEndian.Uint16(f.b[at:]))
	}
	return absent
}

func (f *flatbuf) int8(t fbTable, i int, absent int8) int8 {
	if at := f.field(t, i, 1); at > 0 {
		return int8(f.b[at])
	}
	return absent
}

// child is the table that the i-th field refers to; ok is false if the field is absent.
func (f *flatbuf) child(t fbTable, i int) (child fbTable, ok bool) {
	at := f.field(t, i, 4)
	if at == 0 {
		return fbTable{}, false
	}
	child = f.table(f.deref(at))
	return child, !f.bad
}

// vector is where the elements of the vector in the i-th field start, and how many there are, all of them within
// bounds. An absent vector is empty.
func (f *flatbuf) vector(t fbTable, i, size int) (at, n int) {
	at = f.field(t, i, 4)
	if at == 0 {
		return 0, 0
	}
	at = f.deref(at)
	if f.bad {
		return 0, 0
	}
	count := binary.LittleEndian.Uint32(f.b[at:])
	at += 4
	if int64(count)*int64(size) > int64(len(f.b)-at) {
		f.refuse()
		return 0, 0
	}
	return at, int(count)
}

// text is the string in the i-th field, as the range of its bytes. An absent one is empty.
func (f *flatbuf) text(t fbTable, i int) (from, until int) {
	at, n := f.vector(t, i, 1)
	return at, at + n
}

// element is the table that the i-th element of a vector of tables refers to.
func (f *flatbuf) element(vector, i int) fbTable {
	if f.bad {
		return fbTable{}
	}
	return f.table(f.deref(vector + 4*i))
}
