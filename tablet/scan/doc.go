// Package scan is the read pipeline: it turns a range of a table's buckets into record batches to be sent.
//
//	Source (one bucket) ── read ──> trim ──> gather or cut ──> project ──> Chunk
//	                        │        │          │                 │
//	       stored batches, ─┘        │          │                 └─ the columns wanted, in their order, and
//	       chosen columns only       │          │                    the system columns, made here
//	                                 │          └─ many small neighbours become one batch,
//	                 rows outside the range go      one that is too large becomes several
//
// A stored batch that needs nothing done goes through as it lies: the same bytes, picked by column. Only rows that
// are cut off, and batches too small to be sent alone, cost work, by the batch and not by the value where the
// types allow it.
//
// # Laws
//
//   - Offsets of a bucket come in order, each once, with no gap. A Chunk covers exactly [From, Until) of one bucket.
//   - Nothing at or above the high watermark is given; it is taken anew whenever a reader is opened.
//   - A bounded scan gives bucket after bucket. A following scan gives the buckets in turn, as each gets news.
//   - A Scanner holds about one chunk and one read, however many buckets it follows; it owns no goroutine and no
//     timer of an idle bucket. One channel wakes it for all of them.
//   - A Chunk's timestamp is that of its last row. Timestamps never go back within a bucket, so a reader that takes
//     up at the timestamp of the last chunk it saw meets every row it has not seen; it may see rows of that very
//     millisecond again. (With the first row's timestamp it would see the whole chunk again, with anything later it
//     could miss rows.)
//   - Where batches end is nobody's business: it may differ from read to read.
//
// Scanners are used by one goroutine.
package scan
