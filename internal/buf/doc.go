// Package buf holds reference-counted byte buffers and the memory budget that bounds them.
//
// A Buf is born with one reference. Whoever keeps a Buf beyond the call that handed it over calls Retain; every
// reference ends in one Release; the last one gives the memory back to a pool. Memory from Get starts on 64 bytes
// and is not zeroed: it holds whatever its last owner left there.
//
//	b := buf.Get(n)            // one reference, ours
//	part := b.Slice(64, 128)   // a Buf of its own: shares the memory, keeps it alive, released on its own
//	b.Release()                // the memory stays: part still holds it
//	part.Release()             // now it goes back to the pool
//
// Laws:
//
//   - Bytes are valid from Get, Wrap or Slice to the last Release of that Buf, and not one step longer.
//   - Retain and Release may be called from any goroutine. Writing to shared bytes is for their one owner to order.
//   - Using a Buf after its last Release is a bug and panics. Because memory and handle are used again, production
//     may miss such a bug; tests do not: they call SetPoison(true) from TestMain, which overwrites released memory,
//     never uses a handle twice, and panics when released memory turns out to have been written.
//   - Live counts the memory regions still held; a test that ends where it began has leaked nothing.
//
// Size classes. Requests up to 16 MiB are rounded up to a class, four classes to each doubling, so at most a quarter
// more memory than asked for is taken; larger ones are allocated exactly and left to the garbage collector:
//
//	256  320  384  448  512  640  768  896  1024 ... 12582912  14680064  16777216
//
// The pools are sync.Pools: an idle process gives the memory back after two garbage collections.
package buf
