// Package record is one record batch as bytes: how it is laid out, checked, stored, picked from, merged and cut.
//
// A batch is never decoded on its way from a client to the disk and back to a reader. What comes in passes the gate
// (Verify), which looks at everything once; from then on a *Batch is safe, and the bytes of its body travel as they
// are: into a segment (Stored), out of it (Load, LoadColumns), to a reader (Served, Project). Only what has to become
// another body is made anew: merged small batches, pieces of large ones, columns whose type or layout differs.
//
//	a put:   client -> Verify | Input.Batch -> Divide -> Split -> Convert -> SetProducers, Summarize, Seal
//	         -> MergeStored -> Stamp -> Stored -> segment
//	a get:   segment -> ParseHeader, Stats -> Load | LoadColumns -> Convert -> Select -> Slice | Merge
//	         -> Project | Arrange -> Served -> reader
//
// Divide, Select and Convert are steps that most batches do not need: rows that all belong to one bucket, rows that are
// all wanted and rows that have the schema already stay where they are.
//
// # Laws
//
//   - Holding a *Batch means that it is safe for every reader of Arrow: it passed the gate, was encoded here, or has
//     the checksums of what once did.
//   - A body never changes. Padding within it is zero.
//   - What is read from disk was checked: its header, and each column that is used.
//   - Nothing that is parsed here panics, and nothing is allocated on the word of the bytes: counts and lengths are
//     compared with the bytes there are, declared lengths with Limits.
//   - A fast way of doing something stands beside an obvious one, and tests compare the two.
//
// # A segment
//
// A segment is an Arrow IPC stream: any Arrow reader opens it, also while it grows. It starts with a Schema message
// and goes on with RecordBatch messages, each a multiple of 64 bytes long, so that every body starts on 64. Zeros
// behind the last one are a clean end of stream.
//
//	+--------------------+---------+---------+-----+----------------
//	| Schema message     | batch   | batch   | ... | 0 0 0 0 0 ...
//	+--------------------+---------+---------+-----+----------------
//
// The schema is the stored one: every field, nested ones too, has its column id under "PARQUET:field_id". Its metadata
// has the segment's identity under "quiver.segment", 90 hexadecimal digits:
//
//	at   digits
//	 0    2  version, 1
//	 2   16  table
//	18   16  partition
//	34    8  bucket
//	42   16  base offset: that of the segment's first row
//	58    8  schema id
//	66   16  salt, random
//	82    8  CRC32C of the whole message, prefix included, with '0' for these 8 digits
//
// # A batch
//
//	+----------+-------------+-------------------------------+---------+----------------------------+---------+
//	| FFFFFFFF | length int32| Message flatbuffer            | zeros   | body                       | zeros   |
//	+----------+-------------+-------------------------------+---------+----------------------------+---------+
//	|<------------------ a multiple of 64 --------------------------->|<------- a multiple of 64 ----------->|
//
// The flatbuffer is written by us, always in this layout, whatever a client sent. Positions are from its start; n is
// the number of nodes, m that of buffers, E = 120 + 16 n + 16 m. Each offset leads forward, each table's vtable stands
// before it.
//
//	  0  offset of the Message table
//	  4  its vtable
//	 24  Message: vtable | header -> 64 | body length | custom metadata -> E | version V5 | type RecordBatch
//	 48  vtable of the RecordBatch
//	 64  RecordBatch: vtable | nodes -> 108 | rows | buffers -> 116+16n | compression -> 100 or absent
//	 92  vtable of the BodyCompression
//	100  BodyCompression: vtable | codec | method (unused where the body is not compressed)
//	108  n | n times (length, null count)
//	     0 | m | m times (offset in the body, length)
//	  E  custom metadata: count | offsets | vtable | (key, value) tables | texts
//
// What is served is the same without the part from E on, and with that field absent. Custom metadata:
//
// "quiver.batch", the header, has a fixed width, so that it is filled in where it stands when the batch is written.
// 102 hexadecimal digits:
//
//	at   digits
//	 0    2  version, 1
//	 2   16  base offset: that of the first row
//	18    8  rows
//	26    8  leader epoch
//	34   16  timestamp of the append, milliseconds since 1970 UTC
//	50    8  schema id
//	58    4  flags; 1 = continued: the unit goes on with the next batch
//	62   16  high watermark when the batch was stamped
//	78    8  header checksum of the batch before (0: none)
//	86    8  payload checksum: CRC32C of seed and body
//	94    8  header checksum: CRC32C of seed, prefix and metadata, with '0' for these 8 digits
//
// The seed is the CRC32C of table, partition, bucket and salt, little endian: a batch is valid in its own segment
// only.
//
// "quiver.columns" has 8 digits for each top-level column: the CRC32C, not seeded, of its region of the body. That
// reaches from its first buffer to the first buffer of the next column, padding included; the first one starts with
// the body and the last one ends with it, a column without buffers has an empty one. So a reader of some columns
// checks just these, and the payload checksum follows from the columns' by arithmetic.
//
// "quiver.producers" says whose rows these are: base64url of (writer, writer epoch, sequence, rows), each a zigzag
// varint of its difference from the one before. It is absent where all rows are of one producer without identity.
//
// "quiver.stats" has what is known of the values in top-level columns, to skip the batch by: base64url of an entry for
// each column, one behind the other. It is absent from batches of few rows, from those whose bytes were plain at no
// time, and where the table does not want it; a column without an entry may hold anything.
//
//	column id    zigzag varint, less that of the entry before (the first one: less 0)
//	flags        byte: 1 = there is a lower bound, 2 = there is an upper bound, 4 = there are NaNs among the values;
//	             others are zero
//	nulls        varint: rows that are null
//	lower bound  length, a byte, and as many bytes; if flagged
//	upper bound  the same; if flagged
//
// Bounds are of the values that are neither null nor NaN; where there are none of those, and of lists, structs, maps and
// intervals, there are no bounds. They are, by type,
//
//	integers, decimals, dates, times,    little endian, without the highest bytes that only repeat the sign (of
//	timestamps, durations                unsigned ones: that are zero), of which there is one at least
//	floats                               little endian, -0 below 0
//	bool                                 0 or 1
//	text, binary, fixed-size binary      the value if it has at most 16 bytes; else the lower bound is what it begins
//	                                     with, of text without part of a character, and the upper one the same with
//	                                     its last byte or character one higher; without those that are the highest,
//	                                     and if all are, there is none
//
// # The body
//
// Buffers stand in the order of the schema, depth first, on 8 bytes where a client laid them out and on 64 where we
// did, with zeros between them. In compressed bodies each buffer is compressed for itself (see Compression), so
// columns are picked from them without a look inside. There are no dictionaries, views, list views or run ends: they
// are taken from clients and stored plain, so no batch depends on another message.
package record
