// Package coordinator decides what there is: databases, tables and their partitions, the epochs of their leaders, the
// ids and epochs of writers, and the cursors of consumers. Servers converge to what it decided.
//
// # Laws
//
//  1. The state is the image of the keys in the metadata store, and nothing else: loading them gives it.
//  2. Apply is pure. State and command give a transaction and a result; no clock, lock, file or random number is in
//     it. The state changes by folding the transaction, once it is known to be done.
//  3. Log, memory, visible, in that order: a transaction is durable before the state changes, the servers have
//     converged to it before callers of Table and Tables see it, and only then its command is answered. So a table
//     that can be found can be written, and an answered command has been applied.
//  4. Every transaction compares the key "head" and raises it. So commits have one order, and a coordinator that was
//     replaced by another one cannot commit any more.
//  5. Ids of tables, partitions and writers come from counters in "head". They are never given twice, whatever dies when: the
//     counter is durable before the id is told.
//  6. An epoch rises whenever a leader starts. StartServer raises the epoch of all buckets by one small write; Elect
//     raises that of one bucket.
//  7. Dropping a table or a partition leaves a tombstone with its id; that of a table stands for all its partitions.
//     Data is deleted for a tombstone, never because a table is absent from the metadata; the tombstone goes when the
//     data has gone.
//  8. A commit whose outcome is unknown is neither done nor failed: it is committed again, under its request id, until
//     the store knows. No other command runs before that.
//  9. What there is many of has a record of its own, so that a change writes what it changes: a partition does not
//     write its table's record, a cursor no other one. Old schemas are not kept: segments tell theirs.
//  10. Time is an argument. Partitions by the clock are made and dropped by a command like any other (AutoPartitions).
//
// # Picture
//
//	CreateTable, AlterTable, CreatePartitions, AutoPartitions, CommitCursor, InitWriter, Elect, PurgeTombstone, …
//	     │ commands, one group at a time
//	     ▼
//	Apply(State, Command) ─► Txn, Result          pure: apply*.go, database.go, cursor.go
//	     │
//	     ▼
//	metastore.Commit ─► State.fold ─► Reconcile(Desired) ─► publish ─► answers      coordinator.go, round.go
//
// Commands that wait while a group is under way form the next group: one transaction, one sync and one Reconcile for
// all of them.
//
// # Keys
//
// Ids in keys have 20 digits, so that keys sort as ids do. Values are JSON.
//
//	head                                  {"format":2,"incarnation":3,"base":3,"epoch":5,"next_table":18,"next_writer":41,
//	                                       "next_partition":7}
//	database/<name>                       {"comment":"","properties":{"owner":"sales"},"created":1763800000000}
//	table/<table>                         {"database":"default","name":"events","schema":{…},"buckets":4,"bucket_key":[1],
//	                                       "partition_by":[2],"options":{"segment.age":"2h"},"comment":"","created":…}
//	partition/<table>/<partition>         {"values":"2026-11-22/eu","created":1763800000000}
//	dropped-partition/<table>/<partition> {"name":"default.events dt=2026-11-22","buckets":4,"dropped":1763800000000}
//	cursor/<table>/<name>                 {"offsets":{"6":{"0":1200}},"committed":1763800000000}
//	dropped/<table>                       {"database":"default","name":"events","buckets":4,"dropped":1763800000000}
//	elect/<table>/<partition>/<bucket>    {"epoch":5}
//	counter/<table>                       {"next":1001}
//	writer/<writer>                       {"epoch":3,"raised":1763800000000,"name":"loader-7","principal":"etl"}
//
// The epoch of a bucket is the higher one of "base", the epoch with which all leaders of this incarnation began, and
// the one under elect/, if there is one. A new incarnation takes the next epoch as base: what stands under elect/ is
// below it then.
//
// Format 1 had neither partitions, keys of tables nor cursors; a start makes it format 2. The values of a partition are
// those of its name, without the columns' names: these may change, and the record need not.
package coordinator
