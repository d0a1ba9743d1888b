package kv

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quiverlog/quiver/internal/fs"
)

// beside lets Pebble write checkpoints past the fence of its database: what goes wrong with a checkpoint does the
// database no harm. Each checkpoint has a fence of its own, since Pebble panics where a directory cannot be synced.
type beside struct {
	vfs.FS        // the fence of the database
	below  fs.FS  // the file system below it
	dir    string // of checkpoints; "": there is none
	fence  atomic.Pointer[fs.Fence]
}

func newBeside(fence *fs.Fence, below fs.FS, dir string) *beside {
	b := &beside{FS: fence, below: below, dir: dir}
	b.fence.Store(fs.NewFence(below))
	return b
}

// checkpoint has what is written for a checkpoint told by its own failures.
func (b *beside) checkpoint(write func() error) error {
	fence := fs.NewFence(b.below)
	b.fence.Store(fence)
	err := write()
	return errors.Join(err, fence.Failure())
}

func (b *beside) has(name string) bool {
	return b.dir != "" && (name == b.dir || strings.HasPrefix(name, b.dir) && os.IsPathSeparator(name[len(b.dir)]))
}

// of gives the file system for a file that is written.
func (b *beside) of(name string) vfs.FS {
	if b.has(name) {
		return b.fence.Load()
	}
	return b.FS
}

// Create implements vfs.FS.
func (b *beside) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return b.of(name).Create(name, category)
}

// Link implements vfs.FS. Into a checkpoint a file is copied that cannot be linked.
func (b *beside) Link(old, name string) error {
	if b.has(name) {
		return linkOrCopy(b.below, b, old, name)
	}
	return b.FS.Link(old, name)
}

// linkOrCopy gives a file a second name, or, where the file system has no such thing, copies it.
func linkOrCopy(fsys fs.FS, copier vfs.FS, old, name string) error {
	err := fsys.Link(old, name)
	if err == nil || errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrNotExist) {
		return err
	}
	return vfs.Copy(copier, old, name)
}

// Remove implements vfs.FS.
func (b *beside) Remove(name string) error { return b.of(name).Remove(name) }

// RemoveAll implements vfs.FS.
func (b *beside) RemoveAll(name string) error { return b.of(name).RemoveAll(name) }

// Rename implements vfs.FS.
func (b *beside) Rename(old, name string) error { return b.of(name).Rename(old, name) }

// OpenDir implements vfs.FS.
func (b *beside) OpenDir(name string) (vfs.File, error) { return b.of(name).OpenDir(name) }

// MkdirAll implements vfs.FS.
func (b *beside) MkdirAll(dir string, perm os.FileMode) error { return b.of(dir).MkdirAll(dir, perm) }
