package record

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// statsRows is how many rows a batch has at least to have statistics: smaller ones are merged, or are read as fast as
// skipped.
const statsRows = 256

// Summarize gives the batch its statistics, of the columns that the summary names, unless it has them or is not worth
// it. It is called by the one who owns the batch, before it is stored, and reads the columns: about a quarter of what
// their checksums cost for numbers, more for text.
//
// A body that is compressed is not decompressed for it. Such a batch has statistics if they were computed while its
// bytes were plain: by the gate (Input.Summarize), by MergeStored, or when it was cut.
func (b *Batch) Summarize(s *Summary) {
	if s == nil || b.summary != nil {
		return
	}
	b.summary = s
	if b.codec != None || b.rows < statsRows || !b.layout.stored {
		return
	}
	z := newSummarizer(s, b.layout, b.rows)
	for i := range b.layout.slots {
		if z.wants(i) {
			v := b.flat(i)
			z.column(i, &v)
		}
	}
	b.setStats(z.text())
}

// setStats sets the statistics as they are stored.
func (b *Batch) setStats(text []byte) {
	b.stats = text
	b.unseal()
}

// flat is a column as memory, without its children.
func (b *Batch) flat(i int) values {
	s, at := &b.layout.slots[i], b.layout.places[i]
	n := b.nodes[at.node]
	v := values{length: int(n.length), nulls: int(n.nulls)}
	for k := range s.numBuffers() {
		v.buffers[k] = b.buffer(at.buffer + k)
	}
	return v
}

// summarizer packs the statistics of one batch.
type summarizer struct {
	summary *Summary
	layout  *Layout
	ids     []quiver.ColumnID
	rows    int
	last    quiver.ColumnID
	raw     []byte
}

func newSummarizer(s *Summary, l *Layout, rows int) *summarizer {
	return &summarizer{summary: s, layout: l, ids: l.columnIDs(), rows: rows, raw: make([]byte, 0, 24*len(l.slots))}
}

// wants says that the column is summarised.
func (z *summarizer) wants(i int) bool { return z.ids[i] > 0 && z.summary.has(z.ids[i]) }

// text is the statistics as they are stored.
func (z *summarizer) text() []byte {
	if len(z.raw) == 0 {
		return nil
	}
	text := make([]byte, base64.RawURLEncoding.EncodedLen(len(z.raw)))
	base64.RawURLEncoding.Encode(text, z.raw)
	return text
}

// column adds the next column. Of the values only the buffers of its own are looked at.
func (z *summarizer) column(i int, v *values) {
	s := &z.layout.slots[i]
	z.raw = binary.AppendVarint(z.raw, int64(z.ids[i]-z.last))
	z.last = z.ids[i]
	at := len(z.raw)
	z.raw = binary.AppendUvarint(append(z.raw, 0), uint64(v.nulls))
	if v.nulls == v.length {
		return
	}
	var flags byte
	switch s.kind {
	case kindBool:
		flags = z.bools(v)
	case kindFixed:
		flags = z.fixed(s, v)
	case kindBinary32:
		flags = z.texts(s, spreadTexts[int32](v))
	case kindBinary64:
		flags = z.texts(s, spreadTexts[int64](v))
	}
	z.raw[at] = flags
}

// bounds adds both bounds.
func (z *summarizer) bounds(s *slot, low, high []byte) byte {
	z.raw = s.appendBound(s.appendBound(z.raw, low), high)
	return statMin | statMax
}

func (z *summarizer) bools(v *values) byte {
	yes, no := false, false
	data, valid := v.buffers[1], v.bitmap()
	for i := 0; i < v.length && !(yes && no); i++ {
		if bit(valid, int64(i)) {
			set := bit(data, int64(i))
			yes, no = yes || set, no || !set
		}
	}
	low, high := byte(1), byte(0)
	if no {
		low = 0
	}
	if yes {
		high = 1
	}
	z.raw = append(z.raw, 1, low, 1, high)
	return statMin | statMax
}

// bitmap is the validity of values, nil where none of them is null.
func (v *values) bitmap() []byte {
	if v.nulls == 0 {
		return nil
	}
	return v.buffers[0]
}

func (z *summarizer) fixed(s *slot, v *values) byte {
	data, valid := v.buffers[1][:v.length*s.width], v.bitmap()
	switch storage(s.typ).ID() {
	case arrow.INT8:
		return integers[int8](z, s, data, valid)
	case arrow.UINT8:
		return integers[uint8](z, s, data, valid)
	case arrow.INT16:
		return integers[int16](z, s, data, valid)
	case arrow.UINT16:
		return integers[uint16](z, s, data, valid)
	case arrow.INT32, arrow.DATE32, arrow.TIME32:
		return integers[int32](z, s, data, valid)
	case arrow.UINT32:
		return integers[uint32](z, s, data, valid)
	case arrow.INT64, arrow.DATE64, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION:
		return integers[int64](z, s, data, valid)
	case arrow.UINT64:
		return integers[uint64](z, s, data, valid)
	case arrow.FLOAT16:
		return floats[int16](z, s, data, valid, 0x7C00)
	case arrow.FLOAT32:
		return floats[int32](z, s, data, valid, 0x7F800000)
	case arrow.FLOAT64:
		return floats[int64](z, s, data, valid, 0x7FF0000000000000)
	case arrow.DECIMAL128, arrow.DECIMAL256:
		low, high := decimalBounds(data, valid, s.width)
		return z.bounds(s, low, high)
	case arrow.FIXED_SIZE_BINARY:
		return z.texts(s, spreadFixed(v, s.width))
	}
	return 0
}

// wholeNumber is a type of integers.
type wholeNumber interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func integers[T wholeNumber](z *summarizer, s *slot, data, valid []byte) byte {
	low, high := extremes(cast[T](data), valid)
	var memory [16]byte
	binary.LittleEndian.PutUint64(memory[:], uint64(low))
	binary.LittleEndian.PutUint64(memory[8:], uint64(high))
	return z.bounds(s, memory[:s.width], memory[8:8+s.width])
}

// extremes are the lowest and the highest of the values that are not null, of which there is one at least.
func extremes[T wholeNumber](data []T, valid []byte) (low, high T) {
	if valid == nil {
		return span4(data[0], data[0], data)
	}
	first := true
	runsOfValid(valid, len(data), func(from, until int) {
		if first {
			low, high, first = data[from], data[from], false
		}
		low, high = span4(low, high, data[from:until])
	})
	return low, high
}

// span4 widens a span of values by more of them, four at a time, without a branch on any.
func span4[T wholeNumber](low, high T, data []T) (T, T) {
	l0, l1, h0, h1 := low, low, high, high
	for ; len(data) >= 4; data = data[4:] {
		l0, h0 = min(l0, data[0], data[2]), max(h0, data[0], data[2])
		l1, h1 = min(l1, data[1], data[3]), max(h1, data[1], data[3])
	}
	for _, v := range data {
		l0, h0 = min(l0, v), max(h0, v)
	}
	return min(l0, l1), max(h0, h1)
}

// runsOfValid visits the runs of ones among the first n bits of a bitmap, cut at multiples of 64.
func runsOfValid(bitmap []byte, n int, visit func(from, until int)) {
	for at := 0; at < n; at += 64 {
		word := bitWord(bitmap, at, n)
		for from := 0; word != 0; {
			skip := bits.TrailingZeros64(word)
			word >>= skip
			ones := bits.TrailingZeros64(^word)
			visit(at+from+skip, at+from+skip+ones)
			word >>= ones
			from += skip + ones
		}
	}
}

// bitWord reads up to 64 bits of a bitmap of n bits, from a multiple of 8 on; what is behind the last one is zero.
func bitWord(bitmap []byte, at, n int) uint64 {
	in := bitmap[at>>3:]
	if len(in) >= 8 && n-at >= 64 {
		return binary.LittleEndian.Uint64(in)
	}
	var word uint64
	for i := range min(8, len(in), int(bitBytes(n-at))) {
		word |= uint64(in[i]) << (8 * i)
	}
	if n-at < 64 {
		word &= 1<<(n-at) - 1
	}
	return word
}

// Floats are compared as integers: of a negative one all bits but the sign are turned around, and then floats have the
// order of these integers, -0 before 0, and NaN lies beyond the infinities. Where there is one, the values are looked
// at once more without it.

func floats[T int16 | int32 | int64](z *summarizer, s *slot, data, valid []byte, infinity T) byte {
	values, shift := cast[T](data), 8*s.width-1
	low, high := floatExtremes(values, valid, shift)
	flags := byte(0)
	if high > infinity || low < ordered(infinity|-1<<shift, shift) {
		flags = statNaN
		var some bool
		if low, high, some = numbersOnly(values, valid, shift, infinity); !some {
			return flags
		}
	}
	var memory [16]byte
	binary.LittleEndian.PutUint64(memory[:], uint64(ordered(low, shift)))
	binary.LittleEndian.PutUint64(memory[8:], uint64(ordered(high, shift)))
	return flags | z.bounds(s, memory[:s.width], memory[8:8+s.width])
}

// ordered turns the bits of a float into an integer with its order, and back.
func ordered[T int16 | int32 | int64](v T, shift int) T { return v ^ (v >> shift &^ (-1 << shift)) }

// floatExtremes are the lowest and the highest of the values that are not null, ordered.
func floatExtremes[T int16 | int32 | int64](data []T, valid []byte, shift int) (low, high T) {
	first := true
	runs := func(from, until int) {
		if first {
			low = ordered(data[from], shift)
			high, first = low, false
		}
		l, h := low, high
		for _, v := range data[from:until] {
			v = ordered(v, shift)
			l, h = min(l, v), max(h, v)
		}
		low, high = l, h
	}
	if valid == nil {
		runs(0, len(data))
	} else {
		runsOfValid(valid, len(data), runs)
	}
	return low, high
}

// numbersOnly is floatExtremes without NaN; some is false if nothing else is there.
func numbersOnly[T int16 | int32 | int64](data []T, valid []byte, shift int, infinity T) (low, high T, some bool) {
	least := ordered(infinity|-1<<shift, shift)
	for i, v := range data {
		v = ordered(v, shift)
		switch {
		case !bit(valid, int64(i)) || v > infinity || v < least:
		case !some:
			low, high, some = v, v, true
		default:
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high, some
}

// decimalBounds are the lowest and the highest of integers of width bytes.
func decimalBounds(data, valid []byte, width int) (low, high []byte) {
	for i := range len(data) / width {
		if !bit(valid, int64(i)) {
			continue
		}
		v := data[i*width : (i+1)*width]
		switch {
		case low == nil:
			low, high = v, v
		case lessInteger(v, low):
			low = v
		case lessInteger(high, v):
			high = v
		}
	}
	return low, high
}

// lessInteger compares two integers of equally many bytes, a multiple of 8.
func lessInteger(a, b []byte) bool {
	le := binary.LittleEndian
	top := len(a) - 8
	if x, y := int64(le.Uint64(a[top:])), int64(le.Uint64(b[top:])); x != y {
		return x < y
	}
	for at := top - 8; at >= 0; at -= 8 {
		if x, y := le.Uint64(a[at:]), le.Uint64(b[at:]); x != y {
			return x < y
		}
	}
	return false
}

// prefix is the first bytes of a text, by which it is compared with others: what is behind them is cut off anyway.
type prefix struct {
	high, low uint64 // 16 bytes, big endian, zeros behind the last one
	length    int    // at most one above 16
}

func (p prefix) less(q prefix) bool {
	if p.high != q.high {
		return p.high < q.high
	}
	if p.low != q.low {
		return p.low < q.low
	}
	return p.length < q.length
}

// prefixOf is the prefix of data[from:until].
func prefixOf(data []byte, from, until int) prefix {
	n := until - from
	in := data[from:]
	if len(in) < statsText {
		var memory [statsText]byte
		copy(memory[:], in[:n])
		in = memory[:]
	}
	p := prefix{binary.BigEndian.Uint64(in), binary.BigEndian.Uint64(in[8:]), min(n, statsText+1)}
	switch {
	case n < 8:
		p.high, p.low = p.high>>(64-8*n)<<(64-8*n), 0
	case n < statsText:
		p.low = p.low >> (8 * (16 - n)) << (8 * (16 - n))
	}
	return p
}

// bytes is the text, or what of it is known.
func (p prefix) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, statsText), p.high)
	return binary.BigEndian.AppendUint64(b, p.low)[:min(p.length, statsText)]
}

// spread is the lowest and the highest of prefixes.
type spread struct {
	low, high prefix
	some      bool
}

func (r *spread) add(p prefix) {
	switch {
	case !r.some:
		r.low, r.high, r.some = p, p, true
	case p.less(r.low):
		r.low = p
	case r.high.less(p):
		r.high = p
	}
}

func spreadTexts[T int32 | int64](v *values) (r spread) {
	offsets, data, valid := cast[T](v.buffers[1])[:v.length+1], v.buffers[2], v.bitmap()
	low, high := uint64(math.MaxUint64), uint64(0) // first words of the lowest and the highest
	quick, misses := true, 0                       // these tell enough; how often they did not
	until := int(offsets[0])
	for i, end := range offsets[1:] {
		from := until
		until = int(end)
		if quick && from+8 <= len(data) {
			if p := firstWord(data[from:], until-from); low < p && p < high {
				continue // that changes nothing, be it null
			}
			misses++
			quick = misses < enoughMisses || misses < i/enoughMisses
		}
		if (valid == nil || bit(valid, int64(i))) && !r.holds(data, from, until) {
			r.add(prefixOf(data, from, until))
			low, high = r.low.high, r.high.high
		}
	}
	return r
}

// enoughMisses is how many texts of a column are looked at twice before it shows whether more than one in as many are:
// then texts begin alike, or are few different ones, and the first look is left out.
const enoughMisses = 32

// firstWord is the first eight bytes of a text of n bytes, big endian, zeros behind the last one.
func firstWord(in []byte, n int) uint64 {
	return binary.BigEndian.Uint64(in) &^ (math.MaxUint64 >> (8 * uint(n)))
}

func spreadFixed(v *values, width int) (r spread) {
	data, valid := v.buffers[1], v.bitmap()
	for i := range v.length {
		from, until := i*width, (i+1)*width
		if (valid == nil || bit(valid, int64(i))) && !r.holds(data, from, until) {
			r.add(prefixOf(data, from, until))
		}
	}
	return r
}

// holds says that the prefix of data[from:until] lies between the lowest and the highest so far, without a branch that
// depends on the text: where many begin alike. Texts near the end of the data are left to add.
func (r *spread) holds(data []byte, from, until int) bool {
	if !r.some || from+statsText > len(data) {
		return false
	}
	in, n := data[from:from+statsText:from+statsText], uint(until-from)
	high := firstWord(in, int(n))
	low := binary.BigEndian.Uint64(in[8:]) &^ (math.MaxUint64 >> (8 * (max(n, 8) - 8)))
	length := uint64(min(n, statsText+1))
	_, below := bits.Sub64(length, uint64(r.low.length), 0)
	_, below = bits.Sub64(low, r.low.low, below)
	_, below = bits.Sub64(high, r.low.high, below)
	_, above := bits.Sub64(uint64(r.high.length), length, 0)
	_, above = bits.Sub64(r.high.low, low, above)
	_, above = bits.Sub64(r.high.high, high, above)
	return below|above == 0
}

// texts adds the bounds of texts: the lower one cut, the upper one cut and rounded up, if it is long.
func (z *summarizer) texts(s *slot, r spread) byte {
	flags := byte(statMin)
	low := r.low.bytes()
	if r.low.length > statsText && s.utf8 {
		low = wholeRunes(low)
	}
	z.raw = s.appendBound(z.raw, low)
	high := r.high.bytes()
	if r.high.length > statsText {
		high = above(high, s.utf8)
	}
	if high != nil {
		z.raw = s.appendBound(z.raw, high)
		flags |= statMax
	}
	return flags
}

// wholeRunes cuts off the part of a character at the end.
func wholeRunes(text []byte) []byte {
	at := len(text) - 1
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	if at >= 0 && !utf8.FullRune(text[at:]) {
		return text[:at]
	}
	return text
}

// above is a short text above every one that begins with the given bytes; nil: there is none.
func above(begin []byte, isText bool) []byte {
	if isText {
		return aboveText(wholeRunes(begin))
	}
	for n := len(begin); n > 0; n-- {
		if begin[n-1] < 0xFF {
			begin[n-1]++
			return begin[:n]
		}
	}
	return nil
}

// aboveText is above for text: the last character that has one behind it becomes that.
func aboveText(begin []byte) []byte {
	for len(begin) > 0 {
		r, n := utf8.DecodeLastRune(begin)
		begin = begin[:len(begin)-n]
		const surrogates, behind = 0xD800, 0xE000
		switch {
		case r+1 == surrogates:
			return utf8.AppendRune(begin, behind)
		case r < utf8.MaxRune:
			return utf8.AppendRune(begin, r+1)
		}
	}
	return nil
}
