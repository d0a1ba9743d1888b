package fs

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WithErrors returns the file system with failures: every operation asks first, and if the answer is an error nothing
// is done and that error returned. A failed sync of a file of a Mem loses what it should have made durable, see the
// package comment. Several goroutines may ask at one time.
func WithErrors(fsys FS, fail func(op Op, name string) error) FS {
	return &hooked{fs: fsys, before: fail}
}

// Record returns the file system with a callback after every operation, failed ones too. Several goroutines may call
// at one time.
func Record(fsys FS, done func(op Op, name string)) FS {
	return &hooked{fs: fsys, after: done}
}

// hooked is a file system with something before or after each operation.
type hooked struct {
	fs     FS
	before func(op Op, name string) error
	after  func(op Op, name string)
}

var _ FS = (*hooked)(nil)

// around does one operation with what comes before and after it.
func (h *hooked) around(op Op, name string, do func() error) error {
	if h.before != nil {
		if err := h.before(op, name); err != nil {
			return err
		}
	}
	err := do()
	if h.after != nil {
		h.after(op, name)
	}
	return err
}

// open does an operation that opens a file.
func (h *hooked) open(op Op, name string, dir bool, do func() (File, error)) (File, error) {
	var f File
	err := h.around(op, name, func() (err error) {
		f, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &hookedFile{File: f, fs: h, name: name, dir: dir}, nil
}

// Create implements vfs.FS.
func (h *hooked) Create(name string, c Category) (File, error) {
	return h.open(OpCreate, name, false, func() (File, error) { return h.fs.Create(name, c) })
}

// Open implements vfs.FS.
func (h *hooked) Open(name string, opts ...vfs.OpenOption) (File, error) {
	return h.open(OpOpen, name, false, func() (File, error) { return h.fs.Open(name, opts...) })
}

// OpenReadWrite implements vfs.FS.
func (h *hooked) OpenReadWrite(name string, c Category, opts ...vfs.OpenOption) (File, error) {
	op := OpOpen
	if _, err := h.fs.Stat(name); isNotExist(err) {
		op = OpCreate
	}
	return h.open(op, name, false, func() (File, error) { return h.fs.OpenReadWrite(name, c, opts...) })
}

// OpenDir implements vfs.FS.
func (h *hooked) OpenDir(name string) (File, error) {
	return h.open(OpOpen, name, true, func() (File, error) { return h.fs.OpenDir(name) })
}

// ReuseForWrite implements vfs.FS.
func (h *hooked) ReuseForWrite(oldname, newname string, c Category) (File, error) {
	return h.open(OpRename, newname, false, func() (File, error) { return h.fs.ReuseForWrite(oldname, newname, c) })
}

// Link implements vfs.FS.
func (h *hooked) Link(oldname, newname string) error {
	return h.around(OpLink, newname, func() error { return h.fs.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (h *hooked) Rename(oldname, newname string) error {
	return h.around(OpRename, newname, func() error { return h.fs.Rename(oldname, newname) })
}

// Remove implements vfs.FS.
func (h *hooked) Remove(name string) error {
	return h.around(OpRemove, name, func() error { return h.fs.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (h *hooked) RemoveAll(name string) error {
	return h.around(OpRemoveAll, name, func() error { return h.fs.RemoveAll(name) })
}

// MkdirAll implements vfs.FS.
func (h *hooked) MkdirAll(name string, perm os.FileMode) error {
	return h.around(OpMkdir, name, func() error { return h.fs.MkdirAll(name, perm) })
}

// Truncate implements FS.
func (h *hooked) Truncate(name string, size int64) error {
	return h.around(OpTruncate, name, func() error { return h.fs.Truncate(name, size) })
}

// Lock implements vfs.FS.
func (h *hooked) Lock(name string) (io.Closer, error) {
	return hook(h, OpLock, name, func() (io.Closer, error) { return h.fs.Lock(name) })
}

// List implements vfs.FS.
func (h *hooked) List(name string) ([]string, error) {
	return hook(h, OpList, name, func() ([]string, error) { return h.fs.List(name) })
}

// Stat implements vfs.FS.
func (h *hooked) Stat(name string) (FileInfo, error) {
	return hook(h, OpStat, name, func() (FileInfo, error) { return h.fs.Stat(name) })
}

// GetDiskUsage implements vfs.FS.
func (h *hooked) GetDiskUsage(name string) (DiskUsage, error) {
	return hook(h, OpUsage, name, func() (DiskUsage, error) { return h.fs.GetDiskUsage(name) })
}

// PathBase implements vfs.FS.
func (h *hooked) PathBase(name string) string { return h.fs.PathBase(name) }

// PathJoin implements vfs.FS.
func (h *hooked) PathJoin(elem ...string) string { return h.fs.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (h *hooked) PathDir(name string) string { return h.fs.PathDir(name) }

// Unwrap implements vfs.FS.
func (h *hooked) Unwrap() vfs.FS { return h.fs }

// hook is around for an operation with a result.
func hook[T any](h *hooked, op Op, name string, do func() (T, error)) (result T, err error) {
	err = h.around(op, name, func() (err error) {
		result, err = do()
		return err
	})
	return result, err
}

// hookedFile is an open file of a hooked file system.
type hookedFile struct {
	File
	fs   *hooked
	name string
	dir  bool // opened by OpenDir
}

// Close implements vfs.File. A file whose close fails is closed all the same.
func (f *hookedFile) Close() error {
	done := false
	err := f.fs.around(OpClose, f.name, func() error {
		done = true
		return f.File.Close()
	})
	if !done {
		return errors.Join(err, f.File.Close())
	}
	return err
}

// Read implements vfs.File.
func (f *hookedFile) Read(p []byte) (int, error) {
	return hook(f.fs, OpRead, f.name, func() (int, error) { return f.File.Read(p) })
}

// ReadAt implements vfs.File.
func (f *hookedFile) ReadAt(p []byte, off int64) (int, error) {
	return hook(f.fs, OpRead, f.name, func() (int, error) { return f.File.ReadAt(p, off) })
}

// Write implements vfs.File.
func (f *hookedFile) Write(p []byte) (int, error) {
	return hook(f.fs, OpWrite, f.name, func() (int, error) { return f.File.Write(p) })
}

// WriteAt implements vfs.File.
func (f *hookedFile) WriteAt(p []byte, off int64) (int, error) {
	return hook(f.fs, OpWrite, f.name, func() (int, error) { return f.File.WriteAt(p, off) })
}

func (f *hookedFile) writeVector(parts [][]byte, off int64) error {
	return f.fs.around(OpWrite, f.name, func() error { return WriteVector(f.File, parts, off) })
}

// Preallocate implements vfs.File.
func (f *hookedFile) Preallocate(off, length int64) error {
	return f.fs.around(OpAllocate, f.name, func() error { return f.File.Preallocate(off, length) })
}

func (f *hookedFile) allocate(off, length int64) error {
	return f.fs.around(OpAllocate, f.name, func() error { return Allocate(f.File, off, length) })
}

// Stat implements vfs.File.
func (f *hookedFile) Stat() (FileInfo, error) { return hook(f.fs, OpStat, f.name, f.File.Stat) }

// Sync implements vfs.File.
func (f *hookedFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *hookedFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *hookedFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *hookedFile) sync(do func() error) error {
	op := OpSync
	if f.dir {
		op = OpSyncDir
	}
	done := false
	err := f.fs.around(op, f.name, func() error {
		done = true
		return do()
	})
	if err != nil && !done {
		f.loseUnsynced()
	}
	return err
}

func (f *hookedFile) loseUnsynced() {
	if l, ok := f.File.(unsyncedLoser); ok {
		l.loseUnsynced()
	}
}
