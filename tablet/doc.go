// Package tablet is the tablet server: it serves the buckets that the coordinator assigns to this process.
//
// A Server is registry and reconciler only: it knows the tables, epochs and writers of the newest desired state, and
// hands out Tablets. A Tablet is one bucket: it stages puts in the bucket's log, advances the high watermark, and
// answers reads. Between log and high watermark stands the protocol (package replica), which is pure; this package is
// its shell.
//
//	        Reconcile(Desired)                 Put ──> refuse? ──> log.Stage ─┐
//	coordinator ─────────> Server ──> Tablet                                  │ group commit
//	        <── Elect ────             Wait ──> log.Sync ──> replica.Step ──> high watermark ──> readers wake
//
// # Life of a bucket
//
// An idle bucket costs nothing: its epoch is that of its partition. Its log is opened by the first call that needs it,
// under the epoch of its assignment; that is when recovery runs. A log that fails (a write or sync went wrong) ends its
// leadership: the next call asks the coordinator for a higher epoch (Elect), opens the log from what is on disk, and
// leads again. Callers that come meanwhile wait for it; where it cannot be done they get LEADER_NOT_AVAILABLE, which
// may be tried again. Reads go on from the failed log as long as there is no better one.
//
// # Rows
//
// The log of a primary-key bucket is its changelog; its current rows are kept by package kv and are the fold of it:
//
//	Upsert ──> kv.Prepare ──> log.Stage ──> kv.Stage        one after the other, under rows.mu
//	Wait ──> high watermark ──> kv.Advance ──> lookups and reads of current rows
//
// Rows are a cache that happens to be on disk. They are brought up to the log when a leadership begins, and made again
// from it when their store failed or cannot be opened; retention leaves the log as long as it is needed for that.
// Nobody is told a decision (done, or CONDITION_FAILED) before what it was judged by is durable.
//
// # Laws
//
//   - An order of a lower epoch or version has no effect.
//   - A put that was staged is settled by Wait, or within seconds by Run: done, not done, or unknown.
//   - Nothing is shown at or above the high watermark, and a repeat is answered only once the high watermark has
//     passed the log end it was found at.
//   - When Reconcile has returned, no batch of a writer's older epoch can be staged any more, and none in a dropped
//     table or partition (see writers).
//   - What is stored has the table's newest schema, whatever schema it was put under.
//   - Retention takes whole segments below the high watermark and below what scans are on their way to, from buckets
//     that are open and from others, a bounded number a round (see retention).
//   - Data is removed for a tombstone, by table or partition id, or by retention. What is absent from the desired state
//     is kept, and not served.
//
// # Locks
//
// In this order: Tablet.opening, rows.mu, Server.mu, Tablet.mu, what log and kv lock themselves. Server.mu and
// Tablet.mu are held for moments and never across I/O. rows.mu is held across reads of the store and, once in a
// thousand auto-increment numbers, a call to the coordinator, never across a sync: the second of two upserts of a
// bucket is decided on what the first one left. Reads do not take it but to see that the configuration is new.
// writers.mu is held across log.Stage, which does none; under it nothing but the log's own locks is taken. Elect is
// called under Tablet.opening alone, and may call Reconcile, which never waits for that.
package tablet
