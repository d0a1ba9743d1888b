package arrowlog

import (
	"slices"

	"github.com/quiverlog/quiver"
)

// EpochStart tells where a leader epoch begins: Start is the offset of its first row.
type EpochStart struct {
	Epoch quiver.Epoch
	Start quiver.Offset
}

// epochCache lists the leader epochs that wrote to the log, both fields rising. It is a pure function of the log.
type epochCache []EpochStart

// last is the epoch of the newest batch, noEpoch while there is none.
func (c epochCache) last() quiver.Epoch {
	if len(c) == 0 {
		return noEpoch
	}
	return c[len(c)-1].Epoch
}

// noEpoch is below every epoch.
const noEpoch = quiver.Epoch(-1)

// apply takes in a batch of the epoch that begins at base.
func (c *epochCache) apply(epoch quiver.Epoch, base quiver.Offset) {
	if epoch > c.last() {
		*c = append(*c, EpochStart{epoch, base})
	}
}

// end tells where the rows of all epochs up to the given one end: where the next higher one begins, or the log end.
func (c epochCache) end(epoch quiver.Epoch, logEnd quiver.Offset) quiver.Offset {
	i, _ := slices.BinarySearchFunc(c, epoch, func(e EpochStart, epoch quiver.Epoch) int {
		if e.Epoch <= epoch {
			return -1
		}
		return 1
	})
	if i == len(c) {
		return logEnd
	}
	return c[i].Start
}
