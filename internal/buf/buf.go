// Package buf holds reference-counted byte buffers and the memory budget that bounds them.
//
// A Buf is born with one reference. Whoever keeps a Buf beyond the call that handed it over calls Retain; every
// reference ends in one Release; the last one gives the memory back to a pool. Memory from Get starts on 64 bytes
// and is not zeroed. In tests (SetPoison) released memory is overwritten, so that use after release shows, and
// Live counts what is still held.
package buf

// Buf is one reference-counted buffer, or a part of one.
type Buf struct {
	data []byte
	root *root
}
