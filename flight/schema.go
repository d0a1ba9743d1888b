package flight

import (
	"encoding/binary"
	"slices"

	"github.com/quiverlog/quiver"
)

// A schema travels in two forms: FlightData.data_header holds the bare Message flatbuffer; SchemaResult.schema,
// FlightInfo.schema and the base64 of table.create hold it framed, as an IPC stream begins:
//
//	ffffffff            continuation; missing in streams older than Arrow 0.15
//	int32               length of the message and its padding
//	message             flatbuffer, zero-padded to a multiple of 8
//	ffffffff 00000000   end of stream; optional
const (
	continuation  = 0xffffffff
	schemaPadding = 8
)

// FrameSchema makes the framed form of a Message flatbuffer, without end of stream.
func FrameSchema(message []byte) []byte {
	padded := (len(message) + schemaPadding - 1) / schemaPadding * schemaPadding
	framed := make([]byte, 8, 8+padded)
	binary.LittleEndian.PutUint32(framed, continuation)
	binary.LittleEndian.PutUint32(framed[4:], uint32(padded))
	return append(append(framed, message...), make([]byte, padded-len(message))...)
}

// UnframeSchema returns the Message flatbuffer in either form. It looks at the frame only: the message itself is
// for the caller to verify. The error is BAD_COMMAND.
func UnframeSchema(data []byte) ([]byte, error) {
	const hint = "send schema.serialize() of pyarrow, in base64"
	rest := data
	if len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == continuation {
		rest = rest[4:]
	} else if isBareMessage(rest) {
		return rest, nil
	}
	if len(rest) < 4 {
		return nil, quiver.Errorf(quiver.BadCommand, "%d bytes are no IPC schema", len(data)).Advise(hint)
	}
	n := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if uint64(n) > uint64(len(rest)) || n == 0 {
		return nil, quiver.Errorf(quiver.BadCommand, "the IPC schema says it has %d bytes, but %d follow", n, len(rest)).Advise(hint)
	}
	message, rest := rest[:n], rest[n:]
	if !isEndOfStream(rest) {
		return nil, quiver.Errorf(quiver.BadCommand, "%d bytes follow the IPC schema", len(rest)).Advise(hint)
	}
	return message, nil
}

// isBareMessage tells a flatbuffer from the length of an old frame: a flatbuffer begins with the offset of its root,
// which lies behind a vtable of a few bytes, so it is much smaller than the whole; the length is not.
func isBareMessage(data []byte) bool {
	if len(data) < 8 {
		return false
	}
	first := uint64(binary.LittleEndian.Uint32(data))
	return first != uint64(len(data)-4) && first != uint64(len(data)-8) && first != uint64(len(data)-12) && first < uint64(len(data))
}

// isEndOfStream says whether what follows a schema is nothing, or one of the two marks of an end.
func isEndOfStream(rest []byte) bool {
	return len(rest) == 0 || slices.Equal(rest, []byte{0, 0, 0, 0}) ||
		slices.Equal(rest, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
}
