// Torture runs the real server under real clients, breaks it in the ways that machines break, and judges what is left:
//
//	make torture DURATION=10m
//	go run ./torture -duration 10m -seed 7
//
// # Picture
//
//	nemesis ── kill -9, SIGTERM, SIGSTOP, full disk, failing and slow sync, ──> quiver-fault dev (a process of its own)
//	           torn tails, flipped bits, clock steps                                ^
//	clients ── producers, upserters, counters, inserters, followers, cursors ───────┘
//	   └─ notes (files) ──> judge: what was told and shown, against what the logs hold
//
// A run is a row of rounds on one data directory. Each round has tables of its own and a folder with the notes of its
// clients; at its end the nemesis rests, the clients come to their ends, and the judge reads everything back. The first
// contradiction ends the run: data and notes are kept, and the seed is printed.
//
// # What is judged
//
//	log tables      a put is there whole or not at all, its rows side by side with the values it was sent with;
//	                done: once, at the offsets that every answer told; refused: not there; unknown: once or not at all;
//	                the puts of a client lie in their order, those of a sequenced one without a gap
//	readers         every row once, in order, and what was shown stays: a hash over all rows up to an offset is noted
//	                with every batch and compared with the log at the end; a cursor never goes back
//	rows            the current rows are the fold of the changelog, and their number is exact; a row that an update
//	                replaces is the one before it; inserts only where there was none; deletes only where there was one
//	upserts         each client owns its keys and knows what they may hold: reads agree at any time
//	views           a table's rows of one moment and the changelog from there on come to the table
//	counters        conditional increments: counts are 1, 2, 3, …, each step is one acknowledged or open increment of one
//	                client, and no lookup shows less than was acknowledged before it
//	inserts         insert-if-missing gives one id for a word for ever, and no id twice
//	first rows      of rows of one key that several clients put at one time one stays, for ever, and none that was put when
//	                there was one
//	choices         a follower with a filter and some columns is shown what these leave of the log, and no row is left out
//	sums            an aggregation table fed by a named writer holds exactly what was sent
//	registers       keys that many clients use at one time: all their calls have an order that explains every answer
//	jobs            what a streaming job counted, at every row of its changelog, is what the log up to there comes to
//	disks           a segment that cannot be written or synced fences the disk: nothing is acknowledged any more; after any
//	                other trouble, and once there is room again, all work goes on by itself
//	files           a server that is down has a data directory in which "quiver verify" finds flipped bits and nothing else
//
// # Reproducing
//
// Everything that is chosen comes from the seed: the life of each server, its fault points, the sizes of puts. When
// goroutines, processes and disks take their turns does not, so the same seed meets the same faults at other moments.
// The file run.json of the output folder tells all of it.
package main
