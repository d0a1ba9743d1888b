package record

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// Encode makes a batch of an Arrow record whose columns have the layout's types, in its order; names, metadata and
// nullability are not looked at. Sliced arrays are cut down to their rows, offsets start at zero, a column without
// nulls has no validity bitmap. The body is memory of the batch's own, in one piece, every buffer on 64 bytes, and
// compressed by the codec if it is one. The record is not kept.
func Encode(l *Layout, rec arrow.RecordBatch, codec Compression) (*Batch, error) {
	return encodeColumns(l, int(rec.NumRows()), rec.Columns(), codec)
}

func encodeColumns(l *Layout, rows int, cols []arrow.Array, codec Compression) (*Batch, error) {
	if len(cols) != len(l.slots) {
		return nil, quiver.Errorf(quiver.Internal, "%d columns to encode, the layout has %d", len(cols), len(l.slots))
	}
	if !l.stored {
		return nil, quiver.Errorf(quiver.Internal, "a layout that is not stored cannot be encoded")
	}
	for i, c := range cols {
		if !l.slots[i].fits(c.DataType()) || c.Len() != rows {
			return nil, quiver.Errorf(quiver.Internal, "column %s: %d values of %s do not encode as %d of %s",
				l.slots[i].name, c.Len(), c.DataType(), rows, l.slots[i].typ)
		}
	}
	all := make([]values, len(cols))
	p, err := planRows(l, func(i int) []values {
		all[i] = valuesOf(cols[i].Data())
		return all[i : i+1 : i+1]
	})
	if err != nil {
		return nil, err
	}
	b := p.copied(l, rows)
	if codec == None {
		return b, nil
	}
	defer b.Release()
	return b.deflate(codec), nil
}

// fits says that arrays of the type have the slot's buffers and children, and that these mean the same values.
func (s *slot) fits(t arrow.DataType) bool {
	mine, theirs := storage(s.typ), storage(t)
	nested, ok := theirs.(arrow.NestedType)
	if !ok || len(s.children) == 0 {
		return arrow.TypeEqual(mine, theirs)
	}
	if mine.ID() != theirs.ID() {
		return false
	}
	if fsl, ok := theirs.(*arrow.FixedSizeListType); ok && int(fsl.Len()) != s.width {
		return false
	}
	fields := nested.Fields()
	if len(fields) != len(s.children) {
		return false
	}
	for i := range fields {
		if !s.children[i].fits(fields[i].Type) {
			return false
		}
	}
	return true
}

// deflate is the batch with every buffer compressed by the codec, in memory of its own. The batch must not be
// compressed yet.
func (b *Batch) deflate(codec Compression) *Batch {
	bound := 0
	for _, s := range b.buffers {
		bound += int(compressedAlign(int64(codec.compressBound(int(s.len)))))
	}
	spans := make([]span, len(b.buffers))
	body := buf.Get(bound + bodyAlign)
	data := body.Bytes()[:0]
	for i := range b.buffers {
		off := len(data)
		data = codec.appendCompressed(data, b.buffer(i))
		spans[i] = span{int64(off), int64(len(data) - off)}
		data = append(data, zeros[:compressedAlign(int64(len(data)))-int64(len(data))]...)
	}
	data = append(data, zeros[:padding(int64(len(data)))]...)
	out := newBatch(b.layout, b.rows, b.nodes, spans, codec, []*buf.Buf{body})
	out.setParts([][]byte{data})
	out.producers, out.stats, out.summary = b.producers, b.stats, b.summary
	out.sealed.stamp = b.sealed.stamp
	return out
}

// Recompress is the batch with its buffers compressed by the codec, or not at all (None), in memory of its own: itself,
// with one more reference, if they are so already. Header, producers and statistics
// are kept.
func (b *Batch) Recompress(codec Compression) (*Batch, error) {
	if b.codec == codec {
		return b.Retain(), nil
	}
	out, err := b.inflate()
	if err != nil {
		return nil, err
	}
	if codec == None {
		return out, nil
	}
	defer out.Release()
	return out.deflate(codec), nil
}

// compressedAlign rounds up to 8: compressed buffers are never used in place, so they need no more.
func compressedAlign(n int64) int64 { return (n + 7) &^ 7 }

// inflate is the batch with its buffers decompressed: itself, with one more reference, if they are not compressed. It
// takes the sum of the declared lengths, which the gate has bounded.
func (b *Batch) inflate() (*Batch, error) {
	if b.codec == None {
		return b.Retain(), nil
	}
	spans := make([]span, len(b.buffers))
	var size int64
	for i := range b.buffers {
		n, _, err := declaredLength(b.buffer(i))
		if err != nil {
			return nil, err
		}
		spans[i] = span{size, n}
		size += n + padding(n)
	}
	out := newBatch(b.layout, b.rows, b.nodes, spans, None, nil)
	out.views, out.producers, out.stats, out.summary = b.views, b.producers, b.stats, b.summary
	if size == 0 {
		out.setParts(nil)
		return out, nil
	}
	body := buf.Get(int(size))
	out.owners = []*buf.Buf{body}
	data := body.Bytes()
	for i, s := range spans {
		end := s.off + s.len
		if err := b.codec.decompress(data[s.off:end:end], b.buffer(i)); err != nil {
			out.Release()
			return nil, quiver.Errorf(quiver.MalformedBatch, "buffer %d: %v", i, err)
		}
		clear(data[end : end+padding(s.len)])
	}
	out.setParts([][]byte{data})
	return out, nil
}
