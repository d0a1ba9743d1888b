package metastore

import (
	"encoding/binary"
	"fmt"
	"hash/crc64"
)

// Rows of the database: what begins them.
const (
	keyRows     = 'k'
	requestRows = 'r'
)

// keyRow gives the row of a key; of a prefix, the prefix of its rows.
func keyRow(key string) []byte {
	return append([]byte{keyRows}, key...)
}

// splitValue parts a stored value into the version that stands before it and the value itself.
func splitValue(key string, stored []byte) (int64, []byte, error) {
	if len(stored) < 8 {
		return 0, nil, fmt.Errorf("metadata key %q is damaged: %d bytes", key, len(stored))
	}
	return int64(binary.BigEndian.Uint64(stored)), stored[8:], nil
}

// requestRow gives the row of the request that made a version.
func requestRow(version int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{requestRows}, uint64(version))
}

// requestValue gives the value of a request row: the request, and what the keys add up to after it.
func requestValue(id RequestID, d digest) []byte {
	value := binary.BigEndian.AppendUint64(id[:], d.keys)
	return binary.BigEndian.AppendUint64(value, d.sum)
}

// parseRequest reads a request row.
func parseRequest(row, value []byte) (version int64, id RequestID, d digest, err error) {
	if len(row) != 9 || len(value) != len(id)+16 {
		return 0, id, d, fmt.Errorf("request row %x is damaged: %d bytes", row, len(value))
	}
	copy(id[:], value)
	d.keys = binary.BigEndian.Uint64(value[16:])
	d.sum = binary.BigEndian.Uint64(value[24:])
	return int64(binary.BigEndian.Uint64(row[1:])), id, d, nil
}

// digest is what a set of keys with their versions and values adds up to. The order does not matter, so that it is
// kept up to date by what a transaction takes away and adds.
type digest struct {
	keys uint64 // how many
	sum  uint64 // of a checksum of each, modulo 2^64
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// checksum covers a key, its version and its value.
func checksum(key string, version int64, value []byte) uint64 {
	prefix := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(len(key)))
	prefix = binary.BigEndian.AppendUint64(prefix, uint64(version))
	crc := crc64.Update(0, crcTable, prefix)
	crc = crc64.Update(crc, crcTable, []byte(key))
	return crc64.Update(crc, crcTable, value)
}

func (d *digest) add(key string, version int64, value []byte) {
	d.keys++
	d.sum += checksum(key, version, value)
}

func (d *digest) remove(key string, version int64, value []byte) {
	d.keys--
	d.sum -= checksum(key, version, value)
}
