package record

import "github.com/quiverlog/quiver"

// array checks one array of the given length, its buffers and its children, and steps behind it.
func (g *gate) array(s *slot, length int64) error {
	n := &g.nodes[g.node]
	g.node++
	if n.length != length {
		return s.malformed("%d values where %d belong", n.length, length)
	}
	switch s.kind {
	case kindNull:
		return g.nulls(s, n)
	case kindRunEnd:
		return g.runEnds(s, n)
	}
	valid, err := g.validity(s, n)
	if err != nil {
		return err
	}
	switch s.kind {
	case kindBool:
		return g.bools(s, length)
	case kindFixed:
		return g.fixed(s, length, valid)
	case kindBinary32:
		return g.binary32(s, length, valid)
	case kindBinary64:
		return g.binary64(s, length, valid)
	case kindView:
		return g.views16(s, length, valid)
	case kindList32, kindMap:
		return g.list32(s, length)
	case kindList64:
		return g.list64(s, length)
	case kindListView32, kindListView64:
		return g.listView(s, length)
	case kindFixedList:
		return g.fixedList(s, length, valid)
	case kindStruct:
		return g.structs(s, length, valid)
	case kindDictionary:
		return g.indices(s, length, valid)
	}
	return s.malformed("type %s is not taken", s.typ)
}

// nulls checks an array of type null, where every value is one.
func (g *gate) nulls(s *slot, n *node) error {
	if n.nulls != -1 && n.nulls != n.length && n.nulls != 0 {
		return s.malformed("%d of %d values of type null are null", n.nulls, n.length)
	}
	n.nulls = n.length
	return nil
}

// validity checks the bitmap of an array and its null count. It returns the bitmap, nil where nothing is null.
func (g *gate) validity(s *slot, n *node) ([]byte, error) {
	if g.available() == 0 {
		g.buffer++
		if n.nulls > 0 {
			return nil, s.malformed("%d nulls and no validity bitmap", n.nulls)
		}
		n.nulls = 0
		return nil, nil
	}
	bitmap, err := g.content(s, bitBytes(int(n.length)))
	if err != nil {
		return nil, err
	}
	g.cutBits(bitmap, n.length)
	nulls := n.length - int64(countOnes(bitmap, 0, int(n.length)))
	if n.nulls != -1 && n.nulls != nulls {
		return nil, s.malformed("the metadata counts %d nulls, the bitmap %d", n.nulls, nulls)
	}
	n.nulls = nulls
	if nulls == 0 {
		return nil, nil
	}
	if !s.nullable {
		return bitmap, s.required(nulls)
	}
	return bitmap, nil
}

// required is the error for nulls in a column that must not have any. The parent of a nested one may yet excuse them.
func (s *slot) required(nulls int64) error {
	if s.nested {
		return nil
	}
	return s.fail(quiver.SchemaMismatch, "%d nulls in a required column", nulls).
		Advise("leave those rows out, or give the column a value")
}

// cutBits sets the bits behind the last one to zero, where the body is ours to change.
func (g *gate) cutBits(bitmap []byte, length int64) {
	if rest := length & 7; rest != 0 && g.msg.codec == None {
		bitmap[len(bitmap)-1] &= 1<<rest - 1
	}
}

// bit says whether a bit is set; a nil bitmap has all bits set.
func bit(bitmap []byte, i int64) bool {
	return bitmap == nil || bitmap[i>>3]>>(i&7)&1 != 0
}

// bools checks an array of bits.
func (g *gate) bools(s *slot, length int64) error {
	values, err := g.content(s, bitBytes(int(length)))
	if err == nil {
		g.cutBits(values, length)
	}
	return err
}

// fixed checks an array of values of one width.
func (g *gate) fixed(s *slot, length int64, valid []byte) error {
	values, err := g.content(s, length*int64(s.width))
	if err != nil || s.rule == ruleNone || len(values) == 0 {
		return err
	}
	if at := s.breach(values, valid); at >= 0 {
		return s.malformed("value %d does not %s", at, s.demand())
	}
	return nil
}

// binary32 checks an array of texts or byte strings with int32 offsets.
func (g *gate) binary32(s *slot, length int64, valid []byte) error {
	offsets, err := g.offsets(s, length, 4)
	if err != nil {
		return err
	}
	o := cast[int32](offsets)
	if !ascending32(o) {
		return s.malformed("offsets fall, or are negative")
	}
	first, last := int64(0), int64(0)
	if len(o) > 0 {
		first, last = int64(o[0]), int64(o[len(o)-1])
	}
	data, err := g.data(s, first, last)
	if err != nil || !s.utf8 {
		return err
	}
	if textOK(data[first:], o, int32(first)) {
		return nil
	}
	return g.eachText(s, length, valid, func(i int64) []byte { return data[o[i]:o[i+1]] })
}

// binary64 checks an array of texts or byte strings with int64 offsets.
func (g *gate) binary64(s *slot, length int64, valid []byte) error {
	offsets, err := g.offsets(s, length, 8)
	if err != nil {
		return err
	}
	o := cast[int64](offsets)
	if !ascending64(o) {
		return s.malformed("offsets fall, or are negative")
	}
	first, last := int64(0), int64(0)
	if len(o) > 0 {
		first, last = o[0], o[len(o)-1]
	}
	data, err := g.data(s, first, last)
	if err != nil || !s.utf8 {
		return err
	}
	if textOK(data[first:], o, first) {
		return nil
	}
	return g.eachText(s, length, valid, func(i int64) []byte { return data[o[i]:o[i+1]] })
}

// offsets is the offset buffer of an array; one without values may lack it.
func (g *gate) offsets(s *slot, length, width int64) ([]byte, error) {
	if length == 0 && g.available() < width {
		return g.content(s, 0)
	}
	return g.content(s, (length+1)*width)
}

// data is the buffer that offsets point into, of which [first, last) is used. The rest is not shown to anybody.
func (g *gate) data(s *slot, first, last int64) ([]byte, error) {
	data, err := g.content(s, last)
	if err == nil && g.msg.codec == None {
		clear(data[:first])
	}
	return data, err
}

// eachText looks for a text that is not valid UTF-8 among those that are not null: behind a null anything may stand.
func (g *gate) eachText(s *slot, length int64, valid []byte, text func(i int64) []byte) error {
	for i := range length {
		if bit(valid, i) && !validText(text(i)) {
			return s.malformed("value %d is not valid UTF-8", i)
		}
	}
	return nil
}

// list32 checks a list with int32 offsets, or a map.
func (g *gate) list32(s *slot, length int64) error {
	offsets, err := g.offsets(s, length, 4)
	if err != nil {
		return err
	}
	o := cast[int32](offsets)
	if !ascending32(o) {
		return s.malformed("offsets fall, or are negative")
	}
	if len(o) == 0 {
		return g.child(s, 0)
	}
	return g.child(s, int64(o[len(o)-1]))
}

// list64 checks a list with int64 offsets.
func (g *gate) list64(s *slot, length int64) error {
	offsets, err := g.offsets(s, length, 8)
	if err != nil {
		return err
	}
	o := cast[int64](offsets)
	if !ascending64(o) {
		return s.malformed("offsets fall, or are negative")
	}
	if len(o) == 0 {
		return g.child(s, 0)
	}
	return g.child(s, o[len(o)-1])
}

// child checks the one child of a list, which must have at least as many values as the list reaches to.
func (g *gate) child(s *slot, reach int64) error {
	c := &s.children[0]
	n := &g.nodes[g.node]
	if n.length < reach {
		return s.malformed("offsets reach to %d, the child has %d values", reach, n.length)
	}
	if err := g.array(c, n.length); err != nil {
		return err
	}
	return c.excuse(n)
}

// fixedList checks a list whose values have one length.
func (g *gate) fixedList(s *slot, length int64, valid []byte) error {
	c := &s.children[0]
	n, at := &g.nodes[g.node], g.buffer
	if err := g.array(c, length*int64(s.width)); err != nil {
		return err
	}
	if c.nullable || n.nulls == 0 || valid == nil || c.kind == kindNull || c.kind == kindRunEnd {
		return c.excuse(n)
	}
	bitmap := g.again(at, n.length)
	width := int64(s.width)
	for i := range n.length {
		if !bit(bitmap, i) && bit(valid, i/width) {
			return c.excuse(n)
		}
	}
	return nil
}

// structs checks a struct: its children are as long as it is.
func (g *gate) structs(s *slot, length int64, valid []byte) error {
	for i := range s.children {
		c := &s.children[i]
		n, at := &g.nodes[g.node], g.buffer
		if err := g.array(c, length); err != nil {
			return err
		}
		if c.nullable || n.nulls == 0 {
			continue
		}
		var bitmap []byte
		if c.kind != kindNull && c.kind != kindRunEnd {
			bitmap = g.again(at, n.length)
		}
		if bitmap == nil || valid == nil || nullBelow(bitmap, valid, length) {
			return c.excuse(n)
		}
	}
	return nil
}

// nullBelow says whether a child is null in one of n places where its parent is not.
func nullBelow(child, parent []byte, n int64) bool {
	whole := n / 8
	for i := range whole {
		if parent[i]&^child[i] != 0 {
			return true
		}
	}
	// The bits behind the last place say nothing.
	return n&7 != 0 && (parent[whole]&^child[whole])<<(8-n&7) != 0
}

// again is the validity bitmap that was the i-th buffer, of an array that has nulls.
func (g *gate) again(i int, length int64) []byte { return g.at(i)[:bitBytes(int(length))] }

// at is the content of the i-th buffer, which was checked before.
func (g *gate) at(i int) []byte {
	if g.msg.codec != None {
		return g.contents[i-g.base]
	}
	p := g.buffers[i]
	return g.body[p.off : p.off+p.len]
}

// excuse refuses the nulls of a required nested column, once it is clear that nothing excuses them.
func (s *slot) excuse(n *node) error {
	if s.nullable || n.nulls == 0 {
		return nil
	}
	return s.fail(quiver.SchemaMismatch, "%d nulls in a required column", n.nulls)
}
