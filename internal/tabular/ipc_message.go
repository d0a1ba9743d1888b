package tabular

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// The Arrow library believes the counts and lengths in a file and asks for memory for them at once. What it asks too
// much ends the process, and no recover helps. So every message is checked before the library sees it, bodies are read
// as their bytes come, and no single buffer may be larger than maxBuffer.

// maxBuffer is how large one buffer of a batch may be once it is decompressed: as much as 32-bit offsets reach.
const maxBuffer = 1 << 31

// bodyStep is how much of a body is asked for before its first bytes were there.
const bodyStep = 16 << 20

// messages gives the messages of an Arrow stream, checked. It is the library's MessageReader.
type messages struct {
	in      io.Reader
	mem     memory.Allocator
	message *aipc.Message // the last one
}

// Message gives the next message, valid until the one after it is asked for, or io.EOF.
func (m *messages) Message() (*aipc.Message, error) {
	m.Release()
	meta, err := nextMetadata(m.in)
	if err != nil {
		return nil, err
	}
	length, err := record.CheckMessage(meta)
	if err != nil {
		return nil, err
	}
	body, err := m.body(length)
	if err != nil {
		return nil, err
	}
	defer body.Release()
	m.message = aipc.NewMessage(memory.NewBufferBytes(meta), body)
	return m.message, nil
}

// body reads a body of a length that nobody vouches for: memory is taken as bytes come.
func (m *messages) body(length int64) (*memory.Buffer, error) {
	body := memory.NewResizableBuffer(m.mem)
	for have := int64(0); have < length; have = int64(body.Len()) {
		body.Resize(int(min(length, max(bodyStep, 2*have))))
		if _, err := io.ReadFull(m.in, body.Bytes()[have:]); err != nil {
			body.Release()
			return nil, cutShort(err, "the body of a message", length)
		}
	}
	return body, nil
}

// Retain does nothing: one reader uses it.
func (m *messages) Retain() {}

// Release gives the last message back.
func (m *messages) Release() {
	if m.message != nil {
		m.message.Release()
		m.message = nil
	}
}

// nextMetadata reads the metadata of the next message, without its prefix; io.EOF where the stream ends. Streams of
// Arrow before 0.15 have the length alone for a prefix.
func nextMetadata(in io.Reader) ([]byte, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return nil, err
	}
	if bytes.Equal(prefix[:], continuation) {
		if _, err := io.ReadFull(in, prefix[:]); err != nil {
			return nil, cutShort(err, "the prefix of a message", 8)
		}
	}
	length := binary.LittleEndian.Uint32(prefix[:])
	switch {
	case length == 0:
		return nil, io.EOF
	case length > record.MaxMetadata:
		return nil, quiver.Errorf(quiver.MalformedBatch, "a message claims %d bytes of metadata, at most %d are taken", length, record.MaxMetadata)
	}
	var meta bytes.Buffer
	if _, err := io.CopyN(&meta, in, int64(length)); err != nil {
		return nil, cutShort(err, "the metadata of a message", int64(length))
	}
	return meta.Bytes(), nil
}

// cutShort is the error of an end within something that claims to have so many bytes. It is no io.EOF.
func cutShort(err error, what string, length int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return quiver.Errorf(quiver.MalformedBatch, "%s claims %d bytes, and not all are there", what, length)
	}
	return err
}

// fileTail is what an Arrow file ends with: the length of the footer, and the magic.
const fileTail = 4 + 6

// checkFile checks the footer of an Arrow file and all messages it names. What lies outside the file is left to the
// library, which refuses it.
func checkFile(at readerAt) error {
	size, err := at.Seek(0, io.SeekEnd)
	if err != nil || size < fileTail {
		return err
	}
	var tail [fileTail]byte
	if _, err := at.ReadAt(tail[:], size-fileTail); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-fileTail {
		return quiver.Errorf(quiver.MalformedBatch, "the footer claims %d bytes of a file of %d", length, size)
	}
	footer := make([]byte, length)
	if _, err := at.ReadAt(footer, size-fileTail-length); err != nil {
		return err
	}
	blocks, err := record.ParseFooter(footer)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if err := checkBlock(at, b, size); err != nil {
			return err
		}
	}
	return nil
}

// checkBlock checks the message of a block.
func checkBlock(at io.ReaderAt, b record.FileBlock, size int64) error {
	length := int64(b.Metadata)
	if b.Offset < 0 || length < 8 || length > record.MaxMetadata || b.Offset > size-length {
		return quiver.Errorf(quiver.MalformedBatch, "the footer names a message of %d bytes at %d, in a file of %d", length, b.Offset, size)
	}
	block := make([]byte, length)
	if _, err := at.ReadAt(block, b.Offset); err != nil {
		return err
	}
	meta, framed := bytes.CutPrefix(block, continuation)
	if !framed {
		meta = block
	}
	_, err := record.CheckMessage(meta[4:])
	return err
}

// checkStoredSchema checks the Arrow schema that a Parquet file may have among its metadata, in base64.
func checkStoredSchema(pairs metadata.KeyValueMetadata) error {
	text := pairs.FindValue("ARROW:schema")
	if text == nil {
		return nil
	}
	framed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(*text, "="))
	if err != nil {
		return quiver.Errorf(quiver.MalformedBatch, "its Arrow schema is no base64: %v", err)
	}
	meta, err := nextMetadata(bytes.NewReader(framed))
	if err != nil {
		return cutShort(err, "its Arrow schema", int64(len(framed)))
	}
	_, err = quiver.ParseSchemaMessage(meta)
	return err
}

// limited refuses buffers of more than maxBuffer, by a panic that guard makes an error of: their length stands in the
// file, in front of what has to be decompressed to it.
type limited struct{ memory.Allocator }

func (l limited) Allocate(n int) []byte {
	checkBuffer(n)
	return l.Allocator.Allocate(n)
}

func (l limited) Reallocate(n int, old []byte) []byte {
	checkBuffer(n)
	return l.Allocator.Reallocate(n, old)
}

func checkBuffer(n int) {
	if n > maxBuffer {
		panic(quiver.Errorf(quiver.BatchTooLarge, "a buffer of %d bytes is claimed, at most %d are taken", n, maxBuffer))
	}
}
