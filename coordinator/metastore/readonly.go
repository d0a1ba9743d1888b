package metastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver/internal/fs"
)

// Reader is a store of which nothing but its content is wanted.
type Reader interface {
	// Range is that of Store.
	Range(ctx context.Context, prefix string, visit func(Entry) error) (version int64, err error)
}

// ReadOnly is the content of an embedded store that no server has open. Nothing is written to its directory.
type ReadOnly struct {
	engine  *engine // nil: nothing was ever committed
	version int64
}

var _ Reader = (*ReadOnly)(nil)

// OpenReadOnly opens the store in a directory and checks it as a start does: every key is read and summed up. A
// directory that is not there is an empty store. The error is that something is damaged, ErrDamaged among others.
func OpenReadOnly(fsys fs.FS, dir string) (*ReadOnly, error) {
	if _, err := fsys.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return &ReadOnly{}, nil
	}
	e := &engine{fence: fs.NewFence(fsys), logger: slog.New(slog.DiscardHandler)}
	o := e.options(nil, memtableBytes)
	o.FS, o.ReadOnly = unlocked{fsys}, true
	db, err := pebble.Open(dir, o)
	_, lost := fsys.Stat(fsys.PathJoin(dir, begun))
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist) && errors.Is(lost, os.ErrNotExist):
		return &ReadOnly{}, nil
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return nil, fmt.Errorf("%w: there were commits, and none is left", ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("open the metadata database: %w", err)
	}
	e.db = db
	r := &ReadOnly{engine: e}
	loaded, _, err := e.load()
	if err == nil && lost == nil && loaded.version == 0 {
		err = fmt.Errorf("%w: there were commits, and none is left", ErrDamaged)
	}
	if err == nil {
		err = db.CheckLevels(nil)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	r.version = loaded.version
	return r, nil
}

// Range implements Reader.
func (r *ReadOnly) Range(ctx context.Context, prefix string, visit func(Entry) error) (int64, error) {
	if r.engine == nil {
		return 0, nil
	}
	found, err := r.engine.entries(prefix)
	if err != nil {
		return 0, err
	}
	for _, e := range found {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := visit(e); err != nil {
			return 0, err
		}
	}
	return r.version, nil
}

// Close gives the files back.
func (r *ReadOnly) Close() error {
	if r.engine == nil {
		return nil
	}
	return r.engine.close()
}

// unlocked is a file system where every lock can be had: the caller has the lock of the data directory.
type unlocked struct{ fs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }
