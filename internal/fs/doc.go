// Package fs is the port to the file system: everything Quiver reads from or writes to a disk goes through an FS.
//
// FS is a superset of Pebble's vfs.FS, so one value serves the logs and Pebble alike. There are two of them: Disk,
// the operating system's, and Mem, which lives in memory, is strict about durability, and can crash. Two wrappers
// work on both: WithErrors makes chosen operations fail, Record reports every operation. In programs built with the tag
// "fault" a real disk fails on order: Ordered.
//
// What survives, and when (Mem holds callers to exactly this, Disk gives at least this):
//
//	written to a file            a killed process, at once
//	                             a lost machine, after Sync or SyncData of any handle of that file
//	size of a file               like its data: SyncData covers it
//	created, renamed, removed,   a killed process, at once
//	linked in a directory        a lost machine, after Sync of a handle of that directory (SyncDir)
//	a new directory              itself an entry of its parent: sync the parent too (MakeDirs does)
//
// After a crash of the machine each part that was not synced is there or not, independently of the others:
//
//	                0        512       1024      1536      2048
//	synced          |  old    |  old    |
//	written         |  old    |  new    |  new    |  new    |
//	may be found    |  old    |  old    |  zeros  |  new    |     sectors of 512 bytes: the last version or any earlier one
//	or              |  old    |  new    |                         sizes: the new one, the old one or any between
//
// A rename is one step: both names change or neither does. Changes of one name keep their order; whether those of one
// directory do is for the test to choose (CrashConfig.TearEntries): journaling file systems keep it, POSIX promises
// nothing. After a failed sync nothing is known about what it should have covered, and no later sync will make it
// durable, though reads still show it: so it is on Linux.
package fs
