package fs

import (
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Mem is a file system in memory that remembers what is durable. See the package comment for what that means.
//
// One lock guards everything below it: a Clone or CrashClone is one instant of the whole file system.
type Mem struct {
	mu      sync.RWMutex
	root    *node
	moves   []*move // changes of directory entries that are not durable yet, oldest first
	handles map[*handle]struct{}
	locked  map[string]struct{} // clean paths of held Locks

	capacity int64 // bytes all files may have together, 0 = no limit
	used     int64

	rng *rand.Rand // decides what a failed sync made durable
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system without a capacity limit.
func NewMem() *Mem {
	return &Mem{
		root:    newDir(),
		handles: map[*handle]struct{}{},
		locked:  map[string]struct{}{},
		rng:     rand.New(rand.NewPCG(1, 2)),
	}
}

// SetCapacity makes writes fail with ENOSPC once all files together have that many bytes; 0 means no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// OpenFiles returns the names under which the files and directories that are open now were opened, in order.
func (m *Mem) OpenFiles() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := make([]string, 0, len(m.handles))
	for h := range m.handles {
		names = append(names, h.name)
	}
	slices.Sort(names)
	return names
}

// Create implements vfs.FS.
func (m *Mem) Create(name string, _ Category) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.create("create", name)
}

// create puts a new, empty file in place of whatever file has the name. Like the system's it removes that one first,
// which is a step of its own: a crash may leave neither.
func (m *Mem) create(op, name string) (File, error) {
	dir, base, err := m.parent(op, name)
	if err != nil {
		return nil, err
	}
	if old := dir.entries[base]; old != nil {
		if old.isDir() {
			return nil, pathError(op, name, syscall.EISDIR)
		}
		m.change(entry{dir, base, nil})
	}
	n := newFile()
	m.change(entry{dir, base, n})
	return m.open(name, n, true), nil
}

// Open implements vfs.FS.
func (m *Mem) Open(name string, _ ...vfs.OpenOption) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	return m.open(name, n, false), nil
}

// OpenReadWrite implements vfs.FS.
func (m *Mem) OpenReadWrite(name string, _ Category, _ ...vfs.OpenOption) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.openReadWrite(name)
}

func (m *Mem) openReadWrite(name string) (File, error) {
	n, err := m.find("open", name)
	if isNotExist(err) {
		return m.create("open", name)
	}
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	return m.open(name, n, true), nil
}

// OpenDir implements vfs.FS.
func (m *Mem) OpenDir(name string) (File, error) { return m.Open(name) }

// ReuseForWrite implements vfs.FS.
func (m *Mem) ReuseForWrite(oldname, newname string, _ Category) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldname, newname); err != nil {
		return nil, err
	}
	return m.openReadWrite(newname)
}

// Link implements vfs.FS.
func (m *Mem) Link(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("link", oldname)
	if err != nil {
		return err
	}
	dir, base, err := m.parent("link", newname)
	if err != nil {
		return err
	}
	switch {
	case dir.entries[base] != nil:
		return pathError("link", newname, syscall.EEXIST)
	case n.isDir():
		return pathError("link", oldname, syscall.EPERM)
	}
	m.change(entry{dir, base, n})
	return nil
}

// Rename implements vfs.FS.
func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rename(oldname, newname)
}

func (m *Mem) rename(oldname, newname string) error {
	fromDir, fromBase, err := m.parent("rename", oldname)
	if err != nil {
		return err
	}
	toDir, toBase, err := m.parent("rename", newname)
	if err != nil {
		return err
	}
	n, err := m.find("rename", oldname)
	if err != nil {
		return err
	}
	switch old := toDir.entries[toBase]; {
	case old != nil && old.isDir(): // os.Rename is stricter than the system call
		return pathError("rename", newname, syscall.EEXIST)
	case old == n: // the same file by the same or by another name: nothing happens
		return nil
	case n.isDir() && below(oldname, newname):
		return pathError("rename", newname, syscall.EINVAL)
	case old != nil && n.isDir():
		return pathError("rename", newname, syscall.ENOTDIR)
	}
	m.change(entry{fromDir, fromBase, nil}, entry{toDir, toBase, n})
	return nil
}

// Remove implements vfs.FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("remove", name)
	if err != nil {
		return err
	}
	dir, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	if len(n.entries) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.change(entry{dir, base, nil})
	return nil
}

// RemoveAll implements vfs.FS. Like the system's it removes one entry after the other, so a crash may leave some.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("removeall", name)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, base, err := m.parent("removeall", name)
	if err != nil {
		return err
	}
	m.removeTree(dir, base, n)
	return nil
}

func (m *Mem) removeTree(dir *node, base string, n *node) {
	for _, name := range n.names() {
		m.removeTree(n, name, n.entries[name])
	}
	m.change(entry{dir, base, nil})
}

// MkdirAll implements vfs.FS.
func (m *Mem) MkdirAll(name string, _ os.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, part := range split(name) {
		next := dir.entries[part]
		if next == nil {
			next = newDir()
			m.change(entry{dir, part, next})
		}
		if !next.isDir() {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		dir = next
	}
	return nil
}

// Lock implements vfs.FS. Locks are held by this Mem, not by its clones: the process that held them is gone there.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clean := path.Clean("/" + name)
	if _, ok := m.locked[clean]; ok {
		return nil, pathError("lock", name, syscall.EAGAIN)
	}
	f, err := m.openReadWrite(name)
	if err != nil {
		return nil, err
	}
	m.locked[clean] = struct{}{}
	return &lock{f.(*handle), clean}, nil
}

// lock is a held Lock.
type lock struct {
	file *handle
	path string
}

// Close releases the lock.
func (l *lock) Close() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file.mem.mu.Lock()
	defer l.file.mem.mu.Unlock()
	delete(l.file.mem.locked, l.path)
	return nil
}

// List implements vfs.FS. The order is always the same but no useful one, as on a disk.
func (m *Mem) List(name string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("list", name)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, pathError("list", name, syscall.ENOTDIR)
	}
	names := n.names()
	slices.SortStableFunc(names, func(a, b string) int { return int(int64(scatter(a)) - int64(scatter(b))) })
	return names, nil
}

// scatter orders names as a hashed directory does.
func scatter(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}

// Stat implements vfs.FS.
func (m *Mem) Stat(name string) (FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(name), nil
}

// Truncate implements FS.
func (m *Mem) Truncate(name string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("truncate", name)
	switch {
	case err != nil:
		return err
	case n.isDir():
		return pathError("truncate", name, syscall.EISDIR)
	case size < 0:
		return pathError("truncate", name, syscall.EINVAL)
	}
	m.used += n.resize(size)
	n.modTime = time.Now()
	return nil
}

// GetDiskUsage implements vfs.FS. Without a capacity the disk has an exbibyte.
func (m *Mem) GetDiskUsage(name string) (DiskUsage, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find("statfs", name); err != nil {
		return DiskUsage{}, err
	}
	total := m.capacity
	if total == 0 {
		total = 1 << 60
	}
	return DiskUsage{
		AvailBytes: uint64(m.room()),
		TotalBytes: uint64(total),
		UsedBytes:  uint64(m.used),
	}, nil
}

// room returns how many bytes files may still grow by.
func (m *Mem) room() int64 {
	if m.capacity == 0 {
		return math.MaxInt64 / 2
	}
	return max(m.capacity-m.used, 0)
}

// PathBase implements vfs.FS.
func (*Mem) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (*Mem) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir implements vfs.FS.
func (*Mem) PathDir(name string) string { return path.Dir(name) }

// Unwrap implements vfs.FS.
func (*Mem) Unwrap() vfs.FS { return nil }

// split returns the elements of a path; relative ones start at the root, which has none.
func split(name string) []string {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

// below tells whether name lies in the directory or is it.
func below(dir, name string) bool {
	d, n := split(dir), split(name)
	return len(n) >= len(d) && slices.Equal(d, n[:len(d)])
}

// find returns what has the name.
func (m *Mem) find(op, name string) (*node, error) { return m.walk(op, name, split(name)) }

// parent returns the directory that has, or may get, an entry for the name, and the entry's name.
func (m *Mem) parent(op, name string) (dir *node, base string, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", pathError(op, name, syscall.EBUSY) // what Linux says of the root
	}
	last := len(parts) - 1
	dir, err = m.walk(op, name, parts[:last])
	if err == nil && !dir.isDir() {
		err = pathError(op, name, syscall.ENOTDIR)
	}
	return dir, parts[last], err
}

func (m *Mem) walk(op, name string, parts []string) (*node, error) {
	n := m.root
	for _, part := range parts {
		if !n.isDir() {
			return nil, pathError(op, name, syscall.ENOTDIR)
		}
		if n = n.entries[part]; n == nil {
			return nil, pathError(op, name, syscall.ENOENT)
		}
	}
	return n, nil
}
