package arrowlog

import "sync"

// Directories of buckets. Their names are synced before anything in them is acknowledged. Where many buckets of a table are
// used for the first time at one time, those that wait for a sync of the directory above them share the next one.

// makeBucketDir makes the directory of a bucket and those above it, and has their names on the disk, and the names in one that was
// there before: a killed process may have made both and synced neither.
func (d *Disk) makeBucketDir(dir string) error {
	d.dirsMu.RLock()
	defer d.dirsMu.RUnlock()
	_, err := d.fsys.Stat(dir)
	if err != nil && !isNotExist(err) {
		return err
	}
	made := err != nil
	if err := d.failWrite(d.fsys.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	if !made { // an empty one has no names to sync
		if err := d.syncDir(dir); err != nil {
			return err
		}
	}
	partition := d.fsys.PathDir(dir)
	if err := d.names.sync(partition, func() error { return d.syncDir(partition) }); err != nil {
		return err
	}
	for child := partition; child != d.dir && !d.names.isDurable(child); child = d.fsys.PathDir(child) {
		if err := d.syncDir(d.fsys.PathDir(child)); err != nil {
			return err
		}
		d.names.durable(child)
	}
	return nil
}

// dirNames knows which names of directories are on the disk for certain, and shares syncs.
type dirNames struct {
	mu      sync.Mutex
	known   map[string]struct{} // of tables and partitions; one for each bucket would be too many to keep
	waiting map[string]*dirSync // by directory: the sync that has not begun

	running sync.Mutex // held while a directory is synced
}

// dirSync is one sync of a directory, for all who came before it began.
type dirSync struct {
	ended bool // guarded by dirNames.running, as err is
	err   error
}

func newDirNames() dirNames {
	return dirNames{known: map[string]struct{}{}, waiting: map[string]*dirSync{}}
}

func (n *dirNames) isDurable(dir string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.known[dir]
	return ok
}

func (n *dirNames) durable(dir string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[dir] = struct{}{}
}

// forget is for directories that are removed.
func (n *dirNames) forget(dirs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, dir := range dirs {
		delete(n.known, dir)
	}
}

// sync returns once a sync of the directory has ended that began after the call.
func (n *dirNames) sync(dir string, run func() error) error {
	n.mu.Lock()
	s := n.waiting[dir]
	if s == nil {
		s = &dirSync{}
		n.waiting[dir] = s
	}
	n.mu.Unlock()

	n.running.Lock()
	defer n.running.Unlock()
	if s.ended {
		return s.err
	}
	n.mu.Lock()
	delete(n.waiting, dir) // who comes from now on needs another one
	n.mu.Unlock()
	s.err, s.ended = run(), true
	return s.err
}
