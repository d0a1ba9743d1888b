package metastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// What a process may die at, or fail at.
var (
	pointOpen        = fault.New("metastore.open.before")
	pointBeforeWrite = fault.New("metastore.commit.before-write")
	pointAfterSync   = fault.New("metastore.commit.after-sync")
)

// Embedded is a Store in a local directory, on Pebble.
//
//	OpenEmbedded ──► engine ──► engine ──► …   a new one after each failure; see the package comment
//
// One mutex guards everything: metadata changes are rare, and the coordinator sends them one at a time anyway.
type Embedded struct {
	fsys    fs.FS
	dir     string
	options EmbeddedOptions
	lock    *pebble.Lock // held over all engines, so that no other process comes in between

	mu       sync.Mutex
	engine   *engine   // the database in use; nil: the last one was given up and no new one is open
	requests *requests // what the engine holds of request ids
	digest   digest    // what all keys in the engine add up to
	cause    error     // why the last engine was given up, or why it could not be opened again; nil if one is in use
	closed   bool
}

var _ Store = (*Embedded)(nil)

// EmbeddedOptions are the options of an Embedded store. The zero value is the default.
type EmbeddedOptions struct {
	Logger *slog.Logger // for errors of the database; nil: none

	memtable uint64 // bytes; 0: memtableBytes. Tests take small ones, so that little data does all there is to do.
}

// OpenEmbedded opens the store in a directory, which is made if it does not exist. A directory that is open already,
// in this process or another, is refused.
func OpenEmbedded(fsys fs.FS, dir string, o EmbeddedOptions) (*Embedded, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.memtable == 0 {
		o.memtable = memtableBytes
	}
	if err := makeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("create metadata directory %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	if err != nil {
		return nil, fmt.Errorf("lock metadata directory %s (is another server running on it?): %w", dir, err)
	}
	e := &Embedded{fsys: fsys, dir: dir, options: o, lock: lock}
	if err := e.openLocked(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

// Get implements Store.
func (e *Embedded) Get(ctx context.Context, key string) (entry Entry, ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err = e.readLocked(ctx, func() error {
		version, value, err := e.engine.get(key)
		entry, ok = Entry{Key: key, Value: value, Version: version}, version != Absent
		return err
	})
	if err != nil || !ok {
		return Entry{}, false, err
	}
	return entry, true, nil
}

// Range implements Store.
func (e *Embedded) Range(ctx context.Context, prefix string, visit func(Entry) error) (int64, error) {
	found, version, err := e.entries(ctx, prefix)
	if err != nil {
		return 0, err
	}
	for i := range found {
		if err := visit(found[i]); err != nil {
			return 0, err
		}
		found[i] = Entry{} // visited entries need not stay in memory
	}
	return version, nil
}

func (e *Embedded) entries(ctx context.Context, prefix string) (found []Entry, version int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err = e.readLocked(ctx, func() (err error) {
		found, err = e.engine.entries(prefix)
		version = e.requests.version
		return err
	})
	return found, version, err
}

// readLocked runs a read, and a second time if the engine failed under it: a failure in the background is no reason
// to fail a read.
func (e *Embedded) readLocked(ctx context.Context, op func() error) error {
	if err := e.usableLocked(ctx); err != nil {
		return err
	}
	err := op()
	if err == nil || e.engine.failure() == nil {
		return err
	}
	if err := e.usableLocked(ctx); err != nil {
		return err
	}
	return op()
}

// Commit implements Store.
func (e *Embedded) Commit(ctx context.Context, txn Txn) (result Result, err error) {
	if err := txn.Check(); err != nil {
		return Result{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var repeated bool
	var after digest
	err = e.readLocked(ctx, func() (err error) {
		if result, repeated = e.requests.find(txn.Request); !repeated {
			after, err = e.engine.prepare(&txn, e.requests.version+1, e.digest)
		}
		return err
	})
	if err != nil || repeated {
		return result, err
	}
	if err := pointBeforeWrite.Hit(); err != nil {
		return Result{}, err
	}
	return e.writeLocked(&txn, after)
}

// writeLocked writes a transaction whose comparisons hold.
func (e *Embedded) writeLocked(txn *Txn, after digest) (Result, error) {
	version := e.requests.version + 1
	if err := e.engine.write(txn, version, after); err != nil {
		e.giveUpLocked(err)
		return Result{Outcome: Unknown}, fmt.Errorf("commit metadata in %s: %w", e.dir, err)
	}
	e.requests.note(txn.Request, version)
	e.digest = after
	if version == 1 {
		_ = e.checkBegun() // if it fails, the next start makes the file
	}
	if err := pointAfterSync.Hit(); err != nil {
		return Result{Outcome: Unknown}, err
	}
	return Result{Outcome: Done, Version: version}, nil
}

// Failed implements Store.
func (e *Embedded) Failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.engine == nil:
		return e.cause
	}
	return e.engine.failure()
}

// Close implements Store.
func (e *Embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	var err error
	if e.engine != nil {
		err = e.engine.close()
		e.engine = nil
	}
	return errors.Join(err, e.lock.Close())
}

// usableLocked sees to it that there is an engine that has not failed, and opens a new one if need be.
func (e *Embedded) usableLocked(ctx context.Context) error {
	if e.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.engine != nil {
		err := e.engine.failure()
		if err == nil {
			return nil
		}
		e.giveUpLocked(err)
	}
	return e.openLocked()
}

// openLocked opens an engine and loads what this type keeps in memory.
func (e *Embedded) openLocked() error {
	err := pointOpen.Hit()
	if err == nil {
		err = e.loadLocked()
	}
	if err != nil {
		e.cause = fmt.Errorf("open metadata in %s: %w", e.dir, err)
		return e.cause
	}
	e.cause = nil
	return nil
}

func (e *Embedded) loadLocked() error {
	engine, err := openEngine(e.fsys, e.dir, e.lock, e.options)
	if err != nil {
		return err
	}
	e.engine = engine
	if e.requests, e.digest, err = engine.load(); err == nil {
		err = e.checkBegun()
	}
	if err != nil {
		e.giveUpLocked(err)
	}
	return err
}

// begun is the name of the file that says that there was a commit once, so that a database that lost everything is
// not taken for a new one.
const begun = "begun"

// checkBegun refuses a store that is empty, but was not always. In one that is not empty it makes the file.
func (e *Embedded) checkBegun() error {
	name := e.fsys.PathJoin(e.dir, begun)
	_, err := e.fsys.Stat(name)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	case err == nil && e.requests.version == 0:
		return fmt.Errorf("%w: there were commits, and none is left", ErrDamaged)
	case err != nil && e.requests.version > 0:
		return fs.WriteFile(e.fsys, name, nil)
	}
	return nil
}

// giveUpLocked parts with an engine that failed: from now on it changes nothing on the disk.
func (e *Embedded) giveUpLocked(cause error) {
	engine := e.engine
	e.engine, e.cause = nil, cause
	e.options.Logger.Error("metadata database failed; it is opened again by the next use", "dir", e.dir, "err", cause)
	engine.fail(cause)
	_ = engine.close() // it reports the cause once more
}
