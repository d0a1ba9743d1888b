package kv

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// keyCode says how values of a key column become bytes that compare as the values do.
type keyCode int8

const (
	keyUnsigned keyCode = iota // big-endian
	keySigned                  // big-endian, the sign bit flipped
	keyBytes                   // the bytes: all have one length
	keyText                    // escaped and ended
)

// keyColumn is one column of a primary key.
type keyColumn struct {
	place int // in the schema
	field arrow.Field
	code  keyCode
	width int // bytes of a value; 0: any
}

func newKeyColumn(place int, f arrow.Field) keyColumn {
	c := keyColumn{place: place, field: f}
	_, c.width = kindOf(f.Type)
	switch id := f.Type.ID(); {
	case id == arrow.BOOL || arrow.IsUnsignedInteger(id):
		c.code = keyUnsigned
	case id == arrow.FIXED_SIZE_BINARY:
		c.code = keyBytes
	case c.width == 0:
		c.code = keyText
	default:
		c.code = keySigned
	}
	return c
}

// The bytes that stand for a zero within text, and for its end. An end is less than everything that may follow a
// common beginning.
const (
	zeroByte   = 0x00
	zeroEscape = 0xff
	textEnd    = 0x01
)

// append adds a value, given as it stands in Arrow's buffer, to a key.
func (c *keyColumn) append(key, raw []byte) []byte {
	switch c.code {
	case keyBytes:
		return append(key, raw...)
	case keyText:
		return appendText(key, raw)
	}
	at := len(key)
	key = append(key, raw...)
	slices.Reverse(key[at:])
	if c.code == keySigned {
		key[at] ^= 0x80
	}
	return key
}

func appendText(key, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, zeroByte)
		if i < 0 {
			return append(append(key, raw...), zeroByte, textEnd)
		}
		key = append(append(key, raw[:i]...), zeroByte, zeroEscape)
		raw = raw[i+1:]
	}
}

// take reads the value at the start of a key into scratch, and gives it, as it stands in Arrow's buffer, and the rest.
func (c *keyColumn) take(key, scratch []byte) (raw, rest []byte, err error) {
	if c.code == keyText {
		return takeText(key, scratch)
	}
	if len(key) < c.width {
		return nil, nil, errRow
	}
	raw = append(scratch[:0], key[:c.width]...)
	if c.code == keyBytes {
		return raw, key[c.width:], nil
	}
	if c.code == keySigned {
		raw[0] ^= 0x80
	}
	slices.Reverse(raw)
	return raw, key[c.width:], nil
}

func takeText(key, scratch []byte) (raw, rest []byte, err error) {
	raw = scratch[:0]
	for {
		i := bytes.IndexByte(key, zeroByte)
		if i < 0 || i+1 == len(key) {
			return nil, nil, errRow
		}
		raw = append(raw, key[:i]...)
		switch key[i+1] {
		case textEnd:
			return raw, key[i+2:], nil
		case zeroEscape:
			raw = append(raw, zeroByte)
			key = key[i+2:]
		default:
			return nil, nil, errRow
		}
	}
}

// The families of Pebble's keys, and what follows a bucket's prefix.
const (
	familyBucket = 'b'
	familySchema = 's'
	familyStamp  = 'c'

	partMark = 0
	partRows = 1

	bucketPrefix = 1 + 8 + 8 + 4
	rowPrefix    = bucketPrefix + 1
)

// appendBucket begins the keys of a bucket.
func appendBucket(key []byte, id quiver.BucketID) []byte {
	key = append(key, familyBucket)
	key = binary.BigEndian.AppendUint64(key, uint64(id.Table))
	key = binary.BigEndian.AppendUint64(key, uint64(id.Partition))
	return binary.BigEndian.AppendUint32(key, uint32(id.Bucket))
}

func markKey(id quiver.BucketID) []byte { return append(appendBucket(nil, id), partMark) }

// rowsKey begins the rows of a bucket.
func rowsKey(id quiver.BucketID) []byte { return append(appendBucket(nil, id), partRows) }

func schemaKey(table quiver.TableID, schema quiver.SchemaID) []byte {
	key := binary.BigEndian.AppendUint64([]byte{familySchema}, uint64(table))
	return binary.BigEndian.AppendUint32(key, uint32(schema))
}

// after gives the first key behind all that begin with the prefix, nil if there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
