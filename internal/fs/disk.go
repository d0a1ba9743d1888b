package fs

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the operating system's file system.
type disk struct{ vfs.FS }

// Disk returns the operating system's file system.
func Disk() FS { return disk{vfs.Default} }

// Truncate implements FS.
func (disk) Truncate(name string, size int64) error { return os.Truncate(name, size) }
