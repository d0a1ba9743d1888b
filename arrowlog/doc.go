// Package arrowlog keeps the logs of one disk: rows in the order they were put, bucket by bucket, each stored batch an
// Arrow message in a file that any Arrow reader opens.
//
// Laws:
//
//   - Offsets count rows from 0, without a gap and without a repeat. An offset is never given out twice.
//   - What Sync reported is on the disk. What is above the high watermark is shown to nobody.
//   - A failed fsync is never retried: the disk is fenced, takes no more writes, and goes on reading.
//   - Damage below the high watermark is told (CORRUPT_RANGE) and kept; it is never cut off.
//   - Writer state, epochs and indexes are functions of the log. Their files may be lost.
//   - The package starts no goroutine. An idle bucket holds no file open.
//
// A producer stages a unit and waits; the first that waits writes for all (see commit.go):
//
//	Seen ── repeat? ── Stage ── offsets, queue ── Sync ── merge, stamp, write, fdatasync ── durable
//	                                                                                          │
//	Read ── [from, high watermark) ── segments                        SetHighWatermark ◄──────┘
//
// # Files
//
//	<data>/log/checkpoint                                     marks of all buckets, at most a second old
//	<data>/log/<table>/<partition>/<bucket>/
//	        00000000000000000000.arrows   .index   .state     a closed segment
//	        00000000000000081920.arrows            .state     the one that is written to
//
// A segment is an Arrow IPC stream: a Schema message, whose metadata names bucket, base offset, schema and a random
// salt, then one RecordBatch message for each stored batch, as package record draws them. Every message starts on 64
// bytes; behind the last one the file ends, or zeros follow, 64 bytes at least, which every Arrow reader takes for the
// end of the stream:
//
//	0           64·a          64·b          64·c                     end of file
//	| Schema    | batch       | batch       | 0 0 0 0 0 0 0 0 0 0 0 |
//	              prefix, metadata (header, columns' checksums, producers), body
//
// The .state file holds what the log says before its segment: the writers with their last batches, the epochs, the
// chain; and a copy of the Schema message. It is durable before the segment appears. The .index file holds the place
// of every batch of a closed segment and their metadata, verbatim; it is written some time later and may be missing.
// Both, and the checkpoint, are frames (frame.go) with a checksum. The checkpoint holds its frame twice.
//
// What a start makes of files that a crash left is told in recover.go; what an offline check finds wrong with them, in
// verify.go.
package arrowlog
