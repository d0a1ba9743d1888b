package tablet

import (
	"context"

	"github.com/quiverlog/quiver/internal/planted"
)

// idBlock is numbers for an auto-increment column that this bucket may give out. They were taken from the table's
// counter before any of them is used, so that none is given twice, whatever dies when; those that are left when a
// leadership ends are never given.
type idBlock struct {
	at, until int64
}

// blockSize is how many numbers are taken at once.
const blockSize = 1000

func (b *idBlock) next(ctx context.Context, t *Tablet) (int64, error) {
	if b.at == b.until {
		first, err := t.server.options.Reserve(ctx, t.id.Table, blockSize)
		if err != nil {
			return 0, t.unavailable("the coordinator gave no numbers for the auto-increment column", err)
		}
		b.at, b.until = first, first+blockSize
		if planted.Is(planted.NumbersNotReserved) {
			b.at = max(1, first-blockSize)
		}
	}
	b.at++
	return b.at - 1, nil
}
