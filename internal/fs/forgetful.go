//go:build fault

package fs

import (
	"sync"
)

// forgetful is a disk that loses what a failed sync should have made durable, at once, as a machine may that has no room
// in its cache: every file remembers what stood where it was written since its last sync, and a sync that fails puts it
// back. So a program that believes a failed sync, or one that is tried again, loses what it promised.
type forgetful struct {
	FS
	orders *orders
}

// Create implements vfs.FS.
func (f *forgetful) Create(name string, c Category) (File, error) {
	return forgetfully(f.FS.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (f *forgetful) OpenReadWrite(name string, c Category, opts ...OpenOption) (File, error) {
	return forgetfully(f.FS.OpenReadWrite(name, c, opts...))
}

// ReuseForWrite implements vfs.FS.
func (f *forgetful) ReuseForWrite(old, name string, c Category) (File, error) {
	return forgetfully(f.FS.ReuseForWrite(old, name, c))
}

// GetDiskUsage implements vfs.FS.
func (f *forgetful) GetDiskUsage(name string) (DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(name)
	if err == nil && f.orders.full(name) {
		usage.AvailBytes, usage.UsedBytes = 0, usage.TotalBytes
	}
	return usage, err
}

func forgetfully(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &forgetfulFile{File: f}, nil
}

// forgetfulFile is an open file that can be written.
type forgetfulFile struct {
	File

	mu     sync.Mutex // guards what follows
	at     int64      // where Write goes on
	before []overwritten
}

// overwritten is what stood in a file since its last sync; behind the end there are zeros.
type overwritten struct {
	at  int64
	old []byte
}

// remember keeps what stands where something is about to be written.
func (f *forgetfulFile) remember(at int64, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	o := overwritten{at, make([]byte, size)}
	_, _ = f.File.ReadAt(o.old, at) // what cannot be read is behind the end
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = append(f.before, o)
}

// Write implements vfs.File.
func (f *forgetfulFile) Write(p []byte) (int, error) {
	f.remember(f.at, p)
	n, err := f.File.Write(p)
	f.at += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *forgetfulFile) WriteAt(p []byte, at int64) (int, error) {
	f.remember(at, p)
	return f.File.WriteAt(p, at)
}

func (f *forgetfulFile) writeVector(parts [][]byte, at int64) error {
	f.remember(at, parts...)
	return WriteVector(f.File, parts, at)
}

// Sync implements vfs.File.
func (f *forgetfulFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *forgetfulFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *forgetfulFile) SyncTo(length int64) (full bool, err error) {
	full, err = f.File.SyncTo(length)
	if full && err == nil {
		f.forget()
	}
	return full, err
}

func (f *forgetfulFile) sync(do func() error) error {
	err := do()
	if err == nil {
		f.forget()
	}
	return err
}

// forget drops what stood there before: what was written is durable.
func (f *forgetfulFile) forget() (before []overwritten) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.before = f.before, nil
	return before
}

// loseUnsynced puts back what stood there before.
func (f *forgetfulFile) loseUnsynced() {
	before := f.forget()
	for i := len(before) - 1; i >= 0; i-- {
		if _, err := f.File.WriteAt(before[i].old, before[i].at); err != nil {
			panic("fs: lose what was not synced: " + err.Error())
		}
	}
}
