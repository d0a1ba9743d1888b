package fs

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system. Names are paths as the operating system writes them.
type FS interface {
	vfs.FS

	// Truncate cuts the named file to size bytes or extends it with zeros. It is durable after a sync of the file.
	Truncate(name string, size int64) error
}

// The types of vfs that callers need, so that they need not import it.
type (
	// File is an open file or directory. Writes and syncs of one File are called one after the other.
	File = vfs.File
	// FileInfo describes a file.
	FileInfo = vfs.FileInfo
	// DiskUsage tells how full a disk is.
	DiskUsage = vfs.DiskUsage
	// OpenOption says how a file will be read.
	OpenOption = vfs.OpenOption
	// Category says on whose behalf a file is written, for Pebble's metrics.
	Category = vfs.DiskWriteCategory
)

// Unspecified is the Category of files that are not Pebble's.
const Unspecified = vfs.WriteCategoryUnspecified

// InvalidFd is what Fd returns for a File without a descriptor.
const InvalidFd = vfs.InvalidFd

// vectorWriter is a File that writes several parts by itself; WriteVector asks for it.
type vectorWriter interface {
	writeVector(parts [][]byte, off int64) error
}

// allocator is a File that allocates by itself; Allocate asks for it.
type allocator interface {
	allocate(off, length int64) error
}

// unsyncedLoser is a File that can be told that a sync of it failed.
type unsyncedLoser interface {
	loseUnsynced()
}
