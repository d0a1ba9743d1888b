// Package scan is the read pipeline: it turns a range of a table's buckets into record batches to be sent.
//
//	Source (one bucket) ── skip? ── read ──> view ──> trim ──> filter ──> gather or cut ──> project ──> Chunk
//	              │                  │          │        │         │              │              │
//	  statistics, ┘   stored batches,┘          │        │         │              │              └─ the columns wanted, in
//	  partition,      chosen columns only       │        │         │              │                 their order, and the
//	  offsets                                   │        │         │              │                 system columns, made here
//	                 brought to the schema that ┘        │         │              └─ many small neighbours become one batch,
//	                 the scan began with                 │         │                 one that is too large becomes several
//	                           rows outside the range go ┘         └─ its columns are decoded, rows that match picked
//
// A stored batch that needs nothing done goes through as it lies: the same bytes, picked by column. Only rows that
// are cut off, batches of another schema, rows that a filter picks, and batches too small to be sent alone, cost work.
//
// # Schemas
//
// A scan shows the schema that it began with (Spec.Table), by column id, and segments are of the schema that was the
// table's when they were written. A view (view.go) maps one to the other, once for each schema: what was added since
// the rows were stored takes its default, what was dropped since the scan began is null, what was added since is not
// read at all. Where the bytes suffice they are taken as they are. A change that no mapping can follow (a wider type,
// a required column that is gone) ends the scan with SCHEMA_CHANGED, which names the row; what lies before it was
// given.
//
// # Filters
//
// A filter is bound once, to the schema of the scan, and batches are brought to that before they are filtered. The
// other way, to bind it for each stored schema, would spare the conversion of filter columns in old batches, but a
// literal means something in a type, a default has to be made into a column anyway, and a name may have been another
// column's: there would be two meanings to keep equal. Statistics come first and rule most old batches out before
// they are read; their bounds are translated value by value (sieve.go, widen.go).
//
//   - A partition or bucket that its values or number rule out is not opened.
//   - A batch that its statistics, offsets and time rule out is not read; its header is looked at, in closed segments
//     in the index.
//   - Small neighbours are joined before they are filtered, as they would be without a filter. What matches whole
//     goes on as it lies.
//   - Few rows are gathered from many batches. A range without a match is covered by the next Chunk, or by one without
//     rows: at the end of a bounded scan, after every maxCost bytes looked at, in the silence of a following scan.
//   - The limit counts what the filter leaves.
//
// # Partitions
//
// Buckets come in the order of their partitions' names. A following scan of all partitions (Spec.Buckets) takes in new
// ones from their first row, and lets those go that are dropped. Partitions have ids that are never reused: a position
// taken from one is never mistaken for one in another that bears its name.
//
// # Laws
//
//   - Offsets of a bucket come in order, each once, with no gap. A Chunk covers exactly [From, Until) of one bucket, rows
//     that the filter dropped included.
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
