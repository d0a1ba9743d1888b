package buf

import (
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	poisonByte = 0xdb

	// Released blocks are watched for late writes until this many blocks or bytes are waiting.
	watchedBlocks = 256
	watchedBytes  = 64 << 20
)

// poisoned is set while released memory is overwritten and never used again.
var poisoned atomic.Bool

// watched holds the poisoned blocks that may still be written by a bug, oldest first.
var watched struct {
	sync.Mutex
	blocks [][]byte
	bytes  int
}

// SetPoison switches the test mode: released memory is overwritten with 0xdb and neither it nor its Buf is ever used
// again, so that a late read sees rubbish, a late call panics, and a late write panics at one of the next releases or
// at CheckPoison. Packages whose tests touch buffers call it from TestMain.
func SetPoison(on bool) {
	if poisoned.Swap(on) && !on {
		CheckPoison()
	}
}

// CheckPoison panics if memory was written after its last release. It forgets what it has checked.
func CheckPoison() {
	watched.Lock()
	defer watched.Unlock()
	for len(watched.blocks) > 0 {
		checkOldest()
	}
}

// poison overwrites a released block and watches it, which may push the oldest watched ones out.
func poison(block []byte) {
	fill(block)
	watched.Lock()
	defer watched.Unlock()
	watched.blocks = append(watched.blocks, block)
	watched.bytes += len(block)
	for len(watched.blocks) > watchedBlocks || watched.bytes > watchedBytes {
		checkOldest()
	}
}

func fill(block []byte) {
	for i := range block {
		block[i] = poisonByte
	}
}

// checkOldest takes the oldest block off the watch; watched must be locked.
func checkOldest() {
	block := watched.blocks[0]
	watched.blocks[0] = nil
	watched.blocks = watched.blocks[1:]
	watched.bytes -= len(block)
	for i, c := range block {
		if c != poisonByte {
			panic(fmt.Sprintf("buf: byte %d of a block of %d bytes was written after its last release", i, len(block)))
		}
	}
}
