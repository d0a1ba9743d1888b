package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/quiverlog/quiver/internal/fs"
)

// engine is one life of the Pebble database, from opening it to its first failure.
type engine struct {
	db     *pebble.DB
	cache  *pebble.Cache
	fence  *fs.Fence // what failed first, of any kind, is noted here
	beside *beside   // for checkpoints
	logger *slog.Logger
	change int // Options.ChangeBytes
	alone  int // from so many bytes on a change is made alone
	parts  int // into which many keys are divided to be looked for, at most
	part   int // keys of one of them, at least
	recent recency
	held   *held

	tablets    atomic.Uint64 // numbers given to them
	knownBytes atomic.Int64  // of filters of keys
	knownMost  int64
}

var _ pebble.LoggerAndTracer = (*engine)(nil)

func openEngine(fsys fs.FS, dir string, lock *pebble.Lock, o Options) (*engine, error) {
	e := &engine{
		fence: fs.NewFence(fsys), logger: o.Logger, change: o.ChangeBytes, alone: aloneFrom, parts: runtime.GOMAXPROCS(0), part: partKeys,
		cache: pebble.NewCache(o.CacheBytes + memtables*o.MemtableBytes),
		held:  newHeld(o.HeldBytes), knownMost: o.HeldBytes / knownShare,
	}
	e.beside = newBeside(e.fence, fsys, o.Checkpoints)
	db, err := pebble.Open(dir, e.options(lock, o))
	if err == nil {
		e.db = db
		err = e.failure()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// Tuning of Pebble: rows are small and found by their whole key, so filters pay on every level but the last, and blocks
// are larger than for single reads alone, since scans and sorted lookups read neighbours.
const (
	filterBits  = 10
	blockBytes  = 16 << 10
	indexBytes  = 256 << 10 // one block for the index of a table: a second level costs each search a block more
	l0Threshold = 4
	l0Stop      = 64
	openFiles   = 1000
	// memtables is how many there may be. Pebble takes them off the cache: one that is not larger than all of them
	// together keeps no block while much is written, and then every lookup reads whole filters from the disk.
	memtables = 4

	manifestBytes = 4 << 20 // it is copied into each checkpoint

	// knownShare is how much less filters of keys may take, all together, than rows that are held.
	knownShare = 4
)

func (e *engine) options(lock *pebble.Lock, o Options) *pebble.Options {
	p := &pebble.Options{
		FS:            e.beside,
		ReadOnly:      o.readOnly,
		Lock:          lock,
		Logger:        e,
		EventListener: &pebble.EventListener{BackgroundError: e.fail, DataCorruption: e.corrupt, FlushBegin: e.recent.flushed},
		// Pinned, so that a newer Pebble does not make directories that an older program cannot open. Excising a
		// bucket needs virtual tables.
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		DisableWAL:                  true, // the log of each bucket is the write-ahead log
		Cache:                       e.cache,
		MemTableSize:                uint64(o.MemtableBytes),
		MemTableStopWritesThreshold: memtables,
		L0CompactionThreshold:       l0Threshold,
		L0StopWritesThreshold:       l0Stop,
		MaxOpenFiles:                openFiles,
		MaxManifestFileSize:         manifestBytes,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
	}
	for i := range p.Levels {
		p.Levels[i] = pebble.LevelOptions{BlockSize: blockBytes, IndexBlockSize: indexBytes, FilterPolicy: bloom.FilterPolicy(filterBits)}
	}
	return p
}

// corrupt notes damage that was read in a table.
func (e *engine) corrupt(info pebble.DataCorruptionInfo) { e.fail(info.Details) }

// close ends the engine. It reports what failed in its life, too.
func (e *engine) close() error {
	defer e.cache.Unref()
	if e.db == nil {
		return nil
	}
	err := e.db.Close()
	return errors.Join(e.failure(), err)
}

// fail notes a failure that the fence did not see. The first failure counts.
func (e *engine) fail(err error) { e.fence.Fall(err) }

// failure gives the first failure, or nil.
func (e *engine) failure() error { return e.fence.Failure() }

// Infof implements pebble.Logger: what the database does in good health is of no interest.
func (e *engine) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (e *engine) Errorf(format string, args ...any) {
	e.logger.Warn("the database of rows complains", "what", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger, which expects it not to return. Here the failure is noted and the process lives on;
// the fallen fence keeps whatever Pebble does next off the disk.
func (e *engine) Fatalf(format string, args ...any) { e.fail(fmt.Errorf(format, args...)) }

// Eventf implements pebble.LoggerAndTracer.
func (e *engine) Eventf(context.Context, string, ...any) {}

// IsTracingEnabled implements pebble.LoggerAndTracer.
func (e *engine) IsTracingEnabled(context.Context) bool { return false }
