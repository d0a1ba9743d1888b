package fs

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// WriteVector writes the parts one after the other from off on, by pwritev where the file has a descriptor. After an
// error any of the bytes may have been written.
func WriteVector(f File, parts [][]byte, off int64) error {
	if w, ok := f.(vectorWriter); ok {
		return w.writeVector(parts, off)
	}
	if fd := f.Fd(); fd != InvalidFd {
		return writeDescriptor(f, parts, off)
	}
	return writeParts(f, parts, off)
}

// writeParts is WriteVector by one WriteAt for each part.
func writeParts(f File, parts [][]byte, off int64) error {
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		n, err := f.WriteAt(part, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Allocate makes sure that [off, off+length) of the file has space on the disk and reads as zeros where nothing was
// written yet; the file grows to the end of it. It fails with ENOSPC rather than a later write.
func Allocate(f File, off, length int64) error {
	if a, ok := f.(allocator); ok {
		return a.allocate(off, length)
	}
	return allocateDescriptor(f, off, length)
}

// Free returns the bytes that may still be written to the file system that holds the path.
func Free(fsys FS, path string) (int64, error) {
	usage, err := fsys.GetDiskUsage(path)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(min(usage.AvailBytes, math.MaxInt64)), nil
}

// SyncDir makes the entries of a directory durable: what was created, renamed, linked or removed in it.
func SyncDir(fsys FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MakeDirs creates a directory and those above it that are missing, durably.
func MakeDirs(fsys FS, dir string) error {
	parent := fsys.PathDir(dir)
	if parent == dir { // the root, or the working directory
		return nil
	}
	switch info, err := fsys.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := MakeDirs(fsys, parent); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return SyncDir(fsys, parent)
}

// TempSuffix ends the names of files that WriteFile was writing. One found at start is rubbish of a crash.
const TempSuffix = ".tmp"

// WriteFile replaces the file at path by one that holds data, durably and as one step: whoever opens it, now or after
// a crash at any point, finds all of the old content or all of the new.
func WriteFile(fsys FS, path string, data []byte) error {
	if err := Replace(fsys, path, data); err != nil {
		return err
	}
	return SyncDir(fsys, fsys.PathDir(path))
}

// Replace is WriteFile but for the last step: until the caller syncs the directory, a crash may leave the old content, or no
// file where there was none.
func Replace(fsys FS, path string, data []byte) error {
	temp := path + TempSuffix
	if err := writeSynced(fsys, temp, data); err != nil {
		return errors.Join(err, removeIfThere(fsys, temp))
	}
	return fsys.Rename(temp, path)
}

// writeSynced creates a file with the data and syncs it.
func writeSynced(fsys FS, path string, data []byte) error {
	f, err := fsys.Create(path, Unspecified)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		_, err = f.WriteAt(data, 0) // Write may change data, WriteAt may not
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(fsys FS, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// ReadFile returns the content of a file.
func ReadFile(fsys FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// readAll returns the content that an open file has now.
func readAll(f File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if len(data) == 0 {
		return data, nil
	}
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("%d of %d bytes: %w", n, len(data), err)
	}
	return data, nil
}

// extend grows a file to size by writing its last byte. It stands in for fallocate where that is missing, and unlike
// it reserves no space.
func extend(f File, size int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() >= size {
		return err
	}
	_, err = f.WriteAt([]byte{0}, size-1)
	return err
}
