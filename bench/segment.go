package main

import (
	"io"
	"os"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// largestHead is more than any prefix and metadata of a batch in these benchmarks.
const largestHead = 1 << 20

// groupSizes are the bytes of each group commit in a segment. The batches of a group are stamped with one high
// watermark, and each group moves it; a group that was taken before its predecessor was shown counts as one with it.
func groupSizes(path string) ([]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer closeRead(f)
	head, err := readHead(f, 0)
	if err != nil || head == nil {
		return nil, err
	}
	id, _, err := record.ParseSegmentSchema(head)
	if err != nil {
		return nil, err
	}
	var sizes []int64
	last := quiver.Offset(-1)
	for at := int64(len(head)); ; {
		head, err := readHead(f, at)
		if err != nil || head == nil {
			return sizes, err
		}
		meta, err := record.ParseHeader(head, id.Seed())
		if err != nil {
			return nil, err
		}
		if meta.Header.HighWatermark != last || len(sizes) == 0 {
			sizes = append(sizes, 0)
			last = meta.Header.HighWatermark
		}
		sizes[len(sizes)-1] += meta.Size()
		at += meta.Size()
	}
}

// readHead reads prefix and metadata of the message at a position; nil at the end, or where zeros begin.
func readHead(f io.ReaderAt, at int64) ([]byte, error) {
	var prefix [8]byte
	if _, err := f.ReadAt(prefix[:], at); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	size, ok := record.PeekPrefix(prefix[:])
	if !ok || size > largestHead {
		return nil, nil
	}
	head := make([]byte, size)
	_, err := f.ReadAt(head, at)
	return head, err
}
