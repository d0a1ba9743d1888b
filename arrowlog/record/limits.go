package record

import "github.com/quiverlog/quiver"

// Limits bound what a client's batch may take. Everything is checked before memory is taken for it.
type Limits struct {
	MaxBody         int64 // bytes of a body as sent
	MaxDecompressed int64 // bytes of a body's buffers, decompressed
	MaxRatio        int64 // decompressed bytes for each byte sent, above FreeRatio decompressed bytes

	// Admit, if set, is asked before memory is taken for what a message is decompressed or laid out to, perhaps several
	// times for one message, and may wait: the place for a memory budget.
	Admit func(bytes int64) error
}

// admit asks for memory.
func (l Limits) admit(bytes int64) error {
	if l.Admit == nil || bytes == 0 {
		return nil
	}
	return l.Admit(bytes)
}

// FreeRatio is how much a body may decompress to, whatever its compression ratio: constant columns compress well.
const FreeRatio = 16 << 20

// DefaultLimits are the limits of a server that was not told others.
func DefaultLimits() Limits {
	return Limits{MaxBody: 256 << 20, MaxDecompressed: 1 << 30, MaxRatio: 256}
}

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.MaxBody <= 0 {
		l.MaxBody = d.MaxBody
	}
	if l.MaxDecompressed <= 0 {
		l.MaxDecompressed = d.MaxDecompressed
	}
	if l.MaxRatio <= 0 {
		l.MaxRatio = d.MaxRatio
	}
	return l
}

// decompressed says whether a body of the given size may decompress to n bytes.
func (l Limits) decompressed(n, body int64) error {
	if n > l.MaxDecompressed {
		return quiver.Errorf(quiver.BatchTooLarge, "the body decompresses to %d bytes, the limit is %d", n, l.MaxDecompressed).
			Advise("put smaller batches")
	}
	if n > FreeRatio && n/l.MaxRatio > body {
		return quiver.Errorf(quiver.BatchTooLarge, "the body of %d bytes decompresses to %d, more than %d times as much",
			body, n, l.MaxRatio).Advise("put smaller batches, or put them uncompressed")
	}
	return nil
}
