package buf

import (
	"math/bits"
	"sync"
	"unsafe"
)

const (
	// Alignment is what the address of every buffer from Get is a multiple of: what Arrow asks of its buffers.
	Alignment = 64

	// MaxPooled is the largest buffer that is kept for reuse, in bytes.
	MaxPooled = 16 << 20

	minShift   = 8 // the smallest class has 1 << minShift bytes
	maxShift   = 24
	steps      = 4 // classes to each doubling
	numClasses = (maxShift-minShift)*steps + 1
	noClass    = -1
)

// blocks holds one pool per size class. Handle and block stay together, so that neither is allocated again.
var blocks [numClasses]sync.Pool

// classOf returns the smallest class that holds n bytes, or noClass.
func classOf(n int) int {
	switch {
	case n <= 1<<minShift:
		return 0
	case n > MaxPooled:
		return noClass
	}
	// n-1 is in [1<<shift, 2<<shift); its two bits below the highest tell the step.
	shift := bits.Len(uint(n-1)) - 1
	step := int(uint(n-1)>>(shift-2)) & (steps - 1)
	return (shift-minShift)*steps + step + 1
}

// classSize returns the bytes of a class's blocks.
func classSize(class int) int {
	return (steps + class%steps) << (minShift - 2 + class/steps)
}

// takeBlock returns a Buf without references whose block has room for n bytes.
func takeBlock(n int) *Buf {
	class := classOf(n)
	switch {
	case class == noClass:
		b := takeHandle()
		b.block = freshBlock(n)
		return b
	case poisoned.Load():
	default:
		if b, ok := blocks[class].Get().(*Buf); ok {
			return b
		}
	}
	return &Buf{class: class, block: freshBlock(classSize(class))}
}

// giveBlock takes back a Buf and its block, which nobody uses any more.
func giveBlock(b *Buf) {
	switch {
	case poisoned.Load():
		poison(b.block)
	case b.class == noClass:
		b.block = nil
		giveHandle(b)
	default:
		blocks[b.class].Put(b)
	}
}

func takeHandle() *Buf {
	if poisoned.Load() {
		return &Buf{class: noClass}
	}
	return handles.Get().(*Buf)
}

func giveHandle(b *Buf) {
	if !poisoned.Load() {
		handles.Put(b)
	}
}

// freshBlock allocates n bytes that start on 64. The allocator's own size classes nearly always do already.
func freshBlock(n int) []byte {
	block := make([]byte, n)
	if misalignment(block) != 0 {
		block = make([]byte, n+Alignment)
		skip := Alignment - misalignment(block)
		block = block[skip : skip+n : skip+n]
	}
	if poisoned.Load() { // nobody may count on zeros
		fill(block)
	}
	return block
}

func misalignment(block []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(block))) % Alignment)
}
