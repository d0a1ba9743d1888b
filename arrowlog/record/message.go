package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxMetadata bounds the metadata of one message: room for a batch of the widest schema with a million producers.
const maxMetadata = 64 << 20

// message is the metadata of a RecordBatch or DictionaryBatch message, as it says of itself. The vectors lie within
// the metadata; what they mean is not checked.
type message struct {
	fb       flatbuf
	version  int16
	kind     int8
	bodyLen  int64
	rows     int64
	nodes    []byte // 16 bytes each
	buffers  []byte // 16 bytes each
	variadic []byte // 8 bytes each
	codec    Compression
	custom   int // vector of key-value tables
	customs  int

	dictionary int64 // id
	delta      bool
}

var errFlatbuffer = errors.New("metadata is not a valid flatbuffer")

// parseMessage reads the metadata of one message, without prefix.
func parseMessage(meta []byte) (m message, err error) {
	m.fb.b = meta
	fb := &m.fb
	root := fb.root()
	m.version = fb.int16(root, 0, 0)
	m.kind = fb.int8(root, 1, 0)
	m.bodyLen = fb.int64(root, 3, 0)
	m.custom, m.customs = fb.vector(root, 4, 4)
	header, ok := fb.child(root, 2)
	switch {
	case fb.bad:
		return m, errFlatbuffer
	case m.version != metadataV5 && m.version != metadataV4:
		return m, fmt.Errorf("metadata version %d is not taken, only V4 and V5", m.version+1)
	case m.bodyLen < 0:
		return m, fmt.Errorf("body length %d", m.bodyLen)
	}
	if !ok {
		return m, errFlatbuffer
	}
	switch m.kind {
	case messageBatch:
		err = m.parseBatch(header)
	case messageDictionary:
		m.dictionary = fb.int64(header, 0, 0)
		m.delta = fb.int8(header, 2, 0) != 0
		data, ok := fb.child(header, 1)
		if !ok {
			return m, errFlatbuffer
		}
		err = m.parseBatch(data)
	case messageSchema:
	default:
		return m, fmt.Errorf("message of type %d is not taken", m.kind)
	}
	if fb.bad {
		return m, errFlatbuffer
	}
	return m, err
}

// parseBatch reads a RecordBatch table.
func (m *message) parseBatch(t fbTable) error {
	fb := &m.fb
	m.rows = fb.int64(t, 0, 0)
	m.nodes = m.elements(t, 1, 16)
	m.buffers = m.elements(t, 2, 16)
	m.variadic = m.elements(t, 4, 8)
	if c, ok := fb.child(t, 3); ok {
		codec, method := fb.int8(c, 0, codecLZ4), fb.int8(c, 1, 0)
		switch {
		case method != 0:
			return fmt.Errorf("compression method %d is not taken", method)
		case codec == codecLZ4:
			m.codec = LZ4
		case codec == codecZstd:
			m.codec = Zstd
		default:
			return fmt.Errorf("compression codec %d is not taken", codec)
		}
	}
	if m.rows < 0 || m.rows > maxRows {
		return fmt.Errorf("%d rows", m.rows)
	}
	return nil
}

// elements is the vector of structs in a field.
func (m *message) elements(t fbTable, i, size int) []byte {
	at, n := m.fb.vector(t, i, size)
	return m.fb.b[at : at+n*size]
}

// node is the i-th node.
func (m *message) node(i int) node {
	le := binary.LittleEndian
	return node{int64(le.Uint64(m.nodes[16*i:])), int64(le.Uint64(m.nodes[16*i+8:]))}
}

// buffer is the i-th buffer.
func (m *message) buffer(i int) span {
	le := binary.LittleEndian
	return span{int64(le.Uint64(m.buffers[16*i:])), int64(le.Uint64(m.buffers[16*i+8:]))}
}

// value is the range of the value of a key in the custom metadata; ok is false if there is none, or more than one.
func (m *message) value(key string) (from, until int, ok bool) {
	fb := m.fb // a copy: a bad pair makes this search fail and no other
	for i := range m.customs {
		kv := fb.element(m.custom, i)
		k, kEnd := fb.text(kv, 0)
		v, vEnd := fb.text(kv, 1)
		if fb.bad {
			return 0, 0, false
		}
		if string(fb.b[k:kEnd]) != key {
			continue
		}
		if ok {
			return 0, 0, false
		}
		from, until, ok = v, vEnd, true
	}
	return from, until, ok
}
