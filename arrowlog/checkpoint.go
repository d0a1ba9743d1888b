package arrowlog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/quiverlog/quiver"
)

// mark is what the checkpoint file keeps of one bucket. Each may be behind what is true, never ahead of it.
type mark struct {
	start    quiver.Offset // where the log begins: rows before it were deleted
	high     quiver.Offset // high watermark
	recovery quiver.Offset // rows before it are on disk, whole and checked; at the end of a unit
}

const checkpointKind = "CKPT"

// checkpointName is the checkpoint's name in the log directory.
const checkpointName = "checkpoint"

// marks is the content of the checkpoint file: one mark for each bucket that has rows or a start.
type marks struct {
	byID  map[quiver.BucketID]mark
	order []quiver.BucketID // the keys in order; nil while it has to be made anew
}

func newMarks() marks { return marks{byID: map[quiver.BucketID]mark{}} }

func (m *marks) set(id quiver.BucketID, k mark) {
	if _, ok := m.byID[id]; !ok {
		m.order = nil
	}
	m.byID[id] = k
}

func (m *marks) remove(id quiver.BucketID) {
	delete(m.byID, id)
	m.order = nil
}

func (m *marks) sorted() []quiver.BucketID {
	if m.order == nil {
		for id := range m.byID {
			m.order = append(m.order, id)
		}
		slices.SortFunc(m.order, compareBuckets)
	}
	return m.order
}

func compareBuckets(a, b quiver.BucketID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Bucket, b.Bucket))
}

// encode makes the checkpoint file: the same frame twice, so that a damaged one is no loss.
func (m *marks) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(m.byID)))
	for _, id := range m.sorted() {
		k := m.byID[id]
		b = appendBucket(b, id)
		b = binary.AppendUvarint(b, uint64(k.recovery))
		b = binary.AppendVarint(b, int64(k.recovery-k.high))
		b = binary.AppendUvarint(b, uint64(k.start))
	}
	frame := sealFrame(checkpointKind, b)
	return append(frame, frame...)
}

// decodeMarks reads a checkpoint file. It needs one of its two frames.
func decodeMarks(data []byte) (marks, error) {
	m, err := decodeMarksOnce(data)
	if err == nil {
		return m, nil
	}
	if second, err2 := decodeMarksOnce(data[len(data)/2:]); err2 == nil {
		return second, nil
	}
	return marks{}, err
}

func decodeMarksOnce(data []byte) (marks, error) {
	payload, _, err := openFrame(checkpointKind, data)
	if err != nil {
		return marks{}, err
	}
	m := newMarks()
	d := decoder{data: payload}
	for range d.count(6) {
		id := d.bucket()
		k := mark{recovery: quiver.Offset(d.uvarint())}
		k.high = k.recovery - quiver.Offset(d.varint())
		k.start = quiver.Offset(d.uvarint())
		if k.start < 0 || k.high < 0 || k.recovery < 0 {
			return marks{}, fmt.Errorf("%w: bucket %s has the marks %+v", errFrame, id, k)
		}
		m.set(id, k)
	}
	return m, d.finish()
}
