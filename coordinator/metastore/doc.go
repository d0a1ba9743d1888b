// Package metastore keeps the coordinator's metadata: a small map from keys to values that changes by atomic,
// durable, conditional transactions. Only the coordinator uses it.
//
// # Laws
//
//  1. A transaction happens whole or not at all, after a crash too.
//  2. A commit has three outcomes: Done, NotDone and Unknown. Done is durable. NotDone changed nothing and never
//     will. Unknown may have happened, once; it is never treated as failed.
//  3. A transaction is named by its request id. Committing the same one again does nothing but answer, with the
//     version of the first time. That is how an unknown outcome is resolved: commit it again until the answer is
//     Done or a conflict. The last KeptRequests ids are remembered, durably, in the transaction they name.
//  4. Every commit that changes the store raises its version by one, and the keys it puts carry that version. So a
//     comparison with a key's version holds only if nobody wrote the key since: no transaction is lost between a
//     read and a write. Versions are never reused, also not after deletion.
//  5. What Get and Range show is durable, and Range shows one version.
//
// # Picture
//
//	coordinator ── Txn{Request, Compares, Puts, Deletes} ──► Store ──► Result{Outcome, Version}
//	                                                          │
//	                                          Memory: a map, the model that the others are tested against
//	                                          Embedded: Pebble, one node, nothing to install
//
// # Format of Embedded
//
// A Pebble database whose write-ahead log is on and synced by each commit. Its keys:
//
//	'k' key                      8 bytes version, big endian; then the value
//	'r' 8 bytes version, b. e.   16 bytes id of the request that made this version; 8 bytes number of keys after it;
//	                             8 bytes sum of the CRC-64s of all keys with their versions and values
//
// The version of the store is the highest one under 'r'. A commit writes its 'r' row and deletes the one
// KeptRequests before it, in the Pebble batch that holds its puts and deletes. At every start the keys are summed up
// and compared with the last 'r' row, and a file "begun" tells a store that lost everything from a new one: Pebble
// takes a damaged manifest for a shorter one.
//
// # Failures of Embedded
//
// A Pebble database that failed to write is never used again: an fsync that failed is not repeated. It is cut off from
// the file system (see fs.Fence), so that no goroutine of it can touch a file any more, and the next call opens the
// directory anew. Opening replays the write-ahead log and writes what it found there again, to new files that are
// synced before the store answers: what was read back is durable. The process never ends because of the store.
package metastore
