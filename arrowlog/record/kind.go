package record

// Kind tells what a message of a stream holds.
type Kind int8

// The kinds of messages. Whatever is neither a batch nor a dictionary has no place in the middle of a stream.
const (
	KindOther Kind = iota
	KindBatch
	KindDictionary
)

// KindOf tells the kind of a message by its metadata, without prefix. It is decided by what the metadata says of
// itself; the gate that takes the message checks the rest.
func KindOf(meta []byte) Kind {
	m, err := parseMessage(meta)
	switch {
	case err != nil && m.kind != messageDictionary:
		return KindBatch // whose gate says what is wrong with it
	case m.kind == messageBatch:
		return KindBatch
	case m.kind == messageDictionary:
		return KindDictionary
	default:
		return KindOther
	}
}
