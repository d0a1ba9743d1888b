package arrowlog

import (
	"container/list"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/quiverlog/quiver/internal/fs"
)

// files keeps the descriptors of a disk open, the ones used last, so that an idle bucket costs none. Whoever acquires
// a file releases it; one in use stays open, beyond the limit if need be.
type files struct {
	fsys  fs.FS
	limit int

	mu   sync.Mutex
	open map[string]*file
	idle list.List // of *file without users, the one unused longest in front
	now  time.Time // of the last round of maintenance
	shut bool      // nothing is opened any more
}

// file is one open file, shared by all who acquired it.
type file struct {
	fs.File
	path     string
	writable bool

	// Guarded by files.mu.
	users int
	gone  bool          // no longer in the cache: closed by the last user
	place *list.Element // in files.idle while there are no users
	left  time.Time     // when it was used last, as far as rounds of maintenance tell
}

func newFiles(fsys fs.FS, limit int) *files {
	return &files{fsys: fsys, limit: limit, open: map[string]*file{}}
}

// acquire opens a file that exists, to be read or to be read and written.
func (c *files) acquire(path string, writable bool) (*file, error) {
	if f := c.cached(path, writable); f != nil {
		return f, nil
	}
	opened, err := c.openFile(path, writable)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		_ = opened.Close()
		return nil, os.ErrClosed
	}
	if f := c.open[path]; f != nil {
		if f.writable || !writable { // somebody else was faster
			c.use(f)
			_ = opened.Close()
			return f, nil
		}
		c.dropLocked(f)
	}
	f := &file{File: opened, path: path, writable: writable, users: 1}
	c.open[path] = f
	c.evictLocked()
	return f, nil
}

func (c *files) cached(path string, writable bool) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.open[path]
	if f == nil || (writable && !f.writable) {
		return nil
	}
	c.use(f)
	return f
}

func (c *files) openFile(path string, writable bool) (fs.File, error) {
	if !writable {
		return c.fsys.Open(path)
	}
	// OpenReadWrite would make the file if it were not there; a log never writes into a file it did not make.
	if _, err := c.fsys.Stat(path); err != nil {
		return nil, err
	}
	return c.fsys.OpenReadWrite(path, fs.Unspecified)
}

func (c *files) use(f *file) {
	f.users++
	if f.place != nil {
		c.idle.Remove(f.place)
		f.place = nil
	}
}

// release gives a file back.
func (c *files) release(f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.users--
	switch {
	case f.users > 0:
	case f.gone:
		_ = f.Close()
	default:
		f.left = c.now
		f.place = c.idle.PushBack(f)
		c.evictLocked()
	}
}

// keepFor is how long a file stays open that nobody uses.
const keepFor = time.Minute

// closeIdle closes the files that nobody has used for a while. It looks at no others.
func (c *files) closeIdle(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	for c.idle.Len() > 0 {
		f := c.idle.Front().Value.(*file)
		if now.Sub(f.left).Abs() < keepFor { // a clock that was set back keeps nothing open
			return
		}
		c.dropLocked(f)
	}
}

func (c *files) evictLocked() {
	for len(c.open) > c.limit && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*file))
	}
}

// dropLocked takes a file out of the cache; it is closed now, or by its last user.
func (c *files) dropLocked(f *file) {
	delete(c.open, f.path)
	f.gone = true
	if f.place != nil {
		c.idle.Remove(f.place)
		f.place = nil
	}
	if f.users == 0 {
		_ = f.Close()
	}
}

// forget drops a file that is about to be removed or renamed.
func (c *files) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.open[path]; f != nil {
		c.dropLocked(f)
	}
}

// forgetBelow drops the files of a directory that was removed: one that stayed open would keep its room on the disk.
func (c *files) forgetBelow(dir string) {
	below := dir + string(filepath.Separator)
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, f := range c.open {
		if strings.HasPrefix(path, below) {
			c.dropLocked(f)
		}
	}
}

// close closes all files and tells how many were still in use.
func (c *files) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	inUse := 0
	for _, f := range c.open {
		if f.users > 0 {
			inUse++
		}
		c.dropLocked(f)
	}
	if inUse > 0 {
		return fmt.Errorf("arrowlog: %d files still in use", inUse)
	}
	return nil
}
