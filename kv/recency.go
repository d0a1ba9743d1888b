package kv

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// recency tells when it pays to write memtables out before they are full. A search in a large memtable costs several
// times one in tables, which have filters and blocks, and a memtable that nobody writes to any more stays what it is:
// after a table was loaded, half of the time of all lookups went into it. So it is written out once the searches have
// cost as much as that will.
type recency struct {
	written atomic.Int64 // rows that memtables have, about
	sought  atomic.Int64 // keys that were looked for in them
}

const (
	flushFrom  = 16 << 10 // a memtable of fewer rows is as good as a table, and makes a small one
	flushAfter = 8        // searches a row: about what writing it out and merging it costs
)

// wrote counts rows that were written.
func (r *recency) wrote(rows int) { r.written.Add(int64(rows)) }

// flushed is told that memtables are being written out.
func (r *recency) flushed(pebble.FlushInfo) {
	r.written.Store(0)
	r.sought.Store(0)
}

// searched counts keys that were looked for, and says whether memtables are to be written out. It says so once.
func (r *recency) searched(keys int) bool {
	rows := r.written.Load()
	return rows >= flushFrom && r.sought.Add(int64(keys)) >= flushAfter*rows && r.written.CompareAndSwap(rows, 0)
}
