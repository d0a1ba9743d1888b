package record

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Summary says of which columns a table's stored batches have statistics. nil: of none.
type Summary struct {
	all bool
	ids map[quiver.ColumnID]bool
}

// NewSummary is the summary of the columns given; nil stands for all of them. Columns that a batch does not have do
// not matter.
func NewSummary(ids []quiver.ColumnID) *Summary {
	switch {
	case ids == nil:
		return &Summary{all: true}
	case len(ids) == 0:
		return nil
	}
	s := &Summary{ids: make(map[quiver.ColumnID]bool, len(ids))}
	for _, id := range ids {
		s.ids[id] = true
	}
	return s
}

// has says that the column has statistics.
func (s *Summary) has(id quiver.ColumnID) bool { return s.all || s.ids[id] }

// Stats is what a stored batch's header tells of the values in its columns, for skipping. nil: nothing.
type Stats struct {
	layout *Layout
	raw    []byte // entries, see doc.go
}

// Flags of a column's entry.
const (
	statMin = 1 << iota // there is a lower bound
	statMax             // there is an upper bound
	statNaN             // there is a NaN among the values
	statEnd             // beyond the flags there are
)

// statsText bounds a text in the statistics, in bytes: what is longer is cut.
const statsText = 16

var errStats = errors.New("statistics of the batch: malformed")

// Stats are the statistics of a batch of the layout; nil: there are none, or they are not to be understood. Reading
// them is cheap: nothing is decoded until a column is asked for.
func (m *Meta) Stats(l *Layout) *Stats {
	if len(m.stats) == 0 {
		return nil
	}
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(m.stats)))
	n, err := base64.RawURLEncoding.Strict().Decode(raw, m.stats)
	if err != nil {
		return nil
	}
	s := &Stats{layout: l, raw: raw[:n]}
	if s.each(func(statEntry) bool { return true }) != nil {
		return nil
	}
	return s
}

// Column gives what is known of a top-level column; ok is false where that is nothing.
func (s *Stats) Column(id quiver.ColumnID) (c quiver.ColumnStats, ok bool) {
	if s == nil {
		return c, false
	}
	var found statEntry
	err := s.each(func(e statEntry) bool {
		ok = e.id == id
		found = e
		return !ok
	})
	i := slices.Index(s.layout.columnIDs(), id)
	if err != nil || !ok || i < 0 {
		return c, false
	}
	slot := &s.layout.slots[i]
	c = quiver.ColumnStats{Nulls: found.nulls, NaN: found.flags&statNaN != 0}
	if found.flags&statMin != 0 {
		c.Min, ok = slot.bound(found.min)
	}
	if found.flags&statMax != 0 && ok {
		c.Max, ok = slot.bound(found.max)
	}
	return c, ok
}

// statEntry is what is known of one column.
type statEntry struct {
	id       quiver.ColumnID
	flags    byte
	nulls    int64
	min, max []byte // as packed
}

// each reads the entries until take says that it is enough.
func (s *Stats) each(take func(statEntry) bool) error {
	raw := s.raw
	var e statEntry
	for len(raw) > 0 {
		delta, n := binary.Varint(raw)
		if n <= 0 || n >= len(raw) || raw[n] >= statEnd {
			return errStats
		}
		e.id += quiver.ColumnID(delta)
		e.flags = raw[n]
		raw = raw[n+1:]
		nulls, n := binary.Uvarint(raw)
		if n <= 0 || nulls > maxRows {
			return errStats
		}
		e.nulls, raw = int64(nulls), raw[n:]
		var ok bool
		if e.min, raw, ok = takeBound(raw, e.flags&statMin != 0); !ok {
			return errStats
		}
		if e.max, raw, ok = takeBound(raw, e.flags&statMax != 0); !ok {
			return errStats
		}
		if !take(e) {
			return nil
		}
	}
	return nil
}

// takeBound takes a length and as many bytes.
func takeBound(raw []byte, there bool) (bound, rest []byte, ok bool) {
	if !there {
		return nil, raw, true
	}
	if len(raw) == 0 || int(raw[0]) >= len(raw) {
		return nil, raw, false
	}
	n := 1 + int(raw[0])
	return raw[1:n], raw[n:], true
}

// appendBound appends a bound: its length, and its bytes less those at the end of a number that only repeat its sign.
func (s *slot) appendBound(raw, bound []byte) []byte {
	if s.kind == kindFixed {
		bound = s.trim(bound)
	}
	return append(append(raw, byte(len(bound))), bound...)
}

// trim cuts the highest bytes off a number that the ones below them tell.
func (s *slot) trim(number []byte) []byte {
	signed, ok := s.integer()
	if !ok {
		return number
	}
	n := len(number)
	for n > 1 {
		sign := byte(0)
		if signed {
			sign = byte(int8(number[n-2]) >> 7)
		}
		if number[n-1] != sign {
			break
		}
		n--
	}
	return number[:n]
}

// bound is what appendBound wrote, as a value.
func (s *slot) bound(packed []byte) (value any, ok bool) {
	switch s.kind {
	case kindBool:
		if len(packed) != 1 || packed[0] > 1 {
			return nil, false
		}
		return packed[0] == 1, true
	case kindBinary32, kindBinary64:
		return valueOf(s, slices.Clone(packed)), true
	case kindFixed:
	default:
		return nil, false
	}
	signed, number := s.integer()
	switch {
	case number && (len(packed) == 0 || len(packed) > s.width),
		!number && s.isFloat() && len(packed) != s.width:
		return nil, false
	case !number && !s.isFloat(): // fixed-size binaries may be cut
		return slices.Clone(packed), true
	}
	var memory [32]byte
	n := copy(memory[:], packed)
	if number && signed && packed[n-1] >= 0x80 {
		for i := n; i < s.width; i++ {
			memory[i] = 0xFF
		}
	}
	value = valueOf(s, memory[:s.width])
	return value, value != nil
}

// integer says whether the values of a fixed-width slot are integers, by whose order they are compared.
func (s *slot) integer() (signed, ok bool) {
	switch storage(s.typ).ID() {
	case arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return false, true
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.DECIMAL128, arrow.DECIMAL256,
		arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION:
		return true, true
	}
	return false, false
}

func (s *slot) isFloat() bool {
	switch storage(s.typ).ID() {
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return true
	}
	return false
}
