package tablet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/kv"
)

// rowStore is the store of all rows of primary-key tables: opened when it is first needed, and opened anew when it has
// failed. What is in it can be made again from the logs, so a store that cannot be opened is moved aside.
type rowStore struct {
	fsys   fs.FS
	path   string // "": there is none
	logger *slog.Logger

	mu     sync.Mutex
	dir    *kv.Dir
	store  *kv.Store
	failed []*kv.Store // replaced ones, which somebody may still read from
	wrote  time.Time   // when what was in memory was written out for retention
}

// rowsDir is the directory of the store below the data directory.
const rowsDir = "kv"

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
	if r.dir == nil {
		dir, err := kv.OpenDir(r.fsys, r.fsys.PathJoin(r.path, rowsDir), kv.Options{Logger: r.logger})
		if err != nil {
			return nil, err
		}
		r.dir = dir
	}
	return r.openLocked()
}

// openLocked opens the store, and an empty one if it cannot be opened.
func (r *rowStore) openLocked() (*kv.Store, error) {
	if r.store != nil {
		r.logger.Error("the store of rows failed and is opened anew", "err", r.store.Failed())
		r.failed, r.store = append(r.failed, r.store), nil
	}
	store, err := r.dir.Open()
	if err != nil {
		r.logger.Error("the store of rows cannot be opened; the rows are made again from the logs", "err", err)
		aside, moveErr := r.dir.MoveAside()
		if moveErr != nil {
			return nil, errors.Join(err, moveErr)
		}
		r.logger.Warn("the damaged store of rows was moved aside", "to", aside)
		if store, err = r.dir.Open(); err != nil {
			return nil, err
		}
	}
	r.store = store
	return store, nil
}

// drop forgets the rows of a dropped table, or of one of its partitions. A store that was never opened may hold them
// too; one that is not there holds none.
func (r *rowStore) drop(drop func(*kv.Store) error) error {
	if r.path == "" || !r.exists() {
		return nil
	}
	store, err := r.get()
	if err != nil {
		return err
	}
	return drop(store)
}

// exists says that there is a store, open or not.
func (r *rowStore) exists() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		return true
	}
	_, err := r.fsys.Stat(r.fsys.PathJoin(r.path, rowsDir))
	return err == nil
}

func (r *rowStore) dropTable(id quiver.TableID) error {
	return r.drop(func(s *kv.Store) error { return s.DropTable(context.Background(), id) })
}

func (r *rowStore) dropPartition(ref quiver.PartitionRef) error {
	return r.drop(func(s *kv.Store) error { return s.DropPartition(context.Background(), ref) })
}

// writeEvery is how often retention has rows written out that are in memory only.
const writeEvery = time.Minute

// durable is the offset from which on a bucket needs the log after a crash. Once a minute what is in memory is written
// out before.
func (r *rowStore) durable(id quiver.BucketID, now time.Time) (quiver.Offset, error) {
	store, err := r.get()
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	due := now.Sub(r.wrote).Abs() >= writeEvery
	if due {
		r.wrote = now
	}
	r.mu.Unlock()
	if due {
		if err := store.Flush(); err != nil {
			return 0, err
		}
	}
	mark, err := store.Durable(id)
	return mark.Applied, err
}

// close writes out what is in memory, so that the next start has little to do.
func (r *rowStore) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
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
