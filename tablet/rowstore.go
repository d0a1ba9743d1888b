package tablet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/kv"
)

// rowStore is the store of all rows of primary-key tables: opened when it is first needed, and opened anew when it has
// failed. What is in it can be made again from its checkpoint and the logs.
type rowStore struct {
	fsys    fs.FS
	path    string // "": there is none
	memory  int64  // for cache and memtables; 0: what package kv takes
	change  int    // bytes that one batch may find or change; 0: likewise
	logger  *slog.Logger
	metrics *metrics

	mu     sync.Mutex
	dir    *kv.Dir
	store  *kv.Store
	failed []*kv.Store // replaced ones, which somebody may still read from

	saves saves
}

// The directories of the store and of its checkpoint, below the data directory.
const (
	rowsDir       = "kv"
	checkpointDir = "kv-checkpoint"
)

// get gives the store that is in use.
func (r *rowStore) get() (*kv.Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil && r.store.Failed() == nil {
		return r.store, nil
	}
	if r.path == "" {
		return nil, errors.New("tablet: this server keeps no primary-key tables")
	}
	if _, err := r.directoryLocked(); err != nil {
		return nil, err
	}
	return r.openLocked()
}

// directory gives the directory of the store.
func (r *rowStore) directory() (*kv.Dir, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.directoryLocked()
}

func (r *rowStore) directoryLocked() (*kv.Dir, error) {
	if r.dir == nil {
		dir, err := kv.OpenDir(r.fsys, r.fsys.PathJoin(r.path, rowsDir), kv.Options{
			Checkpoints: r.fsys.PathJoin(r.path, checkpointDir), Logger: r.logger,
			CacheBytes: r.memory / 6, MemtableBytes: r.memory / 8, HeldBytes: r.memory / 3, ChangeBytes: r.change,
		})
		if err != nil {
			return nil, err
		}
		r.dir = dir
	}
	return r.dir, nil
}

// openLocked opens the store. One that has damage is made anew.
func (r *rowStore) openLocked() (*kv.Store, error) {
	if r.store != nil {
		r.logger.Error("the store of rows failed and is opened anew", "err", r.store.Failed())
		if r.store.Damaged() {
			if _, err := r.dir.MoveAside(); err != nil {
				return nil, err
			}
		}
		r.failed, r.store = append(r.failed, r.store), nil
	}
	store, err := r.dir.Open()
	if err != nil {
		return nil, err
	}
	if store.Restored() {
		r.metrics.restored.Inc()
	}
	r.store = store
	return store, nil
}

// rescue puts rows of a bucket into the store that an older one has, if their mark fits. See kv.Dir.Rescue.
func (r *rowStore) rescue(ctx context.Context, store *kv.Store, id quiver.BucketID, fits func(kv.Mark) bool) (bool, error) {
	dir, err := r.directory()
	if err != nil {
		return false, err
	}
	r.saves.endLook()
	ok, err := dir.Rescue(ctx, store, id, fits)
	if ok {
		r.metrics.rescued.Inc()
	}
	return ok, err
}

// drop forgets the rows of dropped tables and partitions. A store that was never opened may hold them too, and so may
// its checkpoint, from which they would come back: then there is a new one before they count as dropped.
func (r *rowStore) drop(tables []quiver.TableID, partitions []quiver.PartitionRef) error {
	if r.path == "" || !r.exists() {
		return nil
	}
	store, err := r.get()
	if err != nil {
		return err
	}
	for _, id := range tables {
		if err := store.DropTable(context.Background(), id); err != nil {
			return err
		}
	}
	for _, ref := range partitions {
		if err := store.DropPartition(context.Background(), ref); err != nil {
			return err
		}
	}
	return r.dropSaved(tables, partitions)
}

// exists says that there is a store, open or not.
func (r *rowStore) exists() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		return true
	}
	for _, dir := range []string{rowsDir, checkpointDir} {
		if _, err := r.fsys.Stat(r.fsys.PathJoin(r.path, dir)); err == nil {
			return true
		}
	}
	return false
}

// close writes out what is in memory, so that the next start has little to do.
func (r *rowStore) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saves.endLook()
	var errs []error
	if r.store != nil {
		if err := r.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the store of rows: %w", err))
		}
	}
	for _, s := range r.failed {
		_ = s.Close() // it failed, and that was told
	}
	if r.dir != nil {
		errs = append(errs, r.dir.Close())
	}
	r.store, r.failed, r.dir = nil, nil, nil
	return errors.Join(errs...)
}
