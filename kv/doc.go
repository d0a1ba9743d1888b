// Package kv keeps the current rows of primary-key tables, on Pebble. It knows nothing about logs: what it is told to
// apply, in which order and how far it may be shown, is the caller's business.
//
//	Prepare(rows) ─► Change ─► Stage(offset) ─► Advance(high watermark) ─► Pebble ─► lookups, scans
//	     ▲                          │
//	     └───────── overlay ◄───────┘  staged, not yet shown to anybody but the next Prepare
//
// Prepare reads the current rows of a batch's keys, decides by the table's merge engine what becomes of each, and gives
// the changelog of that. The caller appends it to the log, which gives it offsets, and stages it here under them. When
// the high watermark has passed it, Advance writes the rows into Pebble, together with how far it has come; what the
// log lost is forgotten by Truncate. After a restart Fold applies the changelog from there on: what an engine decided
// stands in the changelog, nothing is decided again.
//
// # Laws
//
//   - The state is the fold of the changelog before the applied offset; both change in one Pebble batch.
//   - Pebble's write-ahead log is off. After a crash the state is that of some earlier applied offset, which is found
//     beside it. A checkpoint tells how far the log may be forgotten (see checkpoint.go): whatever becomes of the
//     database, the newest checkpoint has every bucket as of its mark in it, and the log has the rest.
//   - A database is never used that lost something which a checkpoint has. What is damaged is moved aside, not deleted
//     (see restore.go).
//   - Readers see applied rows only, Prepare also what is staged.
//   - A failure of Pebble or of the disk below it never ends the process: the store has failed (Failed), answers
//     nothing any more, and is opened anew.
//
// The keys of a batch are sorted and looked for by iterators, many of them by several at the same time, which share one
// view of the bucket (see search.go). Before that they are looked for among rows that were written or found lately
// (held.go), and in a filter of all keys that the bucket ever had, if it began empty in this life of the store (known.go);
// nearby.go tells why what is found there is what Pebble has.
//
// An offline check of the first law is in verify_fold.go.
//
// # Memory
//
// A few bytes of a client may be about many rows: keys that are deleted, columns that are not sent. What a batch finds
// and what it leaves in the changelog is counted as it is found, in the size that it takes in Arrow's layout (see
// weight), and has a bound. A change beyond part of that is made alone (ErrAlone), and its changelog is given piece by
// piece (Change.Piece), each of which forgets the rows that went into it. Reads end by the same measure.
//
// # Keys
//
// One Pebble holds all buckets of a data directory. Keys of a bucket share a prefix, so that a bucket is one span,
// which is dropped by excising it:
//
//	'b' table(8) partition(8) bucket(4) 0            the mark: applied offset, epoch, rows
//	'b' table(8) partition(8) bucket(4) 1 key        a row
//	's' table(8) schema(4)                           a schema under which rows are stored, as quiver.Schema.Encode has it
//	'c'                                              the number of the checkpoint that was begun last, 8 bytes
//
// Numbers in prefixes are big-endian. The key of a row is its key columns one behind the other, each encoded so that
// bytes compare as values do:
//
//	signed integers, dates, times, timestamps   big-endian, the sign bit flipped
//	unsigned integers                            big-endian
//	bool                                         0 or 1
//	decimals                                     16 or 32 bytes, big-endian, the sign bit flipped
//	fixed-size binary                            the bytes
//	text, binary                                 the bytes, 0 as 0 255, and at the end 0 1
//
// # Rows
//
// Columns of the key are not stored again. The others, in the order of the schema the row was stored under:
//
//	schema id(4) | offset of the last change(8) | null bits | fixed-width values | ends of the others(4 each) | their bytes
//
// Numbers are little-endian. Fixed-width values stand as in Arrow's buffers (a bool as one byte), also where they are
// null (zeros then), so every column of a row is found without looking at those before it. Text and binary are their
// bytes; nested values are written depth first (see appendNested). A row that was stored under an older schema is
// brought up to the current one, by column id, whenever it is read (see upgrade).
package kv
