package record

import (
	"encoding/binary"
	"fmt"

	"github.com/quiverlog/quiver"
)

// MaxMetadata bounds the metadata of one message of an Arrow stream or file, in bytes.
const MaxMetadata = maxMetadata

// Limits of the key-value pairs beside a message, as unfolded: a flatbuffer may name one text from many places.
const (
	maxMessagePairs = 1 << 17
	maxMessageText  = 16 << 20 // bytes of all keys and values
)

// CheckMessage looks at the metadata, without prefix, of any message of a stream or file that the Arrow library is to
// read, and gives the length of its body. The library believes counts and asks for memory for them, which ends the
// process; those that pass here have the bytes to show. What a batch holds is not looked at: that the library tells by
// errors and panics. The error is MALFORMED_BATCH.
func CheckMessage(meta []byte) (body int64, err error) {
	m, err := parseMessage(meta)
	if err == nil {
		err = m.checkCounts()
	}
	if err != nil {
		return 0, malformed("a message cannot be read: %v", err)
	}
	if m.kind == messageSchema {
		_, err = quiver.ParseSchemaMessage(meta)
	}
	return m.bodyLen, err
}

// checkCounts checks the counts that parseMessage leaves to the gate, which compares them with the schema.
func (m *message) checkCounts() error {
	for i := 0; i < len(m.variadic); i += 8 {
		if n := int64(binary.LittleEndian.Uint64(m.variadic[i:])); n < 0 || n > int64(len(m.buffers)/16) {
			return fmt.Errorf("an array of views has %d buffers of %d", n, len(m.buffers)/16)
		}
	}
	if m.customs > maxMessagePairs {
		return fmt.Errorf("it has more than %d pieces of metadata", maxMessagePairs)
	}
	text := 0
	for i := 0; i < m.customs && !m.fb.bad; i++ {
		pair := m.fb.element(m.custom, i)
		for slot := range 2 {
			from, until := m.fb.text(pair, slot)
			text += until - from
		}
		if text > maxMessageText {
			return fmt.Errorf("its metadata has more than %d bytes", maxMessageText)
		}
	}
	if m.fb.bad {
		return errFlatbuffer
	}
	return nil
}

// FileBlock is where the footer of an Arrow file says that a message is.
type FileBlock struct {
	Offset   int64 // of its prefix, from the start of the file
	Metadata int32 // bytes of prefix, metadata and padding
}

// Places of the vectors of blocks in the table Footer, and the size of a block.
const (
	footerDictionaries = 2
	footerBatches      = 3
	blockSize          = 24
)

// ParseFooter checks the footer of an Arrow file as CheckMessage checks a Schema message, and gives the blocks of its
// dictionaries and batches. Where they lie is not checked. The error is MALFORMED_BATCH.
func ParseFooter(footer []byte) ([]FileBlock, error) {
	if err := quiver.CheckSchemaFooter(footer); err != nil {
		return nil, err
	}
	fb := flatbuf{b: footer}
	root := fb.root()
	var blocks []FileBlock
	for _, field := range []int{footerDictionaries, footerBatches} {
		at, n := fb.vector(root, field, blockSize)
		for ; n > 0 && !fb.bad; at, n = at+blockSize, n-1 {
			blocks = append(blocks, FileBlock{Offset: int64(binary.LittleEndian.Uint64(footer[at:])),
				Metadata: int32(binary.LittleEndian.Uint32(footer[at+8:]))})
		}
	}
	if fb.bad {
		return nil, malformed("the footer cannot be read: its bytes are no flatbuffer")
	}
	return blocks, nil
}
