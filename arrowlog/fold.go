package arrowlog

import (
	"encoding/binary"
	"fmt"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/planted"
)

// fold is what the log says, read from its start to the offset next: its writers, its epochs, and what the next batch
// has to continue. It is a pure function of the batches before next, or of a state file and the batches behind it.
type fold struct {
	expiry int64 // how long a silent writer is remembered, milliseconds of log time; 0: for ever

	next    quiver.Offset // the end of what was read
	unit    quiver.Offset // where the unit that is still open began; next if none is
	chain   uint32        // header checksum of the last batch
	time    int64         // its timestamp
	writers writerTable
	epochs  epochCache
}

// newFold is the fold of nothing, at the offset where a log begins.
func newFold(at quiver.Offset, expiry int64) *fold {
	return &fold{expiry: expiry, next: at, unit: at, writers: newWriterTable()}
}

// apply reads one batch. A gap before it (damage) is passed over.
func (f *fold) apply(h *record.Header, producers []record.Producer) {
	if h.BaseOffset != f.next {
		f.skip(h.BaseOffset)
	}
	f.epochs.apply(h.Epoch, h.BaseOffset)
	f.chain = h.CRC
	f.time = max(f.time, h.Timestamp)
	f.next = h.Until()
	if h.Flags&record.Continued != 0 {
		return
	}
	f.take(h, producers)
	f.unit = f.next
}

// take notes the sequences of a batch that ends a unit.
func (f *fold) take(h *record.Header, producers []record.Producer) {
	if len(producers) == 1 {
		f.takeOne(producers[0], f.unit, h.Until(), f.time)
		return
	}
	from := h.BaseOffset
	if planted.Is(planted.MergedSequenceLost) {
		producers = producers[:1]
	}
	for _, p := range producers {
		until := from + quiver.Offset(p.Rows)
		f.takeOne(p, from, until, f.time)
		from = until
	}
}

func (f *fold) takeOne(p record.Producer, from, until quiver.Offset, time int64) {
	if p.Writer == quiver.NoWriter || p.Sequence == quiver.NoSequence {
		return
	}
	f.writers.take(p.Writer, p.Epoch, taken{p.Sequence, from, int64(until - from)}, time, f.expiry)
}

// skip passes over rows that are lost. A unit that was open before them stays incomplete for ever.
func (f *fold) skip(to quiver.Offset) {
	f.next, f.unit, f.chain = to, to, 0
}

// writer is what is known of a writer, nil if nothing.
func (f *fold) writer(id quiver.WriterID) *writer { return f.writers.get(id, f.time, f.expiry) }

const stateKind = "STAT"

// encode makes the content of a state file: the fold as of a segment's base, and the segment's Schema message, which
// holds the salt without which no batch of the segment can be checked.
func (f *fold) encode(id quiver.BucketID, schemaMessage []byte) []byte {
	f.writers.sweep(f.time, f.expiry)
	b := appendBucket(nil, id)
	b = binary.AppendVarint(b, int64(f.next))
	b = binary.AppendUvarint(b, uint64(f.chain))
	b = binary.AppendVarint(b, f.time)
	b = binary.AppendUvarint(b, uint64(len(f.epochs)))
	for _, e := range f.epochs {
		b = binary.AppendVarint(b, int64(e.Epoch))
		b = binary.AppendVarint(b, int64(e.Start))
	}
	ids := f.writers.ids()
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = appendWriter(b, id, f.writers.byID[id])
	}
	b = binary.AppendUvarint(b, uint64(len(schemaMessage)))
	b = append(b, schemaMessage...)
	return sealFrame(stateKind, b)
}

func appendWriter(b []byte, id quiver.WriterID, w *writer) []byte {
	forgot := uint64(0)
	if w.forgot {
		forgot = 1
	}
	b = binary.AppendUvarint(b, uint64(id))
	b = binary.AppendVarint(b, int64(w.epoch))
	b = binary.AppendVarint(b, w.time)
	b = binary.AppendUvarint(b, uint64(len(w.recent))<<1|forgot)
	for _, t := range w.recent {
		b = binary.AppendVarint(b, int64(t.sequence))
		b = binary.AppendVarint(b, int64(t.from))
		b = binary.AppendUvarint(b, uint64(t.rows))
	}
	return b
}

// decodeState reads a state file of the bucket's segment that begins at base.
func decodeState(data []byte, id quiver.BucketID, base quiver.Offset, expiry int64) (*fold, []byte, error) {
	payload, rest, err := openFrame(stateKind, data)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, fmt.Errorf("%w: %d bytes too many", errFrame, len(rest))
	}
	d := decoder{data: payload}
	if got := d.bucket(); d.err == nil && got != id {
		return nil, nil, fmt.Errorf("%w: it belongs to bucket %s", errFrame, got)
	}
	f := newFold(quiver.Offset(d.varint()), expiry)
	if d.err == nil && f.next != base {
		return nil, nil, fmt.Errorf("%w: it is of offset %d", errFrame, f.next)
	}
	f.chain = uint32(d.uvarint())
	f.time = d.varint()
	for range d.count(2) {
		f.epochs = append(f.epochs, EpochStart{quiver.Epoch(d.varint()), quiver.Offset(d.varint())})
	}
	for range d.count(4) {
		d.writer(&f.writers)
	}
	f.writers.purge = max(minPurge, 2*len(f.writers.byID))
	message := d.bytes()
	return f, message, d.finish()
}

func (d *decoder) writer(t *writerTable) {
	id := quiver.WriterID(d.uvarint())
	w := &writer{epoch: quiver.Epoch(d.varint()), time: d.varint(), last: quiver.NoSequence}
	n := d.uvarint()
	w.forgot = n&1 == 1
	if n >>= 1; n > remembered {
		d.fail()
		return
	}
	for range n {
		w.recent = append(w.recent, taken{quiver.Sequence(d.varint()), quiver.Offset(d.varint()), int64(d.uvarint())})
	}
	if d.err != nil || n == 0 {
		d.fail()
		return
	}
	w.last = w.recent[n-1].sequence
	t.byID[id] = w
}

func appendBucket(b []byte, id quiver.BucketID) []byte {
	b = binary.AppendUvarint(b, uint64(id.Table))
	b = binary.AppendUvarint(b, uint64(id.Partition))
	return binary.AppendVarint(b, int64(id.Bucket))
}

func (d *decoder) bucket() quiver.BucketID {
	return quiver.BucketID{
		Table:     quiver.TableID(d.uvarint()),
		Partition: quiver.PartitionID(d.uvarint()),
		Bucket:    int32(d.varint()),
	}
}
