package flight

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiverlog/quiver"
)

// PositionKind tells the forms of a Position apart.
type PositionKind int8

// The forms of a position.
const (
	NotGiven    PositionKind = iota // no key: the default of its place
	Earliest                        // "earliest": the first row still there
	Latest                          // "now" or "latest": the high watermark when the command is taken up
	AtOffset                        // {"offset": n}: where one bucket is read
	AtOffsets                       // {"offsets": {…}}: bucket by bucket
	AtTimestamp                     // {"timestamp": …}: the first row not older, per bucket, or its end
	AtCursor                        // {"cursor": "job1"}: where a committed cursor stands
)

// Position is a place in a table, as "from", "until", "to" and "at" take it.
type Position struct {
	Kind      PositionKind
	Offset    quiver.Offset // AtOffset
	Offsets   Offsets       // AtOffsets
	Timestamp int64         // AtTimestamp: Unix milliseconds
	Cursor    string        // AtCursor
}

// AtOffsetsOf makes the position that an offset vector stands for.
func AtOffsetsOf(offsets Offsets) Position { return Position{Kind: AtOffsets, Offsets: offsets} }

// positionKeys are the forms of a position that are objects.
var positionKeys = []string{"offset", "offsets", "timestamp", "cursor"}

const hintPosition = `write "earliest", "now", {"offset": n}, {"offsets": {"0": n}}, {"timestamp": "2026-11-22T10:00:00Z"} or {"cursor": "name"}`

// decodeWord reads any form of a position.
func (p *Position) decodeWord(v *jsonValue) error {
	*p = Position{}
	switch {
	case v.isNull():
		return nil
	case v.isString():
		return p.decodeName(v)
	case v.isObject():
		return p.decodeObject(v)
	default:
		return v.wrongType("a position").Advise(hintPosition)
	}
}

func (p *Position) decodeName(v *jsonValue) error {
	name, err := v.str()
	if err != nil {
		return err
	}
	switch name {
	case "earliest":
		p.Kind = Earliest
	case "now", "latest":
		p.Kind = Latest
	default:
		return v.fail("%q is no position", clip(name)).Advise(hintPosition)
	}
	return nil
}

func (p *Position) decodeObject(v *jsonValue) error {
	count := 0
	err := v.eachMember(func(m *jsonValue) error {
		count++
		switch m.key {
		case "offset":
			p.Kind = AtOffset
			return decodeOffset(m, &p.Offset)
		case "offsets":
			p.Kind = AtOffsets
			return p.Offsets.decodeWord(m)
		case "timestamp":
			p.Kind = AtTimestamp
			return decodeTimestamp(m, &p.Timestamp)
		case "cursor":
			p.Kind = AtCursor
			return decodeCursor(m, &p.Cursor)
		default:
			return v.unknownKey(m.key, positionKeys)
		}
	})
	if err == nil && count != 1 {
		return v.fail("a position has one key, this one has %d", count).Advise(hintPosition)
	}
	return err
}

func decodeOffset(v *jsonValue, to *quiver.Offset) error {
	n, err := v.integer(64)
	if err == nil && n < 0 {
		return v.fail("an offset is not negative, got %d", n)
	}
	*to = quiver.Offset(n)
	return err
}

// decodeTimestamp reads RFC 3339 text, rounded up to milliseconds, or Unix milliseconds.
func decodeTimestamp(v *jsonValue, to *int64) error {
	if !v.isString() {
		n, err := v.integer(64)
		*to = n
		return err
	}
	text, err := v.str()
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return v.fail("%q is no time", clip(text)).Advise(`write "2026-11-22T10:00:00Z", or milliseconds since 1970 as a number`)
	}
	*to = t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		*to++ // the first row not older than this
	}
	return nil
}

func decodeCursor(v *jsonValue, to *string) error {
	name, err := v.str()
	if err != nil {
		return err
	}
	*to = name
	return quiver.CheckName("cursor", name)
}

// MarshalJSON writes the canonical form, which decodes to the same position. NotGiven is null.
func (p Position) MarshalJSON() ([]byte, error) {
	switch p.Kind {
	case Earliest:
		return []byte(`"earliest"`), nil
	case Latest:
		return []byte(`"now"`), nil
	case AtOffset:
		return fmt.Appendf(nil, `{"offset":%d}`, p.Offset), nil
	case AtOffsets:
		return append(p.Offsets.appendJSON([]byte(`{"offsets":`)), '}'), nil
	case AtTimestamp:
		return fmt.Appendf(nil, `{"timestamp":%d}`, p.Timestamp), nil
	case AtCursor:
		return append(appendString([]byte(`{"cursor":`), p.Cursor), '}'), nil
	default:
		return []byte("null"), nil
	}
}

// IsZero says whether no position was given; encoding/json leaves it out then.
func (p Position) IsZero() bool { return p.Kind == NotGiven }

// BucketOffsets are the offsets of some buckets of one partition.
type BucketOffsets map[int32]quiver.Offset

// PartitionOffsets are the offsets of one partition's buckets. ID is nil where a client left it out.
type PartitionOffsets struct {
	ID      *quiver.PartitionID
	Buckets BucketOffsets
}

// Offsets is an offset vector: of an unpartitioned table by bucket, of a partitioned one by partition, then bucket.
// At most one of the two is set; both are empty in the vector that names nothing, {}.
type Offsets struct {
	Buckets    BucketOffsets
	Partitions map[string]PartitionOffsets
}

// IsZero says whether no vector was given; encoding/json leaves it out then.
func (o Offsets) IsZero() bool { return o.Buckets == nil && o.Partitions == nil }

// decodeWord reads {"0": n}, {"dt=…": {"id": 12, "0": n}}, or a position that holds one of these under "offsets".
func (o *Offsets) decodeWord(v *jsonValue) error {
	*o = Offsets{}
	if v.isNull() {
		return nil
	}
	keys, held := 0, (*jsonValue)(nil)
	err := v.eachMember(func(m *jsonValue) error {
		keys++
		if m.key == "offsets" {
			held = new(*m)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case held == nil:
		return o.decodeVector(v)
	case keys > 1:
		return held.fail("\"offsets\" stands alone").Advise(hintOffsets)
	default:
		return o.decodeVector(held)
	}
}

const hintOffsets = `write {"0": n, "1": m}, on a partitioned table {"dt=2026-11-22": {"0": n}}`

func (o *Offsets) decodeVector(v *jsonValue) error {
	o.Buckets = BucketOffsets{}
	err := v.eachMember(func(m *jsonValue) error {
		if strings.Contains(m.key, "=") {
			return o.decodePartition(m)
		}
		return decodeBucket(m, o.Buckets)
	})
	if err == nil && len(o.Partitions) > 0 {
		if len(o.Buckets) > 0 {
			return v.fail("names buckets beside partitions").Advise(hintOffsets)
		}
		o.Buckets = nil
	}
	return err
}

func (o *Offsets) decodePartition(v *jsonValue) error {
	p := PartitionOffsets{Buckets: BucketOffsets{}}
	err := v.eachMember(func(m *jsonValue) error {
		if m.key != "id" {
			return decodeBucket(m, p.Buckets)
		}
		id, err := m.unsigned(64)
		p.ID = new(quiver.PartitionID(id))
		return err
	})
	if o.Partitions == nil {
		o.Partitions = make(map[string]PartitionOffsets)
	}
	o.Partitions[v.key] = p
	return err
}

func decodeBucket(v *jsonValue, to BucketOffsets) error {
	bucket, err := strconv.ParseInt(v.key, 10, 32)
	if err != nil || bucket < 0 || strconv.FormatInt(bucket, 10) != v.key {
		return v.parent.fail("%q is no bucket number", clip(v.key)).Advise(hintOffsets)
	}
	var offset quiver.Offset
	err = decodeOffset(v, &offset)
	to[int32(bucket)] = offset
	return err
}

// MarshalJSON writes the vector in order of partitions and buckets.
func (o Offsets) MarshalJSON() ([]byte, error) { return o.appendJSON(nil), nil }

func (o Offsets) appendJSON(b []byte) []byte {
	if len(o.Partitions) == 0 {
		return append(o.Buckets.appendMembers(append(b, '{'), ""), '}')
	}
	b = append(b, '{')
	comma := ""
	for _, name := range slices.Sorted(maps.Keys(o.Partitions)) {
		p := o.Partitions[name]
		b = append(appendString(append(b, comma...), name), ":{"...)
		inner := ""
		if p.ID != nil {
			b = fmt.Appendf(b, `"id":%d`, *p.ID)
			inner = ","
		}
		b = append(p.Buckets.appendMembers(b, inner), '}')
		comma = ","
	}
	return append(b, '}')
}

func (m BucketOffsets) appendMembers(b []byte, comma string) []byte {
	for _, bucket := range slices.Sorted(maps.Keys(m)) {
		b = fmt.Appendf(b, `%s"%d":%d`, comma, bucket, m[bucket])
		comma = ","
	}
	return b
}
