package arrowlog

import (
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
)

// Reading some columns of large batches: the metadata tells which ranges of the body they take, and only those are
// read. The metadata comes from the index file where there is one, many batches with one read, else from the segment.

// blocks is the metadata of a run of batches.
type blocks struct {
	data *buf.Buf // of the index file; nil: it is read from the segment, batch by batch
	at   []int64  // where each entry's block starts in the index file, and data with the first one
	from int64
	next int
}

// pickable gives the entries at the start that lie next to each other and of which some columns are read, as many as
// one read of metadata takes in.
func (r *Reader) pickable(entries []entry) []entry {
	run := r.siftable(entries)
	n := 1
	for n < len(run) && !r.wholly(run[n]) {
		n++
	}
	return run[:n:n]
}

func (b *blocks) drop() {
	if b.data != nil {
		b.data.Release()
		b.data = nil
	}
}

// loadBlocks reads the metadata of the run, if the segment has an index file; without, it is read from the
// segment itself.
func (r *Reader) loadBlocks(run []entry) {
	x := r.seg.idx.Load()
	if x == nil || x.blocks == nil {
		return
	}
	i := find(x.entries, run[0].base)
	if i+len(run) > len(x.entries) {
		return
	}
	from := x.blocks[i]
	last := i + len(run) - 1
	until := x.blocks[last] + int64(x.entries[last].meta)
	b := blocks{data: buf.Get(int(until - from)), at: x.blocks[i : i+len(run)], from: from}
	if !r.readBlocks(b.data.Bytes(), from) {
		b.drop()
		r.seg.doubtIndex()
		return
	}
	r.window.blocks = b
}

// readBlocks tells whether the index file could be read.
func (r *Reader) readBlocks(b []byte, at int64) bool { return r.readAt(b, at, indexSuffix) == nil }

// get reads the metadata of the next batch: the index file's if it is right, else the segment's. That is
// read into the block, or into memory of its own if none is given.
func (b *blocks) get(r *Reader, m *record.Meta, e entry, block []byte) error {
	if b.data != nil {
		at := int(b.at[b.next] - b.from)
		b.next++
		if r.parse(m, e, b.data.Bytes()[at:at+int(e.meta)]) == nil {
			return nil
		}
		r.seg.doubtIndex()
	}
	if block == nil {
		block = make([]byte, e.meta)
	}
	if err := r.readAt(block, e.pos, segmentSuffix); err != nil {
		return err
	}
	return r.parse(m, e, block)
}

// nearRegions is the gap between two ranges up to which one read of both is cheaper than two.
const nearRegions = 16 << 10

// pickFromDisk reads the chosen columns of a batch.
func (r *Reader) pickFromDisk(e entry, m *record.Meta) (*record.Batch, error) {
	if err := r.findRegions(m); err != nil {
		return nil, err
	}
	regions := r.regions
	f, err := r.open(segmentSuffix)
	if err != nil {
		return nil, err
	}
	defer r.log.disk.files.release(f)
	body := e.pos + int64(e.meta)
	var read *buf.Buf // the current run of near regions
	var at int64      // where it starts in the body
	defer func() {
		if read != nil {
			read.Release()
		}
	}()
	i := 0
	return r.pick(m, func(region record.Region) (*buf.Buf, error) {
		if read == nil || region.Until > at+int64(read.Len()) {
			until := region.Until
			for j := i + 1; j < len(regions) && regions[j].From-until <= nearRegions; j++ {
				until = regions[j].Until
			}
			if read != nil {
				read.Release()
			}
			read, at = buf.Get(int(until-region.From)), region.From
			if err := readFull(f, read.Bytes(), body+at); err != nil {
				return nil, err
			}
		}
		i++
		return read.Slice(int(region.From-at), int(region.Until-at)), nil
	})
}

// findRegions finds where the chosen columns lie in a batch's body.
func (r *Reader) findRegions(m *record.Meta) (err error) {
	r.regions, err = m.AppendRegions(r.regions, r.window.head.layout, r.cols)
	return err
}

// pick makes the batch of the chosen columns from their regions, which fetch gives one by one.
func (r *Reader) pick(m *record.Meta, fetch func(record.Region) (*buf.Buf, error)) (*record.Batch, error) {
	defer func() {
		for i, p := range r.parts {
			p.Release()
			r.parts[i] = nil
		}
		r.parts = r.parts[:0]
	}()
	for _, region := range r.regions {
		p, err := fetch(region)
		if err != nil {
			return nil, err
		}
		r.parts = append(r.parts, p)
	}
	return record.LoadColumns(r.window.head.layout, m, r.cols, r.parts)
}
