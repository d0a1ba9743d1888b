package arrowlog

import (
	"github.com/quiverlog/quiver/arrowlog/record"
)

// Reading with ReadSpec.Skip: the metadata of a run of batches is read ahead of their bodies, and the bodies of those
// that are wanted only. Where there is an index file the metadata of many batches comes with one read, and a run may be
// as long as that allows; else small batches are read whole, as their metadata alone costs a read as well, and of large
// ones the metadata is read one by one.

// sifted is a batch of a window whose metadata was read.
type sifted struct {
	meta record.Meta
	skip bool
}

// siftFrom is the stored size from which a batch's body is worth not being read; the metadata of smaller ones is about
// as long.
const siftFrom = 8 << 10

// siftBytes is how much metadata one read of an index file takes in, about.
const siftBytes = 256 << 10

// sift fills the window with a run of adjacent batches from the first entry on, and decides which of them to skip.
func (r *Reader) sift(entries []entry) error {
	w := &r.window
	run := r.siftable(entries)
	if run[0].size() >= siftFrom {
		r.loadBlocks(run)
	}
	if w.blocks.data == nil {
		run = adjacent(run, r.until, int64(r.log.disk.options.ReadBytes))
		if run[0].size() < int64(r.log.disk.options.ProjectFrom) {
			if err := r.loadWhole(run); err != nil {
				return err
			}
		}
	}
	w.sifted = make([]sifted, len(run))
	for i, e := range run {
		s := &w.sifted[i]
		if err := r.readMeta(&s.meta, e); err != nil {
			if i > 0 {
				w.sifted = w.sifted[:i] // those before it are given first
				break
			}
			w.drop()
			return err
		}
		s.skip = r.spec.Skip(&s.meta, w.head.layout)
	}
	w.entries = run[:len(w.sifted)]
	return nil
}

// siftable gives the entries at the start that lie next to each other, as many as one read of metadata takes in.
func (r *Reader) siftable(entries []entry) []entry {
	n, meta := 0, int64(0)
	for n < len(entries) && (n == 0 || meta+int64(entries[n].meta) <= siftBytes) {
		meta += int64(entries[n].meta)
		n++
	}
	return adjacent(entries[:n], r.until, 1<<62)
}

// readMeta reads the metadata of the next batch of the run.
func (r *Reader) readMeta(m *record.Meta, e entry) error {
	w := &r.window
	if w.at >= 0 {
		at := int(e.pos - w.at)
		return r.parse(m, e, w.data.Bytes()[at:at+int(e.meta)])
	}
	return w.blocks.get(r, m, e, nil)
}

// siftedBatch gives the first batch of the window; nil if it is skipped.
func (r *Reader) siftedBatch(e entry) (record.Header, *record.Batch, error) {
	w := &r.window
	first := &w.sifted[0]
	m := &first.meta
	if first.skip {
		w.sifted = w.sifted[1:]
		return m.Header, nil, nil
	}
	b, err := r.siftedBody(e, m)
	if err != nil {
		return m.Header, nil, err
	}
	w.sifted = w.sifted[1:]
	return m.Header, b, nil
}

// siftedBody reads the body of the window's first batch, and of its neighbours with it, unless it is there already.
func (r *Reader) siftedBody(e entry, m *record.Meta) (*record.Batch, error) {
	w := &r.window
	if w.data != nil && e.pos >= w.at && e.end() <= w.at+int64(w.data.Len()) {
		return r.take(e, m)
	}
	if !r.wholly(e) {
		return r.pickFromDisk(e, m)
	}
	if w.data != nil {
		w.data.Release()
		w.data, w.at = nil, -1
	}
	n := 1
	for n < len(w.entries) && !w.sifted[n].skip && r.wholly(w.entries[n]) &&
		w.entries[n].end()-e.pos <= int64(r.log.disk.options.ReadBytes) {
		n++
	}
	if err := r.loadWhole(w.entries[:n]); err != nil {
		return nil, err
	}
	return r.take(e, m)
}
