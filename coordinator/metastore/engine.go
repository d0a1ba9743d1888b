package metastore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/planted"
)

// What one engine may hold in memory. Metadata is read once, when the coordinator starts, so a cache pays nothing;
// memtables start at a quarter of their size and grow with use.
const (
	cacheBytes    = 128 << 10
	memtableBytes = 1 << 20
	openFiles     = 64
)

// engine is one life of the Pebble database, from opening it to its first failure.
type engine struct {
	db     *pebble.DB
	fence  *fs.Fence // what failed first, of any kind, is noted here
	logger *slog.Logger
}

var _ pebble.LoggerAndTracer = (*engine)(nil)

// openEngine opens the database. A failure during recovery is a failure to open: what was replayed from the
// write-ahead log counts as durable only once it was written again.
func openEngine(fsys fs.FS, dir string, lock *pebble.Lock, o EmbeddedOptions) (*engine, error) {
	e := &engine{fence: fs.NewFence(fsys), logger: o.Logger}
	db, err := pebble.Open(dir, e.options(lock, o.memtable))
	if err != nil {
		return nil, errors.Join(e.failure(), err)
	}
	e.db = db
	if err := e.failure(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, nil
}

func (e *engine) options(lock *pebble.Lock, memtable uint64) *pebble.Options {
	return &pebble.Options{
		FS:            e.fence,
		Lock:          lock,
		Logger:        e,
		EventListener: &pebble.EventListener{BackgroundError: e.fail},
		// Pinned, so that a newer Pebble does not make directories that an older program cannot open.
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		CacheSize:          cacheBytes,
		MemTableSize:       memtable,
		MaxOpenFiles:       openFiles,
	}
}

// write does a transaction and makes it durable. After an error the outcome is unknown, and the engine failed.
func (e *engine) write(txn *Txn, version int64, after digest) error {
	b := e.db.NewBatch()
	fill(b, txn, version, after)
	durable := pebble.Sync
	if planted.Is(planted.MetadataUnsynced) {
		durable = pebble.NoSync
	}
	if err := b.Commit(durable); err != nil {
		e.fail(err)
	}
	return errors.Join(e.failure(), b.Close())
}

// fill puts the rows of a transaction into a batch. The batch is in memory, so that it cannot fail.
func fill(b *pebble.Batch, txn *Txn, version int64, after digest) {
	for _, p := range txn.Puts {
		d := b.SetDeferred(1+len(p.Key), 8+len(p.Value))
		d.Key[0] = keyRows
		copy(d.Key[1:], p.Key)
		binary.BigEndian.PutUint64(d.Value, uint64(version))
		copy(d.Value[8:], p.Value)
		_ = d.Finish()
	}
	for _, key := range txn.Deletes {
		_ = b.Delete(keyRow(key), nil)
	}
	_ = b.Set(requestRow(version), requestValue(txn.Request, after), nil)
	if version > KeptRequests {
		_ = b.Delete(requestRow(version-KeptRequests), nil)
	}
}

// prepare checks the comparisons of a transaction, and gives what the keys add up to after it, from what they add up
// to before it.
func (e *engine) prepare(txn *Txn, version int64, d digest) (digest, error) {
	err := conflict(txn.Compares, func(key string) (int64, error) {
		version, _, err := e.get(key)
		return version, err
	})
	if err != nil {
		return d, err
	}
	for _, key := range txn.Deletes {
		if err := e.forget(&d, key); err != nil {
			return d, err
		}
	}
	for _, p := range txn.Puts {
		if err := e.forget(&d, p.Key); err != nil {
			return d, err
		}
		d.add(p.Key, version, p.Value)
	}
	return d, nil
}

// forget takes what a key has now out of a digest.
func (e *engine) forget(d *digest, key string) error {
	version, value, err := e.get(key)
	if err == nil && version != Absent {
		d.remove(key, version, value)
	}
	return err
}

// load gives the requests that are remembered and what all keys add up to, and checks that nothing is missing.
//
// Pebble checks what it reads, but what it does not know of it cannot miss: a manifest that is damaged in the middle
// ends there for it, and the tables named behind that are gone. Tables that are absent without a tombstone would be
// the worst that metadata can do, so the sum is taken at every start; it costs a read of everything, as does loading.
func (e *engine) load() (*requests, digest, error) {
	loaded := newRequests()
	var first int64
	var want, have digest
	err := e.scan([]byte{requestRows}, func(row, value []byte) error {
		version, id, d, err := parseRequest(row, value)
		if err != nil {
			return err
		}
		if first == 0 {
			first = version
		} else if version != loaded.version+1 {
			return fmt.Errorf("%w: version %d is followed by %d", ErrDamaged, loaded.version, version)
		}
		loaded.note(id, version)
		want = d
		return nil
	})
	if err != nil {
		return nil, have, err
	}
	if oldest := max(1, loaded.version-KeptRequests+1); loaded.version > 0 && first != oldest {
		return nil, have, fmt.Errorf("%w: of version %d the request %d is missing", ErrDamaged, loaded.version, oldest)
	}
	err = e.scan(keyRow(""), func(row, stored []byte) error {
		key := string(row[1:])
		version, value, err := splitValue(key, stored)
		have.add(key, version, value)
		return err
	})
	if err == nil && have != want {
		err = fmt.Errorf("%w: %d keys were found and %d expected, their sum is %x instead of %x",
			ErrDamaged, have.keys, want.keys, have.sum, want.sum)
	}
	return loaded, have, err
}

// Reads show what commits made durable, also on an engine that failed since: what it cannot read it reports.

// get gives the version and the value of a key; Absent if it does not exist.
func (e *engine) get(key string) (version int64, value []byte, err error) {
	stored, closer, err := e.db.Get(keyRow(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return Absent, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read metadata key %q: %w", key, err)
	}
	version, value, err = splitValue(key, stored)
	value = bytes.Clone(value)
	return version, value, errors.Join(err, closer.Close())
}

// entries gives all keys that start with the prefix.
func (e *engine) entries(prefix string) (found []Entry, err error) {
	err = e.scan(keyRow(prefix), func(row, stored []byte) error {
		key := string(row[1:])
		version, value, err := splitValue(key, stored)
		found = append(found, Entry{Key: key, Value: bytes.Clone(value), Version: version})
		return err
	})
	return found, err
}

// scan visits all rows that start with the prefix. Row and value are valid during the visit only.
func (e *engine) scan(prefix []byte, visit func(row, value []byte) error) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = visit(it.Key(), value)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// after gives the first row behind all that start with the prefix. A row starts with a letter, so there is one.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// close ends the engine. It reports what failed in its life, too.
func (e *engine) close() error {
	err := e.db.Close()
	return errors.Join(e.failure(), err)
}

// fail notes a failure that the fence did not see: damage that was read. The first failure counts.
func (e *engine) fail(err error) { e.fence.Fall(err) }

// failure gives the first failure, or nil.
func (e *engine) failure() error { return e.fence.Failure() }

// Infof implements pebble.Logger: what the database does in good health is of no interest.
func (e *engine) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (e *engine) Errorf(format string, args ...any) {
	e.logger.Warn("the metadata database reports a fault", "err", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger, which expects it not to return: Pebble cannot go on. Here the failure is noted and
// the process lives on; the fallen fence keeps whatever Pebble does next off the disk.
func (e *engine) Fatalf(format string, args ...any) {
	e.fail(fmt.Errorf(format, args...))
}

// Eventf implements pebble.LoggerAndTracer.
func (e *engine) Eventf(context.Context, string, ...any) {}

// IsTracingEnabled implements pebble.LoggerAndTracer.
func (e *engine) IsTracingEnabled(context.Context) bool { return false }

// makeDir makes the directory of a store. Its entry is synced also if it is there already: the process that made it
// may have died before it came to that.
func makeDir(fsys fs.FS, dir string) error {
	if err := fs.MakeDirs(fsys, dir); err != nil {
		return err
	}
	return fs.SyncDir(fsys, fsys.PathDir(dir))
}
