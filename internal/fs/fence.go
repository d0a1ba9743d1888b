package fs

import (
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Fence stands between one Pebble database and the file system. At the first change to the disk that fails it notes
// the failure and falls: from then on nothing that the database does reaches the disk, and the database is told that
// all of it worked.
//
// Lying to Pebble is the gentle way. Told the truth, it panics with its locks held (a log that cannot be rotated),
// hangs every later commit (a log that cannot be synced), retries for ever without a pause (a flush that fails, also
// while it opens) or ends the process (a manifest that cannot be written). Told a lie it comes to rest and can be
// closed like any other; nobody believes its answers, since failure is asked after each of them. And it can run on for
// a while beside its successor in the same directory without doing harm.
type Fence struct {
	vfs.FS // for what does not change the disk

	gate   sync.RWMutex // held for reading while an operation is in the file system
	failed error        // the first failure, guarded by gate; nil: the fence stands
}

// NewFence puts a fence before a file system.
func NewFence(fsys FS) *Fence { return &Fence{FS: fsys} }

// Fall ends the fence, for the reason given. It returns when the last operation under way has ended.
func (f *Fence) Fall(cause error) {
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.failed == nil {
		f.failed = cause
	}
}

// Failure says why the fence fell, or nil.
func (f *Fence) Failure() error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.failed
}

// do runs an operation that changes the disk. It gives false if the operation did not happen, or failed, and is to be
// answered with a lie.
func (f *Fence) do(op func() error) bool {
	err := f.pass(op)
	if err != nil {
		f.Fall(err)
	}
	return err == nil
}

func (f *Fence) pass(op func() error) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.failed != nil {
		return f.failed
	}
	return op()
}

// doExisting is do for an operation on a name; that there is no such name is an honest answer to it.
func (f *Fence) doExisting(op func() error) error {
	var missing error
	f.do(func() error {
		err := op()
		if errors.Is(err, os.ErrNotExist) {
			missing, err = err, nil
		}
		return err
	})
	return missing
}

// open runs an operation that opens a file for writing. Behind a fallen fence the file is one that nobody sees.
func (f *Fence) open(op func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	ok := f.do(func() (err error) {
		file, err = op()
		return err
	})
	if !ok {
		return vfs.NewMem().Create("unseen", vfs.WriteCategoryUnspecified)
	}
	return &fencedFile{File: file, fence: f}, nil
}

// Create makes a file. Before a marker of Pebble the directory is synced: see markerPrefix.
func (f *Fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), markerPrefix) {
		f.do(func() error { return f.syncDir(f.PathDir(name)) })
	}
	return f.open(func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// markerPrefix begins the names of the files by whose existence Pebble says which manifest counts. It makes the
// manifest and then the marker, and syncs their directory once, after both. A file system that does not keep the
// order of entries could lose the manifest and keep the marker, so the directory is synced in between too.
const markerPrefix = "marker."

func (f *Fence) syncDir(dir string) error {
	d, err := f.FS.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OpenReadWrite opens a file that is there, or makes it.
func (f *Fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir opens a directory, to sync it.
func (f *Fence) OpenDir(name string) (vfs.File, error) {
	return f.open(func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

// ReuseForWrite gives an old file a new name, to be written anew.
func (f *Fence) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, category) })
}

// Link gives a file a second name.
func (f *Fence) Link(old, name string) error {
	return f.doExisting(func() error { return f.FS.Link(old, name) })
}

// Remove removes a file or an empty directory.
func (f *Fence) Remove(name string) error {
	return f.doExisting(func() error { return f.FS.Remove(name) })
}

// RemoveAll removes a directory and what is in it.
func (f *Fence) RemoveAll(name string) error {
	return f.doExisting(func() error { return f.FS.RemoveAll(name) })
}

// Rename gives a file another name.
func (f *Fence) Rename(old, name string) error {
	return f.doExisting(func() error { return f.FS.Rename(old, name) })
}

// MkdirAll makes a directory and those above it.
func (f *Fence) MkdirAll(dir string, perm os.FileMode) error {
	f.do(func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

// Unwrap hides the file system below, so that nothing goes around the fence.
func (f *Fence) Unwrap() vfs.FS { return nil }

// fencedFile is a file that was opened for writing through a fence that stood.
type fencedFile struct {
	vfs.File
	fence *Fence
}

func (f *fencedFile) Write(p []byte) (int, error) {
	f.fence.do(func() error { _, err := f.File.Write(p); return err })
	return len(p), nil
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	f.fence.do(func() error { _, err := f.File.WriteAt(p, off); return err })
	return len(p), nil
}

func (f *fencedFile) Preallocate(offset, length int64) error {
	f.fence.do(func() error { return f.File.Preallocate(offset, length) })
	return nil
}

func (f *fencedFile) Sync() error {
	f.fence.do(f.File.Sync)
	return nil
}

func (f *fencedFile) SyncData() error {
	f.fence.do(f.File.SyncData)
	return nil
}

func (f *fencedFile) SyncTo(length int64) (full bool, err error) {
	f.fence.do(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, nil
}

// Close tells the truth about the descriptor, and counts as a change: some file systems report a lost write only here.
func (f *fencedFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.fence.Fall(err)
	}
	return nil
}

// Fd hides the descriptor, so that nothing goes around the fence.
func (f *fencedFile) Fd() uintptr { return vfs.InvalidFd }
