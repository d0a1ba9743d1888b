// Command bench measures Quiver beside the floors of its machine, in one run.
//
//	go run ./bench                       every job, five rounds, tables into docs/benchmarks.md
//	go run ./bench -jobs J3,J4 -rounds 9
//	go run ./bench -quick                everything once with tiny sizes: a smoke test
//	go run ./bench -resume              the jobs that have no result of this commit yet
//	go run ./bench -jobs J1 -cpuprofile bench/out/profile -top 12
//	go run ./bench -summary             runs nothing: tables and plots from the raw results that are there
//
// A job compares arms. Each arm does the same piece of work once and tells what that took; the arms take turns
// (A B C A B C …), so that what drifts on the machine drifts for all of them:
//
//	job ── arm "quiver, pyarrow" ── server process ──┐
//	    ├─ arm "S, pyarrow"      ── server process ──┼── sample: seconds, rows, bytes, CPU, memory, foreign load
//	    └─ arm "D"               ── a file ──────────┘
//	                 │
//	    rounds × arms ── docs/benchmarks/J1.json, all samples
//	                                 │
//	       medians, spreads, ratios of the same round, goals ── tables in docs/benchmarks.md, docs/benchmarks/J1-*.svg
//
// The floors:
//
//	T  one-stream TCP loopback, 256 KiB writes
//	G  raw grpc-go pass-through at the message size that Quiver sends
//	S  a stock arrow-go Flight server that writes and reads IPC files
//	C  a C++ Flight server (pyarrow) that holds the same batches in memory
//	D  write + fdatasync of the same bytes in groups of the same sizes, in the same directory
//	K  bare Pebble in a process of its own: each batch written and synced, the same keys looked up
//
// Laws:
//
//  1. Every server is a process of its own, and its CPU time is read from the kernel, not from itself.
//  2. All arms of a job see the same rows in the same batches: seeded generators, written once as Arrow files.
//  3. A goal is judged by the median of ratios taken within a round, never by two figures of different runs.
//  4. A sample during which other processes took more than a little of the machine is marked, and taken again a
//     bounded number of times. Marked samples do not count, if three of the arm are left without them.
//  5. Figures are never typed, and neither are verdicts: tables, goals and plots are made from the raw results each
//     time, and a test fails where the page differs. A missed goal without an entry on the page fails a test, too.
//  6. Every job has a budget of time: beyond it no new round begins once there are three, and after twice of it the job
//     is ended. One job's failure does not take the others with it. All of them take about 17 minutes on two quiet
//     cores, at most about 35; each says at its start what it usually takes.
//
// Logical bytes are uncompressed Arrow bytes. Times of pyarrow clients are taken inside the Python process, which
// lives through all rounds, so the interpreter's start is in none of them.
package main
