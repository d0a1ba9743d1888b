package fs

import (
	"bytes"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// handle is an open file or directory of a Mem, whose lock guards it.
type handle struct {
	mem      *Mem
	node     *node
	name     string // as it was opened
	writable bool
	pos      int64 // where Read and Write go on
	closed   bool
}

var _ File = (*handle)(nil)

// open makes a handle; m.mu must be held.
func (m *Mem) open(name string, n *node, writable bool) *handle {
	h := &handle{mem: m, node: n, name: name, writable: writable}
	n.opens++
	m.handles[h] = struct{}{}
	return h
}

// check tells why the handle cannot be used for a file operation; the lock must be held.
func (h *handle) check(op string, write bool) error {
	switch {
	case h.closed:
		return &os.PathError{Op: op, Path: h.name, Err: os.ErrClosed}
	case h.node.isDir():
		return pathError(op, h.name, syscall.EISDIR)
	case write && !h.writable:
		return pathError(op, h.name, syscall.EBADF)
	}
	return nil
}

// Close implements vfs.File.
func (h *handle) Close() error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if h.closed {
		return &os.PathError{Op: "close", Path: h.name, Err: os.ErrClosed}
	}
	h.closed = true
	h.node.opens--
	delete(h.mem.handles, h)
	h.mem.maybeFree(h.node)
	return nil
}

// Read implements vfs.File.
func (h *handle) Read(p []byte) (int, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := h.copyAt(p, h.pos)
	h.pos += int64(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// ReadAt implements vfs.File.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.mem.mu.RLock()
	defer h.mem.mu.RUnlock()
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", h.name, syscall.EINVAL)
	}
	n := h.copyAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) copyAt(p []byte, off int64) int {
	return copy(p, h.node.data[min(off, int64(len(h.node.data))):])
}

// Write implements vfs.File.
func (h *handle) Write(p []byte) (int, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	n, err := h.write(bytes.Clone(p), h.pos)
	h.pos += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	return h.write(bytes.Clone(p), off)
}

func (h *handle) writeVector(parts [][]byte, off int64) error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	_, err := h.write(slices.Concat(parts...), off)
	return err
}

// write writes what the disk has room for and keeps p; the lock must be held.
func (h *handle) write(p []byte, off int64) (int, error) {
	if err := h.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", h.name, syscall.EINVAL)
	}
	var full error
	if room := h.node.space() + h.mem.room() - off; room < int64(len(p)) {
		full = pathError("write", h.name, syscall.ENOSPC)
		p = p[:max(room, 0)]
	}
	if len(p) > 0 {
		h.mem.used += h.node.edit(edit{kind: editWrite, off: off, data: p})
		h.node.modTime = time.Now()
	}
	return len(p), full
}

// Preallocate implements vfs.File: it reserves space and leaves the size.
func (h *handle) Preallocate(off, length int64) error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	return h.reserve("preallocate", off+length)
}

func (h *handle) allocate(off, length int64) error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	end := off + length
	if err := h.reserve("allocate", end); err != nil {
		return err
	}
	if end > int64(len(h.node.data)) {
		h.mem.used += h.node.edit(edit{kind: editExtend, size: end})
	}
	return nil
}

// reserve takes space for the first end bytes of the file, or none; the lock must be held.
func (h *handle) reserve(op string, end int64) error {
	if err := h.check(op, true); err != nil {
		return err
	}
	more := end - h.node.space()
	if more <= 0 {
		return nil
	}
	if more > h.mem.room() {
		return pathError(op, h.name, syscall.ENOSPC)
	}
	h.node.reserved = end
	h.mem.used += more
	return nil
}

// Sync implements vfs.File, for directories too.
func (h *handle) Sync() error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	switch {
	case h.closed:
		return &os.PathError{Op: "sync", Path: h.name, Err: os.ErrClosed}
	case h.node.isDir():
		h.mem.syncDir(h.node)
	default:
		h.node.sync()
	}
	return nil
}

// SyncData implements vfs.File. The size counts as data.
func (h *handle) SyncData() error { return h.Sync() }

// SyncTo implements vfs.File. It may do nothing, so it does nothing.
func (h *handle) SyncTo(int64) (fullSync bool, err error) { return false, nil }

// loseUnsynced is what a failed sync does: what it should have covered reads as before, but is on the disk or not,
// and no later sync writes it again.
func (h *handle) loseUnsynced() {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if h.closed || h.node.isDir() {
		return
	}
	d := dice{CrashConfig{Rand: h.mem.rng, KeepUnsynced: 50, TearSectors: true}}
	h.node.disk = d.content(h.node)
	h.node.edits = nil
}

// Stat implements vfs.File.
func (h *handle) Stat() (FileInfo, error) {
	h.mem.mu.RLock()
	defer h.mem.mu.RUnlock()
	if h.closed {
		return nil, &os.PathError{Op: "stat", Path: h.name, Err: os.ErrClosed}
	}
	return h.node.info(h.name), nil
}

// Prefetch implements vfs.File.
func (h *handle) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (h *handle) Fd() uintptr { return InvalidFd }

// nodeInfo is a node as it was at one moment.
type nodeInfo struct {
	name    string
	size    int64
	modTime time.Time
	dir     bool
}

func (i *nodeInfo) Name() string       { return i.name }
func (i *nodeInfo) Size() int64        { return i.size }
func (i *nodeInfo) ModTime() time.Time { return i.modTime }
func (i *nodeInfo) IsDir() bool        { return i.dir }
func (i *nodeInfo) Sys() any           { return nil }

func (i *nodeInfo) Mode() os.FileMode {
	if i.dir {
		return os.ModeDir | 0o755
	}
	return 0o644
}

// DeviceID implements vfs.FileInfo.
func (i *nodeInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
