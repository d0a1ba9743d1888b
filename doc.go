// Package quiver holds the nouns that all of Quiver shares: ids, schemas and how one maps to another, types and
// values, tables and their options, errors. It knows no file, no socket and no other package of the program.
//
// Quiver is a streaming table store that is Apache Arrow from end to end. Producers put record batches over Arrow
// Flight; the bytes that arrive are the bytes that are stored, and the bytes that are served. Any Arrow Flight client
// can use it with no library of ours.
//
// # The packages
//
//	quiver                    this one: the nouns
//	internal/fs               the file system, on disk or in memory with crashes
//	internal/buf              reference-counted buffers, and the budget of memory for messages in flight
//	internal/fault            named places where a process may die or an operation may fail
//	arrowlog/record           one batch as bytes: the gate, the header, projection, merging, splitting
//	arrowlog                  the logs of one disk: segments, group commit, recovery, writer state
//	tablet/scan               one read: source, columns, batches of a good size
//	tablet/replica            who leads a bucket, and how far it is committed: a pure state machine
//	tablet                    the tablet server: a bucket's put and get
//	coordinator/metastore     where metadata is kept
//	coordinator               tables, writers, leadership: a pure state machine
//	flight                    the words of the wire contract
//	flight/server             the Flight service
//	node                      one process made of all these
//	cmd/quiver                the program
//
// An import goes up this list and never down or sideways but where layers_test.go has a line for it.
//
// # Words
//
//	database, table   "shop.orders"; a table alone is in the database "default"
//	partition         all rows of a table with the same values in the partition columns; made and dropped as one
//	bucket            a part of a table, or of each of its partitions, that has one order, one leader and one log on disk
//	offset            the number of a row in its bucket: from 0, with no gap and no repeat; ends are exclusive
//	batch             rows that were put or are stored together; where one ends is no part of the contract
//	unit              the pieces of one put in one bucket: adjacent, and there all or not at all
//	segment           a file of a bucket's log, which is an Arrow IPC stream of one schema
//	high watermark    one past the last row that readers may see
//	log end           one past the last row that the log has
//	epoch             counts the leaderships of a bucket, or the lives of a writer; the higher one wins
//	writer, sequence  who put a batch, and its number among that writer's batches: what makes a retry safe
//	cursor            a consumer's place in a table, kept under a name
//	in-sync set       the replicas that have all rows that were acknowledged
//
// # Laws
//
// They hold everywhere; code that seems to need an exception is wrong.
//
//  1. Bytes in = bytes stored = bytes out. A body that needs no change is never encoded again.
//  2. A segment is an Arrow IPC stream: every Arrow reader opens it, also while it grows.
//  3. An acknowledgement means durable on every replica in sync, and readable at its offset.
//  4. Offsets count rows, per bucket, from 0, with no gap and no repeat.
//  5. Nothing above the high watermark is ever shown.
//  6. The state of a primary-key table is the fold of its changelog; the log is the only write-ahead log.
//  7. Writer state, indexes and row counts are pure functions of the log: each can be deleted and rebuilt.
//  8. Leader epochs are in every batch, fetch, acknowledgement and command. A lower one has no effect anywhere.
//  9. The coordinator decides, servers reconcile: they converge to a versioned desired state (see Desired).
//  10. There are three outcomes: done, not done, unknown (see Outcome). Unknown is never treated as failed, and
//     absence in metadata is never permission to delete.
//  11. Any node serves any request: it forwards what is led elsewhere.
//  12. An idle bucket costs nothing: no goroutine, timer, open file.
//  13. Untrusted bytes pass a gate first: bounded in memory, no panics (here: ParseSchemaMessage, ParseType).
//
// # Schemas
//
// A table's Schema is made from what its creator gave, by NewSchema, and is plain from then on: Normalize takes
// dictionaries, views, run-end encodings and extension types to their values' layout. Every field, nested ones
// too, has a ColumnID for ever; names are only what users see.
//
//	client's schema ── ParseSchemaMessage ──► MapInput, by name ──► Mapping ──► stored batch
//	stored schema   ── DecodeSchema ───────► MapColumns, by id ──► Mapping ──► served batch
//
// A Mapping that is Raw means that the stored bytes of the chosen columns suffice.
//
// Schema.Alter gives the next version of a schema: columns that stay keep their ids whatever they are called, new ones
// get ids that the table never had. No version but the newest is kept in the metadata: SchemaFromStored reads the one
// that a segment was written under.
//
// # Partitions
//
// A partition's name is made of the values of its columns (Table.PartitionName) and read again in any form that somebody
// may write it in (Table.ParsePartition); there is one canonical form, and only that is stored and compared. Partitions
// by the clock: AutoPartition tells which column's value is the time and what is made and dropped when.
package quiver
