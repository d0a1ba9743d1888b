package fs

import "syscall"

// ReadOnly returns the file system without its changes: whatever would change the disk fails with EROFS. Locks are
// refused as well, since taking one may make its file.
func ReadOnly(fsys FS) FS {
	return WithErrors(fsys, func(op Op, _ string) error {
		if op.Changes() {
			return syscall.EROFS
		}
		return nil
	})
}
