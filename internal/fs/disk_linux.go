package fs

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// maxVectors is how many parts one pwritev takes (IOV_MAX).
const maxVectors = 1024

// writeDescriptor writes the parts by pwritev.
func writeDescriptor(f File, parts [][]byte, off int64) error {
	fd := int(f.Fd())
	err := writeAll(parts, off, func(parts [][]byte, off int64) (int, error) {
		if len(parts) == 1 {
			return unix.Pwrite(fd, parts[0], off)
		}
		return unix.Pwritev(fd, parts, off)
	})
	runtime.KeepAlive(f)
	return os.NewSyscallError("pwritev", err)
}

// writeAll calls write until all parts are written, each time with at most maxVectors of them. A write may do less
// than it was asked for; the next one goes on from there.
func writeAll(parts [][]byte, off int64, write func(parts [][]byte, off int64) (int, error)) error {
	for {
		parts = skipEmpty(parts)
		if len(parts) == 0 {
			return nil
		}
		n, err := write(parts[:min(len(parts), maxVectors)], off)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		off += int64(n)
		left, skip := advance(parts, n)
		if skip > 0 { // the rest of that part goes alone, because the caller's list must not change
			rest := left[0][skip:]
			if err := writeAll([][]byte{rest}, off, write); err != nil {
				return err
			}
			off += int64(len(rest))
			left = left[1:]
		}
		parts = left
	}
}

func skipEmpty(parts [][]byte) [][]byte {
	for len(parts) > 0 && len(parts[0]) == 0 {
		parts = parts[1:]
	}
	return parts
}

// advance drops the first n bytes of the parts: whole parts go, skip are left to drop of the first that stays.
func advance(parts [][]byte, n int) (rest [][]byte, skip int) {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	return parts, n
}

// allocateDescriptor is fallocate, which also extends the file. In memory it would clear every page only for it to be
// overwritten, a fifth of the CPU time of a put, so there the file is extended alone.
func allocateDescriptor(f File, off, length int64) error {
	defer runtime.KeepAlive(f)
	if inMemory(f) {
		return extend(f, off+length)
	}
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, length)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP): // some network and overlay file systems
			return extend(f, off+length)
		}
		return os.NewSyscallError("fallocate", err)
	}
}

// inMemory tells whether the file lies in a tmpfs.
func inMemory(f File) bool {
	var s unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &s) == nil && s.Type == unix.TMPFS_MAGIC
}
