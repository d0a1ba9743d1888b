package arrowlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The small files (checkpoint, index, state) are frames: they tell what they are, and a flipped bit shows.
//
//	0   "QUIV" | kind (4 letters)
//	8   version, uint32
//	12  length of the payload, uint32
//	16  payload: varints, see each kind
//	..  CRC32C of everything before, uint32        all little endian
const (
	frameMagic   = "QUIV"
	frameHead    = 16
	frameTrailer = 4
)

// frameVersion is the version of all three kinds.
const frameVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errFrame is the cause of every error about a small file's content.
var errFrame = errors.New("damaged")

// sealFrame makes a frame of the payload.
func sealFrame(kind string, payload []byte) []byte {
	out := make([]byte, 0, frameHead+len(payload)+frameTrailer)
	out = append(out, frameMagic...)
	out = append(out, kind...)
	out = binary.LittleEndian.AppendUint32(out, frameVersion)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)))
	out = append(out, payload...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// openFrame checks the frame at the start of data and gives its payload and what follows it.
func openFrame(kind string, data []byte) (payload, rest []byte, err error) {
	if len(data) < frameHead+frameTrailer {
		return nil, nil, fmt.Errorf("%w: %d bytes", errFrame, len(data))
	}
	if string(data[:8]) != frameMagic+kind {
		return nil, nil, fmt.Errorf("%w: it does not begin with %q", errFrame, frameMagic+kind)
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v != frameVersion {
		return nil, nil, fmt.Errorf("%w: version %d, this program reads %d", errFrame, v, frameVersion)
	}
	n := int64(binary.LittleEndian.Uint32(data[12:]))
	if frameHead+n+frameTrailer > int64(len(data)) {
		return nil, nil, fmt.Errorf("%w: %d bytes of payload in a file of %d", errFrame, n, len(data))
	}
	end := frameHead + n
	if crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return nil, nil, fmt.Errorf("%w: its checksum does not match", errFrame)
	}
	return data[frameHead:end], data[end+frameTrailer:], nil
}

// decoder takes varints off a payload. After the first lack of bytes everything reads as zero and err tells.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: it ends early", errFrame)
	}
	d.data = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

// count reads how many items follow, each of so many bytes at the least, so that a wrong count cannot ask for memory.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.data)/least) {
		d.fail()
		return 0
	}
	return int(n)
}

// bytes reads a length and as many bytes, which stay the payload's.
func (d *decoder) bytes() []byte {
	n := d.count(1)
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

// finish gives the first error; bytes that are left over are one.
func (d *decoder) finish() error {
	if d.err == nil && len(d.data) > 0 {
		d.err = fmt.Errorf("%w: %d bytes too many", errFrame, len(d.data))
	}
	return d.err
}
